"""Addresses that carry their own permission: signed by a key of the account or container, for a method and a time.

The signature is an HMAC over method, end and path; over the path from `/v1` on or the whole one, since clients sign
what they see. Source: Swift's documentation of temporary URLs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Container, Iterable, Iterator
from datetime import UTC, datetime
from urllib.parse import quote

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.core.api.middleware import client_address
from apps.core.context import RequestContext
from apps.core.errors import Invalid, Unauthorized
from apps.objectstore import selectors
from apps.objectstore.api.swift import metadata
from apps.objectstore.api.swift.base import ROOT, Address
from apps.objectstore.api.swift.staticweb import Listing
from apps.objectstore.selectors.access import SignedContext

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
DIGESTS = ("sha256", "sha512")
_BY_LENGTH = {40: "sha1", 64: "sha256", 128: "sha512"}
_ALSO = {"HEAD": ("HEAD", "GET", "PUT", "POST")}  # who may write or read may look
_FORM = "%Y-%m-%dT%H:%M:%SZ"
_SHOWN = f"{metadata.OBJECT}Public-"  # of the metadata
# What would let the signer's address reach other objects than the one it names.
_REFUSED = ("X-Copy-From", "X-Object-Manifest", "X-Symlink-Target")


def is_signed(request: HttpRequest) -> bool:
    return "temp_url_sig" in request.GET or "temp_url_expires" in request.GET


def caller_of(request: HttpRequest, address: Address) -> RequestContext:
    """A context that may do with the account what the request's method does. Raises Unauthorized, Invalid."""
    refused = Unauthorized("Temp URL invalid")
    query = request.GET
    end = _end(query.get("temp_url_expires", ""))
    digest, signature = signature_of(query.get("temp_url_sig", ""), DIGESTS)
    prefix = query.get("temp_url_prefix")
    lists = prefix == "" and request.method in {"GET", "HEAD"} and bool(address.container)  # as a web site's root
    if not digest or end < time.time() or not (address.name or lists) or request.method not in METHODS:
        raise refused
    if prefix is not None and not address.name.startswith(prefix):
        raise refused
    allowed = query.get("temp_url_ip_range")
    if allowed is not None and not _comes_from(request, allowed):
        raise refused
    texts = list(_texts(request.method or "", end, address, prefix, allowed))
    ctx = RequestContext(request_id=getattr(request, "request_id", ""))
    signed: RequestContext | None
    if maker := query.get("temp_url_maker"):
        signed = _by_link(ctx, address, maker, digest, signature, texts) if prefix is None else None
    else:
        signed = signer_of(address, ctx.request_id, digest, signature, texts)
    if signed is None:
        raise refused
    if "version-id" in query:
        raise Invalid("A temporary URL is for the object as it is.")
    if any(name in request.headers for name in _REFUSED) or query.get("multipart-manifest") == "put":
        raise Invalid("A temporary URL cannot make an object of others.")
    return signed


def signer_of(
    address: Address, request_id: str, digest: str, signature: bytes, texts: Iterable[str]
) -> SignedContext | None:
    """What a signature of one of these texts opens: the account, or the container whose key signed. None for none."""
    ctx = RequestContext(request_id=request_id)
    account, container = selectors.signing_keys(ctx, account=address.project_id, container=address.container)
    scopes = [(key, "") for key in account] + [(key, address.container) for key in container]
    for key, scope in scopes:
        for text in texts:
            if _is_of(key, text, digest, signature):
                return SignedContext(
                    user_name="signature", account=address.project_id, container=scope, request_id=request_id
                )
    return None


def _by_link(
    ctx: RequestContext, address: Address, maker: str, digest: str, signature: bytes, texts: Iterable[str]
) -> RequestContext | None:
    """What a link of the web admin opens: what its maker may read. None for one that does not hold."""
    found = selectors.link_of(ctx, account=address.project_id, container=address.container, maker=maker)
    if found is None or not any(_is_of(found[0], text, digest, signature) for text in texts):
        return None
    return found[1]


def _is_of(key: str, text: str, digest: str, signature: bytes) -> bool:
    """Whether the key made the signature of the text."""
    return hmac.compare_digest(hmac.new(key.encode(), text.encode(), digest).digest(), signature)


def named(request: HttpRequest, address: Address, response: HttpResponseBase) -> None:
    """Browsers save what comes by a signed address, under the name the signer chose, without its metadata.

    Raises Unauthorized for what is listed without being a web site.
    """
    if not address.name and not isinstance(response, Listing):
        raise Unauthorized("Temp URL invalid")
    for header in [h for h in response.headers if h.startswith(metadata.OBJECT) and not h.startswith(_SHOWN)]:
        del response[header]
    if response.status_code not in {200, 206} or request.method not in {"GET", "HEAD"}:
        return
    kind = "inline" if "inline" in request.GET or isinstance(response, Listing) else "attachment"
    name = request.GET.get("filename") or address.name.rstrip("/").rpartition("/")[2]
    if kind == "inline" and "filename" not in request.GET:
        response["Content-Disposition"] = kind
    elif "filename" in request.GET or "Content-Disposition" not in response.headers:
        plain = "".join(c if " " <= c <= "~" else "?" for c in name.replace('"', "%22"))
        response["Content-Disposition"] = f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    response["Expires"] = datetime.fromtimestamp(_end(request.GET["temp_url_expires"]), UTC).strftime(
        "%a, %d %b %Y %H:%M:%S GMT"
    )


def _texts(method: str, end: int, address: Address, prefix: str | None, allowed: str | None) -> Iterator[str]:
    """What the signer may have signed."""
    path = address.path
    if prefix is not None:
        path = f"prefix:/v1/{address.account}/{address.container}/{prefix}"
    for form in (path, path.replace("/v1/", f"{ROOT}/v1/", 1)):
        for signed in _ALSO.get(method, (method,)):
            text = f"{signed}\n{end}\n{form}"
            yield text if allowed is None else f"ip={allowed}\n{text}"


def _end(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 16:
        return int(text)
    for form in (_FORM, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"):
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    return 0


def signature_of(text: str, digests: Container[str]) -> tuple[str, bytes]:
    """Digest and signature of `hex` or `digest:base64`; no digest for what is neither, or of another than these."""
    name, colon, rest = text.partition(":")
    try:
        if colon:
            decoded = base64.b64decode(rest.replace("-", "+").replace("_", "/") + "=" * (-len(rest) % 4), validate=True)
        else:
            name, decoded = _BY_LENGTH.get(len(text), ""), binascii.unhexlify(text)
    except (ValueError, binascii.Error):
        return "", b""
    good = name in digests and len(decoded) == hashlib.new(name).digest_size
    return (name, decoded) if good else ("", b"")


def _comes_from(request: HttpRequest, allowed: str) -> bool:
    try:
        return ipaddress.ip_address(client_address(request)) in ipaddress.ip_network(allowed)
    except ValueError:
        return False
