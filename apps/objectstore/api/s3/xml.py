"""XML in and out. What goes out is built from plain values; what comes in is bounded and cannot name entities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias
from xml.etree.ElementTree import Element, ParseError  # the types only: documents are read by defusedxml
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from apps.objectstore.api.s3.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MOST_BYTES = 2 * 2**20  # of a document; a thousand keys of the longest kind fit
_MOST_DEPTH = 12

# A value of an element: text, the elements within, the same element several times, or nothing at all.
Value: TypeAlias = "str | int | bool | datetime | Raw | Mapping[str, Value] | Iterable[Value] | None"


class Raw(str):
    """Text that is XML already."""

    __slots__ = ()


def document(root: str, content: Mapping[str, Value] | str, *, namespace: str = NAMESPACE) -> bytes:
    """A document with these elements, or with text alone. A list repeats its element, None leaves it out."""
    attribute = f' xmlns="{namespace}"' if namespace else ""
    inner = _text(content) if isinstance(content, str) else elements(content.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{attribute}>{inner}</{root}>'.encode(errors="replace")


def elements(content: Iterable[tuple[str, Value]]) -> Raw:
    """Elements in a row, for documents in which those of several names take turns."""
    return Raw("".join(_element(*item) for item in content))


def _element(name: str, value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        inner = "".join(_element(inner, below) for inner, below in value.items())
        return f"<{name}>{inner}</{name}>"
    if isinstance(value, (str, int, datetime)):
        return f"<{name}>{_text(value)}</{name}>"
    return "".join(_element(name, one) for one in value)


def _text(value: str | int | datetime) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return instant(value)
    # XML 1.0 has no way to write most control characters: Amazon writes references all the same, which clients take;
    # that of NUL none takes.
    value = str(value).replace("\x00", "\ufffd")
    return "".join(c if c >= " " else f"&#{ord(c)};" for c in escape(value))


def instant(at: datetime) -> str:
    """A time as S3 writes it in documents: UTC with milliseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


# --- in --------------------------------------------------------------------------------------------


def parsed(body: bytes, root: str) -> Element:
    """The root element of a document, its elements without namespaces. Raises S3Error (MalformedXML)."""
    if not body.strip():
        raise S3Error("MissingRequestBodyError")
    try:
        found: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):  # an unknown encoding is a LookupError
        raise S3Error("MalformedXML") from None
    _plain(found, _MOST_DEPTH)
    if found.tag != root:
        raise S3Error("MalformedXML", f"The document is a {found.tag} where a {root} is expected.")
    return found


def _plain(element: Element, depth: int) -> None:
    if depth == 0:
        raise S3Error("MalformedXML", "The document is nested too deeply.")
    element.tag = element.tag.rpartition("}")[2]
    for below in element:
        _plain(below, depth - 1)


def text_of(element: Element, name: str, default: str = "", *, strip: bool = True) -> str:
    """The text of the element of that name within; the default where there is none. Raises S3Error for several."""
    found = element.findall(name)
    if len(found) > 1:
        raise S3Error("MalformedXML", f"There is more than one {name}.")
    text = (found[0].text or "") if found else default
    return text.strip() if strip else text


def only(element: Element, *allowed: str) -> None:
    """Raise S3Error (MalformedXML) for an element that is none of these: what is not understood is not taken."""
    for below in element:
        if below.tag not in allowed:
            raise S3Error("MalformedXML", f"{element.tag} has no {below.tag}.")
