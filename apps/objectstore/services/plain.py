"""Puts of plain new objects, committed together: one statement for all that come at the same time.

Most puts replace nothing, and go where nothing else is kept or counted: no versions, no quota, no lock. For those a
commit is a row here, a row there and a sum. What turns out to be no such put is left alone, for its own transaction.
"""

from __future__ import annotations

import datetime
from uuid import UUID

import orjson
from django.db import DatabaseError, connection

from apps.core.combining import Combiner
from apps.core.transactions import internal, sqlstate_of
from apps.objectstore.backends import Stored
from apps.objectstore.models import Blob, Container, Object
from apps.objectstore.selectors.access import bucket_of
from apps.objectstore.states import Versioning

_OBJECT = [f.attname for f in Object._meta.concrete_fields if f.name not in {"pk", "created_at"}]
_BLOB = [f.attname for f in Blob._meta.concrete_fields if f.name != "unused_since"]
# Names are taken in order: two such statements never wait for each other in a circle. What the container keeps or
# counts is looked at once more, under a lock that keeps it as it is.
_COMMIT = f"""
WITH new AS (SELECT * FROM json_populate_recordset(NULL::objectstore_object, %s)),
place AS MATERIALIZED (
  SELECT c.id, c.account_id FROM objectstore_container c JOIN objectstore_account a ON a.project_id = c.account_id
  WHERE c.id IN (SELECT container_id FROM new) AND c.versioning = '' AND c.archive = ''
    AND (c.metadata || a.metadata)::text NOT LIKE '%%"Quota-%%' ORDER BY c.id FOR KEY SHARE OF c),
made AS (
  INSERT INTO objectstore_object ({", ".join(_OBJECT)}, created_at)
  SELECT {", ".join(f"new.{column}" for column in _OBJECT)}, clock_timestamp()
  FROM new JOIN place ON place.id = new.container_id ORDER BY new.container_id, new.name
  ON CONFLICT DO NOTHING RETURNING container_id, blob_id, bytes, created_at),
kept AS (
  INSERT INTO objectstore_blob ({", ".join(_BLOB)})
  SELECT {", ".join(f"blob.{column}" for column in _BLOB)}
  FROM json_populate_recordset(NULL::objectstore_blob, %s) blob JOIN made ON made.blob_id = blob.id),
counted AS (
  INSERT INTO objectstore_delta (account_id, container_id, objects_change, bytes_change)
  SELECT place.account_id, place.id, count(*), sum(made.bytes) FROM made JOIN place ON place.id = made.container_id
  GROUP BY place.account_id, place.id)
SELECT blob_id, created_at FROM made
"""  # noqa: S608
# Classes of errors after which nothing was committed; after others nobody knows.
_ROLLED_BACK = ("22", "23", "40", "53", "54", "55", "57014")

Row = tuple[UUID, bytes, bytes]  # a blob's id, and the rows of object and blob as JSON


def is_plain(place: Container) -> bool:
    """Whether the container is one for it, as far as it was when it was looked at."""
    bucket = bucket_of(place)
    has_lock = bucket is not None and bucket.lock_enabled
    return place.versioning == Versioning.NEVER and not place.archive and not has_lock


@internal("commits what object_put has received, together with what came at the same time", atomic=False)
def commit(place: Container, made: Object, stored: Stored) -> datetime.datetime | None:
    """Make a new object visible and count it: when, or None where it needs a transaction of its own."""
    row = _encoded(place, made, stored)
    return _commit([row])[0] if connection.in_atomic_block else _together(row)


def _encoded(place: Container, made: Object, stored: Stored) -> Row:
    blob = {
        "id": stored.id,
        "policy": place.policy,
        "size": stored.size,
        "checksums": f"\\x{stored.checksums.hex()}",
        "places": stored.places,
        "missing": stored.missing,
    }
    return stored.id, orjson.dumps({name: getattr(made, name) for name in _OBJECT}), orjson.dumps(blob)


def _commit(batch: list[Row]) -> list[datetime.datetime | None]:
    rows = [(b"[" + b",".join(encoded) + b"]").decode() for encoded in list(zip(*batch, strict=True))[1:]]
    try:
        with connection.cursor() as cursor:
            cursor.execute(_COMMIT, rows)
            at = dict(cursor.fetchall())
    except DatabaseError as error:
        if not sqlstate_of(error).startswith(_ROLLED_BACK):
            raise
        return [None] * len(batch)
    return [at.get(blob_id) for blob_id, _, _ in batch]


_together = Combiner(_commit)
