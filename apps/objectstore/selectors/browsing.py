"""What somebody sees who looks around in their account: containers with totals, folders, unfinished uploads."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import BigIntegerField, Count, ExpressionWrapper, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Cast, Coalesce

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.objectstore.models import Container, Delta, Object, Upload
from apps.objectstore.selectors.access import require, require_read, require_reader
from apps.objectstore.selectors.facts import THERE, container_row
from apps.objectstore.selectors.listing import after

MOST_UPLOADS = 50  # that are shown
MOST_COUNTED = 1000  # objects of a folder: more is said to be more


@dataclass(frozen=True, slots=True)
class Below:
    """What lies below a prefix; with `is_more` these are the first of it only."""

    objects: int
    bytes: int
    is_more: bool


@selector("object_store:public")
def container_rows(ctx: RequestContext) -> QuerySet[Container]:
    """The containers of the caller's project, each with `objects_now` and `bytes_now`. Raises Forbidden."""
    require_reader(ctx, ctx.project_id)
    whole = BigIntegerField()
    deltas = Delta.objects.filter(container_id=OuterRef("pk")).order_by().values("container_id")

    def now(base: str, change: str) -> ExpressionWrapper:
        changed = Subquery(deltas.annotate(n=Cast(Sum(change), whole)).values("n"), output_field=whole)
        return ExpressionWrapper(F(base) + Coalesce(changed, 0), output_field=whole)

    mine = Container.objects.filter(account_id=ctx.project_id).select_related("bucket")
    return mine.annotate(objects_now=now("base_objects", "objects_change"), bytes_now=now("base_bytes", "bytes_change"))


@selector("object_store:public")
def folder_totals(ctx: RequestContext, *, account: str, container: str, prefix: str) -> Below:
    """How much lies below a prefix, counted up to MOST_COUNTED objects. Raises Forbidden, NotFound."""
    row = container_row(account, container)
    require_read(ctx, account, row, facts={"s3:prefix": [prefix]})
    if row is None:
        raise NotFound("container", container)
    first = below(row, prefix)
    found = first[:MOST_COUNTED].aggregate(objects=Count("name"), bytes=Coalesce(Sum("bytes"), 0))
    is_more = found["objects"] == MOST_COUNTED and bool(first[MOST_COUNTED : MOST_COUNTED + 1].count())
    return Below(found["objects"], found["bytes"], is_more)


@selector("object_store:public")
def uploads_unfinished(ctx: RequestContext, *, account: str, container: str, prefix: str) -> QuerySet[Upload]:
    """Uploads in parts that go on below a prefix, the latest first, with the bytes that have `arrived_bytes`.

    Raises Forbidden, NotFound.
    """
    row = container_row(account, container)
    require(ctx, account, row, "s3:ListBucketMultipartUploads")
    if row is None:
        raise NotFound("container", container)
    going = Upload.objects.filter(container=row, name__startswith=prefix).order_by("-created_at")
    return going.annotate(arrived_bytes=Coalesce(Sum("arrived__bytes"), 0, output_field=BigIntegerField()))[
        :MOST_UPLOADS
    ]


def below(row: Container, prefix: str) -> QuerySet[Object]:
    """Objects whose names begin so, in order: one range of the index."""
    return Object.objects.filter(THERE & beginning(row, prefix)).order_by("name")


def beginning(row: Container, prefix: str) -> Q:
    """The condition that a name in a container begins so."""
    wanted = Q(container_id=row.pk)
    if prefix:
        wanted &= Q(name__gte=prefix)
        wanted &= Q(name__lt=behind) if (behind := after(prefix)) else Q()
    return wanted
