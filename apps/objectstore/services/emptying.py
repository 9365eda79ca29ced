"""Many objects removed at once: an operation that tells how far it is, goes on after a crash, and can be cancelled.

Each object is removed by the same service as a single one, with the rights of whoever asked for it.
"""

from __future__ import annotations

from dataclasses import asdict

from apps.core.context import RequestContext, origin
from apps.core.errors import NotFound
from apps.core.transactions import service
from apps.objectstore.selectors import container_row
from apps.objectstore.selectors.access import require_write
from apps.operations.models import Operation
from apps.operations.services import operation_start

OBJECTS_DELETE = "objectstore.objects.delete"


@service("object_store:public")
def objects_delete(
    ctx: RequestContext, *, account: str, container: str, prefix: str = "", versions: bool = False
) -> Operation:
    """Begin to remove all objects whose names begin so; with `versions`, for good and with all that they were before.

    An account has one such operation at a time, others wait for it. Raises Forbidden, NotFound.
    """
    row = container_row(account, container)
    require_write(ctx, account, row, prefix, f"s3:DeleteObject{'Version' if versions else ''}")
    if row is None:
        raise NotFound("container", container)
    return operation_start(
        ctx,
        kind=OBJECTS_DELETE,
        subject_type="container",
        subject_id=row.pk,
        project_id=account,
        # What conditions of policies may ask for is as it was when somebody asked.
        input={"prefix": prefix, "versions": versions, "origin": asdict(origin.get())},
        locks=[("objects", account)],
    )
