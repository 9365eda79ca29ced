"""Objects made of others that are there: copies and moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from apps.core.context import RequestContext
from apps.core.errors import Conflict
from apps.core.transactions import streaming
from apps.objectstore.models import Object
from apps.objectstore.selectors import container_row, object_get
from apps.objectstore.selectors.access import require_write
from apps.objectstore.services.large import DYNAMIC, Reader, content_of, content_pieces
from apps.objectstore.services.objects import New, object_delete, object_put


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is, or shall be, in an account."""

    container: str
    name: str


@dataclass
class Pieces:
    """An object's bytes as something to read from."""

    pieces: Iterator[bytes]
    rest: bytes = b""

    def read(self, size: int, /) -> bytes:
        self.rest = self.rest or next(self.pieces, b"")
        given, self.rest = self.rest[:size], self.rest[size:]
        return given


@streaming("object_store:public")
def object_copy(ctx: RequestContext, *, account: str, source: Place, to: Place, only_new: bool = False) -> Object:
    """Keep an object's bytes and what is said of them once more, under another name. Of a large object, what a reader
    gets; encrypted again by the store where it was.

    Raises Forbidden, NotFound, Conflict for the same place, Invalid for an object that is encrypted with its owner's
    key; PreconditionFailed with `only_new` where there is one.
    """
    return _copied(ctx, account, source, to, only_new)[1]


def _copied(ctx: RequestContext, account: str, source: Place, to: Place, only_new: bool) -> tuple[Object, Object]:
    """The object that was copied, and the copy."""
    if source == to:
        raise Conflict("An object is not copied onto itself.")
    found = object_get(ctx, account=account, container=source.container, name=source.name)
    content = content_of(Reader(ctx, account), found)
    new = New(
        content_type=found.content_type,
        metadata={name: value for name, value in found.metadata.items() if name != DYNAMIC},
        delete_at=found.delete_at,
        only_new=only_new,
        tags=found.tags,
        links=found.links,  # of a symbolic link: the other one is a link too
        encryption=content.wish,
    )
    made = object_put(
        ctx,
        account=account,
        container=to.container,
        name=to.name,
        source=Pieces(content_pieces(content, 0, content.size)),
        size=content.size,
        new=new,
    )
    return found, made


@streaming("object_store:public")
def object_move(ctx: RequestContext, *, account: str, source: Place, to: Place, only_new: bool = False) -> Object:
    """The same, and the object is gone from where it was, unless it was replaced meanwhile: then there are two.

    Raises as a copy; PreconditionFailed for one that was replaced.
    """
    require_write(ctx, account, container_row(account, source.container), source.name, "s3:DeleteObject")
    found, made = _copied(ctx, account, source, to, only_new)
    object_delete(ctx, account=account, container=source.container, name=source.name, etag=found.etag)
    return made
