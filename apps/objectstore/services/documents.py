"""Documents of buckets are put and removed here. An API or a page reads what comes in; what it says is checked here."""

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
from apps.objectstore.selectors.documents import KINDS, fingerprint
from apps.objectstore.services import document_checks
from apps.objectstore.services.marks import acl_checked


@service("object_store:public")
def bucket_document_put(
    ctx: RequestContext, *, bucket: str, kind: str, document: Mapping[str, Any], seen: str | None = None
) -> None:
    """Keep a document with a bucket, in place of what was there.

    `seen` is the fingerprint of what its writer changed. Raises Forbidden, NotFound, Invalid; Conflict, also where
    somebody else has changed it since.
    """
    row = _locked(ctx, bucket, f"s3:Put{KINDS[kind].noun}")
    _unchanged(row, kind, seen)
    if check := _CHECKS.get(kind):
        check(row, document)
    row.documents[kind] = dict(document)
    row.save(update_fields=["documents", "lock_enabled"])
    if kind == "acl":
        # It says who gets in, all of it: lists that Swift keeps would let in others still.
        Container.objects.filter(pk=row.container_id).update(read_acl="", write_acl="")


@service("object_store:public")
def bucket_document_delete(ctx: RequestContext, *, bucket: str, kind: str, seen: str | None = None) -> None:
    """Remove a document, if there is one. Raises Forbidden, NotFound for the bucket; Conflict as above."""
    about = KINDS[kind]
    row = _locked(ctx, bucket, f"s3:{about.deletes or 'Put'}{about.noun}")
    _unchanged(row, kind, seen)
    if row.documents.pop(kind, None) is not None:
        row.save(update_fields=["documents"])


def _unchanged(row: Bucket, kind: str, seen: str | None) -> None:
    """Raise Conflict unless the document is what its writer saw, if they say what that was."""
    if seen is not None and fingerprint(row.documents.get(kind)) != seen:
        raise Conflict("Somebody else has changed this meanwhile.", hint="Look at it again, and then change it.")


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


_CHECKS: Mapping[str, Callable[[Bucket, Mapping[str, Any]], None]] = {
    "acl": acl_checked,
    "cors": document_checks.cors_checked,
    "lifecycle": document_checks.lifecycle_checked,
    "lock": document_checks.lock_checked,
    "ownership": _ownership_checked,
    "policy": _policy_checked,
    "tags": document_checks.bucket_tags_checked,
    "website": document_checks.website_checked,
}
