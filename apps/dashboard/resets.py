"""A new password by mail: an address that is good once and for a short while, for whoever reads the user's mail.

Asking always does the same, whoever is named: the mail is made and sent by an operation, so neither the answer nor
its time says whether there is such a user.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from apps.core.context import RequestContext
from apps.core.errors import Invalid
from apps.core.tokens import new_token, token_hash
from apps.core.transactions import internal
from apps.dashboard.models import PasswordReset
from apps.identity import services as identity
from apps.identity.models import User
from apps.operations import services as operations

KIND = "dashboard.password_reset.mail"


def possible() -> bool:
    """Is there a mail server to send by?"""
    return bool(settings.CONFIG.mail.host)


@internal("anybody may ask; what follows depends on who reads the mail")
def reset_request(ctx: RequestContext, *, name: str, domain_name: str) -> None:
    """Send the user an address to choose a new password at, if there is one who can be reached."""
    user = User.objects.filter(name=name, domain__name=domain_name, domain__is_domain=True).first()
    operations.operation_start(
        ctx,
        kind=KIND,
        subject_type="user",
        subject_id=user.pk if user else "",
        project_id="",
        input={"language": get_language() or "en"},
        locks=(),
    )


def reachable(user_id: str) -> User | None:
    """The user, if they may choose their own password and have an address for mail."""
    user = User.objects.select_related("domain").filter(pk=user_id, enabled=True, domain__enabled=True).first()
    if user is None or user.options.get("lock_password") or not user.password_hash:
        return None
    return user if "@" in str(user.extra.get("email") or "") else None


def token_made(user: User) -> str:
    """A new token for the user, in place of any earlier one."""
    token = new_token()
    ends = timezone.now() + timedelta(minutes=settings.CONFIG.mail.reset_minutes)
    PasswordReset.objects.update_or_create(
        user=user,
        defaults={"token_hash": token_hash(token), "generation": user.token_generation, "expires_at": ends},
    )
    return token


@internal("the token that came by mail is the proof")
def password_reset(ctx: RequestContext, *, token: str, password: str) -> User:
    """Set the password of the user to whom the token was sent, and use the token up; their sessions end.

    Raises Invalid for a token that is unknown, used, replaced or too old, and for a password that may not be.
    """
    found = PasswordReset.objects.select_for_update().filter(token_hash=token_hash(token.strip())).first()
    if found is None or found.expires_at <= timezone.now() or reachable(found.user_id) is None:
        raise Invalid(_("This code is unknown, used up or too old. Ask for another."), field="token")
    user = User.objects.get(pk=found.user_id)
    if user.token_generation != found.generation:
        raise Invalid(_("This code is unknown, used up or too old. Ask for another."), field="token")
    named = replace(ctx, user_id=user.pk, user_name=user.name, user_domain_id=user.domain_id)
    identity.user_reset_password(named, user_id=user.pk, password=password)
    found.delete()
    return user
