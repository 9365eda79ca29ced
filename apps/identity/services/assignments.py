"""Giving roles and taking them away."""

from __future__ import annotations

from typing import Any

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, NotFound
from apps.core.transactions import service
from apps.identity.models import Assignment
from apps.identity.selectors.assignments import Grant, grant_of
from apps.identity.services.epoch import change_epoch


@service("anyone")
def assignment_create(ctx: RequestContext, **address: Any) -> None:
    """Give a role at an address (see `grant_of`); harmless if it was given. Raises NotFound, Forbidden."""
    grant = grant_of("create", ctx, **address)
    _fits(grant)
    Assignment.objects.get_or_create(**grant.row())
    change_epoch()


@service("anyone")
def assignment_delete(ctx: RequestContext, **address: Any) -> None:
    """Take a role away; tokens lose it with their next request. Raises NotFound, also if it was not given."""
    grant = grant_of("revoke", ctx, **address)
    deleted, _ = Assignment.objects.filter(**grant.row()).delete()
    if not deleted:
        raise NotFound("role assignment", address.get("role_id", ""))
    change_epoch()


def _fits(grant: Grant) -> None:
    """A role of a domain is given inside that domain only."""
    assert grant.role is not None
    domain_id = grant.role.domain_id
    inside = {grant.target.pk, grant.target.domain_id} if grant.target else set()
    if domain_id and domain_id not in inside:
        raise Forbidden(f"The role {grant.role.pk} is of another domain than what it is given on.")
