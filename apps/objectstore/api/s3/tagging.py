"""Tags of buckets and objects: in documents, and in the header of a PUT."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element  # the type only

from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.errors import S3Error

ROOT = "Tagging"
MOST_OF_OBJECT, MOST_OF_BUCKET = 10, 50
_MOST_KEY, _MOST_VALUE = 128, 256
# Letters, spaces and numbers of any script, and these. Source: "Object tagging" in the Amazon S3 User Guide.
_ALLOWED = re.compile(r"[\w\s+\-=.:/@]*")


def of_document(root: Element, most: int) -> dict[str, str]:
    """Key → value. Raises S3Error."""
    xml.only(root, "TagSet")
    found = root.findall("TagSet")
    if len(found) != 1:
        raise S3Error("MalformedXML")
    xml.only(found[0], "Tag")
    pairs = []
    for tag in found[0]:
        xml.only(tag, "Key", "Value")
        if tag.find("Key") is None or tag.find("Value") is None:
            raise S3Error("MalformedXML")
        pairs.append((xml.text_of(tag, "Key", strip=False), xml.text_of(tag, "Value", strip=False)))
    return checked(pairs, most)


def of_header(text: str, most: int = MOST_OF_OBJECT) -> dict[str, str]:
    """`x-amz-tagging: key=value&…`. Raises S3Error."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        words = "x-amz-tagging is of the form key=value&key=value, encoded as UTF-8 and as parameters of a URL."
        raise S3Error("InvalidArgument", words, ArgumentName="x-amz-tagging") from None
    return checked(pairs, most)


def checked(pairs: Iterable[tuple[str, str]], most: int) -> dict[str, str]:
    """The tags, if they are within S3's limits. Raises S3Error."""
    found: dict[str, str] = {}
    for key, value in pairs:
        if key in found:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=key)
        if not 0 < len(key) <= _MOST_KEY or not _ALLOWED.fullmatch(key) or key.lower().startswith("aws:"):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=key)
        if len(value) > _MOST_VALUE or not _ALLOWED.fullmatch(value):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=key, TagValue=value)
        found[key] = value
    if len(found) > most:
        code = "BadRequest" if most == MOST_OF_OBJECT else "MalformedXML"
        noun = "Object" if most == MOST_OF_OBJECT else "Bucket"
        raise S3Error(code, f"{noun} tags cannot be greater than {most}")
    return found


def shown(tags: Mapping[str, Any]) -> dict[str, xml.Value]:
    """Tags as a document."""
    return {"TagSet": {"Tag": [{"Key": key, "Value": value} for key, value in tags.items()]}}
