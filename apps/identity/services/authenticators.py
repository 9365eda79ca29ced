"""An authenticator app of a user's own: codes besides the password, for the web admin and for `/v3/auth/tokens`.

The secret is a credential of type `totp`; that a code is asked for says the user's option `multi_factor_auth_rules`.
"""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.transactions import selector, service
from apps.identity.backends import totp
from apps.identity.models import Credential, User
from apps.identity.services.epoch import change_epoch
from apps.identity.services.keys import sealed_secret
from apps.identity.services.proofs import passcode_fits
from apps.identity.states import DELEGATED_METHODS, Method

# What a user who adds an authenticator has to show: both factors; programs go on with what they were given.
RULES = [[Method.PASSWORD.value, Method.TOTP.value], *([method.value] for method in sorted(DELEGATED_METHODS))]


@selector("anyone")
def authenticator_count(ctx: RequestContext) -> int:
    """How many authenticators the caller has."""
    return Credential.objects.filter(user_id=ctx.user_id, type="totp").count()


@service("anyone")
def authenticator_add(ctx: RequestContext, *, secret: str, passcode: str) -> None:
    """Ask the caller for codes of this secret (base32) from now on; `passcode` shows that they have it.

    Rules that an administrator wrote stay as they are. Raises Invalid for a wrong code or an unusable secret,
    Conflict where there is one already.
    """
    user = _caller(ctx)
    if Credential.objects.filter(user=user, type="totp").exists():
        raise Conflict("There is an authenticator already.")
    try:
        window = settings.CONFIG.identity.totp_previous_windows
        step = totp.matching_step(secret, passcode, now=time.time(), previous=window)
    except (ValueError, TypeError) as error:
        raise Invalid("The secret is not base32 of ten bytes or more.", field="secret") from error
    if step is None:
        raise Invalid("This is not the present code.", field="code")
    Credential.objects.create(user=user, type="totp", sealed_blob=sealed_secret(secret), last_step=step)
    if not user.options.get("multi_factor_auth_rules"):
        _save(user, user.options | {"multi_factor_auth_rules": RULES, "multi_factor_auth_enabled": True})


@service("anyone")
def authenticator_remove(ctx: RequestContext, *, passcode: str) -> None:
    """Ask the caller for no codes any more; a present code is the proof that it is they who wish it.

    Raises NotFound without one, Conflict where an administrator's rules ask for codes, Invalid for a wrong code.
    """
    user = _caller(ctx)
    mine = Credential.objects.filter(user=user, type="totp")
    if not mine.exists():
        raise NotFound("authenticator", user.pk)
    rules = user.options.get("multi_factor_auth_rules") or []
    if rules != RULES and any(Method.TOTP.value in rule for rule in rules):
        raise Conflict("An administrator's rules ask for codes.")
    if not passcode_fits(user, passcode):
        raise Invalid("This is not the present code.", field="code")
    mine.delete()
    if rules == RULES:
        ours = {"multi_factor_auth_rules", "multi_factor_auth_enabled"}
        _save(user, {name: value for name, value in user.options.items() if name not in ours})


def _caller(ctx: RequestContext) -> User:
    return User.objects.select_for_update(no_key=True).get(pk=ctx.user_id)


def _save(user: User, options: dict[str, Any]) -> None:
    user.options = options
    user.save(update_fields=["options"])
    change_epoch()
