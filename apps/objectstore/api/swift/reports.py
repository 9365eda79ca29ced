"""What became of many objects in one request, as Swift tells it: each for itself, what failed at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

import orjson
from django.http.response import HttpResponseBase

from apps.core.errors import Forbidden, KumoError, NotFound, Unauthorized
from apps.objectstore.api.swift.base import Call, answer
from apps.objectstore.api.swift.listings import JSON, form_of, printable

Report = dict[str, Any]  # `Errors` has pairs of a name and what is wrong with it


def of_deletions() -> Report:
    return {"Number Deleted": 0, "Number Not Found": 0, "Errors": []}


def count_deletion(report: Report, shown: str, act: Callable[[], object]) -> None:
    """Do one deletion and note what became of it."""
    try:
        act()
        report["Number Deleted"] += 1
    except NotFound:
        report["Number Not Found"] += 1
    except KumoError as error:
        report["Errors"].append([shown, status_of(error)])


def ended(report: Report, good: str) -> Report:
    """The report with a status for all of it."""
    statuses = {status for _, status in report["Errors"]}
    if not statuses:
        word = good
    elif {status_of(Unauthorized("")), status_of(Forbidden(""))} & statuses:
        word = sorted(statuses)[0]
    else:
        word = "400 Bad Request"
    return report | {"Response Status": word, "Response Body": ""}


def told(call: Call, root: str, report: Report) -> HttpResponseBase:
    """The report as an answer in the form that was asked for. Raises NotAcceptable."""
    form = form_of(call)
    return answer(200, {}, as_bytes(form, root, report), form)


def as_bytes(form: str, root: str, report: Report) -> bytes:
    """A report in a media type of listings, byte by byte as Swift writes it; `root` is the outermost element of XML."""
    if form == JSON:
        return orjson.dumps(report)
    facts = sorted((name, str(value)) for name, value in report.items() if name != "Errors")
    errors: Sequence[tuple[str, str]] = report["Errors"]
    if not form.endswith("/xml"):
        lines = [f"{name}: {value}" for name, value in facts]
        lines += ["Errors:", *(f"{name}, {status}" for name, status in errors)]
        return "".join(f"{line}\n" for line in lines).encode()
    lines = [f"<{root}>", *(_element(name.replace(" ", "_").lower(), value) for name, value in facts), "<errors>"]
    lines += [f"<object>{_element('name', name)}{_element('status', status)}</object>" for name, status in errors]
    return "".join(f"{line}\n" for line in [*lines, "</errors>", f"</{root}>"]).encode()


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(printable(text))}</{name}>"


def status_of(error: KumoError) -> str:
    return f"{error.status} {error.title}"
