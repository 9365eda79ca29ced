"""Puts of plain new objects, committed together: one statement for all that come at the same time.

Most puts replace nothing, and go where nothing else is kept or counted: no versions, no quota, no lock. For those a
commit is a row here, a row there and a sum; small bodies are made safe on the way. What turns out to be no such put is
left alone, for its own transaction.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import orjson
from django.db import DatabaseError, connection

from apps.core.combining import Combiner
from apps.core.prepared import Prepared
from apps.core.transactions import internal, sqlstate_of
from apps.objectstore import backends
from apps.objectstore.backends import NoRoomError, Stored, WrongMachineError
from apps.objectstore.models import Blob, Container, Object
from apps.objectstore.selectors.access import bucket_of
from apps.objectstore.states import Versioning

_OBJECT = [f.attname for f in Object._meta.concrete_fields if f.name not in {"pk", "created_at"}]
_BLOB = [f.attname for f in Blob._meta.concrete_fields if f.name != "unused_since"]
# Names are taken in order: two such statements never wait for each other in a circle. What the container keeps or
# counts is looked at once more, under a lock that keeps it as it is.
_COMMIT = Prepared(
    "put",
    ["json", "json"],
    f"""
WITH new AS (SELECT * FROM json_populate_recordset(NULL::objectstore_object, $1)),
place AS MATERIALIZED (
  SELECT c.id, c.account_id FROM objectstore_container c JOIN objectstore_account a ON a.project_id = c.account_id
  WHERE c.id IN (SELECT container_id FROM new) AND c.versioning = '' AND c.archive = ''
    AND (c.metadata || a.metadata)::text NOT LIKE '%"Quota-%' ORDER BY c.id FOR KEY SHARE OF c),
made AS (
  INSERT INTO objectstore_object ({", ".join(_OBJECT)}, created_at)
  SELECT {", ".join(f"new.{column}" for column in _OBJECT)}, clock_timestamp()
  FROM new JOIN place ON place.id = new.container_id ORDER BY new.container_id, new.name
  ON CONFLICT DO NOTHING RETURNING container_id, blob_id, bytes, created_at),
kept AS (
  INSERT INTO objectstore_blob ({", ".join(_BLOB)})
  SELECT {", ".join(f"blob.{column}" for column in _BLOB)}
  FROM json_populate_recordset(NULL::objectstore_blob, $2) blob JOIN made ON made.blob_id = blob.id),
counted AS (
  INSERT INTO objectstore_delta (account_id, container_id, objects_change, bytes_change)
  SELECT place.account_id, place.id, count(*), sum(made.bytes) FROM made JOIN place ON place.id = made.container_id
  GROUP BY place.account_id, place.id)
SELECT blob_id, created_at FROM made
""",  # noqa: S608
)
# Classes of errors after which nothing was committed; after others nobody knows.
_ROLLED_BACK = ("22", "23", "40", "53", "54", "55", "57014")


class Held:
    """A draft of bytes that wait for their object to be put."""

    def __init__(self) -> None:
        self.body = b""

    def write(self, piece: bytes) -> None:
        self.body += piece

    def discard(self) -> None:
        """Nothing was written."""


@dataclass(frozen=True, slots=True)
class _Put:
    """A new object's row, and its bytes: in a back end already, or to be kept there together with others."""

    place: Container
    made: Object
    received: Stored | Held


class Kept(NamedTuple):
    """Bytes that are safe now, and when their object was made; None where that needs a transaction of its own."""

    stored: Stored
    at: datetime.datetime | None


def is_plain(place: Container) -> bool:
    """Whether the container is one for it, as far as it was when it was looked at."""
    bucket = bucket_of(place)
    has_lock = bucket is not None and bucket.lock_enabled
    return place.versioning == Versioning.NEVER and not place.archive and not has_lock


def draft(place: Container, size: int) -> Held | None:
    """For a body of that size, if it can be kept together with its object."""
    try:
        store = backends.small_store(place.policy) if is_plain(place) else None
    except WrongMachineError:  # as whoever takes the body in will find, too, and say
        return None
    return Held() if store and 0 < size <= store.small_bytes else None


@internal("commits what object_put has received, together with what came at the same time", atomic=False)
def put(place: Container, made: Object, received: Stored | Held) -> Kept:
    """Make a new object visible and count it. Bytes that are not kept yet are, first.

    Raises NoRoomError, WrongMachineError.
    """
    wanted = _Put(place, made, received)
    kept = _put([wanted])[0] if connection.in_atomic_block else _together(wanted)
    if isinstance(kept, Exception):
        raise kept
    return kept


def _put(batch: Sequence[_Put]) -> list[Kept | NoRoomError | WrongMachineError]:
    stored = _stored(batch)
    rows = [(put, found) for put, found in zip(batch, stored, strict=True) if isinstance(found, Stored)]
    at = _commit(rows) if rows else {}
    return [Kept(found, at.get(found.id)) if isinstance(found, Stored) else found for found in stored]


def _stored(batch: Sequence[_Put]) -> list[Stored | NoRoomError | WrongMachineError]:
    """Where the bytes of each are safe."""
    bodies: dict[str, list[bytes]] = {}
    for put in batch:
        if isinstance(put.received, Held):
            bodies.setdefault(put.place.policy, []).append(put.received.body)
    kept = {policy: iter(_kept(policy, some)) for policy, some in bodies.items()}
    return [put.received if isinstance(put.received, Stored) else next(kept[put.place.policy]) for put in batch]


def _kept(policy: str, bodies: Sequence[bytes]) -> Sequence[Stored | NoRoomError | WrongMachineError]:
    store = backends.small_store(policy)
    assert store is not None  # or there was no draft of this module's
    try:
        return store.keep(bodies)
    except WrongMachineError as error:
        return [error] * len(bodies)


def _commit(rows: Sequence[tuple[_Put, Stored]]) -> dict[UUID, datetime.datetime]:
    """When each blob's object was made; of those that were not, nothing."""
    objects, blobs = [], []
    for put, stored in rows:
        put.made.blob_id = stored.id
        objects.append({name: getattr(put.made, name) for name in _OBJECT})
        blobs.append(
            {
                "id": stored.id,
                "policy": put.place.policy,
                "size": stored.size,
                "checksums": f"\\x{stored.checksums.hex()}",
                "places": stored.places,
                "missing": stored.missing,
            }
        )
    try:
        return dict(_COMMIT.rows(orjson.dumps(objects).decode(), orjson.dumps(blobs).decode()))
    except DatabaseError as error:
        if not sqlstate_of(error).startswith(_ROLLED_BACK):
            raise
        return {}


_together = Combiner(_put)
