"""Symbolic links: objects without bytes that name another."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.transactions import streaming
from apps.objectstore.models import Object
from apps.objectstore.selectors import object_find, object_followed
from apps.objectstore.selectors.symlinks import plain_etag
from apps.objectstore.services.objects import New, object_put

LINK_TYPE = "application/symlink"


@dataclass(frozen=True, slots=True)
class Target:
    """What a link names; the account only if the caller did. With an ETag the link is static."""

    container: str
    name: str
    account: str = ""
    etag: str = ""


@streaming("object_store:public")
def symlink_put(ctx: RequestContext, *, account: str, container: str, name: str, target: Target, new: New) -> Object:
    """Make a symbolic link; without a content type it has its target's, where that must be there.

    Raises as `object_put`; Invalid for a link to itself; Conflict where a static one's target is not what it says.
    """
    if (target.account or account, target.container, target.name) == (account, container, name):
        raise Invalid("Symlink cannot target itself")
    size, content_type = 0, new.content_type or LINK_TYPE
    if target.etag:
        size, kind = _checked(ctx, account, target)
        content_type = new.content_type or kind
    links = {
        "account": target.account,
        "container": target.container,
        "name": target.name,
        "etag": target.etag,
        "bytes": size,
    }
    made = replace(new, content_type=content_type, links=links)
    return object_put(ctx, account=account, container=container, name=name, source=io.BytesIO(), size=0, new=made)


def _checked(ctx: RequestContext, account: str, target: Target) -> tuple[int, str]:
    """Size and type of a static link's target, if it is what the link says. Raises Conflict, Forbidden."""
    try:
        first = object_find(
            ctx, account=target.account or account, container=target.container, name=target.name, follow=False
        )
        found = object_followed(ctx, first, only_static=True)
    except NotFound:
        raise Conflict("X-Symlink-Target does not exist") from None
    etag = plain_etag(first.row) if first.row.links is None else first.row.links["etag"] or first.row.etag
    if etag != target.etag:
        raise Conflict(f"Object Etag {etag!r} does not match X-Symlink-Target-Etag header {target.etag!r}")
    return found.row.bytes, found.row.content_type
