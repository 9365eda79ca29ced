"""Versions of objects on the wire: `X-Versions-Enabled`, `?version-id=`, `?versions`, and the older manners."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

import orjson
from django.http.response import HttpResponseBase

from apps.core.errors import Invalid, NotAcceptable, NotFound, PreconditionFailed
from apps.objectstore import selectors, services
from apps.objectstore.api.swift import listings
from apps.objectstore.api.swift.base import Address, Call, LengthRequired, answer, limits_checked, utf8
from apps.objectstore.api.texts import latin
from apps.objectstore.models import Container, Object, ObjectFields, Version
from apps.objectstore.selectors import VersionEntry
from apps.objectstore.services import Keeping
from apps.objectstore.states import NO_VERSION, Versioning, version_of, version_word

ENABLED, STACK, HISTORY = "X-Versions-Enabled", "X-Versions-Location", "X-History-Location"
ID, CURRENT_ID = "X-Object-Version-Id", "X-Object-Current-Version-Id"


class DeletedError(NotFound):
    """What was asked for is a marker that an object was deleted, or has just become one."""

    def __init__(self, name: str, version_id: UUID, kind: str = "") -> None:
        super().__init__("object", name)
        self.headers = {ID: version_word(version_id)} | ({"Content-Type": kind} if kind else {})


# --- containers ------------------------------------------------------------------------------------


def keeping(call: Call) -> Keeping | None:
    """How the container shall keep what is replaced, if the request says. Raises Invalid, PreconditionFailed."""
    versioning = None
    if ENABLED in call.headers:
        versioning = Versioning.ENABLED if listings.is_true(call.headers[ENABLED]) else Versioning.SUSPENDED
    wanted = {name: call.header(name) for name in (STACK, HISTORY) if call.headers.get(name)}
    if len(wanted) > 1:
        raise Invalid(f"Only one of {STACK} or {HISTORY} may be specified")
    for name, value in wanted.items():
        archive = utf8(unquote(latin(value), encoding="latin-1"), name)
        if "/" in archive:
            raise PreconditionFailed("Container name cannot contain slashes")
        limits_checked(Address(call.address.project_id, archive))
        return Keeping(versioning, archive, is_history=name == HISTORY)
    emptied = any(name in call.headers for name in (STACK, HISTORY))
    if emptied or any(call.headers.get(name.replace("X-", "X-Remove-", 1)) for name in (STACK, HISTORY)):
        return Keeping(versioning, "")
    return None if versioning is None else Keeping(versioning)


def container_headers(row: Container) -> dict[str, str]:
    headers = {}
    if row.versioning != Versioning.NEVER:
        headers[ENABLED] = str(row.versioning == Versioning.ENABLED)
    if row.archive:
        headers[HISTORY if row.is_history else STACK] = quote(row.archive)
    return headers


def listed(call: Call, headers: dict[str, str]) -> HttpResponseBase:
    """`GET …/{container}?versions`: JSON only. Raises NotAcceptable, Invalid."""
    if not listings.takes_json(call):
        raise NotAcceptable("Versions are listed as application/json.")
    page, marker = listings.page_of(call), call.parameter("version_marker")
    if marker and not page.marker:
        raise Invalid("version_marker param requires marker")
    entries = selectors.version_list(
        call.ctx,
        account=call.address.project_id,
        container=call.address.container,
        page=page,
        version_marker=_parsed(marker, "Invalid version_marker param") if marker else None,
        referrer=call.referrer,
    )
    return answer(200, headers, orjson.dumps([_member(entry) for entry in entries]), listings.JSON)


def _member(entry: VersionEntry) -> dict[str, Any]:
    if entry.is_subdir:
        return {"subdir": entry.name}
    return {
        "name": entry.name,
        "hash": entry.etag,
        "bytes": entry.bytes,
        "content_type": entry.content_type,
        "last_modified": f"{entry.at:%Y-%m-%dT%H:%M:%S.%f}",
        "version_id": version_word(entry.version_id),
        "is_latest": entry.is_latest,
    }


# --- objects ---------------------------------------------------------------------------------------


def asked(call: Call) -> UUID | None:
    """The version that a request is about, if about one. Raises Invalid."""
    text = call.parameter("version-id")
    return _parsed(text, "Invalid version parameter") if text else None


def _parsed(text: str, problem: str) -> UUID:
    try:
        return version_of(text)
    except ValueError:
        raise Invalid(problem) from None


def headers_of(row: ObjectFields, place: Container) -> dict[str, str]:
    """What an answer says of the version that it gives."""
    return {} if place.versioning == Versioning.NEVER else {ID: version_word(row.version_id)}


def made_headers(made: Object) -> dict[str, str]:
    """What the answer to a PUT says of the version that it made."""
    return {} if made.version_id == NO_VERSION else {ID: version_word(made.version_id)}


def readable(row: Object | Version) -> None:
    """Raise DeletedError for a marker."""
    if isinstance(row, Version) and row.is_marker:
        raise DeletedError(row.name, row.version_id, row.content_type)


def restored(call: Call, version_id: UUID) -> Object:
    """`PUT …?version-id=` without a body makes the version current. Raises Invalid, NotFound."""
    length = call.headers.get("Content-Length", "")
    if not length:
        raise LengthRequired("Missing Content-Length header.")
    if length != "0":
        raise Invalid("PUT version-id requests require a zero byte body")
    address = call.address
    return services.version_restore(
        call.ctx, account=address.project_id, container=address.container, name=address.name, version_id=version_id
    )


def removed(call: Call, version_id: UUID) -> HttpResponseBase:
    """`DELETE …?version-id=` removes a version for good."""
    address = call.address
    gone = services.version_delete(
        call.ctx, account=address.project_id, container=address.container, name=address.name, version_id=version_id
    )
    return answer(204, {ID: version_word(version_id), CURRENT_ID: version_word(gone.current or NO_VERSION)})
