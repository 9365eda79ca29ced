"""Buckets as web sites, at `BUCKET.DOMAIN` for a domain of the configuration: pages for whoever may read the objects.

No request is signed here, and nothing can be written. Pages run scripts, but have no origin of Kumo's: see the decision
record of published pages. Source: "Hosting a static website" in the Amazon S3 User Guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element  # the type only

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.html import escape

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, KumoError, NotFound
from apps.objectstore import selectors, services
from apps.objectstore.api.downloads import download
from apps.objectstore.api.origins import HEADER, PUBLISHED
from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.base import bucket_of_host, host_of, target_of
from apps.objectstore.api.s3.documents import Form, calls_on
from apps.objectstore.api.s3.errors import CODES, S3Error, as_s3
from apps.objectstore.api.s3.objects import etag_of, object_headers
from apps.objectstore.api.swift import ranges
from apps.objectstore.models import Bucket, Object
from apps.objectstore.selectors import bucket_row
from apps.objectstore.services import Reader

ROOT = "WebsiteConfiguration"
_MOST_RULES = 50
_PROTOCOLS = ("", "http", "https")


# --- the document ------------------------------------------------------------------------------------


def of_document(root: Element) -> dict[str, Any]:
    """A `WebsiteConfiguration`, as it is kept. Raises S3Error."""
    xml.only(root, "RedirectAllRequestsTo", "IndexDocument", "ErrorDocument", "RoutingRules")
    whole = root.find("RedirectAllRequestsTo")
    if whole is not None:
        if len(root) != 1:
            raise S3Error("MalformedXML")
        xml.only(whole, "HostName", "Protocol")
        return {"all": _target(whole, needs_host=True)}
    index, error = root.find("IndexDocument"), root.find("ErrorDocument")
    if index is None:
        raise S3Error("MalformedXML")
    xml.only(index, "Suffix")
    found: dict[str, Any] = {"index": xml.text_of(index, "Suffix"), "error": "", "rules": []}
    if error is not None:
        xml.only(error, "Key")
        found["error"] = xml.text_of(error, "Key")
        if not found["error"]:
            raise S3Error("MalformedXML")
    rules = root.find("RoutingRules")
    if rules is not None:
        xml.only(rules, "RoutingRule")
        if not 0 < len(rules) <= _MOST_RULES:
            raise S3Error("MalformedXML")
        found["rules"] = [_rule(element) for element in rules]
    return found


def _rule(element: Element) -> dict[str, Any]:
    xml.only(element, "Condition", "Redirect")
    condition, redirect = element.find("Condition"), element.find("Redirect")
    if redirect is None or len(redirect) == 0:
        raise S3Error("MalformedXML")
    xml.only(redirect, "HostName", "Protocol", "HttpRedirectCode", "ReplaceKeyPrefixWith", "ReplaceKeyWith")
    found: dict[str, Any] = {"prefix": "", "error": 0, "to": _target(redirect)}
    if condition is not None:
        xml.only(condition, "KeyPrefixEquals", "HttpErrorCodeReturnedEquals")
        found["prefix"] = xml.text_of(condition, "KeyPrefixEquals", strip=False)
        found["error"] = _code(condition, "HttpErrorCodeReturnedEquals", 400, 599, 0)
    found["status"] = _code(redirect, "HttpRedirectCode", 301, 308, 301)
    for key, name in (("prefix_with", "ReplaceKeyPrefixWith"), ("key_with", "ReplaceKeyWith")):
        if redirect.find(name) is not None:
            found[key] = xml.text_of(redirect, name, strip=False)
    if "prefix_with" in found and "key_with" in found:
        raise S3Error("InvalidRequest", "You can only define ReplaceKeyPrefix or ReplaceKey but not both.")
    return found


def _code(element: Element, name: str, least: int, most: int, default: int) -> int:
    text = xml.text_of(element, name) or str(default)
    if not (text.isascii() and text.isdecimal()) or not (int(text[:4]) == default or least <= int(text[:4]) <= most):
        raise S3Error("InvalidRequest", f"The provided {name} is not valid.")
    return int(text[:4])


def _target(element: Element, *, needs_host: bool = False) -> dict[str, str]:
    host, protocol = xml.text_of(element, "HostName"), xml.text_of(element, "Protocol")
    if protocol not in _PROTOCOLS or (needs_host and not host):
        raise S3Error("MalformedXML")
    if not all(c.isalnum() or c in ".-:[]" for c in host) or not host.isascii():
        raise S3Error("InvalidRequest", "The HostName is not valid.")
    return {"host": host, "protocol": protocol}


def shown(found: Mapping[str, Any]) -> dict[str, xml.Value]:
    """The reverse."""
    if "all" in found:
        return {"RedirectAllRequestsTo": _target_shown(found["all"])}
    content: dict[str, xml.Value] = {"IndexDocument": {"Suffix": found["index"]}}
    if found["error"]:
        content["ErrorDocument"] = {"Key": found["error"]}
    if found["rules"]:
        content["RoutingRules"] = {"RoutingRule": [_rule_shown(rule) for rule in found["rules"]]}
    return content


def _rule_shown(rule: Mapping[str, Any]) -> dict[str, xml.Value]:
    condition: dict[str, xml.Value] = {"KeyPrefixEquals": rule["prefix"]} if rule["prefix"] else {}
    if rule["error"]:
        condition["HttpErrorCodeReturnedEquals"] = rule["error"]
    names = (("prefix_with", "ReplaceKeyPrefixWith"), ("key_with", "ReplaceKeyWith"))
    redirect = _target_shown(rule["to"]) | {"HttpRedirectCode": rule["status"]}
    redirect |= {name: rule[key] for key, name in names if key in rule}
    return {"Condition": condition or None, "Redirect": redirect}


def _target_shown(found: Mapping[str, str]) -> dict[str, xml.Value]:
    return {"HostName": found["host"] or None, "Protocol": found["protocol"] or None}


CALLS = calls_on("website", Form("website", ROOT, of_document, shown))


# --- the site ----------------------------------------------------------------------------------------


def site_of(request: HttpRequest) -> str:
    """The bucket whose site a request is for; "" for requests to the API."""
    return bucket_of_host(host_of(request), settings.CONFIG.objectstore.s3_website_domains)


def answered(request: HttpRequest, bucket: str) -> HttpResponseBase:
    """What the site of a bucket shows at the path of a request."""
    try:
        row = bucket_row(bucket)
        response = _page(404, "NoSuchBucket") if row is None else _site(request, row, target_of(request).path)
    except KumoError as error:
        known = as_s3(error) or S3Error("InternalError")
        response = _page(CODES[known.code][0], known.code)
    response[HEADER] = PUBLISHED
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _site(request: HttpRequest, row: Bucket, path: str) -> HttpResponseBase:
    site = row.documents.get("website")
    if request.method not in {"GET", "HEAD"}:
        return _page(405, "MethodNotAllowed")
    if site is None:
        return _page(404, "NoSuchWebsiteConfiguration")
    key = path.removeprefix("/")
    if "all" in site:
        return _redirect(request, site["all"], 301, key)
    for rule in site["rules"]:
        if not rule["error"] and key.startswith(rule["prefix"]):
            return _by_rule(request, rule, key)
    return _shown_at(request, row, site, key)


def _shown_at(request: HttpRequest, row: Bucket, site: Mapping[str, Any], key: str) -> HttpResponseBase:
    wanted = f"{key}{site['index']}" if not key or key.endswith("/") else key
    try:
        return _object(request, row, wanted, 200)
    except (Forbidden, NotFound) as error:
        if isinstance(error, NotFound) and wanted == key and _is_there(request, row, f"{key}/{site['index']}"):
            return _redirect(request, {"host": "", "protocol": ""}, 302, f"{key}/")
        return _error(request, row, site, key, error)


def _is_there(request: HttpRequest, row: Bucket, key: str) -> bool:
    try:
        _row(request, row, key)
    except KumoError:
        return False
    return True


def _error(request: HttpRequest, row: Bucket, site: Mapping[str, Any], key: str, error: KumoError) -> HttpResponseBase:
    """A redirect by rule, the site's own page of errors, or one of ours."""
    known = as_s3(error)
    code = known.code if known else "InternalError"
    status = CODES[code][0]
    for rule in site["rules"]:
        if rule["error"] == status and key.startswith(rule["prefix"]):
            return _by_rule(request, rule, key)
    if site["error"]:
        try:
            return _object(request, row, site["error"], status)
        except (Forbidden, NotFound):
            return _page(status, code)
    return _page(status, code)


def _row(request: HttpRequest, row: Bucket, key: str) -> Object:
    ctx = RequestContext(request_id=getattr(request, "request_id", ""))
    place = row.container
    referrer = request.headers.get("Referer", "")
    return selectors.object_get(ctx, account=place.account_id, container=place.name, name=key, referrer=referrer)


def _object(request: HttpRequest, row: Bucket, key: str, status: int) -> HttpResponseBase:
    found = _row(request, row, key)
    reader = Reader(RequestContext(), row.container.account_id, request.headers.get("Referer", ""))
    content = services.content_of(reader, found)
    etag = etag_of(found, content)
    headers = object_headers(found) | {"ETag": f'"{etag}"', "Content-Length": str(content.size)}
    if status == 200 and (refused := ranges.unmet(request.headers, etag, found.created_at)):
        return HttpResponse(status=refused, headers={"ETag": f'"{etag}"'})
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    return download(request, content, 0, content.size, headers=headers, status=status)


def _by_rule(request: HttpRequest, rule: Mapping[str, Any], key: str) -> HttpResponse:
    if "prefix_with" in rule:
        key = rule["prefix_with"] + key.removeprefix(rule["prefix"])
    return _redirect(request, rule["to"], rule["status"], rule.get("key_with", key))


def _redirect(request: HttpRequest, to: Mapping[str, str], status: int, key: str) -> HttpResponse:
    host, protocol = to["host"] or request.META.get("HTTP_HOST", ""), to["protocol"] or request.scheme
    where = f"{protocol}://{host}/{quote(key)}"
    return HttpResponse(status=status, headers={"Location": where})


def _page(status: int, code: str) -> HttpResponse:
    words = escape(CODES[code][1])
    body = (
        f"<html><head><title>{status} {code}</title></head><body><h1>{status} {code}</h1><p>{words}</p></body></html>"
    )
    return HttpResponse(body, status=status, content_type="text/html; charset=utf-8")
