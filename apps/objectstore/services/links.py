"""Addresses that open one object for whoever has them, until they end: temporary URLs of a key that Kumo keeps.

They name who made them, and open what that person may read when they are used: also of the objects whose bytes a large
object is made of, or that a symbolic link names.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from urllib.parse import quote, urlencode

from django.db.models import F

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, NotFound
from apps.core.transactions import selector, service
from apps.objectstore.models import Container
from apps.objectstore.selectors import container_row, object_get
from apps.objectstore.selectors.access import require_owner
from apps.objectstore.selectors.links import link_key
from apps.objectstore.states import MAX_LINK_S, PREFIX

ROOT = "/object-store"
_OWN_S = 3600  # of an address that only the caller's own browser follows


@selector("object_store:public")
def object_share(ctx: RequestContext, *, account: str, container: str, name: str, lasts_s: int) -> str:
    """A path that gives the object to anybody, for so many seconds, as long as the caller may read it.

    Raises Forbidden but for owners, NotFound.
    """
    require_owner(ctx, account)
    if not 0 < lasts_s <= MAX_LINK_S:
        raise Invalid(f"A link lasts for 1 to {MAX_LINK_S} seconds.", field="lasts_s")
    object_get(ctx, account=account, container=container, name=name)
    return _address(_container(account, container), name, _maker(ctx, account), lasts_s)


@selector("object_store:public")
def object_address(ctx: RequestContext, *, account: str, container: str, name: str, client: str) -> str:
    """A path for the caller's own browser, at that IP address: for an hour. Raises Forbidden, NotFound."""
    object_get(ctx, account=account, container=container, name=name)
    more = _maker(ctx, account) | {"temp_url_ip_range": client}
    return _address(_container(account, container), name, more, _OWN_S)


@service("object_store:public")
def links_revoke(ctx: RequestContext, *, account: str, container: str) -> None:
    """End every link into a container that was given out so far. Raises Forbidden but for owners, NotFound."""
    require_owner(ctx, account)
    if not Container.objects.filter(account_id=account, name=container).update(link_series=F("link_series") + 1):
        raise NotFound("container", container)


def _container(account: str, name: str) -> Container:
    row = container_row(account, name)
    if row is None:
        raise NotFound("container", name)
    return row


def _maker(ctx: RequestContext, account: str) -> dict[str, str]:
    """Whose rights a link has. Raises Forbidden for a caller that is no person of the account's project."""
    if not ctx.user_id or ctx.project_id != account:
        raise Forbidden("Links are made by people of the account's project.", rule="object_store:own")
    return {"temp_url_maker": ctx.user_id}


def _address(row: Container, name: str, more: dict[str, str], lasts_s: int) -> str:
    """The signed path; source of the text that is signed: Swift's documentation of temporary URLs."""
    end = int(time.time()) + lasts_s
    path = f"/v1/{PREFIX}{row.account_id}/{row.name}/{name}"
    text = f"GET\n{end}\n{path}"
    if "temp_url_ip_range" in more:
        text = f"ip={more['temp_url_ip_range']}\n{text}"
    signature = hmac.new(link_key(row, more["temp_url_maker"]).encode(), text.encode(), hashlib.sha256).hexdigest()
    query = urlencode({"temp_url_sig": signature, "temp_url_expires": end} | more)
    return f"{ROOT}/v1/{PREFIX}{row.account_id}/{_quoted(row.name)}/{_quoted(name)}?{query}"


def _quoted(name: str) -> str:
    """Percent-encoded; slashes too where clients would take parts of the name for steps in a path."""
    steps = set(name.split("/")) & {"", ".", ".."}
    return quote(name, safe="" if steps else "/")
