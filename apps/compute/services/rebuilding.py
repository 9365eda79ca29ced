"""Rebuilding servers: another image in the place of the root disk; id, ports, addresses and size stay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.compute.models import Flavor, Server
from apps.compute.selectors._common import server_for
from apps.compute.services import facts, quotas, wishes
from apps.compute.services.creating import first_password
from apps.compute.services.servers import begin, canonical_address, touched
from apps.core.api.types import as_flag
from apps.core.context import RequestContext
from apps.core.errors import Invalid
from apps.core.sealing import seal
from apps.core.transactions import service
from apps.image.models import Image

REBUILD = "compute.server.rebuild"
RULE = "os_compute_api:servers:rebuild"
_PLAIN = ("name", "description", "disk_config", "hostname", "metadata")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The server as it will be, and the password that is told only once."""

    server: Server
    admin_pass: str


@service(RULE)
def server_rebuild(
    ctx: RequestContext,
    *,
    server_id: str,
    image_ref: str,
    admin_pass: str = "",
    preserve_ephemeral: bool | str = False,
    personality: Any = (),
    trusted_image_certificates: Any = None,
    **changes: Any,
) -> Rebuilt:
    """Start making the disks of a server anew from an image; `changes` are columns by the API's arguments.

    Raises Invalid for what cannot be, NotFound for no such server, OverQuota for a bound, Conflict where the server
    is locked, busy, on no host, or neither active nor shut off nor in error.
    """
    server = server_for(ctx, server_id, RULE)
    wishes.check_no_certificates(trusted_image_certificates)
    image = wishes.image_of(ctx, image_ref, (), ())
    _check_size(ctx, server, image)
    files = wishes.files_of(personality)
    project = str(server.project_id)
    quotas.files_check(ctx, project_id=project, files=files)
    quotas.metadata_check(ctx, project_id=project, items=changes.get("metadata") or {})
    password = admin_pass or first_password()
    columns = _columns(ctx, changes) | {
        "image_id": image.pk,
        "image": {"name": image.name, "properties": facts.image_properties(image)},
        "one_time_sealed": seal(json.dumps(wishes.one_time(password, files)).encode()),
    }
    before = {"image_id": str(server.image_id) if server.image_id else None, "image": server.image}
    keep = as_flag(preserve_ephemeral)
    begin(ctx, server_id, rule=RULE, action="rebuild", kind=REBUILD, before=before, keep_ephemeral=keep)
    touched(server, **columns)
    return Rebuilt(server, password)


def _check_size(ctx: RequestContext, server: Server, image: Image) -> None:
    """The size stays, so the image has to fit what the server has."""
    kept = server.flavor
    size = Flavor(ram_mib=server.ram_mib, root_gib=kept["disk"], ephemeral_gib=kept["ephemeral"], swap_mib=kept["swap"])
    wishes.check_fits(ctx, size, image)
    if facts.disk_gib(size, image) > server.disk_gib:
        raise Invalid(f"The image is larger than the disk of {server.disk_gib} GiB.", field="imageRef")


def _columns(ctx: RequestContext, changes: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: changes[name] for name in _PLAIN if name in changes}
    for name in sorted({"access_ipv4", "access_ipv6"} & set(changes)):
        found[name] = canonical_address(changes[name])
    if "key_name" in changes:
        key = wishes.key_pair_of(ctx, changes["key_name"])
        found |= {"key_name": key.name if key else None, "public_key": key.public_key if key else ""}
    if "user_data" in changes:
        found["user_data_sealed"] = wishes.user_data_of(changes["user_data"])
    return found
