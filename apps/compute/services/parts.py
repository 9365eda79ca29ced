"""Metadata and tags of servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apps.compute.models import Server
from apps.compute.selectors._common import server_for
from apps.compute.services.quotas import metadata_check
from apps.compute.services.servers import check_unlocked, locked_row, touched
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.core.transactions import service

MAX_TAGS = 50
_META = "os_compute_api:server-metadata"
_TAGS = "os_compute_api:os-server-tags"


def _row(ctx: RequestContext, server_id: str, rule: str) -> Server:
    server = server_for(ctx, server_id, rule)
    check_unlocked(ctx, server)
    return locked_row(server.pk)


def _put(ctx: RequestContext, server: Server, items: Mapping[str, str]) -> dict[str, str]:
    metadata_check(ctx, project_id=str(server.project_id), items=items)
    touched(server, metadata=dict(items))
    return dict(items)


@service(f"{_META}:create")
def server_metadata_add(ctx: RequestContext, *, server_id: str, metadata: Mapping[str, str]) -> dict[str, str]:
    """Add or replace items; returns all. Raises OverQuota."""
    server = _row(ctx, server_id, f"{_META}:create")
    return _put(ctx, server, {**server.metadata, **metadata})


@service(f"{_META}:update_all")
def server_metadata_replace(ctx: RequestContext, *, server_id: str, metadata: Mapping[str, str]) -> dict[str, str]:
    """Have exactly these items. Raises OverQuota."""
    return _put(ctx, _row(ctx, server_id, f"{_META}:update_all"), metadata)


@service(f"{_META}:update")
def server_metadata_set(ctx: RequestContext, *, server_id: str, key: str, meta: Mapping[str, str]) -> dict[str, str]:
    """Set one item. Raises Invalid where the body names another, OverQuota."""
    if set(meta) != {key}:
        raise Invalid("Request body and URI mismatch: the body must hold the key of the address only.", field=key)
    server = _row(ctx, server_id, f"{_META}:update")
    _put(ctx, server, {**server.metadata, **meta})
    return dict(meta)


@service(f"{_META}:delete")
def server_metadata_delete(ctx: RequestContext, *, server_id: str, key: str) -> None:
    """Remove one item. Raises NotFound."""
    server = _row(ctx, server_id, f"{_META}:delete")
    if key not in server.metadata:
        raise NotFound("metadata item", key)
    touched(server, metadata={name: value for name, value in server.metadata.items() if name != key})


@service(f"{_TAGS}:update_all")
def server_tags_replace(ctx: RequestContext, *, server_id: str, tags: Sequence[str]) -> list[str]:
    """Have exactly these tags."""
    server = _row(ctx, server_id, f"{_TAGS}:update_all")
    kept = sorted(set(tags))
    touched(server, tags=kept)
    return kept


@service(f"{_TAGS}:update")
def server_tag_add(ctx: RequestContext, *, server_id: str, tag: str) -> bool:
    """Add a tag; True if it is new. Raises Invalid when there would be too many."""
    server = _row(ctx, server_id, f"{_TAGS}:update")
    if tag in server.tags:
        return False
    if len(server.tags) >= MAX_TAGS:
        raise Invalid(f"The number of tags exceeded the per-server limit {MAX_TAGS}")
    touched(server, tags=sorted([*server.tags, tag]))
    return True


@service(f"{_TAGS}:delete")
def server_tag_remove(ctx: RequestContext, *, server_id: str, tag: str) -> None:
    """Remove a tag. Raises NotFound."""
    server = _row(ctx, server_id, f"{_TAGS}:delete")
    if tag not in server.tags:
        raise NotFound(f"Server {server_id} has no tag '{tag}': it")
    touched(server, tags=[one for one in server.tags if one != tag])


@service(f"{_TAGS}:delete_all")
def server_tags_clear(ctx: RequestContext, *, server_id: str) -> None:
    """Remove all tags."""
    touched(_row(ctx, server_id, f"{_TAGS}:delete_all"), tags=[])
