"""Documents of buckets are put and removed here. What comes in was read by an API or a page already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound
from apps.core.transactions import service
from apps.objectstore.models import Bucket, Container
from apps.objectstore.selectors import bucket_row, grants
from apps.objectstore.selectors.access import require
from apps.objectstore.selectors.bucket_policy import policy_is_public
from apps.objectstore.selectors.documents import KINDS
from apps.objectstore.services.marks import acl_checked
from apps.objectstore.states import Versioning


@service("object_store:public")
def bucket_document_put(ctx: RequestContext, *, bucket: str, kind: str, document: Mapping[str, Any]) -> None:
    """Keep a document with a bucket, in place of what was there. Raises Forbidden, NotFound, Invalid, Conflict."""
    row = _locked(ctx, bucket, f"s3:Put{KINDS[kind].noun}")
    if check := _CHECKS.get(kind):
        check(row, document)
    row.documents[kind] = dict(document)
    row.save(update_fields=["documents", "lock_enabled"])
    if kind == "acl":
        # It says who gets in, all of it: lists that Swift keeps would let in others still.
        Container.objects.filter(pk=row.container_id).update(read_acl="", write_acl="")


@service("object_store:public")
def bucket_document_delete(ctx: RequestContext, *, bucket: str, kind: str) -> None:
    """Remove a document, if there is one. Raises Forbidden, NotFound for the bucket."""
    about = KINDS[kind]
    row = _locked(ctx, bucket, f"s3:{about.deletes or 'Put'}{about.noun}")
    if row.documents.pop(kind, None) is not None:
        row.save(update_fields=["documents"])


def _locked(ctx: RequestContext, bucket: str, action: str) -> Bucket:
    """The bucket, if the caller may do that to it; nobody else changes its documents until the transaction ends."""
    seen = bucket_row(bucket)
    if seen is None:
        raise NotFound("container", bucket)
    require(ctx, seen.container.account_id, seen.container, action)
    row = Bucket.objects.select_for_update(no_key=True).filter(pk=bucket).first()
    if row is None:
        raise NotFound("container", bucket)
    return row


def _policy_checked(row: Bucket, document: Mapping[str, Any]) -> None:
    if grants.block_of(row).refuse_policy and policy_is_public(document, row.name):
        raise Forbidden("The bucket blocks public policies.", rule="object_store:own")


def _ownership_checked(row: Bucket, document: Mapping[str, Any]) -> None:
    if document["rule"] == grants.ENFORCED and grants.of_document(row.documents.get("acl")):
        words = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        raise Invalid(words, code="InvalidBucketAclWithObjectOwnership")


def _lock_checked(row: Bucket, document: Mapping[str, Any]) -> None:
    """Objects can be locked where versions are kept: from the first such document on, and for ever."""
    if row.lock_enabled:
        return
    # How it keeps versions changes only under the same lock.
    if Container.objects.select_for_update().get(pk=row.container_id).versioning != Versioning.ENABLED:
        words = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        raise Conflict(words, code="InvalidBucketState")
    row.lock_enabled = True


_CHECKS: Mapping[str, Callable[[Bucket, Mapping[str, Any]], None]] = {
    "acl": acl_checked,
    "lock": _lock_checked,
    "ownership": _ownership_checked,
    "policy": _policy_checked,
}
