"""Objects through symbolic links: each step is looked at with the reader's own rights.

A link names another object; a static one also the ETag that it must have. Source: Swift's documentation of symlinks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

import orjson

from apps.core.context import RequestContext
from apps.core.errors import Conflict, NotFound
from apps.core.transactions import internal, selector
from apps.objectstore.models import Container, Object, ObjectFields, Version
from apps.objectstore.selectors.access import require, require_read
from apps.objectstore.selectors.facts import container_row, object_row
from apps.objectstore.selectors.versions import version_row
from apps.objectstore.states import version_word

MOST_LINKS = 2  # one behind the other


@dataclass(frozen=True, slots=True)
class Found:
    """An object or a version of one, and where it was found: elsewhere than asked for, if that `is_linked`."""

    row: Object | Version
    place: Container
    is_linked: bool = False


@selector("object_store:public")
def object_find(
    ctx: RequestContext,
    *,
    account: str,
    container: str,
    name: str,
    version_id: UUID | None = None,
    referrer: str = "",
    follow: bool = True,
) -> Found:
    """What a reader of an object, or of one version of it, gets: what a symbolic link names unless not to `follow`.

    A version may be a marker. Raises Forbidden, NotFound, Conflict as `object_followed`.
    """
    found = _found(ctx, account, container, name, referrer, version_id)
    return object_followed(ctx, found, referrer=referrer) if follow else found


@internal("whoever was given the object that the way begins at", atomic=False)
def object_followed(ctx: RequestContext, found: Found, *, referrer: str = "", only_static: bool = False) -> Found:
    """Where the links lead from an object. Raises Forbidden, NotFound.

    Conflict for too many links, and for a static one whose target is not what it was. `only_static`: dynamic links
    are ends themselves, as they are for static ones that are being made.
    """
    wanted, steps = "", 0
    while (link := found.row.links) is not None and (link["etag"] or not only_static):
        if wanted and wanted != (link["etag"] or found.row.etag):
            raise Conflict("X-Symlink-Target-Etag headers do not match")
        if steps == MOST_LINKS:
            raise Conflict(f"Too many levels of symbolic links, maximum allowed is {MOST_LINKS}")
        steps, wanted = steps + 1, link["etag"]
        account = link["account"] or found.place.account_id
        found = _found(ctx, account, link["container"], link["name"], referrer, is_linked=True)
    if wanted and wanted != plain_etag(found.row):
        problem = f"Object Etag {plain_etag(found.row)!r} does not match X-Symlink-Target-Etag header {wanted!r}"
        raise Conflict(problem)
    return found


def plain_etag(row: ObjectFields) -> str:
    """The ETag of what is kept under a name itself: of a static large object, its manifest's."""
    if row.segments is None:
        return row.etag
    return hashlib.md5(orjson.dumps(row.segments), usedforsecurity=False).hexdigest()


def _found(
    ctx: RequestContext,
    account: str,
    container: str,
    name: str,
    referrer: str,
    version_id: UUID | None = None,
    *,
    is_linked: bool = False,
) -> Found:
    place = container_row(account, container)
    if version_id is None:
        require_read(ctx, account, place, referrer=referrer, name=name)
    else:
        facts = {"s3:versionid": [version_word(version_id)]}
        require(ctx, account, place, "s3:GetObjectVersion", name, referrer=referrer, facts=facts)
    row: Object | Version | None = None
    if place is not None:
        row = object_row(place.pk, name) if version_id is None else version_row(place.pk, name, version_id)
    if place is None or row is None:
        raise NotFound("object" if version_id is None else "version", name)
    return Found(row, place, is_linked)
