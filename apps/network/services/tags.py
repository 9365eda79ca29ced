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


def _row(caller: RequestContext, verb: str, collection: str, ident: str, *, lock: bool = False) -> Any:
    """The thing, after its rule about tags. Raises NotFound, Forbidden."""
    if collection not in TAGGED:
        raise NotFound("The resource")
    noun, model = TAGGED[collection]
    row = find(model.objects.visible(caller), noun, ident, lock=lock)
    policy.enforce(caller, f"{verb}_{noun}:tags", target(row, getattr(row, "network", None)))
    return row


def _set(row: Any, tags: Sequence[str]) -> list[str]:
    wanted = list(dict.fromkeys(tags))
    if len(wanted) > _MAX_TAGS or any(not tag or len(tag) > MAX_LENGTH for tag in wanted):
        raise Invalid(f"At most {_MAX_TAGS} tags, each of 1 to {MAX_LENGTH} characters.", field="tags")
    change(row, tags=wanted)
    return wanted


# Which rule applies depends on the collection; the decorators say what all of them need at least.
@selector("project_reader_or_admin")
def tag_list(ctx: RequestContext, *, collection: str, ident: str) -> list[str]:
    """The tags of one thing, sorted. Raises NotFound."""
    return sorted(_row(ctx, "get", collection, ident).tags)


@service("project_member_or_admin")
def tags_set(ctx: RequestContext, *, collection: str, ident: str, tags: Sequence[str]) -> list[str]:
    """Replace all tags. Raises NotFound, Forbidden, Invalid."""
    return _set(_row(ctx, "update", collection, ident, lock=True), tags)


@service("project_member_or_admin")
def tags_clear(ctx: RequestContext, *, collection: str, ident: str) -> None:
    """Take all tags away. Raises NotFound, Forbidden."""
    change(_row(ctx, "delete", collection, ident, lock=True), tags=[])


@service("project_member_or_admin")
def tag_add(ctx: RequestContext, *, collection: str, ident: str, tag: str) -> None:
    """Add one tag; one that is there stays. Raises NotFound, Forbidden, Invalid."""
    row = _row(ctx, "update", collection, ident, lock=True)
    _set(row, [*row.tags, tag])


@service("project_member_or_admin")
def tag_remove(ctx: RequestContext, *, collection: str, ident: str, tag: str) -> None:
    """Take one tag away. Raises NotFound for one that is not there, Forbidden."""
    row = _row(ctx, "delete", collection, ident, lock=True)
    if tag not in row.tags:
        raise NotFound("Tag", tag, code="TagNotFound")
    change(row, tags=[t for t in row.tags if t != tag])
