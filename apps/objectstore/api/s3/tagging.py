"""Tags of buckets and objects: in documents, and in the header of a PUT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element  # the type only

from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.services.document_checks import MOST_TAGS_OF_OBJECT, tags_checked

ROOT = "Tagging"


def of_document(root: Element, most: int) -> dict[str, str]:
    """Key → value. Raises S3Error, Invalid."""
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
    return tags_checked(pairs, most)


def of_header(text: str, most: int = MOST_TAGS_OF_OBJECT) -> dict[str, str]:
    """`x-amz-tagging: key=value&…`. Raises S3Error."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        words = "x-amz-tagging is of the form key=value&key=value, encoded as UTF-8 and as parameters of a URL."
        raise S3Error("InvalidArgument", words, ArgumentName="x-amz-tagging") from None
    return tags_checked(pairs, most)


def shown(tags: Mapping[str, Any]) -> dict[str, xml.Value]:
    """Tags as a document."""
    return {"TagSet": {"Tag": [{"Key": key, "Value": value} for key, value in tags.items()]}}
