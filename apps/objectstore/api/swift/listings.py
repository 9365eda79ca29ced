"""Listings on the wire: what of a listing is asked for, and the page as text, JSON or XML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape, quoteattr

import orjson
from django.http import HttpResponse

from apps.core.errors import NotAcceptable, PreconditionFailed
from apps.objectstore.api.swift import symlinks
from apps.objectstore.api.swift.base import Address, Call, answer, is_true
from apps.objectstore.selectors import LAST, Entry, Page
from apps.objectstore.states import MAX_LISTING, number_of

TEXT, JSON, XML = "text/plain", "application/json", "application/xml"
_NAMED = {"json": JSON, "xml": XML, "plain": TEXT, "text": TEXT}


def page_of(call: Call) -> Page:
    """Which page the query asks for. Raises PreconditionFailed for a limit above the highest."""
    text = call.parameter("limit")
    limit = number_of(text) if text.isascii() and text.isdecimal() else MAX_LISTING
    if limit > MAX_LISTING:
        raise PreconditionFailed(f"Maximum limit is {MAX_LISTING}")
    if LAST in call.parameter("delimiter"):
        raise PreconditionFailed("Bad delimiter")
    return Page(
        prefix=call.parameter("prefix"),
        delimiter=call.parameter("delimiter"),
        marker=call.parameter("marker"),
        end_marker=call.parameter("end_marker"),
        limit=limit,
        reverse=is_true(call.parameter("reverse")),
        path=call.parameter("path") if "path" in call.request.GET else None,
    )


def form_of(call: Call) -> str:
    """The media type of the answer. Raises NotAcceptable."""
    named = call.parameter("format").lower()
    if named:
        return _NAMED.get(named, TEXT)
    accepted = call.headers.get("Accept", "") or "*/*"
    best, weight = "", 0.0
    for part in accepted.split(","):
        media, *parameters = (piece.strip() for piece in part.lower().split(";"))
        quality = _quality(parameters)
        found = _matching(media)
        if found and quality > weight:
            best, weight = found, quality
    if not best:
        raise NotAcceptable(f"Listings are {TEXT}, {JSON}, {XML} or text/xml.")
    return best


def takes_json(call: Call) -> bool:
    """Whether the caller takes JSON, perhaps among others."""
    if named := call.parameter("format").lower():
        return named == "json"
    parts = (part.strip().lower().split(";") for part in (call.headers.get("Accept", "") or "*/*").split(","))
    return any(
        media in {JSON, "application/*", "*/*"} and _quality([p.strip() for p in more]) for media, *more in parts
    )


def _matching(media: str) -> str:
    if media in {"*/*", "text/*", TEXT}:
        return TEXT
    if media == "application/*":
        return JSON
    return media if media in {JSON, XML, "text/xml"} else ""


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def listing(
    call: Call,
    entries: Sequence[Entry],
    headers: dict[str, str],
    *,
    noun: str,
    name: str,
    member: Callable[[Entry], dict[str, object]],
) -> HttpResponse:
    """The page in the form that was asked for; `member` gives the facts of one entry in the order of XML."""
    form = form_of(call)
    if form == TEXT:
        body = "".join(f"{entry.name}\n" for entry in entries).encode()
        return answer(200 if body else 204, headers, body, TEXT)
    members = [{"subdir": e.name} if e.is_subdir else member(e) for e in entries]
    if form == JSON:
        return answer(200, headers, orjson.dumps(members), JSON)
    members = [{key: v for key, v in found.items() if not key.startswith("symlink_")} for found in members]
    parts = ['<?xml version="1.0" encoding="UTF-8"?>', f"<{noun} name={quoteattr(printable(name))}>"]
    inner = "container" if noun == "account" else "object"
    for found in members:
        if "subdir" in found:
            text = printable(str(found["subdir"]))
            parts.append(f"<subdir name={quoteattr(text)}><name>{escape(text)}</name></subdir>")
        else:
            facts = "".join(_element(key, str(value)) for key, value in found.items())
            parts.append(f"<{inner}>{facts}</{inner}>")
    parts.append(f"</{noun}>")
    return answer(200, headers, "".join(parts).encode(), form)


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(printable(text))}</{name}>"


def printable(text: str) -> str:
    """XML cannot say control characters: they become the replacement character."""
    return "".join(c if c >= " " or c in "\t\n\r" else "\ufffd" for c in text)


def moment(entry: Entry) -> str:
    assert entry.at is not None
    return f"{entry.at:%Y-%m-%dT%H:%M:%S.%f}"


def container_member(entry: Entry) -> dict[str, object]:
    return {"name": entry.name, "count": entry.count, "bytes": entry.bytes, "last_modified": moment(entry)}


def object_member(address: Address, entry: Entry) -> dict[str, object]:
    """An object of the listing; of a symbolic link also where it leads, which only JSON tells."""
    return {
        "name": entry.name,
        "hash": entry.etag,
        "bytes": entry.bytes,
        "content_type": entry.content_type,
        "last_modified": moment(entry),
    } | (symlinks.listed(address, entry.links) if entry.links else {})
