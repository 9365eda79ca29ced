"""`POST /{bucket}`: an upload by a form of a web page, as a signed policy allows it.

All that the form says comes before the file; what comes behind it is not read. The policy names every field, and the
file's size is checked before its last byte is given out.
Source: "Browser-based uploads using POST" in Amazon's S3 API reference.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.datastructures import CaseInsensitiveMapping

from apps.core.errors import Invalid
from apps.objectstore.api.forms import Field, Form
from apps.objectstore.api.s3 import checksums, encryption, tagging, xml
from apps.objectstore.api.s3.base import Call, Target, answer, request_id, told
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.api.s3.objects import KEPT, OWN, new_of, put
from apps.objectstore.api.s3.signatures import Signed, form_signed_by
from apps.objectstore.api.texts import latin
from apps.objectstore.services.document_checks import MOST_TAGS_OF_OBJECT
from apps.objectstore.states import MAX_FILE_BYTES

_MOST_BEFORE = 20_000  # bytes of all fields before the file, as Amazon takes
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^`|~-]+")  # name of a header
# Fields that the policy need not mention: those of the signature, and the file itself.
_NOT_IN_POLICY = {"awsaccesskeyid", "signature", "policy", "file", "x-amz-signature"}
# Fields that are headers of a PUT, by themselves or by how they begin; `acl` is one that has lost its beginning.
_AS_HEADERS = {"content-type", *(name.lower() for name in KEPT)}
_BEGINNINGS = (
    OWN.lower(), "x-amz-checksum-", "x-amz-object-lock-", "x-amz-sdk-checksum-algorithm",
    "x-amz-server-side-encryption", "x-amz-storage-class",
)  # fmt: skip
_KNOWN = _NOT_IN_POLICY | {
    "acl", "bucket", "key", "redirect", "success_action_redirect", "success_action_status", "x-amz-algorithm",
    "x-amz-credential", "x-amz-date",
}  # fmt: skip
# What else is known of who asks.
_OF_REQUEST = ("Origin", "Referer", "User-Agent")


def is_form(request: HttpRequest, target: Target) -> bool:
    """Whether a request is a form for a bucket."""
    kind = request.headers.get("Content-Type", "").lower()
    return request.method == "POST" and bool(target.bucket) and not target.key and kind.startswith("multipart/")


@dataclass
class Upload:
    """A form, read up to its file. `fields` have names in lower case."""

    fields: Mapping[str, str]
    file: Field
    least: int = 0
    most: int = MAX_FILE_BYTES
    total: int = 0

    @property
    def key(self) -> str:
        """The key that the form names. Raises S3Error."""
        key = self.fields.get("key", "").replace("${filename}", re.split(r"[/\\]", self.file.filename or "")[-1])
        if not key:
            raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'key'.", ArgumentName="key")
        return key

    def signed(self, request: HttpRequest, by: Signed, bucket: str, now: datetime) -> Signed:
        """Who asks: who signed the form's policy, or nobody. Raises S3Error for what the policy forbids.

        A form signed otherwise is refused: its bytes would not be those that were signed.
        """
        if not by.is_anonymous:
            raise S3Error("InvalidArgument", "A form is signed by its policy.", ArgumentName="Authorization")
        if "policy" not in self.fields:
            return by
        found = form_signed_by(self.fields, request_id(request), now)
        self.least, self.most = sizes_allowed({**self.fields, "key": self.key, "bucket": bucket}, now)
        return found

    def read(self, size: int, /) -> bytes:
        """The file's bytes. Raises S3Error for more or fewer than the policy allows."""
        try:
            piece = self.file.read(size)
        except Invalid:
            raise S3Error("IncompleteBody") from None
        self.total += len(piece)
        if self.total > self.most:
            raise S3Error("EntityTooLarge", MaxSizeAllowed=self.most)
        if not piece and self.total < self.least:
            raise S3Error("EntityTooSmall", ProposedSize=self.total, MinSizeAllowed=self.least)
        return piece

    def headers(self, request: HttpRequest) -> Mapping[str, str]:
        """The headers of a PUT that the form stands for. Raises S3Error for fields that are none it could have."""
        found = {name: request.headers[name] for name in _OF_REQUEST if name in request.headers}
        for name, value in self.fields.items():
            if name == "acl" or name in _AS_HEADERS or name.startswith(_BEGINNINGS):
                found[_header("x-amz-acl" if name == "acl" else name)] = _value(name, value)
            elif name == "tagging":
                tags = tagging.of_document(xml.parsed(value.encode(), tagging.ROOT), MOST_TAGS_OF_OBJECT)
                found["X-Amz-Tagging"] = urlencode(tags)
            elif name not in _KNOWN and not name.startswith("x-ignore-"):
                raise S3Error("NotImplemented", Header=name)
        return CaseInsensitiveMapping(found)

    def answered(self, call: Call) -> HttpResponseBase:
        """Keep the file as the object that the form names."""
        digests = checksums.with_default(checksums.digests_of(call))
        made = put(call, self, None, replace(new_of(call), digests=digests))
        response = _made(call, self.fields, f'"{made.etag}"')
        for name, value in (
            checksums.headers_of(made.checksums) | encryption.headers_of(call, made.encryption)
        ).items():
            response[name] = value
        return response


def upload_of(request: HttpRequest) -> Upload:
    """The form of a request. Raises S3Error."""
    fields: dict[str, str] = {}
    try:
        for field in Form(request, request.headers["Content-Type"]):
            if field.name.lower() == "file":
                return Upload(fields, field)
            fields.setdefault(field.name.lower(), field.text())
            if sum(len(name) + len(value) for name, value in fields.items()) > _MOST_BEFORE:
                raise S3Error("MaxPostPreDataLengthExceededError")
    except Invalid as error:
        raise S3Error("MalformedPOSTRequest", str(error)) from None
    raise S3Error("InvalidArgument", "POST requires exactly one file upload per request.", ArgumentName="file")


def _header(name: str) -> str:
    """As names of headers are written. Raises S3Error for what is no name of one."""
    if not _TOKEN.fullmatch(name):
        raise S3Error("InvalidArgument", "The name of metadata is that of a header.", ArgumentName=name)
    return "-".join(part.capitalize() for part in name.split("-"))


def _value(name: str, value: str) -> str:
    if value and not value.isprintable():
        raise S3Error("InvalidArgument", "A header is one line of text.", ArgumentName=name)
    return latin(value)


def _leads_somewhere(where: str) -> bool:
    try:
        return where.isprintable() and urlsplit(where).scheme in {"http", "https"}
    except ValueError:
        return False


def _made(call: Call, fields: Mapping[str, str], etag: str) -> HttpResponseBase:
    """A redirect to where the form wants it, or the status it wants."""
    facts = {"bucket": call.bucket.name, "key": call.key, "etag": etag}
    where = fields.get("success_action_redirect") or fields.get("redirect", "")
    if _leads_somewhere(where):
        to = quote(where, safe="%/:=&?~#+!$,;'@()*[]-._")
        return answer(303, {"Location": f"{to}{'&' if '?' in to else '?'}{urlencode(facts)}", "ETag": etag})
    base = f"{call.request.scheme}://{call.request.get_host()}"
    place = f"{base}{'' if call.target.is_virtual else f'/{call.bucket.name}'}/{quote(call.key, safe='/-_.~')}"
    status = fields.get("success_action_status", "")
    if status == "201":
        response = told(
            "PostResponse", {"Location": place, "Bucket": facts["bucket"], "Key": call.key, "ETag": etag}, 201
        )
    else:
        response = answer(200 if status == "200" else 204)
    response["Location"], response["ETag"] = place, etag
    return response


# --- the policy ------------------------------------------------------------------------------------


def sizes_allowed(fields: Mapping[str, str], now: datetime) -> tuple[int, int]:
    """The least and most bytes that the policy allows the file of a form with these fields, bucket and key.

    Raises S3Error unless every field is named in the policy and every condition holds.
    """
    document = _document(fields["policy"])
    if now > _expiry(document):
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
    named = set(_NOT_IN_POLICY)
    least, most = 0, MAX_FILE_BYTES
    for condition in document["conditions"]:
        if bounds := _size_condition(condition):
            least, most = max(least, bounds[0]), min(most, bounds[1])
            continue
        name, holds, what = _condition(condition, fields)
        named.add(name)
        if not holds:
            words = f"Invalid according to Policy: Policy Condition failed: {orjson.dumps(what).decode()}"
            raise S3Error("AccessDenied", words)
    if extra := [name for name in fields if name not in named and not name.startswith("x-ignore-")]:
        raise S3Error("AccessDenied", f"Invalid according to Policy: Extra input fields: {extra[0]}")
    return least, most


def _document(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("conditions"), list):
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid JSON.")
    return found


def _expiry(document: Mapping[str, Any]) -> datetime:
    try:
        at = datetime.fromisoformat(document["expiration"])
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except (KeyError, ValueError, TypeError):
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Policy missing expiration.") from None


def _size_condition(condition: Any) -> tuple[int, int] | None:
    match condition:
        case [str(word), least, most] if word.lower() == "content-length-range":
            return _number(least), _number(most)
    return None


def _condition(condition: Any, given: Mapping[str, str]) -> tuple[str, bool, Any]:
    """The field that a condition is about, whether it holds, and how to name it."""
    match condition:
        case {**pairs} if len(pairs) == 1:
            name, value = next(iter(pairs.items()))
            if isinstance(name, str) and isinstance(value, str):
                return name.lower(), given.get(name.lower(), "") == value, ["eq", f"${name}", value]
        case [str(word), str(name), str(value)] if name.startswith("$"):
            found = given.get(name[1:].lower(), "")
            if word.lower() == "eq":
                return name[1:].lower(), found == value, condition
            if word.lower() == "starts-with":
                return name[1:].lower(), _starts(name[1:].lower(), found, value), condition
    raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid condition.")


def _starts(name: str, found: str, prefix: str) -> bool:
    """Of a list of content types each begins so."""
    parts = found.split(",") if name == "content-type" else [found]
    return all(part.startswith(prefix) for part in parts)


def _number(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 16:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid content-length-range.")
