"""Object lock as S3 writes it: a bucket's default, an object's retention and legal hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element  # the type only

from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.services.lock import MODES

MODE, UNTIL, HOLD = "X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "X-Amz-Object-Lock-Legal-Hold"
_HOLDS = {"ON": True, "OFF": False}


def default_of_document(root: Element) -> dict[str, Any]:
    """An `ObjectLockConfiguration`: `{mode, days, years}`, or nothing without a default. Raises S3Error."""
    xml.only(root, "ObjectLockEnabled", "Rule")
    if xml.text_of(root, "ObjectLockEnabled") != "Enabled":
        raise S3Error("MalformedXML")
    rule = root.find("Rule")
    if rule is None:
        return {}
    xml.only(rule, "DefaultRetention")
    found = rule.find("DefaultRetention")
    if found is None:
        raise S3Error("MalformedXML")
    xml.only(found, "Mode", "Days", "Years")
    days, years = (_number(xml.text_of(found, name)) for name in ("Days", "Years"))
    if (days is None) == (years is None):
        raise S3Error("MalformedXML")
    return {"mode": _mode(xml.text_of(found, "Mode")), "days": days or 0, "years": years or 0}


def default_shown(found: Mapping[str, Any]) -> dict[str, xml.Value]:
    """The reverse."""
    if not found:
        return {"ObjectLockEnabled": "Enabled"}
    period = {"Days": found["days"]} if found["days"] else {"Years": found["years"]}
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": found["mode"], **period}}}


def retention_of_document(root: Element) -> tuple[str, datetime | None]:
    """A `Retention`: mode and end, neither to end one. Raises S3Error."""
    xml.only(root, "Mode", "RetainUntilDate")
    mode, until = xml.text_of(root, "Mode"), xml.text_of(root, "RetainUntilDate")
    if not mode and not until:
        return "", None
    if not mode or not until:
        raise S3Error("MalformedXML")
    return _mode(mode), instant(until)


def hold_of_document(root: Element) -> bool:
    """A `LegalHold`. Raises S3Error."""
    xml.only(root, "Status")
    status = xml.text_of(root, "Status")
    if status not in _HOLDS:
        raise S3Error("MalformedXML")
    return _HOLDS[status]


def of_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """What the headers of a PUT say, in the names of the object's fields. Raises S3Error."""
    found: dict[str, Any] = {}
    if MODE in headers:
        if headers[MODE] not in MODES:
            raise S3Error("InvalidArgument", "Unknown wormMode directive.", ArgumentName=MODE.lower())
        found["lock_mode"] = headers[MODE]
    if UNTIL in headers:
        found["retain_until"] = instant(headers[UNTIL])
    if HOLD in headers:
        if headers[HOLD] not in _HOLDS:
            raise S3Error("InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'", ArgumentName=HOLD.lower())
        found["legal_hold"] = _HOLDS[headers[HOLD]]
    return found


def bypass_asked(headers: Mapping[str, str]) -> bool:
    """Whether the caller wants to pass governance mode."""
    return headers.get("X-Amz-Bypass-Governance-Retention", "").lower() == "true"


def instant(text: str) -> datetime:
    """A time of ISO 8601. Raises S3Error."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        words = "The retain until date must be provided in ISO 8601 format"
        raise S3Error("InvalidArgument", words, ArgumentName=UNTIL.lower(), ArgumentValue=text) from None
    if not 1970 <= found.year < 9998:
        raise S3Error("InvalidArgument", ArgumentName=UNTIL.lower(), ArgumentValue=text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _mode(text: str) -> str:
    if text not in MODES:
        raise S3Error("MalformedXML")
    return text


def _number(text: str) -> int | None:
    if not text:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
        raise S3Error("MalformedXML")
    return int(text)
