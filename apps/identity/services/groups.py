"""Groups and who is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.policy import enforce
from apps.core.transactions import service
from apps.identity.models import Domain, Group, Membership, User
from apps.identity.selectors.access import row_of, target_of
from apps.identity.services import directories
from apps.identity.services.common import apply, domain_or_own, unchangeable
from apps.identity.services.directories import in_directory, same_home
from apps.identity.services.epoch import change_epoch


@in_directory(directories.group_create)
@service("anyone")
def group_create(
    ctx: RequestContext,
    *,
    name: str,
    domain_id: str | None = None,
    description: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Group:
    """A new group, in the caller's domain unless another is named. Raises NotFound for the domain, Conflict."""
    group = Group(
        name=name, domain_id=domain_or_own(domain_id, ctx), description=description or "", extra=dict(extra or {})
    )
    enforce(ctx, "identity:create_group", target_of(group=group))
    row_of(Domain, group.domain_id, "domain")
    group.save(force_insert=True)
    return group


@in_directory(directories.group_update)
@service("anyone")
def group_update(
    ctx: RequestContext,
    *,
    group_id: str,
    domain_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Group:
    """Change a group. Raises NotFound, Invalid for another domain, Conflict for the name."""
    group = Group.objects.select_for_update(no_key=True).filter(pk=group_id).first()
    enforce(ctx, "identity:update_group", target_of(group=group))
    if group is None:
        raise NotFound("group", group_id)
    unchangeable(group, domain_id=domain_id)
    apply(group, changes, extra=extra)
    return group


@in_directory(directories.group_delete)
@service("anyone")
def group_delete(ctx: RequestContext, *, group_id: str) -> None:
    """Remove a group with its memberships and assignments. Raises NotFound."""
    group = Group.objects.filter(pk=group_id).first()
    enforce(ctx, "identity:delete_group", target_of(group=group))
    if group is None:
        raise NotFound("group", group_id)
    group.delete()
    change_epoch()


@in_directory(directories.group_user_add)
@service("anyone")
def group_user_add(ctx: RequestContext, *, group_id: str, user_id: str) -> None:
    """Put a user into a group; harmless if they are there. Raises NotFound."""
    group, user = _pair(ctx, "identity:add_user_to_group", group_id, user_id)
    same_home(group, user)
    Membership.objects.get_or_create(group=group, user=user)
    change_epoch()


@in_directory(directories.group_user_remove)
@service("anyone")
def group_user_remove(ctx: RequestContext, *, group_id: str, user_id: str) -> None:
    """Take a user out of a group. Raises NotFound, also for somebody who is not in it."""
    group, user = _pair(ctx, "identity:remove_user_from_group", group_id, user_id)
    deleted, _ = Membership.objects.filter(group=group, user=user).delete()
    if not deleted:
        raise NotFound("user", user_id, hint="The group has no such member.")
    change_epoch()


def _pair(ctx: RequestContext, rule: str, group_id: str, user_id: str) -> tuple[Group, User]:
    group = Group.objects.filter(pk=group_id).first()
    user = User.objects.filter(pk=user_id).first()
    enforce(ctx, rule, target_of(group=group, user=user))
    if group is None:
        raise NotFound("group", group_id)
    if user is None:
        raise NotFound("user", user_id)
    return group, user
