"""Launching servers: everything that can be refused is refused here, in the transaction that stores the rows."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models.functions import Now

from apps.compute.models import Flavor, KeyPair, Server, ServerGroup
from apps.compute.selectors._common import as_uuid, key, owned
from apps.compute.selectors.flavors import flavor_get
from apps.compute.services import quotas
from apps.compute.services.servers import canonical_address
from apps.core import live, policy
from apps.core.api.types import as_flag
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.core.sealing import seal
from apps.core.transactions import service
from apps.hosts.models import Host
from apps.image.models import Image
from apps.image.services import image_for_boot
from apps.network import services as network
from apps.operations.services import operation_start

CREATE = "compute.server.create"
GIB = 1 << 30
MAX_USER_DATA = 65_535  # bytes, Base64 included
MAX_AT_ONCE = 1000
PASSWORD_LENGTH = 12
HOSTNAME_LENGTH = 63
REQUESTED_HOST = "compute:servers:create:requested_destination"
FORCED_HOST = "os_compute_api:servers:create:forced_host"


@dataclass(frozen=True, slots=True)
class Launch:
    """What a create gave: the rows, and what is told only once."""

    servers: tuple[Server, ...]
    admin_pass: str
    reservation_id: str


@dataclass(slots=True)
class Place:
    """Where the caller wants it."""

    zone: str = ""
    host: str = ""
    group: ServerGroup | None = None
    hints: dict[str, Any] = field(default_factory=dict)


@service("os_compute_api:servers:create")
def server_create(
    ctx: RequestContext,
    *,
    name: str,
    flavor_ref: str | int,
    image_ref: str = "",
    networks: str | Sequence[Mapping[str, Any]] | None = None,
    security_groups: Sequence[Mapping[str, str]] = (),
    key_name: str | None = None,
    user_data: str | None = None,
    metadata: Mapping[str, str] | None = None,
    tags: Sequence[str] = (),
    description: str | None = None,
    hostname: str = "",
    admin_pass: str = "",
    config_drive: bool | str = False,
    disk_config: str = "MANUAL",
    access_ipv4: str = "",
    access_ipv6: str = "",
    availability_zone: str = "",
    host: str = "",
    hypervisor_hostname: str = "",
    scheduler_hints: Mapping[str, Any] | None = None,
    min_count: int | str = 1,
    max_count: int | str = 0,
    personality: Sequence[Mapping[str, str]] = (),
    block_device_mapping: Sequence[Mapping[str, Any]] = (),
    block_device_mapping_v2: Sequence[Mapping[str, Any]] = (),
    trusted_image_certificates: Sequence[str] | None = None,
    return_reservation_id: bool | str = False,
) -> Launch:
    """Store one or more servers and start making them.

    Raises Invalid for what cannot be, NotFound for a flavor, image, key or network that the caller does not see,
    OverQuota for a limit, Conflict for a port in use or a network that is not the only one.
    """
    least, most = _counts(min_count, max_count)
    flavor = _flavor(ctx, flavor_ref)
    image = _image(ctx, image_ref, block_device_mapping, block_device_mapping_v2)
    _fits(ctx, flavor, image)
    _no_certificates(trusted_image_certificates)
    place = _place(ctx, availability_zone, host or hypervisor_hostname, scheduler_hints or {})
    key = _key(ctx, key_name)
    files = _files(personality)
    items = dict(metadata or {})
    quotas.metadata_check(ctx, project_id=ctx.project_id, items=items)
    quotas.files_check(ctx, project_id=ctx.project_id, files=files)
    _single_addresses(networks, most)
    count = quotas.servers_claim(
        ctx, project_id=ctx.project_id, vcpus=flavor.vcpus, ram_mib=flavor.ram_mib, least=least, most=most
    )
    _group_has_room(ctx, place.group, count)
    password = admin_pass or "".join(
        secrets.choice(string.ascii_letters + string.digits) for _ in range(PASSWORD_LENGTH)
    )
    common = {
        "project_id": ctx.project_id,
        "user_id": ctx.user_id,
        "description": description,
        "wanted_zone": place.zone,
        "wanted_host": place.host,
        "scheduler_hints": place.hints,
        "group_id": place.group.pk if place.group else None,
        "flavor_id": flavor.pk,
        "flavor": flavor_facts(flavor),
        "vcpus": flavor.vcpus,
        "ram_mib": flavor.ram_mib,
        "disk_gib": _disk_gib(flavor, image),
        "image_id": image.pk,
        "image": {"name": image.name, "properties": image_properties(image)},
        "key_name": key.name if key else None,
        "public_key": key.public_key if key else "",
        "user_data_sealed": _user_data(user_data),
        "one_time_sealed": seal(json.dumps(_one_time(password, files)).encode()),
        "config_drive": as_flag(config_drive),
        "metadata": items,
        "tags": sorted(set(tags)),
        "access_ipv4": canonical_address(access_ipv4),
        "access_ipv6": canonical_address(access_ipv6),
        "disk_config": disk_config,
        "reservation_id": f"r-{''.join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))}",
    }
    servers = tuple(
        _launch(
            ctx,
            common,
            _name(name, index, count),
            _hostname(hostname, name, index, count),
            index,
            networks,
            security_groups,
        )
        for index in range(count)
    )
    return Launch(servers, password, str(common["reservation_id"]))


def _launch(
    ctx: RequestContext,
    common: Mapping[str, Any],
    name: str,
    hostname: str,
    index: int,
    networks: str | Sequence[Mapping[str, Any]] | None,
    security_groups: Sequence[Mapping[str, str]],
) -> Server:
    """One row, its ports and its operation."""
    server = Server(**common, name=name, hostname=hostname, launch_index=index, updated_at=Now())
    if not hostname:
        server.hostname = f"server-{server.pk}"
    server.save(force_insert=True)
    ports = network.server_ports_create(
        ctx,
        server_id=server.pk,
        server_name=name,
        requests=networks,
        security_groups=[group["name"] for group in security_groups if group.get("name")],
    )
    asked = networks if networks and not isinstance(networks, str) else ()
    tagged = {str(port.pk): one["tag"] for port, one in zip(ports, asked, strict=False) if one.get("tag")}
    if tagged:
        Server.objects.filter(pk=server.pk).update(device_tags=tagged)
    operation_start(ctx, kind=CREATE, subject_type="server", subject_id=server.pk, project_id=ctx.project_id, input={})
    live.notify(ctx.project_id, "server", server.pk)
    return server


# --- reading the request ---------------------------------------------------------------------------


def _counts(least: int | str, most: int | str) -> tuple[int, int]:
    low = int(least)
    high = int(most) or low
    if high < low:
        raise Invalid("min_count must be <= max_count", field="min_count")
    if high > MAX_AT_ONCE:
        raise Invalid(f"At most {MAX_AT_ONCE} servers are created at once.", field="max_count")
    return low, high


def _flavor(ctx: RequestContext, ref: str | int) -> Flavor:
    ident = str(ref).rsplit("/", 1)[-1]
    try:
        return flavor_get(ctx, flavor_id=ident)
    except NotFound as error:
        raise Invalid(f"Flavor {ident} could not be found.", field="flavorRef") from error


def _image(
    ctx: RequestContext, ref: str, older: Sequence[Mapping[str, Any]], devices: Sequence[Mapping[str, Any]]
) -> Image:
    """The image to boot, named directly or by a block device of boot index 0 that is a local disk."""
    if older:
        raise Invalid(
            "Servers cannot boot from or attach volumes yet.", field="block_device_mapping", hint="Give imageRef only."
        )
    ident = ref.rsplit("/", 1)[-1]
    for device in devices:
        source, kind = device.get("source_type"), device.get("destination_type", "local")
        if source != "image" or kind != "local" or str(device.get("boot_index", "")) != "0":
            raise Invalid(
                "Only one block device is supported yet: source_type image, destination_type local, boot_index 0.",
                field="block_device_mapping_v2",
            )
        if ident and device.get("uuid") not in {None, ident}:
            raise Invalid(
                "Block Device Mapping is Invalid: its image is not imageRef.", field="block_device_mapping_v2"
            )
        ident = ident or str(device.get("uuid") or "")
    if len(devices) > 1:
        raise Invalid("Block Device Mapping is Invalid: more than one boot device.", field="block_device_mapping_v2")
    if not ident:
        raise Invalid("An image is needed to boot from.", field="imageRef")
    if as_uuid(ident) is None:
        raise Invalid("Invalid imageRef provided.", field="imageRef")
    try:
        return image_for_boot(ctx, image_id=ident)
    except NotFound as error:
        raise Invalid(f"Can not find requested image {ident}.", field="imageRef") from error


def _fits(ctx: RequestContext, flavor: Flavor, image: Image) -> None:
    if flavor.ram_mib < image.min_ram_mib:
        raise Invalid("Flavor's memory is too small for requested image.", field="flavorRef")
    if flavor.root_gib == 0:
        policy.enforce(ctx, "os_compute_api:servers:create:zero_disk_flavor")
        return
    needed = max(image.virtual_size or 0, image.min_disk_gib * GIB)
    if needed > flavor.root_gib * GIB:
        raise Invalid(
            f"Flavor's disk is too small for requested image. Flavor disk is {flavor.root_gib * GIB} bytes, "
            f"image is {needed} bytes.",
            field="flavorRef",
        )


def _no_certificates(certificates: Sequence[str] | None) -> None:
    if certificates:
        raise Invalid("Image signatures are not verified by this cloud.", field="trusted_image_certificates")


def _place(ctx: RequestContext, zone: str, host: str, hints: Mapping[str, Any]) -> Place:
    """Zone, host and group. `zone:host` and `host` need a rule of their own."""
    place = Place(zone, hints=dict(hints))
    if ":" in zone:
        place.zone, place.host = zone.split(":", 1)
        if ":" in place.host:
            place.host = place.host.split(":", 1)[0] or place.host.split(":", 1)[1]
        policy.enforce(ctx, FORCED_HOST)
    if host:
        if place.host:
            raise Invalid("Give the host once: in availability_zone or as host.", field="host")
        policy.enforce(ctx, REQUESTED_HOST)
        place.host = host
    if place.host and not Host.objects.filter(name=place.host).exists():
        raise Invalid(f"Compute host {place.host} could not be found.", field="host")
    if place.zone and not Host.objects.filter(zone=place.zone).exists():
        raise Invalid("The requested availability zone is not available", field="availability_zone")
    if hints.get("group"):
        place.group = owned(ctx, ServerGroup.objects.filter(pk=key(hints["group"]))).first()
        if place.group is None:
            raise Invalid(f"Server group {hints['group']} could not be found.", field="group")
    return place


def _group_has_room(ctx: RequestContext, group: ServerGroup | None, count: int) -> None:
    if group is None:
        return
    ServerGroup.objects.select_for_update(no_key=True).get(pk=group.pk)
    members = Server.objects.filter(group_id=group.pk, deleting_at=None).count()
    quotas.group_members_check(ctx, project_id=str(group.project_id), members=members + count)


def _key(ctx: RequestContext, name: str | None) -> KeyPair | None:
    if not name:
        return None
    found = KeyPair.objects.filter(user_id=ctx.user_id, name=name).first()
    if found is None:
        raise Invalid("Invalid key_name provided.", field="key_name")
    return found


def _user_data(text: str | None) -> bytes | None:
    if not text:
        return None
    if len(text) > MAX_USER_DATA:
        raise Invalid(f"User data is longer than {MAX_USER_DATA} characters.", field="user_data")
    try:
        return seal(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, binascii.Error) as error:
        raise Invalid("Userdata content cannot be decoded: it must be Base64.", field="user_data") from error


def _files(personality: Sequence[Mapping[str, str]]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for item in personality:
        try:
            files[item["path"]] = base64.b64decode("".join(item["contents"].split()), validate=True)
        except (ValueError, binascii.Error) as error:
            raise Invalid(
                f"Personality content for {item['path']} cannot be decoded: it must be Base64.", field="personality"
            ) from error
    return files


def _one_time(password: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "admin_pass": password,
        "files": {path: base64.b64encode(content).decode() for path, content in files.items()},
    }


def _single_addresses(networks: str | Sequence[Mapping[str, Any]] | None, most: int) -> None:
    """What can exist once only cannot be given to several servers."""
    if most == 1 or not networks or isinstance(networks, str):
        return
    for asked in networks:
        if asked.get("port"):
            raise Invalid("Unable to launch multiple instances with a single configured port ID.", field="networks")
        if asked.get("fixed_ip"):
            raise Invalid("max_count cannot be greater than 1 if an fixed_ip is specified.", field="networks")


# --- facts that are kept ---------------------------------------------------------------------------


def flavor_facts(flavor: Flavor) -> dict[str, Any]:
    """The flavor as servers carry it, in the API's words."""
    return {
        "name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.ram_mib,
        "disk": flavor.root_gib,
        "ephemeral": flavor.ephemeral_gib,
        "swap": flavor.swap_mib,
        "extra_specs": flavor.extra_specs,
    }


def image_properties(image: Image) -> dict[str, str]:
    """Image properties that servers carry; only texts that fit the API's bounds."""
    shown = {
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "min_disk": str(image.min_disk_gib),
        "min_ram": str(image.min_ram_mib),
    }
    kept = {**image.properties, **{key: value for key, value in shown.items() if value}}
    pattern = re.compile(r"^[a-zA-Z0-9_:. ]{1,255}$")
    return {key: str(value)[:255] for key, value in kept.items() if pattern.match(key)}


def _disk_gib(flavor: Flavor, image: Image) -> int:
    """All local disks together, rounded up."""
    root = flavor.root_gib or -(-(image.virtual_size or 0) // GIB)
    return root + flavor.ephemeral_gib + -(-flavor.swap_mib // 1024)


def _name(name: str, index: int, count: int) -> str:
    return name if count == 1 else f"{name}-{index + 1}"


def _hostname(wanted: str, name: str, index: int, count: int) -> str:
    if wanted:
        return _name(wanted, index, count)
    return default_hostname(_name(name, index, count))


def default_hostname(name: str) -> str:
    """A host name made of a server's name as Nova makes it; empty where nothing is left."""
    text = name.encode("ascii", "ignore").decode().lower()
    text = re.sub(r"[ _.]", "-", text)
    text = re.sub(r"[^a-z0-9-]+", "", text).strip("-")
    return text[:HOSTNAME_LENGTH].rstrip("-")
