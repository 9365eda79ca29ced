"""Signatures by an access key: EC2's query API (versions 0, 1, 2 and 4) and S3's string to sign (HMAC-SHA1 and 4)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

_V4 = "AWS4-HMAC-SHA256"
_S3_SERVICES = ("s3", "iam", "sts")


class BadSignature(Exception):
    """It does not fit, or is of no known form; the text says which."""


def check_ec2(secret: str, signed: Mapping[str, Any]) -> None:
    """Check `signed`: `access`, `signature`, `host`, `verb`, `path`, `params`, and for version 4 `headers` and
    `body_hash`. Some clients sign without the port, so both are tried. Raises BadSignature."""
    given = str(signed.get("signature") or "")
    if not given:
        raise BadSignature("EC2 signature not supplied.")
    host = str(signed.get("host", ""))
    for tried in dict.fromkeys((host, urlsplit(f"//{host}").hostname or host)):
        if hmac.compare_digest(_ec2(secret, {**signed, "host": tried}), given):
            return
    raise BadSignature("Invalid EC2 signature.")


def check_s3(secret: str, *, token: str, signature: str) -> None:
    """Check a string to sign, in base64. Raises BadSignature."""
    try:
        text = base64.urlsafe_b64decode(token)
    except ValueError as error:
        raise BadSignature("The string to sign is not base64.") from error
    right = _s3_v4(secret, text) if text.startswith(b"AWS4") else _b64(_hmac(secret.encode(), text, "sha1"))
    if not hmac.compare_digest(right, signature):
        raise BadSignature("Credential signature mismatch")


def _ec2(secret: str, signed: Mapping[str, Any]) -> str:
    params = {str(k): str(v) for k, v in (signed.get("params") or {}).items()}
    headers = {str(k).lower(): str(v) for k, v in (signed.get("headers") or {}).items()}
    if params.get("X-Amz-Algorithm") == _V4 or headers.get("authorization", "").startswith(_V4):
        return _ec2_v4(secret, signed, params, headers)
    version = params.get("SignatureVersion")
    if version == "0":
        return _b64(_hmac(secret.encode(), (params.get("Action", "") + params.get("Timestamp", "")).encode(), "sha1"))
    if version == "1":
        text = "".join(f"{key}{params[key]}" for key in sorted(params, key=str.lower))
        return _b64(_hmac(secret.encode(), text.encode(), "sha1"))
    if version == "2":
        method = params.get("SignatureMethod", "HmacSHA256")
        if method not in {"HmacSHA1", "HmacSHA256"}:
            raise BadSignature("Unknown method of EC2 signature.")
        text = "\n".join((signed["verb"], signed["host"], signed["path"], _canonical_query(params)))
        return _b64(_hmac(secret.encode(), text.encode(), method.removeprefix("Hmac").lower()))
    raise BadSignature("Unknown version of EC2 signature.")


def _ec2_v4(secret: str, signed: Mapping[str, Any], params: dict[str, str], headers: dict[str, str]) -> str:
    """AWS Signature Version 4, in the query string or in the header `Authorization`."""
    stated = _authorization(headers.get("authorization", ""))
    credential = params.get("X-Amz-Credential") or stated.get("Credential", "")
    names = params.get("X-Amz-SignedHeaders") or stated.get("SignedHeaders", "")
    stamp = headers.get("x-amz-date") or params.get("X-Amz-Date", "")
    scope = credential.split("/")[1:]
    if len(scope) != 4 or scope[3] != "aws4_request" or not names or not stamp.startswith(scope[0]):
        raise BadSignature("Invalid EC2 signature.")
    lines = []
    for name in names.lower().split(";"):
        value = signed["host"] if name == "host" else headers.get(name)
        if value is None:
            raise BadSignature("Invalid EC2 signature.")
        lines.append(f"{name}:{value.strip()}\n")
    # Parameters of a POST are in its body and count by their hash.
    query = {} if signed["verb"] == "POST" else {k: v for k, v in params.items() if k != "X-Amz-Signature"}
    request = "\n".join(
        (
            signed["verb"],
            signed["path"],
            _canonical_query(query),
            "".join(lines),
            names,
            str(signed.get("body_hash", "")),
        )
    )
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join((_V4, stamp, "/".join(scope), digest))
    return _hmac(_v4_key(secret, scope), text.encode(), "sha256").hex()


def _authorization(header: str) -> dict[str, str]:
    parts = (part.strip().partition("=") for part in header.removeprefix(_V4).split(","))
    return {name: value for name, _, value in parts}


def _s3_v4(secret: str, text: bytes) -> str:
    lines = text.decode(errors="replace").split("\n")
    scope = lines[2].split("/") if len(lines) == 4 else []
    if lines[0] != _V4 or len(scope) != 4 or scope[3] != "aws4_request" or scope[2] not in _S3_SERVICES:
        raise BadSignature("Invalid EC2 signature.")
    return _hmac(_v4_key(secret, scope), text, "sha256").hex()


def _v4_key(secret: str, scope: list[str]) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = _hmac(key, part.encode(), "sha256")
    return key


def _canonical_query(params: Mapping[str, str]) -> str:
    return "&".join(f"{quote(key, safe='-_~')}={quote(params[key], safe='-_~')}" for key in sorted(params))


def _hmac(key: bytes, text: bytes, method: str) -> bytes:
    return hmac.new(key, text, method).digest()


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
