"""Documents of buckets and of what is said of objects: one table of how each is written, and the calls on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID
from xml.etree.ElementTree import Element  # the type only

from django.http.response import HttpResponseBase
from django.utils.http import http_date

from apps.objectstore import services
from apps.objectstore.api.s3 import acl, cors, lifecycle, lock, policy, tagging, xml
from apps.objectstore.api.s3.base import Call, Handler, answer, told
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.models import Bucket, ObjectFields
from apps.objectstore.selectors import grants
from apps.objectstore.selectors.documents import KINDS, bucket_document
from apps.objectstore.selectors.lifecycle import expiration, rules_of
from apps.objectstore.selectors.marks import object_marks
from apps.objectstore.services.document_checks import MOST_TAGS_OF_BUCKET, MOST_TAGS_OF_OBJECT
from apps.objectstore.states import version_of

# --- of buckets ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """How a kind of document is written: its root, reading and showing it, the status of a PUT, and whether it goes."""

    kind: str
    root: str
    read: Callable[[Element], Mapping[str, Any]]
    show: Callable[[Mapping[str, Any]], Mapping[str, xml.Value]]
    status: int = 200
    goes: bool = True


def _switches(root: Element) -> dict[str, bool]:
    xml.only(root, *grants.SWITCHES)
    words = {name: xml.text_of(root, name, "false").lower() for name in grants.SWITCHES}
    if not set(words.values()) <= {"true", "false"}:
        raise S3Error("MalformedXML")
    return {name: word == "true" for name, word in words.items()}


def _ownership(root: Element) -> dict[str, str]:
    xml.only(root, "Rule")
    if len(root) != 1:
        raise S3Error("MalformedXML")
    xml.only(root[0], "ObjectOwnership")
    return {"rule": ownership_checked(xml.text_of(root[0], "ObjectOwnership"))}


def ownership_checked(word: str) -> str:
    """A way of owning objects that is served. Raises S3Error."""
    if word == "ObjectWriter":
        raise S3Error("NotImplemented", "Objects belong to the owner of their bucket.", Resource=word)
    if word not in {grants.ENFORCED, grants.PREFERRED}:
        raise S3Error("MalformedXML")
    return word


def _encryption(root: Element) -> dict[str, str]:
    xml.only(root, "Rule")
    if len(root) != 1:
        raise S3Error("MalformedXML")
    xml.only(root[0], "ApplyServerSideEncryptionByDefault", "BucketKeyEnabled")
    inner = root[0].find("ApplyServerSideEncryptionByDefault")
    if inner is None:
        raise S3Error("MalformedXML")
    xml.only(inner, "SSEAlgorithm", "KMSMasterKeyID")
    algorithm = xml.text_of(inner, "SSEAlgorithm")
    if algorithm.startswith("aws:kms") or inner.find("KMSMasterKeyID") is not None:
        raise S3Error("NotImplemented", Resource="aws:kms")
    if algorithm != "AES256" or xml.text_of(root[0], "BucketKeyEnabled", "false") not in {"true", "false"}:
        raise S3Error("MalformedXML")
    return {"algorithm": algorithm}


def _encryption_shown(found: Mapping[str, Any]) -> dict[str, xml.Value]:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": found["algorithm"]}, "BucketKeyEnabled": False}
    return {"Rule": rule}


def _bucket_tags(root: Element) -> dict[str, str]:
    return tagging.of_document(root, MOST_TAGS_OF_BUCKET)


FORMS: Mapping[str, Form] = {
    "cors": Form("cors", cors.ROOT, cors.of_document, cors.shown),
    "encryption": Form("encryption", "ServerSideEncryptionConfiguration", _encryption, _encryption_shown),
    "lifecycle": Form("lifecycle", lifecycle.ROOT, lifecycle.of_document, lifecycle.shown),
    "object-lock": Form("lock", "ObjectLockConfiguration", lock.default_of_document, lock.default_shown, goes=False),
    "ownershipControls": Form(
        "ownership", "OwnershipControls", _ownership, lambda found: {"Rule": {"ObjectOwnership": found["rule"]}}
    ),
    "publicAccessBlock": Form("public-access", "PublicAccessBlockConfiguration", _switches, dict),
    "tagging": Form("tags", tagging.ROOT, _bucket_tags, tagging.shown, status=204),
}


def _get(form: Form, call: Call) -> HttpResponseBase:
    found = bucket_document(call.ctx, bucket=call.target.bucket, kind=form.kind)
    if found is None and form.kind == "lock" and call.bucket.lock_enabled:
        found = {}
    if found is None:
        raise S3Error(KINDS[form.kind].missing, BucketName=call.target.bucket)
    return told(form.root, form.show(found))


def _put(form: Form, call: Call) -> HttpResponseBase:
    document = form.read(call.document(form.root))
    services.bucket_document_put(call.ctx, bucket=call.target.bucket, kind=form.kind, document=document)
    return answer(form.status)


def _delete(form: Form, call: Call) -> HttpResponseBase:
    services.bucket_document_delete(call.ctx, bucket=call.target.bucket, kind=form.kind)
    return answer(204)


def _bucket_acl_get(call: Call) -> HttpResponseBase:
    found = bucket_document(call.ctx, bucket=call.target.bucket, kind="acl")
    container = call.bucket.container
    given = dict.fromkeys([*grants.of_document(found), *acl.of_lists(container)])
    return told(acl.ROOT, acl.shown(container.account_id, given))


def _bucket_acl_put(call: Call) -> HttpResponseBase:
    document = acl.of_call(call) or grants.document_of(())
    services.bucket_document_put(call.ctx, bucket=call.target.bucket, kind="acl", document=document)
    return answer(200)


def of_new_bucket(headers: Mapping[str, str], owner: str) -> dict[str, Any]:
    """Documents that a bucket is made with, as headers say: kind → document. Raises S3Error."""
    found: dict[str, Any] = {}
    if ownership := headers.get("X-Amz-Object-Ownership", ""):
        found["ownership"] = {"rule": ownership_checked(ownership)}
    if given := acl.of_headers(headers, owner):
        if ownership == grants.ENFORCED:
            raise S3Error("InvalidBucketAclWithObjectOwnership")
        found["acl"] = given
    return found


def calls_on(name: str, form: Form) -> dict[tuple[str, str], tuple[Handler, str]]:
    """The calls on a sub-resource that is such a document: (sub-resource, method) → what answers, and its action."""
    kind = KINDS[form.kind]
    calls: dict[tuple[str, str], tuple[Handler, str]] = {
        (name, "GET"): (partial(_get, form), f"s3:Get{kind.noun}"),
        (name, "PUT"): (partial(_put, form), f"s3:Put{kind.noun}"),
    }
    if form.goes:
        calls[(name, "DELETE")] = (partial(_delete, form), f"s3:{kind.deletes or 'Put'}{kind.noun}")
    return calls


# (sub-resource, method) → what answers it, and its action.
BUCKET_CALLS: Mapping[tuple[str, str], tuple[Handler, str]] = {
    ("acl", "GET"): (_bucket_acl_get, "s3:GetBucketAcl"),
    ("acl", "PUT"): (_bucket_acl_put, "s3:PutBucketAcl"),
    ("policy", "GET"): (policy.policy_get, "s3:GetBucketPolicy"),
    ("policy", "PUT"): (policy.policy_put, "s3:PutBucketPolicy"),
    ("policy", "DELETE"): (policy.policy_delete, "s3:DeleteBucketPolicy"),
    ("policyStatus", "GET"): (policy.policy_status, "s3:GetBucketPolicyStatus"),
} | {key: call for name, form in FORMS.items() for key, call in calls_on(name, form).items()}


# --- of objects ------------------------------------------------------------------------------------


def marks_of(headers: Mapping[str, str], owner: str) -> dict[str, Any]:
    """What the headers of a PUT say of an object besides its bytes, in the names of `New`. Raises S3Error."""
    found = lock.of_headers(headers)
    if "X-Amz-Tagging" in headers:
        found["tags"] = tagging.of_header(headers["X-Amz-Tagging"])
    if acl.says(headers):
        found["acl"] = acl.of_headers(headers, owner)
    return found


def mark_headers(found: ObjectFields) -> dict[str, str]:
    """What an answer says of an object's tags and lock."""
    headers = {"x-amz-tagging-count": str(len(found.tags))} if found.tags else {}
    if found.retain_until is not None:
        headers["x-amz-object-lock-mode"] = found.lock_mode
        headers["x-amz-object-lock-retain-until-date"] = xml.instant(found.retain_until)
    if found.legal_hold:
        headers["x-amz-object-lock-legal-hold"] = "ON"
    return headers


def expiration_headers(bucket: Bucket, found: ObjectFields) -> dict[str, str]:
    """What an answer says of the end that the bucket's rules bring to an object."""
    end = expiration(rules_of(bucket), found)
    if end is None:
        return {}
    return {"x-amz-expiration": f'expiry-date="{http_date(end[0].timestamp())}", rule-id="{quote(end[1], safe="")}"'}


def version_asked(call: Call) -> UUID | None:
    """The version that a call names, if it does. Raises S3Error for what is no version's id."""
    return version_named(call.query["versionId"], "versionId") if "versionId" in call.query else None


def version_named(text: str, argument: str) -> UUID:
    """The version that an id names. Raises S3Error."""
    try:
        return version_of(text)
    except ValueError:
        words = "Invalid version id specified"
        raise S3Error("InvalidArgument", words, ArgumentName=argument, ArgumentValue=text) from None


def _whose(call: Call) -> dict[str, Any]:
    container = call.bucket.container
    return {
        "account": container.account_id,
        "container": container.name,
        "name": call.key,
        "version_id": version_asked(call),
    }


def _marks(call: Call, aspect: str) -> ObjectFields:
    return object_marks(call.ctx, aspect=aspect, **_whose(call))


def _tags_get(call: Call) -> HttpResponseBase:
    return told(tagging.ROOT, tagging.shown(_marks(call, "Tagging").tags or {}))


def _tags_put(call: Call) -> HttpResponseBase:
    tags = tagging.of_document(call.document(tagging.ROOT), MOST_TAGS_OF_OBJECT)
    services.object_tags_put(call.ctx, tags=tags, **_whose(call))
    return answer(200)


def _tags_delete(call: Call) -> HttpResponseBase:
    services.object_tags_put(call.ctx, tags=None, **_whose(call))
    return answer(204)


def _acl_get(call: Call) -> HttpResponseBase:
    owner = call.bucket.container.account_id
    return told(acl.ROOT, acl.shown(owner, grants.of_document(_marks(call, "Acl").acl)))


def _acl_put(call: Call) -> HttpResponseBase:
    services.object_acl_put(call.ctx, acl=acl.of_call(call), **_whose(call))
    return answer(200)


def _locks(call: Call) -> None:
    if not call.bucket.lock_enabled:
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")


def _retention_get(call: Call) -> HttpResponseBase:
    _locks(call)
    found = _marks(call, "Retention")
    if found.retain_until is None:
        raise S3Error("NoSuchObjectLockConfiguration", Key=call.key)
    return told("Retention", {"Mode": found.lock_mode, "RetainUntilDate": found.retain_until})


def _retention_put(call: Call) -> HttpResponseBase:
    _locks(call)
    mode, until = lock.retention_of_document(call.document("Retention"))
    bypass = lock.bypass_asked(call.headers)
    services.object_retention_put(call.ctx, mode=mode, until=until, bypass=bypass, **_whose(call))
    return answer(200)


def _hold_get(call: Call) -> HttpResponseBase:
    _locks(call)
    return told("LegalHold", {"Status": "ON" if _marks(call, "LegalHold").legal_hold else "OFF"})


def _hold_put(call: Call) -> HttpResponseBase:
    _locks(call)
    hold = lock.hold_of_document(call.document("LegalHold"))
    services.object_hold_put(call.ctx, hold=hold, **_whose(call))
    return answer(200)


OBJECT_CALLS: Mapping[tuple[str, str], tuple[Handler, str]] = {
    ("acl", "GET"): (_acl_get, "s3:GetObjectAcl"),
    ("acl", "PUT"): (_acl_put, "s3:PutObjectAcl"),
    ("legal-hold", "GET"): (_hold_get, "s3:GetObjectLegalHold"),
    ("legal-hold", "PUT"): (_hold_put, "s3:PutObjectLegalHold"),
    ("retention", "GET"): (_retention_get, "s3:GetObjectRetention"),
    ("retention", "PUT"): (_retention_put, "s3:PutObjectRetention"),
    ("tagging", "GET"): (_tags_get, "s3:GetObjectTagging"),
    ("tagging", "PUT"): (_tags_put, "s3:PutObjectTagging"),
    ("tagging", "DELETE"): (_tags_delete, "s3:DeleteObjectTagging"),
}
