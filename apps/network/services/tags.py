"""Tags, the same way on every resource that has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.core.transactions import selector, service
from apps.network.models import FloatingIp, Network, Port, Router, SecurityGroup, Subnet, SubnetPool
from apps.network.services.common import change, find, target

MAX_LENGTH = 255
_MAX_TAGS = 50

TAGGED: dict[str, tuple[str, Any]] = {
    "networks": ("network", Network),
    "subnets": ("subnet", Subnet),
    "subnetpools": ("subnetpool", SubnetPool),
    "ports": ("port", Port),
    "routers": ("router", Router),
    "floatingips": ("floatingip", FloatingIp),
    "security-groups": ("security_group", SecurityGroup),
}


def _row(caller: RequestContext, collection: str, ident: str, *, lock: bool = False) -> Any:
    if collection not in TAGGED:
        raise NotFound("The resource")
    noun, model = TAGGED[collection]
    return find(model.objects.visible(caller), noun, ident, lock=lock)


@selector("get_tags")
def tag_list(ctx: RequestContext, *, collection: str, ident: str) -> list[str]:
    """The tags of one thing, sorted. Raises NotFound."""
    return sorted(_row(ctx, collection, ident).tags)


@service("update_tags")
def tags_set(ctx: RequestContext, *, collection: str, ident: str, tags: Sequence[str]) -> list[str]:
    """Replace all tags. Raises NotFound, Forbidden, Invalid."""
    row = _row(ctx, collection, ident, lock=True)
    policy.enforce(ctx, "update_tags", target(row))
    wanted = list(dict.fromkeys(tags))
    if len(wanted) > _MAX_TAGS or any(not tag or len(tag) > MAX_LENGTH for tag in wanted):
        raise Invalid(f"At most {_MAX_TAGS} tags, each of 1 to {MAX_LENGTH} characters.", field="tags")
    change(row, tags=wanted)
    return wanted


@service("update_tags")
def tag_add(ctx: RequestContext, *, collection: str, ident: str, tag: str) -> None:
    """Add one tag; one that is there stays."""
    row = _row(ctx, collection, ident, lock=True)
    tags_set(ctx, collection=collection, ident=ident, tags=[*row.tags, tag])


@service("update_tags")
def tag_remove(ctx: RequestContext, *, collection: str, ident: str, tag: str) -> None:
    """Take one tag away. Raises NotFound for one that is not there."""
    row = _row(ctx, collection, ident, lock=True)
    if tag not in row.tags:
        raise NotFound("Tag", tag, code="TagNotFound")
    tags_set(ctx, collection=collection, ident=ident, tags=[t for t in row.tags if t != tag])
