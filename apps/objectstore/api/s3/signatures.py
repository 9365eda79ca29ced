"""Who signed a request: AWS Signature Version 4 and 2, in headers, in the query, or over the policy of a form.

What is signed here is what the caller sent, put into its canonical form; nothing that has a meaning may be left out of
it. Source: "Authenticating Requests" in Amazon's S3 API reference, and the REST authentication of version 2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from apps.core.context import RequestContext
from apps.identity.selectors.access_keys import AccessKey, access_key
from apps.objectstore.api.s3.errors import S3Error

V4, V2 = "AWS4-HMAC-SHA256", "AWS"
HEADER, QUERY, FORM = "REST-HEADER", "REST-QUERY-STRING", "POST"
UNSIGNED = "UNSIGNED-PAYLOAD"
SKEW = timedelta(minutes=15)
LONGEST = 7 * 24 * 3600  # seconds that an address of version 4 may be good

STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING = (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER)

_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_STAMP = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_BASIC = "%Y%m%dT%H%M%SZ"
_SPACES = re.compile(r" +")
_IN_QUERY = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders")
# What is part of the string to sign anyway.
_SIGNED_ANYWAY = {"x-amz-content-sha256", "x-amz-date"}

# What version 2 signs of the query: all that chooses another call, or changes what it does. Amazon's list, and those
# that came after version 2: a caller who does not sign them has no use of them.
V2_SIGNED = frozenset((
    "abac", "accelerate", "acl", "analytics", "annotation", "attributes", "cors", "defaultObjectAcl", "delete",
    "encryption", "intelligent-tiering", "inventory", "legal-hold", "lifecycle", "location", "logging",
    "metadataAnnotationTable", "metadataConfiguration", "metadataInventoryTable", "metadataJournalTable",
    "metadataTable", "metrics", "notification", "object-lock", "ownershipControls", "partNumber", "policy",
    "policyStatus", "publicAccessBlock", "renameObject", "replication", "requestPayment", "response-cache-control",
    "response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type",
    "response-expires", "restore", "retention", "select", "select-type", "session", "storageClass", "tagging",
    "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What of a request is signed. Texts are as they came, decoded; bytes that are no UTF-8 are kept as surrogates.

    `paths` are those that the caller may have signed, `resources` the same for version 2, which names the bucket.
    """

    method: str
    paths: tuple[str, ...]
    resources: tuple[str, ...]
    host: str
    headers: Mapping[str, str]  # names in lower case, values in Latin-1
    query: Sequence[tuple[str, str]]

    def parameter(self, name: str) -> str:
        return next((value for known, value in self.query if known == name), "")


@dataclass(frozen=True, slots=True)
class Chain:
    """What the chunks of a body are signed with: each signature goes into the next."""

    key: bytes
    stamp: str
    scope: str
    seed: str

    def signature(self, previous: str, digest: str) -> str:
        """Of a chunk with that SHA-256."""
        empty = hashlib.sha256(b"").hexdigest()
        return self._of("\n".join(("AWS4-HMAC-SHA256-PAYLOAD", self.stamp, self.scope, previous, empty, digest)))

    def trailer_signature(self, previous: str, trailer: bytes) -> str:
        """Of the headers after the last chunk, in canonical form."""
        digest = hashlib.sha256(trailer).hexdigest()
        return self._of("\n".join(("AWS4-HMAC-SHA256-TRAILER", self.stamp, self.scope, previous, digest)))

    def _of(self, text: str) -> str:
        return hmac.new(self.key, text.encode(), "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Signed:
    """Who asks, and how that was shown; nobody in particular where nothing is signed."""

    ctx: RequestContext
    version: str = ""  # V4, V2 or "": values of the condition key s3:signatureversion
    place: str = ""  # HEADER, QUERY or FORM: values of s3:authType
    at: datetime | None = None  # the time in the signature
    region: str = ""  # that the caller takes this for
    payload: str = UNSIGNED  # what the caller says of the body: its SHA-256, or a word of x-amz-content-sha256
    chain: Chain | None = field(default=None, repr=False)

    @property
    def is_anonymous(self) -> bool:
        return not self.version


@dataclass(frozen=True, slots=True)
class _Credential:
    """`AKID/20260131/region/s3/aws4_request`."""

    access: str
    scope: str
    day: str

    @property
    def region(self) -> str:
        return self.scope.split("/")[1]

    @classmethod
    def of(cls, text: str, code: str) -> _Credential:
        access, *scope = text.rsplit("/", 4)
        if len(scope) != 4 or not access or scope[3] != "aws4_request" or not all(map(str.isascii, scope)):
            raise S3Error(
                code, 'The Credential is malformed; expecting "<access key>/YYYYMMDD/REGION/s3/aws4_request".'
            )
        if scope[2] != "s3":
            raise S3Error(code, f"Incorrect service {scope[2]!r}; it must be 's3'.")
        return cls(access, "/".join(scope), scope[0])


def signed_by(request: Request, request_id: str, now: datetime) -> Signed:
    """Who signed the request. Raises S3Error with S3's code for each way in which a signature can be wrong."""
    authorization = request.headers.get("authorization", "")
    names = {name for name, _ in request.query}
    in_query = [bool({"X-Amz-Signature", "X-Amz-Algorithm"} & names), bool({"Signature", "AWSAccessKeyId"} & names)]
    if bool(authorization) + sum(in_query) > 1:
        raise S3Error("InvalidArgument", "Only one auth mechanism allowed.", ArgumentName="Authorization")
    if request.headers.get("x-amz-security-token") or request.parameter("X-Amz-Security-Token"):
        raise S3Error("InvalidToken")
    if authorization:
        scheme = authorization.partition(" ")[0]
        if scheme == V4:
            return _v4_in_header(request, authorization, request_id, now)
        if scheme == V2:
            return _v2_in_header(request, authorization, request_id, now)
        raise S3Error("InvalidRequest", f"The authorization mechanism is not supported. Please use {V4}.")
    if in_query[0]:
        return _v4_in_query(request, request_id, now)
    if in_query[1]:
        return _v2_in_query(request, request_id, now)
    return Signed(RequestContext(request_id=request_id), payload=_payload(request.headers.get("x-amz-content-sha256")))


def key_of(access: str) -> AccessKey:
    """The access key of that name. Raises S3Error."""
    found = access_key(access) if access.isascii() and access else None
    if found is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access)
    return found


# --- version 4 -------------------------------------------------------------------------------------


def _v4_in_header(request: Request, authorization: str, request_id: str, now: datetime) -> Signed:
    code = "AuthorizationHeaderMalformed"
    parts = dict(part.strip().partition("=")[::2] for part in authorization.removeprefix(V4).split(","))
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not parts.get(name):
            raise S3Error(code, f"The authorization header is malformed; it has no {name}.")
    credential = _Credential.of(parts["Credential"], code)
    stamp, at = _time_of(request)
    _not_skewed(at, now)
    if stamp[:8] != credential.day:
        raise S3Error(code, f"Invalid credential date {credential.day!r}: it is not that of x-amz-date.")
    if "x-amz-content-sha256" not in request.headers:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    payload = _payload(request.headers["x-amz-content-sha256"])
    return _v4(request, credential, parts, stamp, at, payload, request_id, HEADER)


def _v4_in_query(request: Request, request_id: str, now: datetime) -> Signed:
    code = "AuthorizationQueryParametersError"
    given = {name: request.parameter(name) for name in (*_IN_QUERY, "X-Amz-Signature")}
    if missing := [name for name, value in given.items() if not value]:
        raise S3Error(code, f"Query-string authentication version 4 requires the parameter {missing[0]}.")
    if len({name for name, _ in request.query}) != len(request.query):
        raise S3Error(code, "A parameter is given more than once.")
    if given["X-Amz-Algorithm"] != V4:
        raise S3Error(code, f'X-Amz-Algorithm only supports "{V4}"')
    credential = _Credential.of(given["X-Amz-Credential"], code)
    at = _basic(given["X-Amz-Date"])
    if at is None:
        raise S3Error(code, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    if given["X-Amz-Date"][:8] != credential.day:
        raise S3Error(code, f"Invalid credential date {credential.day!r}: it is not that of X-Amz-Date.")
    seconds = given["X-Amz-Expires"]
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) < 8 and 0 < int(seconds) <= LONGEST):
        raise S3Error(code, f"X-Amz-Expires must be a number of seconds from 1 to {LONGEST}")
    parts = {"SignedHeaders": given["X-Amz-SignedHeaders"], "Signature": given["X-Amz-Signature"]}
    payload = request.parameter("X-Amz-Content-Sha256") or request.headers.get("x-amz-content-sha256") or UNSIGNED
    signed = _v4(request, credential, parts, given["X-Amz-Date"], at, _payload(payload), request_id, QUERY)
    _in_time(at, at + timedelta(seconds=int(seconds)), now, **{"X-Amz-Expires": seconds})
    return signed


def _v4(
    request: Request,
    credential: _Credential,
    parts: Mapping[str, str],
    stamp: str,
    at: datetime,
    payload: str,
    request_id: str,
    place: str,
) -> Signed:
    names = parts["SignedHeaders"].split(";")
    _headers_signed(request, names)
    key = key_of(credential.access)
    signing = signing_key(key.secret, credential.scope)
    canonical = text = ""
    for path in request.paths:
        canonical = canonical_request(request, path, names, payload)
        text = "\n".join((V4, stamp, credential.scope, hashlib.sha256(canonical.encode("latin-1")).hexdigest()))
        signature = hmac.new(signing, text.encode(), "sha256").hexdigest()
        if hmac.compare_digest(signature.encode(), parts["Signature"].encode("latin-1", "replace")):
            chain = Chain(signing, stamp, credential.scope, signature)
            return Signed(key.context_for(request_id=request_id), V4, place, at, credential.region, payload, chain)
    raise _mismatch(credential.access, parts["Signature"], text, canonical)


def canonical_request(request: Request, path: str, names: Sequence[str], payload: str) -> str:
    """The request as version 4 signs it, in Latin-1: header values are bytes."""
    query = sorted((_quoted(name), _quoted(value)) for name, value in request.query if name != "X-Amz-Signature")
    lines = [f"{name}:{_trimmed(_header(request, name))}\n" for name in names]
    return "\n".join(
        (
            request.method,
            quote(path, safe="/-_.~", errors="surrogateescape"),
            "&".join(f"{name}={value}" for name, value in query),
            "".join(lines),
            ";".join(names),
            payload,
        )
    )


def signing_key(secret: str, scope: str) -> bytes:
    """The key of a day, region and service, from the secret."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key


def _headers_signed(request: Request, names: Sequence[str]) -> None:
    """Raise unless what is signed is all there, and all that Amazon gives a meaning is signed."""
    if "host" not in names:
        raise S3Error("AccessDenied", "The header host must be signed.", HeadersNotSigned="host")
    absent = [name for name in names if name != "host" and name not in request.headers]
    if any("_" in name for name in absent):
        raise S3Error("InvalidArgument", "Names of headers cannot have underscores.", ArgumentName=absent[0])
    if absent:
        raise S3Error("SignatureDoesNotMatch", f"The signed header {absent[0]} is not there.")
    unsigned = {name for name in request.headers if name.startswith("x-amz-")} - set(names) - _SIGNED_ANYWAY
    if unsigned:
        words = "There were headers present in the request which were not signed"
        raise S3Error("AccessDenied", words, HeadersNotSigned=", ".join(sorted(unsigned)))


def _header(request: Request, name: str) -> str:
    return request.host if name == "host" else request.headers[name]


def _trimmed(value: str) -> str:
    return _SPACES.sub(" ", value.strip())


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~", errors="surrogateescape")


def _payload(text: str | None) -> str:
    if text is None or text in (UNSIGNED, *STREAMING) or _HASH.fullmatch(text):
        return text or UNSIGNED
    if text.startswith("STREAMING-"):
        raise S3Error("NotImplemented", Header="x-amz-content-sha256")
    words = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a kind of STREAMING body, or a valid sha256 value."
    raise S3Error("InvalidArgument", words, ArgumentName="x-amz-content-sha256", ArgumentValue=text)


# --- version 2 -------------------------------------------------------------------------------------


def _v2_in_header(request: Request, authorization: str, request_id: str, now: datetime) -> Signed:
    access, colon, signature = authorization.removeprefix(V2).strip().partition(":")
    if not colon:
        raise S3Error("InvalidArgument", "Authorization header is invalid -- one and only one ':' is expected.")
    _, at = _time_of(request)
    _not_skewed(at, now)
    date = "" if "x-amz-date" in request.headers else request.headers.get("date", "")
    ctx = _v2(request, access, signature, date, request_id)
    payload = _payload(request.headers.get("x-amz-content-sha256"))
    return Signed(ctx, V2, HEADER, at, payload=_unchained(payload))


def _v2_in_query(request: Request, request_id: str, now: datetime) -> Signed:
    access, expires = request.parameter("AWSAccessKeyId"), request.parameter("Expires")
    signature = request.parameter("Signature")
    if not (access and expires and signature):
        words = "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        raise S3Error("AccessDenied", words)
    if not (expires.isascii() and expires.isdecimal() and len(expires) < 12):
        raise S3Error("AccessDenied", "Invalid date (should be seconds since epoch)", Expires=expires)
    ctx = _v2(request, access, signature, expires, request_id)
    _in_time(None, datetime.fromtimestamp(int(expires), UTC), now)
    payload = _payload(request.headers.get("x-amz-content-sha256"))
    return Signed(ctx, V2, QUERY, payload=_unchained(payload))


def _v2(request: Request, access: str, signature: str, date: str, request_id: str) -> RequestContext:
    key = key_of(access)
    text = ""
    for resource in request.resources:
        text = string_to_sign_v2(request, resource, date)
        if _is_sha1_of(key.secret, text.encode("latin-1"), signature):
            return key.context_for(request_id=request_id)
    raise _mismatch(access, signature, text, "")


def string_to_sign_v2(request: Request, resource: str, date: str) -> str:
    """What version 2 signs, in Latin-1."""
    signed = sorted((name, value) for name, value in request.query if name in V2_SIGNED)
    query = "&".join(f"{name}={value}" if value else name for name, value in signed)
    amazon = sorted((name, value) for name, value in request.headers.items() if name.startswith("x-amz-"))
    return "\n".join(
        (
            request.method,
            request.headers.get("content-md5", ""),
            request.headers.get("content-type", ""),
            date,
            *(f"{name}:{_trimmed(value)}" for name, value in amazon),
            quote(resource, safe="/-_.~", errors="surrogateescape") + (f"?{_latin(query)}" if query else ""),
        )
    )


def _latin(text: str) -> str:
    return text.encode(errors="surrogateescape").decode("latin-1")


def _unchained(payload: str) -> str:
    """Version 2 has no key for signatures of chunks."""
    if payload in (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER):
        raise S3Error("InvalidRequest", f"The body's chunks can be signed with {V4} only.")
    return payload


def _is_sha1_of(secret: str, text: bytes, signature: str) -> bool:
    right = base64.b64encode(hmac.new(secret.encode(), text, "sha1").digest())
    return hmac.compare_digest(right, signature.encode("latin-1", "replace"))


# --- forms -----------------------------------------------------------------------------------------


def form_signed_by(fields: Mapping[str, str], request_id: str, now: datetime) -> Signed:
    """Who signed the policy of a form; `fields` have names in lower case. Raises S3Error."""
    policy = fields["policy"]
    if "x-amz-security-token" in fields:
        raise S3Error("InvalidToken")
    if "x-amz-signature" in fields:
        return _v4_form(fields, policy, request_id, now)
    access, signature = fields.get("awsaccesskeyid", ""), fields.get("signature", "")
    if not access or not signature:
        missing = "AWSAccessKeyId" if not access else "Signature"
        raise S3Error("InvalidArgument", f"Bucket POST must contain a field named '{missing}'.", ArgumentName=missing)
    key = key_of(access)
    if not _is_sha1_of(key.secret, policy.encode(), signature):
        raise _mismatch(access, signature, policy, "")
    return Signed(key.context_for(request_id=request_id), V2, FORM)


def _v4_form(fields: Mapping[str, str], policy: str, request_id: str, now: datetime) -> Signed:
    if fields.get("x-amz-algorithm") != V4:
        raise S3Error("InvalidArgument", f"X-Amz-Algorithm only supports {V4}", ArgumentName="X-Amz-Algorithm")
    credential = _Credential.of(fields.get("x-amz-credential", ""), "InvalidArgument")
    at = _basic(fields.get("x-amz-date", ""))
    if at is None or fields["x-amz-date"][:8] != credential.day:
        raise S3Error("InvalidArgument", "X-Amz-Date is not that of the credential.", ArgumentName="X-Amz-Date")
    _in_time(at, at + timedelta(seconds=LONGEST), now)
    key = key_of(credential.access)
    right = hmac.new(signing_key(key.secret, credential.scope), policy.encode(), "sha256").hexdigest()
    if not hmac.compare_digest(right.encode(), fields["x-amz-signature"].encode()):
        raise _mismatch(credential.access, fields["x-amz-signature"], policy, "")
    return Signed(key.context_for(request_id=request_id), V4, FORM, at, credential.region)


# --- times and refusals ----------------------------------------------------------------------------


def _time_of(request: Request) -> tuple[str, datetime]:
    """When the request was made, as version 4 writes it and as a time. Raises S3Error."""
    text = request.headers.get("x-amz-date") or request.headers.get("date", "")
    at = _basic(text) or _internet_date(text)
    if at is None:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    return at.strftime(_BASIC), at


def _basic(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _BASIC).replace(tzinfo=UTC) if _STAMP.fullmatch(text) else None
    except ValueError:
        return None


def _internet_date(text: str) -> datetime | None:
    """As mail writes it, which HTTP does too, with any zone."""
    try:
        at = parsedate_to_datetime(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _not_skewed(at: datetime, now: datetime) -> None:
    if abs(now - at) > SKEW:
        raise S3Error(
            "RequestTimeTooSkewed",
            RequestTime=at.strftime(_BASIC),
            ServerTime=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            MaxAllowedSkewMilliseconds=int(SKEW.total_seconds() * 1000),
        )


def _in_time(start: datetime | None, end: datetime, now: datetime, **fields: str) -> None:
    if start is not None and start > now + SKEW:
        raise S3Error("AccessDenied", "Request is not yet valid", ServerTime=now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    if now > end:
        times = {"Expires": end.strftime("%Y-%m-%dT%H:%M:%SZ"), "ServerTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
        raise S3Error("AccessDenied", "Request has expired", **fields, **times)


def _mismatch(access: str, given: str, text: str, canonical: str) -> S3Error:
    """As Amazon tells it: with what was signed here, which is the caller's own request."""
    fields: dict[str, str | int] = {"AWSAccessKeyId": access, "StringToSign": text, "SignatureProvided": given}
    fields["StringToSignBytes"] = text.encode("latin-1", "replace").hex(" ")
    if canonical:
        fields |= {"CanonicalRequest": canonical, "CanonicalRequestBytes": canonical.encode("latin-1").hex(" ")}
    return S3Error("SignatureDoesNotMatch", **fields)
