"""S3's access control lists: grants on buckets and objects, and what a bucket says of them.

Objects belong to the bucket's project, whoever put them, as in Swift; a grant adds to that and takes nothing away.
A grantee is `all`, `authenticated` or `project:{id}`. Source: S3's documentation of access control lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.core.context import RequestContext
from apps.objectstore.models import Bucket

ALL, AUTHENTICATED, PROJECT = "all", "authenticated", "project:"
PUBLIC = frozenset({ALL, AUTHENTICATED})
FULL = "FULL_CONTROL"
PERMISSIONS = ("READ", "WRITE", "READ_ACP", "WRITE_ACP", FULL)
MOST = 100  # grants of one list
_ID = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
ENFORCED, PREFERRED = "BucketOwnerEnforced", "BucketOwnerPreferred"

# Action → permissions of which one allows it, on the bucket and on the object.
BUCKET = {
    "s3:ListBucket": ("READ",),
    "s3:ListBucketVersions": ("READ",),
    "s3:ListBucketMultipartUploads": ("READ",),
    "s3:PutObject": ("WRITE",),
    "s3:DeleteObject": ("WRITE",),
    "s3:AbortMultipartUpload": ("WRITE",),
    "s3:ListMultipartUploadParts": ("WRITE",),
    "s3:GetBucketAcl": ("READ_ACP",),
    "s3:PutBucketAcl": ("WRITE_ACP",),
}
OBJECT = {
    "s3:GetObject": ("READ",),
    "s3:GetObjectVersion": ("READ",),
    "s3:GetObjectAttributes": ("READ",),
    "s3:GetObjectVersionAttributes": ("READ",),
    "s3:GetObjectAcl": ("READ_ACP",),
    "s3:GetObjectVersionAcl": ("READ_ACP",),
    "s3:PutObjectAcl": ("WRITE_ACP",),
    "s3:PutObjectVersionAcl": ("WRITE_ACP",),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """One permission for one grantee."""

    grantee: str
    permission: str


@dataclass(frozen=True, slots=True)
class Block:
    """The four switches of the public access block."""

    refuse_acls: bool = False
    ignore_acls: bool = False
    refuse_policy: bool = False
    restrict_policy: bool = False


# S3's names of the switches, in the order of `Block`.
SWITCHES = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_OPEN = Block()

# Canned list → whom it grants what besides the owner. Those of the bucket's owner grant what they have anyway.
CANNED: Mapping[str, tuple[Grant, ...]] = {
    "private": (),
    "public-read": (Grant(ALL, "READ"),),
    "public-read-write": (Grant(ALL, "READ"), Grant(ALL, "WRITE")),
    "authenticated-read": (Grant(AUTHENTICATED, "READ"),),
    "bucket-owner-read": (),
    "bucket-owner-full-control": (),
}


def is_project_id(text: str) -> bool:
    """Whether a grant can be to a project of that id."""
    return bool(_ID.fullmatch(text))


def block_of(bucket: Bucket | None) -> Block:
    """What a bucket blocks."""
    document = bucket.documents.get("public-access") if bucket else None
    return Block(*(bool(document.get(name)) for name in SWITCHES)) if document else _OPEN


def are_used(bucket: Bucket) -> bool:
    """Whether grants count at all: the bucket's owner can put them out of use."""
    return (bucket.documents.get("ownership") or {}).get("rule") != ENFORCED


def of_document(document: Mapping[str, Any] | None) -> tuple[Grant, ...]:
    """Grants as they are kept; none for what was never granted."""
    return tuple(Grant(one["grantee"], one["permission"]) for one in (document or {}).get("grants", ()))


def document_of(grants: Iterable[Grant]) -> dict[str, Any]:
    """The reverse."""
    return {"grants": [{"grantee": one.grantee, "permission": one.permission} for one in grants]}


def with_owner(project_id: str, grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """The grants behind the owner's own."""
    return (Grant(PROJECT + project_id, FULL), *grants)


def allow(ctx: RequestContext, permissions: Iterable[str], grants: Iterable[Grant], *, ignore: bool) -> bool:
    """Whether one of the grants gives the caller one of the permissions; `ignore` leaves public ones out.

    FULL_CONTROL is all the permissions that there are: what none of them allows, it does not either.
    """
    wanted = set(permissions)
    if not wanted:
        return False
    wanted.add(FULL)
    mine = {ALL} | ({AUTHENTICATED, PROJECT + ctx.project_id} if ctx.user_id and ctx.project_id else set())
    if ignore:
        mine -= PUBLIC
    return any(one.grantee in mine and one.permission in wanted for one in grants)


def are_public(grants: Iterable[Grant]) -> bool:
    """Whether they let in more than they name."""
    return any(one.grantee in PUBLIC for one in grants)
