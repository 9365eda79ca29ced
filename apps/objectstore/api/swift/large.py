"""Static large objects on the wire: their manifests, and what becomes of them when they are deleted."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import orjson
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from apps.core.errors import Invalid, NotAcceptable, NotFound, TooLarge
from apps.objectstore import services
from apps.objectstore.api.swift import listings, reports
from apps.objectstore.api.swift.base import Call, answer, is_true, utf8, words_of
from apps.objectstore.models import ObjectFields
from apps.objectstore.services import Wanted, WrongSegmentsError
from apps.objectstore.services.large import MOST_BYTES, MOST_SEGMENTS

JSON = "application/json"
UPLOAD = "upload"  # the root of reports in XML
MALFORMED = "The server could not comply with the request since it is either malformed or otherwise incorrect."
_KEYS = {"path", "etag", "size_bytes", "range", "data"}


def asks(call: Call, what: str) -> bool:
    """Whether the request is about the manifest: `get`, `put` or `delete`."""
    return call.request.GET.get("multipart-manifest") == what


def wanted_of(call: Call, size: int) -> list[Wanted]:
    """The segments that a manifest names. Raises TooLarge, Invalid."""
    if size > MOST_BYTES:
        raise TooLarge(f"A manifest has at most {MOST_BYTES} bytes.")
    try:
        found = orjson.loads(call.request.read(size))
    except orjson.JSONDecodeError:
        raise Invalid("Manifest must be valid JSON.") from None
    if not isinstance(found, list) or not found:
        raise Invalid("Manifest must be a list, with at least one segment.")
    if len(found) > MOST_SEGMENTS:
        raise TooLarge(f"Number of segments must be <= {MOST_SEGMENTS}.")
    for index, segment in enumerate(found):
        if problem := _problem(segment):
            raise Invalid(f"Index {index}: {problem}")
    if all("data" in segment for segment in found):
        raise Invalid("Inline data segments require at least one object-backed segment.")
    return found


def _problem(segment: Any) -> str:
    if not isinstance(segment, dict):
        return "not a JSON object"
    if unknown := set(segment) - _KEYS:
        return f"extraneous keys: {', '.join(sorted(unknown))}"
    if "data" in segment:
        return _data_problem(segment) if len(segment) == 1 else "data and other keys"
    path = segment.get("path")
    if not isinstance(path, str) or not all(path.lstrip("/").partition("/")[::2]) or "\x00" in path:
        return "path does not refer to an object. Path must be of the form /container/object."
    if not isinstance(segment.get("etag") or "", str):
        return "etag must be a string (if provided)"
    size = segment.get("size_bytes")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        return "size_bytes must be a positive number (if provided)"
    return "" if isinstance(segment.get("range") or "", str) else "range must be a string (if provided)"


def _data_problem(segment: dict[str, Any]) -> str:
    try:
        return "" if base64.b64decode(segment["data"], validate=True) else "too small; data must be at least 1 byte"
    except (TypeError, ValueError, binascii.Error):
        return "data must be valid base64"


def shown(call: Call, found: ObjectFields) -> bytes:
    """The manifest, as it is kept or, with `format=raw`, as it may be put again.

    That of an object which S3 made of parts has them as ranges of the object itself.
    """
    segments = found.segments if found.parts is None else list(_ranges_of(call, found))
    segments = segments or []
    if call.request.GET.get("format") != "raw":
        return orjson.dumps(segments)
    return orjson.dumps([_raw(segment) for segment in segments])


def _ranges_of(call: Call, found: ObjectFields) -> Iterator[dict[str, Any]]:
    at = 0
    for part in found.parts or []:
        yield {
            "name": f"/{call.address.container}/{found.name}",
            "hash": part["etag"],
            "of": found.etag,
            "bytes": part["bytes"],
            "range": f"{at}-{at + part['bytes'] - 1}",
            "content_type": found.content_type,
            "last_modified": f"{found.created_at:%Y-%m-%dT%H:%M:%S.%f}",
        }
        at += part["bytes"]


def _raw(segment: dict[str, Any]) -> dict[str, Any]:
    if "data" in segment:
        return {"data": segment["data"]}
    made = {"path": segment["name"], "etag": segment.get("of", segment["hash"])}
    return made | ({"range": segment["range"]} if "range" in segment else {"size_bytes": segment["bytes"]})


# --- manifests put and deleted ----------------------------------------------------------------------


def put(call: Call, made: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """The answer to `PUT …?multipart-manifest=put`; `made` does it. Raises what it raises.

    With `heartbeat=on` the status is 202 at once, and what became of it the end of the body: an answer that takes long
    is not taken for one that will not come.
    """
    if is_true(call.parameter("heartbeat")):
        return _told_at_last(call, made)
    try:
        return made()
    except WrongSegmentsError as error:
        form = _form(call)
        return answer(400, {}, reports.as_bytes(form, UPLOAD, {"Errors": _quoted(error)}), form)


def _told_at_last(call: Call, made: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    form = _form(call)

    def pieces() -> Iterator[bytes]:
        yield b" "
        yield b"\r\n\r\n" + reports.as_bytes(form, UPLOAD, _outcome(made))

    # nginx would keep the beginning back until there is more
    return StreamingHttpResponse(pieces(), status=202, headers={"Content-Type": form, "X-Accel-Buffering": "no"})


def _outcome(made: Callable[[], HttpResponseBase]) -> reports.Report:
    """What became of the PUT, after its status was sent: errors are told as well."""
    try:
        response = made()
    except Exception as error:  # noqa: BLE001 - each becomes a part of the answer, what nobody foresaw a logged one
        status, title, text = words_of(error)
        problems = _quoted(error) if isinstance(error, WrongSegmentsError) else []
        body = f"{title}\n{MALFORMED if problems else text}"
        return {"Response Status": f"{status} {title}", "Response Body": body, "Errors": problems}
    return {
        "Response Status": f"{response.status_code} {response.reason_phrase}",
        "Etag": response.headers["Etag"],
        "Last Modified": response.headers["Last-Modified"],
        "Response Body": "",
        "Errors": [],
    }


def _quoted(error: WrongSegmentsError) -> list[list[str]]:
    return [[quote(path), problem] for path, problem in error.problems]


def _form(call: Call) -> str:
    """The media type that is liked best, or text: a PUT is not refused for it."""
    try:
        return listings.form_of(call)
    except NotAcceptable:
        return listings.TEXT


def deleted(call: Call) -> HttpResponseBase:
    """`DELETE …?multipart-manifest=delete`. Raises NotAcceptable before anything is done; Forbidden."""
    account, container, name = call.address.project_id, call.address.container, call.address.name
    listings.form_of(call)
    report = reports.of_deletions()
    try:
        paths = services.manifest_paths(call.ctx, account=account, container=container, name=name)
    except NotFound:
        report["Number Not Found"], paths = 1, []
    except Invalid as error:
        report["Errors"], paths = [[quote(f"/{container}/{name}"), str(error)]], []
    for place, inner in paths:
        act = partial(services.object_delete, call.ctx, account=account, container=place, name=inner)
        reports.count_deletion(report, quote(f"/{place}/{inner}"), act)
    return reports.told(call, "delete", reports.ended(report, "200 OK"))


def prefix_checked(value: str) -> str:
    """The value of `X-Object-Manifest`. Raises Invalid unless it is `container/prefix`."""
    container, _, prefix = utf8(unquote(value, encoding="latin-1"), services.DYNAMIC).partition("/")
    if not container or not prefix or "?" in value or "&" in value:
        raise Invalid("X-Object-Manifest must be in the format container/prefix")
    return value
