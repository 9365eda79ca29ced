"""Removing many objects, each in a short transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db.models import QuerySet

from apps.core.context import Origin, origin
from apps.core.errors import Conflict, KumoError, NotFound
from apps.objectstore import services
from apps.objectstore.models import Container, Object, Version
from apps.objectstore.selectors.browsing import beginning, below
from apps.operations.registry import JobContext
from apps.operations.view import Op

BATCH = 500  # names that are read at once
MOST_COUNTED = 100_000  # to tell how far it is; of more, the share is of these
MOST_TOLD = 5  # refusals that the reason of a failure quotes
WORDS = "removing objects"


@dataclass
class Tally:
    """What has become of the objects so far."""

    total: int
    removed: int = 0
    refused: list[str] = field(default_factory=list)  # the first few
    left: int = 0

    @property
    def percent(self) -> int:
        return min(99, 100 * (self.removed + self.left) // max(1, self.total))


def objects_remove(op: Op, job: JobContext) -> dict[str, int]:
    """Remove what the operation names, by the rights of whoever asked; returns how many went.

    What another run removed is no longer found, so it may be run again. One that is refused does not stop the others.
    Raises Conflict in the end, saying which and why.
    """
    place = Container.objects.filter(pk=op.subject_id).first()
    if place is None:
        return {"removed": 0}
    came = origin.set(Origin(**op.input["origin"]))
    try:
        tally = _removed(op, job, place)
    finally:
        origin.reset(came)
    if tally.left:
        more = f" (and {tally.left - MOST_TOLD} more)" if tally.left > MOST_TOLD else ""
        words = "; ".join(tally.refused)
        raise Conflict(f"{tally.removed} objects were removed, {tally.left} could not be: {words}{more}")
    return {"removed": tally.removed}


def _removed(op: Op, job: JobContext, place: Container) -> Tally:
    prefix, versions = op.input["prefix"], op.input["versions"]
    rows: list[QuerySet[Any]] = [below(place, prefix)]
    if versions:
        rows = [Object.objects.filter(beginning(place, prefix)), Version.objects.filter(beginning(place, prefix))]
    tally = Tally(sum(found[:MOST_COUNTED].count() for found in rows))
    for remove in _removals(op, place, rows, versions=versions):
        job.checkpoint()
        try:
            remove()
            tally.removed += 1
        except NotFound:
            continue  # somebody else was first
        except KumoError as error:
            tally.left += 1
            if len(tally.refused) < MOST_TOLD:
                tally.refused.append(str(error))
        job.progress(tally.percent, WORDS)
    return tally


def _removals(op: Op, place: Container, rows: list[QuerySet[Any]], *, versions: bool) -> Iterator[Callable[[], object]]:
    """A call for each row, in the order of names."""
    target: dict[str, Any] = {"account": place.account_id, "container": place.name}
    for found in rows:
        for row in _each(found):
            if versions:
                yield partial(services.version_delete, op.caller, **target, name=row.name, version_id=row.version_id)
            else:
                yield partial(services.object_delete, op.caller, **target, name=row.name)


def _each(rows: QuerySet[Any]) -> Iterator[Any]:
    """All rows by name, a batch at a time; of a name with more rows than that, all of them."""
    ordered, marker = rows.order_by("name").only("container_id", "name", "version_id", "created_at"), ""
    while names := list(ordered.filter(name__gt=marker).values_list("name", flat=True)[:BATCH]):
        yield from ordered.filter(name__gt=marker, name__lte=names[-1]).iterator(BATCH)
        marker = names[-1]
