"""Pages of other origins: what a bucket's document lets them ask, and read of answers.

The first rule that names origin and method counts. Source: "CORS configuration" in the Amazon S3 User Guide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree.ElementTree import Element  # the type only

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from apps.core.context import RequestContext
from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.base import answer
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.selectors.conditions import wildcard
from apps.objectstore.selectors.documents import bucket_origins
from apps.objectstore.services.document_checks import CORS_LISTS

ROOT = "CORSConfiguration"
_VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


def of_document(root: Element) -> dict[str, Any]:
    """A `CORSConfiguration`, as it is kept. Raises S3Error."""
    xml.only(root, "CORSRule")
    return {"rules": [_rule(element) for element in root]}


def _rule(element: Element) -> dict[str, Any]:
    xml.only(element, "ID", "MaxAgeSeconds", *CORS_LISTS.values())
    found: dict[str, Any] = {
        key: [(one.text or "").strip() for one in element.findall(name)] for key, name in CORS_LISTS.items()
    }
    age = xml.text_of(element, "MaxAgeSeconds")
    if age and not (age.isascii() and age.isdecimal() and len(age) < 16):
        raise S3Error("MalformedXML")
    return found | {"id": xml.text_of(element, "ID"), "age": int(age) if age else None}


def shown(document: Mapping[str, Any]) -> dict[str, xml.Value]:
    """The reverse."""
    return {"CORSRule": [_shown(rule) for rule in document["rules"]]}


def _shown(rule: Mapping[str, Any]) -> dict[str, xml.Value]:
    lists = {name: rule[key] for key, name in CORS_LISTS.items()}
    return {"ID": rule["id"] or None, **lists, "MaxAgeSeconds": rule["age"]}


def preflight(request: HttpRequest, bucket: str) -> HttpResponse:
    """`OPTIONS`: what a page may ask. Raises S3Error for one that may not."""
    origin = request.headers.get("Origin", "")
    method = request.headers.get("Access-Control-Request-Method", "")
    if not origin or not method:
        raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
    wanted = [name.strip().lower() for name in request.headers.get("Access-Control-Request-Headers", "").split(",")]
    rule = _matching(_rules(bucket), origin, method, [name for name in wanted if name])
    if rule is None:
        raise S3Error("AccessForbidden", "CORSResponse: This CORS request is not allowed.")
    headers = _said(rule, origin)
    if any(wanted):
        headers["Access-Control-Allow-Headers"] = ", ".join(filter(None, wanted))
    if rule["age"] is not None:
        headers["Access-Control-Max-Age"] = str(rule["age"])
    return answer(200, headers)


def shared(request: HttpRequest, bucket: str, response: HttpResponseBase) -> None:
    """Let the page that asked read the answer, if a rule names it."""
    origin = request.headers.get("Origin", "")
    if not origin or not bucket or request.method == "OPTIONS":
        return
    rule = _matching(_rules(bucket), origin, request.method or "", [])
    for name, value in _said(rule, origin).items() if rule else ():
        response[name] = value


def _rules(bucket: str) -> list[dict[str, Any]]:
    return bucket_origins(RequestContext(), bucket=bucket)


def _matching(
    rules: Iterable[Mapping[str, Any]], origin: str, method: str, headers: Iterable[str]
) -> Mapping[str, Any] | None:
    for rule in rules:
        allowed = [text.lower() for text in rule["headers"]]
        if (
            method in rule["methods"]
            and any(wildcard(text).fullmatch(origin) for text in rule["origins"])
            and all(any(wildcard(text).fullmatch(name) for text in allowed) for name in headers)
        ):
            return rule
    return None


def _said(rule: Mapping[str, Any], origin: str) -> dict[str, str]:
    """What an answer says to a page. Credentials are none of a browser's own: requests are signed."""
    is_any = "*" in rule["origins"]
    found = {
        "Access-Control-Allow-Origin": "*" if is_any else origin,
        "Access-Control-Allow-Methods": ", ".join(rule["methods"]),
        "Vary": _VARY,
    }
    if rule["exposed"]:
        found["Access-Control-Expose-Headers"] = ", ".join(rule["exposed"])
    return found
