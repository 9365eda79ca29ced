"""Passwords: proving one, and the rules for choosing one.

Whatever is wrong with somebody's credentials, the answer and the time it takes are the same. Proving is not one
transaction: a wrong password is counted although the call fails.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from apps.core.errors import Invalid, Unauthorized
from apps.identity.backends.passwords import MAX_PASSWORD_LENGTH, hash_password, needs_rehash, verify_password
from apps.identity.models import FormerPassword, User
from apps.identity.selectors.delegations import is_active
from apps.identity.services.directories import proven_in_directory
from apps.identity.services.epoch import change_epoch
from apps.identity.services.events import locked_event

REQUIRED = "The request you have made requires authentication."


class PasswordExpired(Unauthorized):
    """The password was right, and must be changed before it is used; of the user with the id `user_id`."""

    def __init__(self, user_id: str) -> None:
        super().__init__(f"The password is expired and needs to be changed for user: {user_id}.")
        self.user_id = user_id


def proven_user(
    *, password: str, user_id: str = "", name: str = "", domain_id: str = "", domain_name: str = ""
) -> User:
    """The user with this name (or id) and password, even an expired one; wrong ones count towards the lock.

    Raises Unauthorized, the same for every reason.
    """
    of_directory = proven_in_directory(
        password=password, user_id=user_id, name=name, domain_id=domain_id, domain_name=domain_name
    )
    if of_directory is not None:
        return of_directory
    user = user_named(user_id=user_id, name=name, domain_id=domain_id, domain_name=domain_name)
    right = verify_password(password, user.password_hash if user else "")
    admitted = admit(user, right=right)
    if needs_rehash(admitted.password_hash):
        User.objects.filter(pk=admitted.pk).update(password_hash=hash_password(password))
    return admitted


def refuse_expired(user: User) -> None:
    """Raise PasswordExpired for a password that must be changed before it is used."""
    expired = user.password_expires_at is not None and user.password_expires_at <= timezone.now()
    if expired and not user.options.get("ignore_password_expiry"):
        raise PasswordExpired(user.pk)


def admit(user: User | None, *, right: bool) -> User:
    """The user, if what they showed was right and nothing else keeps them out; counts what was wrong.

    Raises Unauthorized, the same for every reason.
    """
    if user is None:
        raise Unauthorized(REQUIRED)
    locked = _locked(user)
    if not right and not locked:
        _count_failure(user)
    if not right or locked or not is_active(user) or _disabled_as_inactive(user):
        raise Unauthorized(REQUIRED)
    changes: dict[str, Any] = {"failed_auth_count": 0, "failed_auth_at": None} if user.failed_auth_count else {}
    if user.last_active_on != _today():
        changes["last_active_on"] = _today()
    if changes:
        User.objects.filter(pk=user.pk).update(**changes)
    return user


def user_named(*, user_id: str, name: str, domain_id: str, domain_name: str) -> User | None:
    """Who is meant: an id, or a name with its domain."""
    users = User.objects.select_related("domain")
    if user_id:
        return users.filter(pk=user_id).first()
    if domain_id:
        return users.filter(name=name, domain_id=domain_id).first()
    return users.filter(name=name, domain__name=domain_name, domain__is_domain=True).first()


def _locked(user: User) -> bool:
    limits = settings.CONFIG.identity
    if not limits.lockout_failures or user.options.get("ignore_lockout_failure_attempts"):
        return False
    if user.failed_auth_count < limits.lockout_failures or user.failed_auth_at is None:
        return False
    return user.failed_auth_at > timezone.now() - datetime.timedelta(seconds=limits.lockout_seconds)


def _count_failure(user: User) -> None:
    """One more wrong password in a row; a lock that has run out starts the count anew."""
    limit = settings.CONFIG.identity.lockout_failures
    if not limit:
        return
    count = 1 if user.failed_auth_count >= limit else F("failed_auth_count") + 1
    User.objects.filter(pk=user.pk).update(failed_auth_count=count, failed_auth_at=Now())
    if limit == 1 or user.failed_auth_count == limit - 1:
        locked_event(user)


def _disabled_as_inactive(user: User) -> bool:
    """Disable somebody who has not signed in for too long, until an administrator enables them again."""
    days = settings.CONFIG.identity.inactive_days
    if not days or user.options.get("ignore_user_inactivity"):
        return False
    if (_today() - (user.last_active_on or user.created_at.date())).days < days:
        return False
    User.objects.filter(pk=user.pk).update(enabled=False, token_generation=F("token_generation") + 1)
    change_epoch()
    return True


def _today() -> datetime.date:
    return timezone.now().date()


# --- choosing --------------------------------------------------------------------------------------


def password_columns(password: str | None, *, options: Any, own: bool) -> dict[str, Any]:
    """Columns of a user with a new password, or none; `own` says that the user chose it. Raises Invalid."""
    rules, now = settings.CONFIG.identity, timezone.now()
    expires_at = None
    if not own and rules.change_password_upon_first_use and not options.get("ignore_change_password_upon_first_use"):
        expires_at = now
    elif rules.password_expires_days and not options.get("ignore_password_expiry"):
        expires_at = (now + datetime.timedelta(days=rules.password_expires_days)).replace(microsecond=0)
    return {
        "password_hash": "" if password is None else _hashed(password),
        "password_changed_at": now,
        "password_expires_at": None if password is None else expires_at,
        "password_is_own": own,
        "failed_auth_count": 0,
        "failed_auth_at": None,
    }


def may_choose(user: User, password: str) -> None:
    """Raise Invalid where the user may not change the password (now), or had this one before."""
    if user.options.get("lock_password"):
        raise Invalid(
            "You cannot change your password at this time due to password policy disallowing password changes. "
            "Please contact your administrator to reset your password.",
            field="password",
        )
    _old_enough(user)
    _unlike_the_last(user, password)


def _old_enough(user: User) -> None:
    days = settings.CONFIG.identity.minimum_password_age_days
    if not days or not user.password_is_own or user.password_changed_at is None:
        return
    left = user.password_changed_at + datetime.timedelta(days=days) - timezone.now()
    if left > datetime.timedelta():
        raise Invalid(
            "You cannot change your password at this time due to the minimum password age. Once you change your "
            f"password, it must be used for {days} day(s) before it can be changed. Please try again in "
            f"{left.days} day(s) or contact your administrator to reset your password.",
            field="password",
        )


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


def remember(user: User) -> None:
    """Keep the present hash among the former ones, and only as many as are compared."""
    kept = max(settings.CONFIG.identity.unique_last_passwords - 1, 0)
    if kept and user.password_hash:
        FormerPassword.objects.create(user=user, password_hash=user.password_hash)
    newest = user.former_passwords.order_by("-pk").values_list("pk", flat=True)[:kept]
    user.former_passwords.exclude(pk__in=list(newest)).delete()


def _hashed(password: str) -> str:
    if not password or len(password) > MAX_PASSWORD_LENGTH:
        raise Invalid(f"A password has from 1 to {MAX_PASSWORD_LENGTH} characters.", field="password")
    rules = settings.CONFIG.identity
    if rules.password_regex and not re.match(rules.password_regex, password):
        words = rules.password_regex_description or rules.password_regex
        raise Invalid(f"The password does not match the requirements: {words}.", field="password")
    return hash_password(password)
