"""Users and their passwords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound, Unauthorized
from apps.core.policy import enforce
from apps.core.transactions import internal, service
from apps.identity.backends.passwords import verify_password
from apps.identity.models import Domain, Project, User
from apps.identity.selectors.access import row_of, target_of
from apps.identity.services import directories
from apps.identity.services.common import apply, domain_or_own, merged_options, unchangeable
from apps.identity.services.directories import change_password_in_directory, in_directory
from apps.identity.services.epoch import change_epoch
from apps.identity.services.events import password_event
from apps.identity.services.passwords import REQUIRED, may_choose, password_columns, proven_user, remember
from apps.identity.services.tokens import end_tokens_of_user


@in_directory(directories.user_create)
@service("anyone")
def user_create(
    ctx: RequestContext,
    *,
    name: str,
    domain_id: str | None = None,
    password: str | None = None,
    enabled: bool = True,
    default_project_id: str | None = None,
    description: str | None = None,
    options: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> User:
    """A new user, in the caller's domain unless another is named.

    Raises NotFound for the domain, Invalid for the password or default project, Conflict for the name.
    """
    user = User(
        name=name,
        domain_id=domain_or_own(domain_id, ctx),
        enabled=enabled,
        default_project_id=_default_project(default_project_id),
        description=description or "",
        options=merged_options({}, options),
        extra=dict(extra or {}),
    )
    enforce(ctx, "identity:create_user", target_of(user=user))
    row_of(Domain, user.domain_id, "domain")
    if password is not None:
        for column, value in password_columns(password, options=user.options, own=False).items():
            setattr(user, column, value)
    user.save(force_insert=True)
    return user


@in_directory(directories.user_update)
@service("anyone")
def user_update(
    ctx: RequestContext,
    *,
    user_id: str,
    domain_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
    **changes: Any,
) -> User:
    """Change a user. A new password, or disabling, ends every token of theirs.

    Raises NotFound, Invalid for another domain or a wrong password, Conflict for the name.
    """
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    enforce(ctx, "identity:update_user", target_of(user=user))
    if user is None:
        raise NotFound("user", user_id)
    unchangeable(user, domain_id=domain_id)
    if "default_project_id" in changes:
        changes["default_project_id"] = _default_project(changes["default_project_id"])
    ends = changes.get("enabled") is False
    if "password" in changes:
        remember(user)
        options = merged_options(user.options, changes.get("options"))
        changes |= password_columns(changes.pop("password"), options=options, own=False)
        ends = True
    if changes.get("enabled"):
        changes |= {"last_active_on": timezone.now().date(), "failed_auth_count": 0, "failed_auth_at": None}
    apply(user, changes, extra=extra)
    if ends:
        end_tokens_of_user(user.pk)
    change_epoch()
    return user


@in_directory(directories.user_delete)
@service("anyone")
def user_delete(ctx: RequestContext, *, user_id: str) -> None:
    """Remove a user with their memberships and assignments; what they made stays. Raises NotFound."""
    user = User.objects.filter(pk=user_id).first()
    enforce(ctx, "identity:delete_user", target_of(user=user))
    if user is None:
        raise NotFound("user", user_id)
    user.delete()
    change_epoch()


def user_change_password(*, user_id: str, original_password: str, password: str) -> None:
    """A user's own change of password; ends every token of theirs.

    Raises Unauthorized for a wrong present password or unknown user alike, Invalid for the new one, or where it
    cannot be changed (now).
    """
    with password_event(user_id):
        if change_password_in_directory(user_id=user_id, original_password=original_password, password=password):
            return
        proven_user(user_id=user_id, password=original_password)
        _change_password(user_id, original_password, password)


@internal("the present password was the proof; a token is not needed, as in Keystone")
def _change_password(user_id: str, original_password: str, password: str) -> None:
    user = User.objects.select_for_update(no_key=True).get(pk=user_id)
    if not verify_password(original_password, user.password_hash):
        raise Unauthorized(REQUIRED)  # changed by another request meanwhile
    _put_password(user, password)


@service("anyone")
def user_reset_password(ctx: RequestContext, *, user_id: str, password: str) -> None:
    """A user's own new password without the present one; ends every token of theirs.

    No API leads here: whoever calls it holds a proof that this is the user, such as a token that was mailed.
    Raises Invalid for the new password, or where it cannot be changed (now).
    """
    _put_password(User.objects.select_for_update(no_key=True).get(pk=user_id), password)


def _put_password(user: User, password: str) -> None:
    """Under the rules for what users choose themselves."""
    may_choose(user, password)
    remember(user)
    User.objects.filter(pk=user.pk).update(**password_columns(password, options=user.options, own=True))
    end_tokens_of_user(user.pk)
    change_epoch()


def _default_project(project_id: str | None) -> str | None:
    """Any project will do, even one to come; a domain will not."""
    if project_id and Project.objects.filter(pk=project_id, is_domain=True).exists():
        raise Invalid("User's default project ID cannot be a domain ID.", field="default_project_id")
    return project_id or None
