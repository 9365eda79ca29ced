"""Server-side encryption on the wire: the store's own keys (SSE-S3), and keys that requests bring (SSE-C)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Any

from apps.core.api.middleware import client_address
from apps.objectstore.api.s3.base import Call
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.services.encryption import AES256, CUSTOMER, KEY_BYTES, Wish

_METHOD = "X-Amz-Server-Side-Encryption"
_CUSTOMER = f"{_METHOD}-Customer-"
_SOURCE = "X-Amz-Copy-Source-Server-Side-Encryption-Customer-"
# A key server of Amazon's is not here: what asks for one is refused, not encrypted otherwise.
NOT_SERVED = (f"{_METHOD}-Aws-Kms-Key-Id", f"{_METHOD}-Context", f"{_METHOD}-Bucket-Key-Enabled")
_ELSEWHERE = ("aws:kms", "aws:kms:dsse", "aws:fsx")


def wish_of(call: Call) -> Wish | None:
    """How the caller wants an object kept. Raises S3Error."""
    method, key = call.headers.get(_METHOD), key_of(call)
    if method is None:
        return Wish(CUSTOMER, key) if key else None
    if key:
        words = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
        raise S3Error("InvalidArgument", words, ArgumentName=_METHOD.lower(), ArgumentValue=method)
    if method in _ELSEWHERE:
        raise S3Error("NotImplemented", Header=_METHOD.lower())
    if method != AES256:
        words = "The encryption method specified is not supported"
        raise S3Error("InvalidArgument", words, ArgumentName=_METHOD.lower(), ArgumentValue=method)
    return Wish(AES256)


def key_of(call: Call) -> bytes:
    """The caller's key for the object, or nothing. Raises S3Error for one that is not whole or came in the clear."""
    return _key(call, _CUSTOMER)


def key_of_source(call: Call) -> bytes:
    """The same for the object that is copied."""
    return _key(call, _SOURCE)


def reading_key_of(call: Call) -> bytes:
    """The key of a call that cannot choose how the object is encrypted: one that reads, or brings a part.

    Raises S3Error.
    """
    if _METHOD in call.headers:
        words = f"{_METHOD.lower()} header is not supported for this operation."
        raise S3Error("InvalidArgument", words, ArgumentName=_METHOD.lower(), ArgumentValue=call.headers[_METHOD])
    return key_of(call)


def _key(call: Call, prefix: str) -> bytes:
    given = {part: call.headers.get(prefix + part) for part in ("Algorithm", "Key", "Key-Md5")}
    if not any(value is not None for value in given.values()):
        return b""
    _private_checked(call)
    algorithm, key, digest = given.values()
    if algorithm is None or key is None or digest is None:
        missing = next(part for part, value in given.items() if value is None)
        words = "Requests specifying Server Side Encryption with Customer provided keys must provide "
        wanted = {"Algorithm": "a valid encryption algorithm.", "Key": "an appropriate secret key."}
        found = wanted.get(missing, "the client calculated MD5 of the secret key.")
        raise S3Error("InvalidArgument", words + found, ArgumentName=f"{prefix}{missing}".lower())
    if algorithm != AES256:
        words = "The encryption request that you specified is not valid. Supported value: AES256."
        raise S3Error("InvalidEncryptionAlgorithmError", words, ArgumentName=f"{prefix}Algorithm".lower())
    clear = _decoded(key)
    if len(clear) != KEY_BYTES:
        words = "The secret key was invalid for the specified algorithm."
        raise S3Error("InvalidArgument", words, ArgumentName=f"{prefix}Key".lower())
    if not hmac.compare_digest(hashlib.md5(clear, usedforsecurity=False).digest(), _decoded(digest)):
        words = "The calculated MD5 hash of the key did not match the hash that was provided."
        raise S3Error("InvalidArgument", words, ArgumentName=f"{prefix}Key-Md5".lower())
    return clear


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _private_checked(call: Call) -> None:
    """Raise S3Error where the key crossed a network in the clear: a thing that everybody saw protects nothing."""
    if call.request.is_secure():
        return
    address = client_address(call.request)
    if not address or not ipaddress.ip_address(address).is_loopback:
        words = "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure "
        raise S3Error("InvalidRequest", f"{words}connection.")


# --- answers ---------------------------------------------------------------------------------------


def headers_of(call: Call, envelope: Mapping[str, Any] | None) -> dict[str, str]:
    """What an answer says of how an object, or an upload, is encrypted."""
    if envelope is None:
        return {}
    if envelope["mode"] == AES256:
        return {_METHOD.lower(): AES256}
    digest = base64.b64encode(hashlib.md5(key_of(call), usedforsecurity=False).digest()).decode()
    return {f"{_CUSTOMER}Algorithm".lower(): AES256, f"{_CUSTOMER}key-MD5".lower(): digest}
