"""Objects written out as plain files, each with a file beside it that tells the rest.

Parts of a name become directories; what a file system cannot have in a name is written as `%XX`. The second file ends
in `%json`. It comes first, to say whose the place is, and once more, with `written`, when the bytes are safe: an object
that has that, for its present state, is done. What lies at a place without such a file is somebody else's, and stays.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from apps.core.context import RequestContext
from apps.core.errors import KumoError, NotFound
from apps.core.transactions import internal
from apps.objectstore.models import Container, Object
from apps.objectstore.selectors.facts import THERE
from apps.objectstore.services.encryption import CUSTOMER
from apps.objectstore.services.large import Content, Reader, content_of, content_pieces, is_large
from apps.objectstore.services.rows import extents_of
from apps.objectstore.states import DYNAMIC

BATCH = 1000
FACTS = "%json"  # `%` is in no escaped name but before two hexadecimal digits
DRAFT = "%part"
LONGEST = 200  # bytes of one part of a path, with room for what is appended
LONGEST_PATH = 2000  # bytes of all parts
DEEPEST = 100  # parts
NAMELESS = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}  # a file system's words for names it does not take
_AWKWARD = re.compile(r"[\x00-\x1f\x7f%]")


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of one object. `problem` is empty where it was written, or was there already."""

    name: str  # /container/object
    bytes: int
    is_new: bool = False
    problem: str = ""


@internal("an operator's command", atomic=False)
def account_export(ctx: RequestContext, *, account: str, folder: Path, container: str = "") -> Iterator[Exported]:
    """Write all objects of an account, or of one container, below a directory; can be repeated after a break.

    Raises NotFound for the container or an account without any, OSError where nothing can be written.
    """
    places = Container.objects.filter(account_id=account).order_by("name")
    chosen = list(places.filter(name=container) if container else places)
    if not chosen:
        raise NotFound("container", container) if container else NotFound("account", account)
    reader = Reader(ctx, account)
    for place in chosen:
        root = folder / _part(place.name)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(root.with_name(f"{root.name}{FACTS}"), orjson.dumps(_of_container(place), option=orjson.OPT_INDENT_2))
        for found in _objects(place):
            done = _exported(reader, place, found, root)
            if not done.problem or (now := _now(found)) is found:
                yield done
            elif now is not None:  # its bytes were replaced meanwhile
                yield _exported(reader, place, now, root)


def _objects(place: Container) -> Iterator[Object]:
    rows = Object.objects.filter(THERE, container_id=place.pk).order_by("name")
    page = list(rows[:BATCH])
    while page:
        yield from page
        page = list(rows.filter(name__gt=page[-1].name)[:BATCH])


def _now(found: Object) -> Object | None:
    """An object as it is now: the one that is given, unless its bytes were replaced."""
    now = Object.objects.filter(THERE, container_id=found.container_id, name=found.name).first()
    return found if now is not None and extents_of(now) == extents_of(found) else now


def _exported(reader: Reader, place: Container, found: Object, root: Path) -> Exported:
    name = f"/{place.name}/{found.name}"
    try:
        return _written(reader, name, _of_object(found) | {"container": place.name}, found, root)
    except KumoError as error:
        return Exported(name, 0, problem=str(error))
    except OSError as error:
        if error.errno not in NAMELESS:
            raise
        return Exported(name, 0, problem=f"this file system takes no such name: {error.strerror}")


def _written(reader: Reader, name: str, facts: dict[str, Any], found: Object, root: Path) -> Exported:
    path, known = _own_path(root, facts)
    if DYNAMIC not in found.metadata and _is_done(path, known, facts):
        return Exported(name, facts["bytes"])
    if (found.encryption or {}).get("mode") == CUSTOMER:
        return Exported(name, 0, problem="it is encrypted with a key that only its owner has")
    if not known and os.path.lexists(path):
        return Exported(name, 0, problem=f"{path} is there, and no export wrote it")
    content = content_of(reader, found)
    if _has_others(content, reader.account):
        return Exported(name, 0, problem="it is made of objects of another account")
    pieces = content_pieces(content, 0, content.size) if content.size else iter(())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(_facts_of(path), orjson.dumps(facts, option=orjson.OPT_INDENT_2))
    size, md5 = _received(path, pieces)
    if size != content.size or (_is_plain(found) and md5 != found.etag):
        path.unlink()
        return Exported(name, 0, problem="its bytes are not those that were stored")
    _write(_facts_of(path), orjson.dumps(facts | {"written": size}, option=orjson.OPT_INDENT_2))
    return Exported(name, size, is_new=True)


def _is_done(path: Path, known: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Whether the object is written in the state that it has. Of a large dynamic one the facts do not tell."""
    size = known.get("written")
    return known == facts | {"written": size} and path.is_file() and path.stat().st_size == size


def _has_others(content: Content, account: str) -> bool:
    """Whether links lead out of the account: whose export this is may not read what an operator can."""
    sources = {part.source.container_id for part in content.parts if not isinstance(part.source, bytes)}
    return Container.objects.filter(pk__in=sources).exclude(account_id=account).exists()


def _is_plain(found: Object) -> bool:
    """Whether the ETag is the MD5 of the bytes."""
    return found.parts is None and not is_large(found) and found.links is None


def _received(path: Path, pieces: Iterator[bytes]) -> tuple[int, str]:
    """Write and flush the bytes, under another name until they are all there; their number and MD5."""
    md5, size = hashlib.md5(usedforsecurity=False), 0
    with _whole(path) as file:
        for piece in pieces:
            md5.update(piece)
            size += len(piece)
            file.write(piece)
    return size, md5.hexdigest()


def _write(path: Path, data: bytes) -> None:
    with _whole(path) as file:
        file.write(data)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name when all is written and safe; before, and where that fails, there is none."""
    draft = path.with_name(f"{path.name}{DRAFT}")
    try:
        draft.unlink(missing_ok=True)  # of an export that was broken off; nothing is followed that is there
        with open(draft, "xb", opener=_private) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _facts_of(path: Path) -> Path:
    return path.with_name(f"{path.name}{FACTS}")


def _own_path(root: Path, facts: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Where an object is written, and what is known there of it. Not over another, whose name, or whose container's, is
    the same to a file system that does not tell capitals from small letters, or one form of a letter from another."""
    path = path_of(root, facts["name"])
    while any((known := _known(path)).get(part, facts[part]) != facts[part] for part in ("name", "container")):
        path = path.with_name(f"{path.name}%")
    return path, known


def _known(path: Path) -> dict[str, Any]:
    """The facts beside a file; nothing where there are none that can be read."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):
        known = orjson.loads(_facts_of(path).read_bytes())
        if isinstance(known, dict):
            return known
    return {}


def path_of(root: Path, name: str) -> Path:
    """Where an object of that name is written. Where one is `a` and another `a/b`, whichever came second yields."""
    *folders, last = (_part(part) for part in name.split("/"))
    if len(folders) >= DEEPEST or sum(len(part.encode()) + 1 for part in (*folders, last)) > LONGEST_PATH:
        folders, last = [], f"%~{hashlib.sha256(name.encode()).hexdigest()}"
    at = root
    for folder in folders:
        at = at / (f"{folder}%" if (at / folder).is_file() else folder)
    return at / (f"{last}%" if (at / last).is_dir() else last)


def _part(text: str) -> str:
    """One part of a path: never empty, `.` or `..`, and short enough for a file system."""
    escaped = _AWKWARD.sub(lambda match: f"%{ord(match[0]):02X}", text)
    if escaped in {"", ".", ".."}:
        return "%2E" * len(escaped) or "%00"
    if len(escaped.encode()) <= LONGEST:
        return escaped
    short = escaped.encode()[: LONGEST - 70].decode(errors="ignore")
    return f"{short}%~{hashlib.sha256(text.encode()).hexdigest()}"


def _of_container(place: Container) -> dict[str, Any]:
    return {
        "container": place.name,
        "policy": place.policy,
        "versioning": place.versioning,
        "metadata": {name: value for name, value in place.metadata.items() if not name.startswith("Temp-Url-Key")},
        "read_acl": place.read_acl,
        "write_acl": place.write_acl,
    }


def _of_object(found: Object) -> dict[str, Any]:
    return {
        "name": found.name,
        "bytes": found.bytes,
        "etag": found.etag,
        "content_type": found.content_type,
        "metadata": found.metadata,
        "created_at": found.created_at.isoformat(),
        "delete_at": found.delete_at.isoformat() if found.delete_at else None,
        "checksums": found.checksums,
        "tags": found.tags,
        "acl": found.acl,
        "links": found.links,
        "lock_mode": found.lock_mode,
        "retain_until": found.retain_until.isoformat() if found.retain_until else None,
        "legal_hold": found.legal_hold,
    }
