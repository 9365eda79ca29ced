"""Symbolic links on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from django.http.response import HttpResponseBase

from apps.core.errors import Invalid, PreconditionFailed
from apps.objectstore import services
from apps.objectstore.api.swift.base import Address, Call, answer, limits_checked, utf8
from apps.objectstore.api.texts import latin
from apps.objectstore.models import Object, ObjectFields
from apps.objectstore.selectors import Found
from apps.objectstore.services import New, Target
from apps.objectstore.states import PREFIX

TARGET, ACCOUNT, ETAG = "X-Symlink-Target", "X-Symlink-Target-Account", "X-Symlink-Target-Etag"
BYTES = "X-Symlink-Target-Bytes"


def asks(call: Call) -> bool:
    """Whether the request is about the link itself."""
    return call.request.GET.get("symlink") == "get"


def target_of(call: Call) -> Target | None:
    """What the object shall be a link to, if it shall be one. Raises PreconditionFailed, Invalid."""
    if TARGET not in call.headers:
        return None
    path = utf8(unquote(call.headers[TARGET], encoding="latin-1"), TARGET)
    container, _, name = path.partition("/")
    if not container or not name:
        raise PreconditionFailed(f"{TARGET} header must be of the form <container name>/<object name>")
    account = utf8(unquote(call.headers.get(ACCOUNT, ""), encoding="latin-1"), ACCOUNT)
    if account and (not account.startswith(PREFIX) or "/" in account):
        raise PreconditionFailed("Account name cannot contain slashes, and begins with AUTH_.")
    etag = call.header(ETAG).strip('"')
    if any(c in etag for c in ';"\\'):
        raise Invalid(f"Bad {ETAG} format")
    limits_checked(Address(account.removeprefix(PREFIX), container, name))
    return Target(container, name, account.removeprefix(PREFIX), etag)


def put(call: Call, target: Target, size: int, new: New) -> Object:
    """Make the link. Raises as `symlink_put`, and Invalid for a body."""
    if size:
        raise Invalid("Symlink requests require a zero byte body")
    address = call.address
    return services.symlink_put(
        call.ctx,
        account=address.project_id,
        container=address.container,
        name=address.name,
        target=target,
        new=new,
    )


def headers_of(row: ObjectFields) -> dict[str, str]:
    """What an answer says of a link itself."""
    if row.links is None:
        return {}
    headers = {TARGET: _target(row.links)}
    if row.links["account"]:
        headers[ACCOUNT] = quote(f"{PREFIX}{row.links['account']}")
    if row.links["etag"]:
        headers |= {ETAG: latin(row.links["etag"]), BYTES: str(row.links["bytes"])}
    return headers


def location(found: Found) -> dict[str, str]:
    """Where the object really is that a link led to."""
    return {"Content-Location": _path(found.place.account_id, quote(f"{found.place.name}/{found.row.name}"))}


def redirected(address: Address, links: Mapping[str, Any]) -> HttpResponseBase:
    """The answer to a POST that was applied to the link: where its target is."""
    text = "The requested POST was applied to a symlink. POST directly to the target to apply requested metadata."
    headers = {"Location": _path(links["account"] or address.project_id, _target(links))}
    return answer(307, headers | ({ETAG: latin(links["etag"])} if links["etag"] else {}), text.encode())


def listed(address: Address, links: Mapping[str, Any]) -> dict[str, Any]:
    """What a listing in JSON says of a link."""
    found: dict[str, Any] = {"symlink_path": _path(links["account"] or address.project_id, _target(links))}
    return found | ({"symlink_etag": links["etag"], "symlink_bytes": links["bytes"]} if links["etag"] else {})


def carried(source: Found, to: Address) -> dict[str, Any] | None:
    """The target of a link that is itself copied: it stays what it was, in another account too."""
    links = source.row.links
    if links is None or links["account"] or source.place.account_id == to.project_id:
        return links
    return {**links, "account": source.place.account_id}


def _target(links: Mapping[str, Any]) -> str:
    return quote(f"{links['container']}/{links['name']}")


def _path(project_id: str, target: str) -> str:
    return f"/v1/{quote(PREFIX + project_id)}/{target}"
