"""Buckets: containers by the names under which S3 reaches them."""

from __future__ import annotations

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.objectstore.models import Bucket
from apps.objectstore.selectors.access import require_read, require_reader
from apps.objectstore.selectors.facts import opened
from apps.objectstore.selectors.listing import after


def bucket_row(name: str) -> Bucket | None:
    """A bucket's row with its container's and account's, whoever asks. Raises Gone where the account was closed."""
    row = Bucket.objects.select_related("container__account").filter(pk=name).first()
    if row is not None:
        opened(row.container)
    return row


@selector("object_store:public")
def bucket_get(ctx: RequestContext, *, name: str, referrer: str = "") -> Bucket:
    """A bucket whose objects the caller may list. Raises Forbidden, NotFound."""
    row = bucket_row(name)
    if row is None:
        raise NotFound("container", name)
    require_read(ctx, row.container.account_id, row.container, referrer=referrer)
    return row


@selector("object_store:public")
def bucket_list(
    ctx: RequestContext, *, account: str, prefix: str = "", marker: str = "", limit: int = 10_000
) -> list[Bucket]:
    """An account's buckets behind `marker`, in the order of their names. Raises Forbidden."""
    require_reader(ctx, account)
    rows = Bucket.objects.select_related("container").filter(container__account_id=account, name__gt=marker)
    if prefix:
        rows = rows.filter(name__gte=prefix, name__lt=after(prefix))
    return list(rows.order_by("name")[:limit])
