"""Metadata in headers: which are taken, and how they are told again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from apps.core.errors import Invalid
from apps.objectstore.api.swift.base import Call
from apps.objectstore.api.texts import latin
from apps.objectstore.states import MAX_META_NAME

# Headers of an object that are kept and told with it.
KEPT = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Expires",
    "X-Object-Manifest",
    "X-Robots-Tag",
)
OBJECT = "X-Object-Meta-"
_SECRET = ("Temp-Url-Key", "Temp-Url-Key-2")


def changes(call: Call, noun: str) -> dict[str, str]:
    """`X-{noun}-Meta-*` and `X-Remove-{noun}-Meta-*` of a request: name without prefix → value, "" to remove."""
    wanted, removed = f"X-{noun}-Meta-", f"X-Remove-{noun}-Meta-"
    found = {name.removeprefix(removed): "" for name in call.headers if name.startswith(removed)}
    found |= {name.removeprefix(wanted): call.header(name) for name in call.headers if name.startswith(wanted)}
    if "" in found:
        raise Invalid("Metadata name cannot be empty")
    return found


def shown(noun: str, metadata: Mapping[str, str], *, secrets: bool) -> dict[str, str]:
    """The same as headers of an answer; keys for signatures are for owners only."""
    return {
        f"X-{noun}-Meta-{latin(name)}": latin(value)
        for name, value in metadata.items()
        if secrets or name not in _SECRET
    }


def of_object(call: Call) -> dict[str, str]:
    """An object's own headers and metadata: header → value. Metadata may be empty."""
    names = [name for name in call.headers if name.startswith(OBJECT) or name in KEPT]
    found = {name: call.header(name) for name in names}
    if OBJECT in found:
        raise Invalid("Metadata name cannot be empty")
    for name in found:
        if len(name.removeprefix(OBJECT)) > MAX_META_NAME:
            raise Invalid(f"Metadata name too long: {name}")
    return {name: value for name, value in found.items() if value or name.startswith(OBJECT)}


def delete_at(call: Call) -> datetime | None:
    """When the object shall end, by `X-Delete-After` or `X-Delete-At`. Raises Invalid."""
    return moment_of(call.headers.get("X-Delete-After", ""), call.headers.get("X-Delete-At", ""))


def moment_of(after: str, at: str) -> datetime | None:
    """The same from the texts themselves."""
    now = datetime.now(UTC)
    if after:
        seconds = now.timestamp() + _number(after, "X-Delete-After")
    elif at:
        seconds = _number(at, "X-Delete-At")
        if seconds < now.timestamp():
            raise Invalid("X-Delete-At in past", field="X-Delete-At")
    else:
        return None
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (OverflowError, ValueError, OSError):
        raise Invalid("X-Delete-At is too far away.", field="X-Delete-At") from None


def _number(text: str, field: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise Invalid(f"Non-integer {field}", field=field)
    return int(text)
