"""Documents of buckets: what S3 keeps with a bucket under a name, and who may see and change each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import internal, selector
from apps.objectstore.models import Bucket
from apps.objectstore.selectors.access import require
from apps.objectstore.selectors.buckets import bucket_row

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of document: the noun in the names of its actions, and S3's code where a bucket has none."""

    noun: str
    missing: str = ""
    deletes: str = ""  # the verb of the action that removes it, where that is not `Put`


KINDS: Mapping[str, Kind] = {
    "acl": Kind("BucketAcl"),
    "cors": Kind("BucketCORS", "NoSuchCORSConfiguration"),
    "encryption": Kind("EncryptionConfiguration", "ServerSideEncryptionConfigurationNotFoundError"),
    "lifecycle": Kind("LifecycleConfiguration", "NoSuchLifecycleConfiguration"),
    "lock": Kind("BucketObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"),
    "ownership": Kind("BucketOwnershipControls", "OwnershipControlsNotFoundError"),
    "policy": Kind("BucketPolicy", "NoSuchBucketPolicy", "Delete"),
    "public-access": Kind("BucketPublicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
    "tags": Kind("BucketTagging", "NoSuchTagSet"),
    "website": Kind("BucketWebsite", "NoSuchWebsiteConfiguration", "Delete"),
}


@selector("object_store:public")
def bucket_document(ctx: RequestContext, *, bucket: str, kind: str) -> dict[str, Any] | None:
    """A document of a bucket, None where it has none. Raises Forbidden, NotFound for the bucket."""
    row = bucket_row(bucket)
    if row is None:
        raise NotFound("container", bucket)
    require(ctx, row.container.account_id, row.container, f"s3:Get{KINDS[kind].noun}")
    return row.documents.get(kind)


def fingerprint(document: Document | None) -> str:
    """What changes with a document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


@internal("a browser asks before there is any caller, and only what its page may do", atomic=False)
def bucket_origins(ctx: RequestContext, *, bucket: str) -> list[dict[str, Any]]:
    """What a bucket's document says of pages of other origins, rule by rule."""
    row = Bucket.objects.filter(pk=bucket).first()
    return list((row.documents.get("cors") or {}).get("rules", ())) if row else []
