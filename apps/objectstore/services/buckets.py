"""Buckets: the names under which S3 reaches containers, unique in the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid
from apps.core.transactions import service
from apps.objectstore.models import Bucket
from apps.objectstore.selectors import bucket_row
from apps.objectstore.selectors.access import require_owner
from apps.objectstore.services import rows
from apps.objectstore.services.containers import container_put
from apps.objectstore.services.marks import acl_checked
from apps.objectstore.services.versions import container_versioning
from apps.objectstore.states import Versioning, is_bucket_name


@service("object_store:public")
def bucket_create(
    ctx: RequestContext,
    *,
    account: str,
    name: str,
    policy: str = "",
    lock_enabled: bool = False,
    documents: Mapping[str, Any] | None = None,
) -> Bucket:
    """Make a container that S3 reaches, or let S3 reach one that had no such name yet.

    `lock_enabled` cannot be changed later, and keeps versions. Raises Forbidden, Invalid for a name that S3 cannot
    have, Conflict for one that is taken.
    """
    require_owner(ctx, account)
    if not is_bucket_name(name):
        raise Invalid(f"{name} is no name for a bucket.", code="InvalidBucketName")
    rows.alone(f"objectstore/bucket/{name}")  # of several that ask at once the first makes it, the others are told
    _free(bucket_row(name), account)
    container_put(ctx, account=account, container=name, policy=policy, changes={})
    made = bucket_row(name)
    assert made is not None  # the container claimed it, or somebody else did
    if made.container.account_id != account:
        _free(made, account)
    if documents:
        acl_checked(made, documents.get("acl"))
        made.documents = dict(documents)
        made.save(update_fields=["documents"])
    if lock_enabled:
        Bucket.objects.filter(pk=name).update(lock_enabled=True)
        container_versioning(ctx, account=account, container=name, versioning=Versioning.ENABLED)
        made.lock_enabled = True
    return made


def _free(found: Bucket | None, account: str) -> None:
    if found is None:
        return
    if found.container.account_id == account:
        raise Conflict(f"You have the bucket {found.name} already.", code="BucketAlreadyOwnedByYou")
    raise Conflict(f"The name {found.name} is taken.", code="BucketAlreadyExists")
