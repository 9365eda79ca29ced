"""Users and their passwords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, NotFound, Unauthorized
from apps.core.policy import enforce
from apps.core.transactions import internal, service
from apps.identity.backends.passwords import MAX_PASSWORD_LENGTH, hash_password, verify_password
from apps.identity.models import Domain, FormerPassword, Project, User
from apps.identity.selectors.access import row_of, target_of
from apps.identity.services import directories
from apps.identity.services.common import apply, domain_or_own, merged_options, unchangeable
from apps.identity.services.directories import change_password_in_directory, in_directory
from apps.identity.services.epoch import change_epoch
from apps.identity.services.tokens import REQUIRED, end_tokens_of_user, proven_user


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
        user.password_hash = _hashed(password)
        user.password_changed_at = Now()
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
        password = changes.pop("password")
        _remember(user)
        changes["password_hash"] = _hashed(password) if password is not None else ""
        changes |= {"password_changed_at": Now(), "failed_auth_count": 0, "failed_auth_at": None}
        ends = True
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

    Raises Unauthorized for a wrong present password or unknown user alike, Invalid for the new one, Forbidden
    where the option `lock_password` is set.
    """
    if change_password_in_directory(user_id=user_id, original_password=original_password, password=password):
        return
    proven_user(user_id=user_id, password=original_password)
    _change_password(user_id, original_password, password)


@internal("the present password was the proof; a token is not needed, as in Keystone")
def _change_password(user_id: str, original_password: str, password: str) -> None:
    user = User.objects.select_for_update(no_key=True).get(pk=user_id)
    if not verify_password(original_password, user.password_hash):
        raise Unauthorized(REQUIRED)  # changed by another request meanwhile
    if user.options.get("lock_password"):
        raise Forbidden("Only an administrator may change this user's password.")
    _unlike_the_last(user, password)
    _remember(user)
    User.objects.filter(pk=user.pk).update(
        password_hash=_hashed(password), password_changed_at=Now(), password_expires_at=None
    )
    end_tokens_of_user(user.pk)
    change_epoch()


def _unlike_the_last(user: User, password: str) -> None:
    count = settings.CONFIG.identity.unique_last_passwords
    if not count:
        return
    former = user.former_passwords.order_by("-pk").values_list("password_hash", flat=True)[: count - 1]
    if any(verify_password(password, stored) for stored in (user.password_hash, *former)):
        raise Invalid(
            "The new password cannot be identical to a previous password. The total number which includes the new "
            f"password must be unique is {count}.",
            field="password",
        )


def _remember(user: User) -> None:
    """Keep the present hash among the former ones, and only as many as are compared."""
    kept = max(settings.CONFIG.identity.unique_last_passwords - 1, 0)
    if kept and user.password_hash:
        FormerPassword.objects.create(user=user, password_hash=user.password_hash)
    newest = user.former_passwords.order_by("-pk").values_list("pk", flat=True)[:kept]
    user.former_passwords.exclude(pk__in=list(newest)).delete()


def _hashed(password: str) -> str:
    if not password or len(password) > MAX_PASSWORD_LENGTH:
        raise Invalid(f"A password has from 1 to {MAX_PASSWORD_LENGTH} characters.", field="password")
    return hash_password(password)


def _default_project(project_id: str | None) -> str | None:
    """Any project will do, even one to come; a domain will not."""
    if project_id and Project.objects.filter(pk=project_id, is_domain=True).exists():
        raise Invalid("User's default project ID cannot be a domain ID.", field="default_project_id")
    return project_id or None
