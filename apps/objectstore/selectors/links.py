"""Links to single objects: their keys are made from the master key, so that none lies in the database."""

from __future__ import annotations

from apps.core.context import RequestContext
from apps.core.sealing import derived
from apps.core.transactions import internal
from apps.identity.selectors import web_context
from apps.objectstore.models import Container
from apps.objectstore.selectors.access import LinkContext
from apps.objectstore.selectors.facts import container_row


def link_key(row: Container, maker: str) -> str:
    """The key of somebody's links into a container; a later series has another, and ends what was given out before."""
    return derived(f"objectstore/links/{row.pk}/{row.link_series}/{maker}").hex()


@internal("the signature of a link is looked at before there is any caller", atomic=False)
def link_of(ctx: RequestContext, *, account: str, container: str, maker: str) -> tuple[str, LinkContext] | None:
    """The key of the links that a user made into a container, and what these open now; None if they open nothing."""
    row = container_row(account, container)
    found = web_context(maker, account, ctx.request_id) if row is not None else None
    if row is None or found is None:
        return None
    return link_key(row, maker), LinkContext(user_name="link", maker=found, request_id=ctx.request_id)
