"""What documents of buckets and tags may say, whoever wrote them: an API's XML or a page's form.

What is wrong is an Invalid with S3's code; `field` names the part of the document. Source: the Amazon S3 API reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings

from apps.core.errors import Conflict, Invalid
from apps.objectstore.models import Bucket, Container
from apps.objectstore.services.lock import MAX_DAYS
from apps.objectstore.states import MAX_OBJECT_NAME, Versioning

Rule = Mapping[str, Any]


def _rules_of(document: Mapping[str, Any], most: int) -> list[Rule]:
    rules: list[Rule] = document["rules"]
    if not 0 < len(rules) <= most:
        raise Invalid(f"A bucket has 1 to {most} rules.", code="MalformedXML")
    return rules


# --- tags ------------------------------------------------------------------------------------------

MOST_TAGS_OF_OBJECT, MOST_TAGS_OF_BUCKET = 10, 50
_MOST_KEY, _MOST_VALUE = 128, 256
# Letters, spaces and numbers of any script, and these. Source: "Object tagging" in the Amazon S3 User Guide.
_TAG = re.compile(r"[\w\s+\-=.:/@]*")


def tags_checked(pairs: Iterable[tuple[str, str]], most: int) -> dict[str, str]:
    """The tags, if they are within S3's limits. Raises Invalid."""
    found: dict[str, str] = {}
    for key, value in pairs:
        if key in found:
            raise Invalid(f"Cannot provide multiple Tags with the same key: {key}", field="tags", code="InvalidTag")
        if not 0 < len(key) <= _MOST_KEY or not _TAG.fullmatch(key) or key.lower().startswith("aws:"):
            raise Invalid(f"The TagKey you have provided is invalid: {key}", field="tags", code="InvalidTag")
        if len(value) > _MOST_VALUE or not _TAG.fullmatch(value):
            raise Invalid(f"The TagValue you have provided is invalid: {value}", field="tags", code="InvalidTag")
        found[key] = value
    if len(found) > most:
        noun, code = ("Object", "BadRequest") if most == MOST_TAGS_OF_OBJECT else ("Bucket", "MalformedXML")
        raise Invalid(f"{noun} tags cannot be greater than {most}", field="tags", code=code)
    return found


def bucket_tags_checked(row: Bucket, document: Mapping[str, str]) -> None:
    tags_checked(document.items(), MOST_TAGS_OF_BUCKET)


# --- lifecycle -------------------------------------------------------------------------------------

MOST_RULES, MOST_ID, MOST_NEWER = 1000, 255, 100
_ACTS = {"days", "date", "markers", "noncurrent_days", "abort_days"}


def lifecycle_checked(row: Bucket, document: Mapping[str, Any]) -> None:
    """Raise Invalid for rules that would not be kept to."""
    rules = _rules_of(document, MOST_RULES)
    for rule in rules:
        _rule_checked(rule)
    if len({rule["id"] for rule in rules}) != len(rules):
        words = "Rule ID must be unique. Found same ID for more than one rule."
        raise Invalid(words, field="id", code="InvalidArgument")


def _rule_checked(rule: Rule) -> None:
    if len(rule["id"]) > MOST_ID:
        raise Invalid(f"ID length should not exceed allowed limit of {MOST_ID}", field="id", code="InvalidArgument")
    if len(rule["prefix"].encode()) > MAX_OBJECT_NAME or "\x00" in rule["prefix"]:
        words = f"The maximum size of a prefix is {MAX_OBJECT_NAME}."
        raise Invalid(words, field="prefix", code="InvalidRequest")
    tags_checked(rule["tags"].items(), MOST_TAGS_OF_OBJECT)
    if "least" in rule and "most" in rule and rule["least"] >= rule["most"]:
        words = "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'."
        raise Invalid(words, field="most", code="InvalidRequest")
    for key in ("days", "noncurrent_days", "abort_days"):
        if key in rule and not 1 <= rule[key] <= MAX_DAYS:
            words = f"A lifecycle rule waits for 1 to {MAX_DAYS} days."
            raise Invalid(words, field=key, code="InvalidArgument")
    if "newer" in rule and not 1 <= rule["newer"] <= MOST_NEWER:
        words = f"'NewerNoncurrentVersions' must be between 1 and {MOST_NEWER}"
        raise Invalid(words, field="newer", code="InvalidArgument")
    if not set(rule) & _ACTS:
        raise Invalid("At least one action needs to be specified in a rule", code="InvalidRequest")
    if (rule["tags"] or "least" in rule or "most" in rule) and set(rule) & {"abort_days", "markers"}:
        words = "AbortIncompleteMultipartUpload and ExpiredObjectDeleteMarker cannot be specified with tags or sizes"
        raise Invalid(words, field="abort_days" if "abort_days" in rule else "markers", code="InvalidRequest")


# --- pages of other origins ------------------------------------------------------------------------

METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
_MOST_CORS_RULES, _MOST_AGE = 100, 10**9
# Key of a rule → S3's name of its elements.
CORS_LISTS = {
    "origins": "AllowedOrigin",
    "methods": "AllowedMethod",
    "headers": "AllowedHeader",
    "exposed": "ExposeHeader",
}


def cors_checked(row: Bucket, document: Mapping[str, Any]) -> None:
    """Raise Invalid for rules that no request could match, or that say what is not served."""
    for rule in _rules_of(document, _MOST_CORS_RULES):
        _cors_rule_checked(rule)


def _cors_rule_checked(rule: Rule) -> None:
    for key, name in CORS_LISTS.items():
        if "" in rule[key] or not all(text.isprintable() for text in rule[key]):
            raise Invalid(f"{name} is not well formed.", field=key, code="MalformedXML")
    for key in ("origins", "methods"):
        if not rule[key]:
            raise Invalid(f"A rule needs one {CORS_LISTS[key]} at least.", field=key, code="MalformedXML")
    for method in rule["methods"]:
        if method not in METHODS:
            words = f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
            raise Invalid(words, field="methods", code="InvalidRequest")
    for key in ("origins", "headers"):
        for text in rule[key]:
            if text.count("*") > 1:
                words = f'{CORS_LISTS[key]} "{text}" can not have more than one wildcard.'
                raise Invalid(words, field=key, code="InvalidRequest")
    if any("*" in text for text in rule["exposed"]):
        words = "ExposeHeader contains a wildcard. We do not support wildcards for it."
        raise Invalid(words, field="exposed", code="InvalidRequest")
    if rule["age"] is not None and not 0 <= rule["age"] <= _MOST_AGE:
        raise Invalid(f"MaxAgeSeconds is at most {_MOST_AGE}.", field="age", code="MalformedXML")
    if len(rule["id"]) > MOST_ID:
        raise Invalid(f"ID length should not exceed allowed limit of {MOST_ID}", field="id", code="MalformedXML")


# --- web sites, object lock --------------------------------------------------------------------------


def website_checked(row: Bucket, document: Mapping[str, Any]) -> None:
    """Raise Invalid for a site that no index could be found on, or where no site would be shown."""
    if not settings.CONFIG.objectstore.s3_website_domains:
        raise Invalid("This cloud has no name for web sites of buckets.", code="NotImplemented")
    if "all" not in document and (not document["index"] or "/" in document["index"]):
        words = "The IndexDocument Suffix is not well formed"
        raise Invalid(words, field="index", code="InvalidArgument")


def lock_checked(row: Bucket, document: Mapping[str, Any]) -> None:
    """Raise Conflict where versions are not kept, Invalid for a period that cannot be.

    Objects can be locked where versions are kept: from the first such document on, and for ever.
    """
    if document and not 0 < document["days"] + document["years"] * 365 <= MAX_DAYS:
        raise Invalid(f"The retention period is 1 to {MAX_DAYS} days.", field="number", code="InvalidRetentionPeriod")
    if row.lock_enabled:
        return
    # How it keeps versions changes only under the same lock.
    if Container.objects.select_for_update().get(pk=row.container_id).versioning != Versioning.ENABLED:
        words = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        raise Conflict(words, code="InvalidBucketState")
    row.lock_enabled = True
