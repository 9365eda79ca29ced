"""Lifecycle documents: what becomes of objects with time. Transitions to other storage classes are not served."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element  # the type only

from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.services.document_checks import MOST_TAGS_OF_OBJECT, tags_checked

ROOT = "LifecycleConfiguration"
_FILTERS = {"Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"}
_TRANSITIONS = ("Transition", "NoncurrentVersionTransition")


def of_document(root: Element) -> dict[str, Any]:
    """A `LifecycleConfiguration`, as it is kept. Raises S3Error for what would not be done."""
    xml.only(root, "Rule")
    return {"rules": [_rule(element, number) for number, element in enumerate(root, 1)]}


def _rule(element: Element, number: int) -> dict[str, Any]:
    for name in _TRANSITIONS:
        if element.find(name) is not None:
            raise S3Error("NotImplemented", Resource=name)
    xml.only(element, "ID", "Status", "Prefix", "Filter", "Expiration", "NoncurrentVersionExpiration",
             "AbortIncompleteMultipartUpload")  # fmt: skip
    ident, status = xml.text_of(element, "ID") or f"rule-{number}", xml.text_of(element, "Status")
    if status not in {"Enabled", "Disabled"}:
        raise S3Error("MalformedXML")
    if (element.find("Prefix") is None) == (element.find("Filter") is None):
        raise S3Error("MalformedXML")
    found = {"id": ident, "on": status == "Enabled", "old": element.find("Filter") is None} | _filter(element)
    return found | _expiration(element) | _noncurrent(element) | _abort(element)


def _filter(element: Element) -> dict[str, Any]:
    """Which objects a rule is about: `prefix`, `tags`, and sizes above `least` and below `most`."""
    inner = element.find("Filter")
    if inner is None:
        return {"prefix": xml.text_of(element, "Prefix", strip=False), "tags": {}}
    xml.only(inner, "And", *_FILTERS)
    if len(inner) > 1:
        raise S3Error("MalformedXML")
    both = inner.find("And")
    if both is not None:
        xml.only(both, *_FILTERS)
        if len(both) < 2:
            raise S3Error("MalformedXML")
        inner = both
    found: dict[str, Any] = {"prefix": xml.text_of(inner, "Prefix", strip=False), "tags": _tags(inner)}
    for key, name in (("least", "ObjectSizeGreaterThan"), ("most", "ObjectSizeLessThan")):
        if inner.find(name) is not None:
            found[key] = _number(xml.text_of(inner, name))
    return found


def _tags(element: Element) -> dict[str, str]:
    pairs = []
    for tag in element.findall("Tag"):
        xml.only(tag, "Key", "Value")
        pairs.append((xml.text_of(tag, "Key", strip=False), xml.text_of(tag, "Value", strip=False)))
    return tags_checked(pairs, MOST_TAGS_OF_OBJECT)


def _expiration(element: Element) -> dict[str, Any]:
    inner = element.find("Expiration")
    if inner is None:
        return {}
    xml.only(inner, "Days", "Date", "ExpiredObjectDeleteMarker")
    if len(inner) != 1:
        raise S3Error("MalformedXML")
    name, text = inner[0].tag, xml.text_of(inner, inner[0].tag)
    if name == "Days":
        return {"days": _number(text)}
    if name == "Date":
        return {"date": _midnight(text).isoformat()}
    if text not in {"true", "false"}:
        raise S3Error("MalformedXML")
    return {"markers": text == "true"}


def _noncurrent(element: Element) -> dict[str, Any]:
    inner = element.find("NoncurrentVersionExpiration")
    if inner is None:
        return {}
    xml.only(inner, "NoncurrentDays", "NewerNoncurrentVersions")
    found = {"noncurrent_days": _number(xml.text_of(inner, "NoncurrentDays"))}
    if inner.find("NewerNoncurrentVersions") is not None:
        found["newer"] = _number(xml.text_of(inner, "NewerNoncurrentVersions"))
    return found


def _abort(element: Element) -> dict[str, Any]:
    inner = element.find("AbortIncompleteMultipartUpload")
    if inner is None:
        return {}
    xml.only(inner, "DaysAfterInitiation")
    return {"abort_days": _number(xml.text_of(inner, "DaysAfterInitiation"))}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise S3Error("InvalidArgument", "A number of a lifecycle rule is a positive integer", ArgumentValue=text)
    return int(text)


def _midnight(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise S3Error("MalformedXML") from None
    found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    if (found.hour, found.minute, found.second, found.microsecond) != (0, 0, 0, 0):
        raise S3Error("InvalidArgument", "'Date' must be at midnight GMT")
    return found


def shown(document: Mapping[str, Any]) -> dict[str, xml.Value]:
    """The reverse."""
    return {"Rule": [_shown(rule) for rule in document["rules"]]}


def _shown(rule: Mapping[str, Any]) -> dict[str, xml.Value]:
    found: dict[str, xml.Value] = {"ID": rule["id"]}
    if rule["old"]:
        found["Prefix"] = rule["prefix"]
    else:
        found["Filter"] = _filter_shown(rule)
    found["Status"] = "Enabled" if rule["on"] else "Disabled"
    if "days" in rule:
        found["Expiration"] = {"Days": rule["days"]}
    elif "date" in rule:
        found["Expiration"] = {"Date": datetime.fromisoformat(rule["date"])}
    elif "markers" in rule:
        found["Expiration"] = {"ExpiredObjectDeleteMarker": rule["markers"]}
    if "noncurrent_days" in rule:
        newer = rule.get("newer")
        found["NoncurrentVersionExpiration"] = {
            "NoncurrentDays": rule["noncurrent_days"],
            "NewerNoncurrentVersions": newer,
        }
    if "abort_days" in rule:
        found["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": rule["abort_days"]}
    return found


def _filter_shown(rule: Mapping[str, Any]) -> xml.Value:
    parts: list[tuple[str, xml.Value]] = [("Prefix", rule["prefix"])] if rule["prefix"] else []
    parts += [("Tag", {"Key": key, "Value": value}) for key, value in rule["tags"].items()]
    names = (("least", "ObjectSizeGreaterThan"), ("most", "ObjectSizeLessThan"))
    parts += [(name, rule[key]) for key, name in names if key in rule]
    if len(parts) < 2:
        return dict(parts) or {"Prefix": ""}
    grouped: dict[str, list[xml.Value]] = {}
    for name, value in parts:
        grouped.setdefault(name, []).append(value)
    return {"And": grouped}
