"""What belongs to projects: each app says in its `owned.py` which rows do, and how one of them is removed.

From these tables follow the list of what stands in the way of deleting a project, the removal of all of it, and the
doctor's look for rows whose project is gone. Identity, which knows projects, stands below the apps that own these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from django.db.models import CharField, Count, Model, QuerySet, Value
from django.db.models.functions import Cast
from django.utils.functional import Promise

from apps.core.context import RequestContext, system
from apps.core.errors import NotFound

Text = str | Promise


class Stage(IntEnum):
    """When a kind is removed: what uses others goes first, and is gone before the next stage begins."""

    GUESTS = 1
    DISKS = 2
    REST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """One kind of thing that projects have.

    `rows` are those that count and are removed, with a column `project_id`; `remove(ctx, row)` calls the app's own
    service, and may only begin a removal that an operation finishes. Within a stage kinds go by `order`. A kind that
    is `incidental` came to be by itself: it does not keep a project from being deleted, but goes with it.
    """

    noun: str  # OpenStack's noun, in the singular: `floating_ip`
    label: Text  # of several: "floating IPs"
    rows: Callable[[], QuerySet[Model]]
    remove: Callable[[RequestContext, Model], object]
    stage: Stage = Stage.REST
    order: int = 50
    incidental: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """How many of one kind a project has."""

    kind: Owned
    count: int


_kinds: dict[str, Owned] = {}


def register(*kinds: Owned) -> None:
    """Add kinds; a noun may be registered once."""
    for kind in kinds:
        if _kinds.setdefault(kind.noun, kind) is not kind:
            raise ValueError(f"{kind.noun} is said to be owned twice")


def kinds(stage: Stage | None = None) -> list[Owned]:
    """All kinds, or those of a stage, in the order in which they are removed."""
    found = (kind for kind in _kinds.values() if stage is None or kind.stage == stage)
    return sorted(found, key=lambda kind: (kind.stage, kind.order, kind.noun))


def rows_of(kind: Owned, project_ids: Iterable[str]) -> QuerySet[Model]:
    """The rows of a kind that belong to these projects, oldest key first."""
    return kind.rows().filter(project_id__in=list(project_ids)).order_by("pk")


def holdings(project_ids: Iterable[str], *, stage: Stage | None = None) -> list[Holding]:
    """What these projects have together, kind by kind in the order of removal, with one query."""
    ids, chosen = list(project_ids), kinds(stage)
    parts = [
        kind.rows()
        .filter(project_id__in=ids)
        .order_by()
        .annotate(kind=Value(kind.noun, CharField()))
        .values_list("kind")
        .annotate(number=Count("*"))
        for kind in chosen
    ]
    if not parts or not ids:
        return []
    counts = dict(parts[0].union(*parts[1:], all=True)) if len(parts) > 1 else dict(parts[0])
    return [Holding(kind, counts[kind.noun]) for kind in chosen if counts.get(kind.noun)]


def remove(ctx: RequestContext, kind: Owned, row: Model) -> None:
    """Remove one row, or begin to, in Kumo's own name on behalf of the caller; one that is gone already is fine."""
    try:
        kind.remove(system(on_behalf_of=ctx), row)
    except NotFound:
        if kind.rows().filter(pk=row.pk).exists():
            raise


def told(found: Iterable[Holding]) -> str:
    """`servers: 3, networks: 1`."""
    return ", ".join(f"{one.kind.label}: {one.count}" for one in found)


def homeless(projects: QuerySet[Model]) -> list[tuple[str, Owned, int]]:
    """Project id, kind and number of rows whose project is not among `projects`."""
    known = projects.annotate(text=Cast("pk", CharField())).values("text")
    return [
        (str(project), kind, number)
        for kind in kinds()
        for project, number in kind.rows()
        .exclude(project_id__in=known)
        .exclude(project_id=None)
        .order_by()
        .values_list("project_id")
        .annotate(number=Count("*"))
    ]
