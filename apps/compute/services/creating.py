"""Launching servers: everything that can be refused is refused here, in the transaction that stores the rows."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Now

from apps.compute.models import Flavor, Server
from apps.compute.services import facts, quotas, wishes
from apps.compute.services.guestdata import ROOT_DEVICE
from apps.compute.services.servers import canonical_address
from apps.compute.services.wishes import Place, Wish
from apps.core import live
from apps.core.api.types import as_flag
from apps.core.context import RequestContext
from apps.core.sealing import seal
from apps.core.transactions import service
from apps.image.models import Image
from apps.network import services as network
from apps.operations.services import operation_start

CREATE = "compute.server.create"
PASSWORD_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Launch:
    """What a create gave: the rows, and what is told only once."""

    servers: tuple[Server, ...]
    admin_pass: str
    reservation_id: str


@service("os_compute_api:servers:create")
def server_create(ctx: RequestContext, **asked: Any) -> Launch:
    """Store one or more servers and start making them; `asked` are the members of `Wish`.

    Raises Invalid for what cannot be, NotFound for a flavor, image, key or network that the caller does not see,
    OverQuota for a limit, Conflict for a port in use or a network that is not the only one.
    """
    wish = Wish(**asked)
    flavor, image = _source(ctx, wish)
    place = wishes.place_of(
        ctx, wish.availability_zone, wish.host or wish.hypervisor_hostname, wish.scheduler_hints or {}
    )
    files = _files(ctx, wish)
    count = _claim(ctx, wish, flavor, place)
    password = wish.admin_pass or first_password()
    reservation_id = f"r-{_random(string.ascii_lowercase + string.digits, 8)}"
    common = {
        **_whose(ctx, wish),
        **_size(flavor, image),
        **_where(place),
        "one_time_sealed": seal(json.dumps(wishes.one_time(password, files)).encode()),
        "reservation_id": reservation_id,
    }
    servers = tuple(_launch(ctx, wish, common, index, count) for index in range(count))
    return Launch(servers, password, reservation_id)


def _source(ctx: RequestContext, wish: Wish) -> tuple[Flavor, Image]:
    """Flavor and image, which fit together."""
    flavor = wishes.flavor_of(ctx, wish.flavor_ref)
    image = wishes.image_of(ctx, wish.image_ref, wish.block_device_mapping, wish.block_device_mapping_v2)
    wishes.check_fits(ctx, flavor, image)
    wishes.check_no_certificates(wish.trusted_image_certificates)
    return flavor, image


def _files(ctx: RequestContext, wish: Wish) -> dict[str, bytes]:
    """Files to lay into the guest; they and the metadata are within their bounds."""
    files = wishes.files_of(wish.personality)
    quotas.metadata_check(ctx, project_id=ctx.project_id, items=wish.metadata or {})
    quotas.files_check(ctx, project_id=ctx.project_id, files=files)
    return files


def _claim(ctx: RequestContext, wish: Wish, flavor: Flavor, place: Place) -> int:
    """How many there will be, claimed of the quota and with room in their group."""
    least, most = wishes.counts_of(wish.min_count, wish.max_count)
    wishes.check_single_addresses(wish.networks, most)
    count = quotas.servers_claim(
        ctx, project_id=ctx.project_id, vcpus=flavor.vcpus, ram_mib=flavor.ram_mib, least=least, most=most
    )
    wishes.check_group_has_room(ctx, place.group, count)
    return count


def first_password() -> str:
    """A password for whoever gave none."""
    return _random(string.ascii_letters + string.digits, PASSWORD_LENGTH)


def _random(letters: str, length: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))


def _whose(ctx: RequestContext, wish: Wish) -> dict[str, Any]:
    """Columns that say whose they are and what their owner gave them."""
    key = wishes.key_pair_of(ctx, wish.key_name)
    disk_tag = next((one["tag"] for one in wish.block_device_mapping_v2 if one.get("tag")), None)
    return {
        "project_id": ctx.project_id,
        "user_id": ctx.user_id,
        "description": wish.description,
        "key_name": key.name if key else None,
        "public_key": key.public_key if key else "",
        "user_data_sealed": wishes.user_data_of(wish.user_data),
        "config_drive": as_flag(wish.config_drive),
        "metadata": dict(wish.metadata or {}),
        "tags": sorted(set(wish.tags)),
        "access_ipv4": canonical_address(wish.access_ipv4),
        "access_ipv6": canonical_address(wish.access_ipv6),
        "disk_config": wish.disk_config,
        "device_tags": {ROOT_DEVICE: disk_tag} if disk_tag else {},
    }


def _size(flavor: Flavor, image: Image) -> dict[str, Any]:
    """Columns that are copied from flavor and image."""
    return {
        "flavor_id": flavor.pk,
        "flavor": facts.flavor_facts(flavor),
        "vcpus": flavor.vcpus,
        "ram_mib": flavor.ram_mib,
        "disk_gib": facts.disk_gib(flavor, image),
        "image_id": image.pk,
        "image": {"name": image.name, "properties": facts.image_properties(image)},
    }


def _where(place: Place) -> dict[str, Any]:
    """Columns that say where they shall stand."""
    return {
        "wanted_zone": place.zone,
        "wanted_host": place.host,
        "scheduler_hints": place.hints,
        "group_id": place.group.pk if place.group else None,
    }


def _launch(ctx: RequestContext, wish: Wish, common: Mapping[str, Any], index: int, count: int) -> Server:
    """One row, its ports and its operation."""
    name = facts.name_of(wish.name, index, count)
    server = Server(**common, name=name, launch_index=index, updated_at=Now())
    server.hostname = facts.hostname_of(wish.hostname, wish.name, index, count) or f"server-{server.pk}"
    server.save(force_insert=True)
    ports = network.server_ports_create(
        ctx,
        server_id=server.pk,
        server_name=name,
        requests=wish.networks,
        security_groups=[group["name"] for group in wish.security_groups if group.get("name")],
    )
    asked = wish.networks if wish.networks and not isinstance(wish.networks, str) else ()
    tagged = {str(port.pk): one["tag"] for port, one in zip(ports, asked, strict=False) if one.get("tag")}
    if tagged:
        Server.objects.filter(pk=server.pk).update(device_tags=server.device_tags | tagged)
    operation_start(ctx, kind=CREATE, subject_type="server", subject_id=server.pk, project_id=ctx.project_id, input={})
    live.notify(ctx.project_id, "server", server.pk)
    return server
