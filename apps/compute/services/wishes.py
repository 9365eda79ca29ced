"""What a request for servers says, read and checked: flavor, image, place, key, user data, files."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.compute.models import Flavor, KeyPair, Server, ServerGroup
from apps.compute.selectors._common import as_uuid, key, owned
from apps.compute.selectors.flavors import flavor_get
from apps.compute.services import quotas
from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.core.sealing import seal
from apps.hosts.models import Host
from apps.image.models import Image
from apps.image.services import image_for_boot

GIB = 1 << 30
MAX_USER_DATA = 65_535  # bytes, Base64 included
MAX_AT_ONCE = 1000
REQUESTED_HOST = "compute:servers:create:requested_destination"
FORCED_HOST = "os_compute_api:servers:create:forced_host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A request for servers, in the words of the API."""

    name: str
    flavor_ref: str | int
    image_ref: str = ""
    networks: str | Sequence[Mapping[str, Any]] | None = None
    security_groups: Sequence[Mapping[str, str]] = ()
    key_name: str | None = None
    user_data: str | None = None
    metadata: Mapping[str, str] | None = None
    tags: Sequence[str] = ()
    description: str | None = None
    hostname: str = ""
    admin_pass: str = ""
    config_drive: bool | str = False
    disk_config: str = "MANUAL"
    access_ipv4: str = ""
    access_ipv6: str = ""
    availability_zone: str = ""
    host: str = ""
    hypervisor_hostname: str = ""
    scheduler_hints: Mapping[str, Any] | None = None
    min_count: int | str = 1
    max_count: int | str = 0
    personality: Sequence[Mapping[str, str]] = ()
    block_device_mapping: Sequence[Mapping[str, Any]] = ()
    block_device_mapping_v2: Sequence[Mapping[str, Any]] = ()
    trusted_image_certificates: Sequence[str] | None = None
    return_reservation_id: bool | str = False


@dataclass(slots=True)
class Place:
    """Where the caller wants them."""

    zone: str = ""
    host: str = ""
    group: ServerGroup | None = None
    hints: dict[str, Any] = field(default_factory=dict)


def counts_of(least: int | str, most: int | str) -> tuple[int, int]:
    low = int(least)
    high = int(most) or low
    if high < low:
        raise Invalid("min_count must be <= max_count", field="min_count")
    if high > MAX_AT_ONCE:
        raise Invalid(f"At most {MAX_AT_ONCE} servers are created at once.", field="max_count")
    return low, high


def flavor_of(ctx: RequestContext, ref: str | int) -> Flavor:
    ident = str(ref).rsplit("/", 1)[-1]
    try:
        return flavor_get(ctx, flavor_id=ident)
    except NotFound as error:
        raise Invalid(f"Flavor {ident} could not be found.", field="flavorRef") from error


def image_of(
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
        if device.get("volume_type"):
            raise Invalid("volume_type is for block devices that are volumes.", field="block_device_mapping_v2")
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


def check_fits(ctx: RequestContext, flavor: Flavor, image: Image) -> None:
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


def check_no_certificates(certificates: Sequence[str] | None) -> None:
    if certificates:
        raise Invalid("Image signatures are not verified by this cloud.", field="trusted_image_certificates")


def place_of(ctx: RequestContext, zone: str, host: str, hints: Mapping[str, Any]) -> Place:
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


def check_group_has_room(ctx: RequestContext, group: ServerGroup | None, count: int) -> None:
    if group is None:
        return
    ServerGroup.objects.select_for_update(no_key=True).get(pk=group.pk)
    members = Server.objects.filter(group_id=group.pk, deleting_at=None).count()
    quotas.group_members_check(ctx, project_id=str(group.project_id), members=members + count)


def key_pair_of(ctx: RequestContext, name: str | None) -> KeyPair | None:
    if not name:
        return None
    found = KeyPair.objects.filter(user_id=ctx.user_id, name=name).first()
    if found is None:
        raise Invalid("Invalid key_name provided.", field="key_name")
    return found


def user_data_of(text: str | None) -> bytes | None:
    if not text:
        return None
    if len(text) > MAX_USER_DATA:
        raise Invalid(f"User data is longer than {MAX_USER_DATA} characters.", field="user_data")
    try:
        return seal(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, binascii.Error) as error:
        raise Invalid("Userdata content cannot be decoded: it must be Base64.", field="user_data") from error


def files_of(personality: Sequence[Mapping[str, str]]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for item in personality:
        try:
            files[item["path"]] = base64.b64decode("".join(item["contents"].split()), validate=True)
        except (ValueError, binascii.Error) as error:
            raise Invalid(
                f"Personality content for {item['path']} cannot be decoded: it must be Base64.", field="personality"
            ) from error
    return files


def one_time(password: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "admin_pass": password,
        "files": {path: base64.b64encode(content).decode() for path, content in files.items()},
    }


def check_single_addresses(networks: str | Sequence[Mapping[str, Any]] | None, most: int) -> None:
    """What can exist once only cannot be given to several servers."""
    if most == 1 or not networks or isinstance(networks, str):
        return
    for asked in networks:
        if asked.get("port"):
            raise Invalid("Unable to launch multiple instances with a single configured port ID.", field="networks")
        if asked.get("fixed_ip"):
            raise Invalid("max_count cannot be greater than 1 if an fixed_ip is specified.", field="networks")
