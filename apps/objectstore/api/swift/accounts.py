"""`/v1/{account}` and `/v1/{account}/{container}`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from django.http.response import HttpResponseBase

from apps.objectstore import backends, selectors, services
from apps.objectstore.api.swift import listings, metadata, versions
from apps.objectstore.api.swift.base import Call, answer, last_modified
from apps.objectstore.api.texts import latin
from apps.objectstore.selectors import AccountFacts, ContainerFacts, Page, Totals
from apps.objectstore.selectors.lists import account_acl_shown
from apps.objectstore.services.containers import is_quota
from apps.objectstore.states import stamp

ACCESS = "X-Account-Access-Control"


def account_head(call: Call) -> HttpResponseBase:
    found = selectors.account_get(call.ctx, account=call.address.project_id)
    return answer(204, account_headers(found))


def account_get(call: Call) -> HttpResponseBase:
    page = listings.page_of(call)
    found = selectors.account_get(call.ctx, account=call.address.project_id)
    entries = selectors.container_list(call.ctx, account=call.address.project_id, page=page)
    return listings.listing(
        call,
        entries,
        account_headers(found),
        noun="account",
        name=call.address.account,
        member=listings.container_member,
    )


def account_post(call: Call) -> HttpResponseBase:
    _change(call)
    return answer(204)


def _change(call: Call) -> None:
    named = (header.removeprefix("X-Account-") for header in call.headers if header.startswith("X-Account-"))
    quotas = {name: call.header(f"X-Account-{name}") for name in named if is_quota(name)}
    changes = metadata.changes(call, "Account") | quotas
    access = call.header(ACCESS) if ACCESS in call.headers else None
    services.account_post(call.ctx, account=call.address.project_id, changes=changes, access=access)


def account_put(call: Call) -> HttpResponseBase:
    made = services.account_put(call.ctx, account=call.address.project_id)
    _change(call)
    return answer(201 if made else 202)


def account_delete(call: Call) -> HttpResponseBase:
    services.account_delete(call.ctx, account=call.address.project_id)
    return answer(204)


def account_headers(found: AccountFacts) -> dict[str, str]:
    headers = {
        "X-Account-Container-Count": str(found.totals.containers),
        "X-Account-Object-Count": str(found.totals.objects),
        "X-Account-Bytes-Used": str(found.totals.bytes),
        "Accept-Ranges": "bytes",
    }
    headers["X-Timestamp"] = stamp(found.created_at or datetime.now(UTC))
    for policy in backends.policies():
        totals = found.by_policy.get(policy, Totals(0, 0))
        for word, count in (("Container-Count", totals.containers), ("Object-Count", totals.objects)):
            headers[f"X-Account-Storage-Policy-{policy}-{word}"] = str(count)
        headers[f"X-Account-Storage-Policy-{policy}-Bytes-Used"] = str(totals.bytes)
    headers |= {f"X-Account-{name}": value for name, value in found.metadata.items() if is_quota(name)}
    if found.is_own and found.access:
        headers[ACCESS] = account_acl_shown(found.access)
    return headers | metadata.shown("Account", found.metadata, secrets=found.is_own)


def container_head(call: Call) -> HttpResponseBase:
    return answer(204, container_headers(_container(call)))


def container_get(call: Call) -> HttpResponseBase:
    page = listings.page_of(call)
    found = _container(call, page)
    if "versions" in call.request.GET:
        return versions.listed(call, container_headers(found))
    address = call.address
    entries = selectors.object_list(
        call.ctx, account=address.project_id, container=address.container, page=page, referrer=call.referrer
    )
    return listings.listing(
        call,
        entries,
        container_headers(found),
        noun="container",
        name=address.container,
        member=partial(listings.object_member, address),
    )


def _container(call: Call, page: Page | None = None) -> ContainerFacts:
    address = call.address
    return selectors.container_get(
        call.ctx, account=address.project_id, container=address.container, referrer=call.referrer, page=page
    )


def container_headers(found: ContainerFacts) -> dict[str, str]:
    row = found.container
    headers = {
        "X-Container-Object-Count": str(found.totals.objects),
        "X-Container-Bytes-Used": str(found.totals.bytes),
        "X-Storage-Policy": row.policy,
        "X-Container-S3-Bucket": row.name if found.is_bucket else "none",  # its name was taken, or is none of DNS
        "X-Timestamp": stamp(row.created_at),
        "Last-Modified": last_modified(row.updated_at),
        "Accept-Ranges": "bytes",
    }
    if found.is_own:
        lists = {"X-Container-Read": row.read_acl, "X-Container-Write": row.write_acl}
        headers |= {name: latin(acl) for name, acl in lists.items() if acl}
    headers |= versions.container_headers(row)
    return headers | metadata.shown("Container", row.metadata, secrets=found.is_own)


def container_put(call: Call) -> HttpResponseBase:
    made = services.container_put(
        call.ctx,
        account=call.address.project_id,
        container=call.address.container,
        policy=call.headers.get("X-Storage-Policy", ""),
        changes=metadata.changes(call, "Container"),
        read_acl=_acl(call, "Read"),
        write_acl=_acl(call, "Write"),
        keeping=versions.keeping(call),
    )
    return answer(201 if made else 202)


def container_post(call: Call) -> HttpResponseBase:
    services.container_post(
        call.ctx,
        account=call.address.project_id,
        container=call.address.container,
        changes=metadata.changes(call, "Container"),
        read_acl=_acl(call, "Read"),
        write_acl=_acl(call, "Write"),
        keeping=versions.keeping(call),
    )
    return answer(204)


def container_delete(call: Call) -> HttpResponseBase:
    services.container_delete(call.ctx, account=call.address.project_id, container=call.address.container)
    return answer(204)


def _acl(call: Call, verb: str) -> str | None:
    if f"X-Container-{verb}" in call.headers:
        return call.header(f"X-Container-{verb}")
    return "" if f"X-Remove-Container-{verb}" in call.headers else None
