"""The methods of proving who one is, each by its part of `auth.identity`."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from apps.core.errors import Forbidden, Invalid, NotFound, Unauthorized
from apps.identity.backends import totp
from apps.identity.backends.oauth1 import SignedRequest
from apps.identity.backends.passwords import verify_password
from apps.identity.models import AccessToken, ApplicationCredential, Credential, User
from apps.identity.selectors.delegations import is_active
from apps.identity.selectors.keys import opened_secret
from apps.identity.selectors.sessions import Session, session_of
from apps.identity.services.passwords import REQUIRED, admit, proven_user, refuse_expired, user_named
from apps.identity.services.signed import access_token_signed
from apps.identity.states import DELEGATED_METHODS, Method


@dataclass(frozen=True, slots=True)
class Proof:
    """What one method showed: who it is, and what limits the token made from it."""

    user: User
    parent: Session | None = None
    credential: ApplicationCredential | None = None
    access_token: AccessToken | None = None
    expires_at: datetime.datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One method's part of the body, and for signed requests the request."""

    data: Mapping[str, Any]
    request: SignedRequest | None = None


def _by_password(attempt: Attempt) -> Proof:
    who = attempt.data.get("user") or {}
    user = proven_user(password=who.get("password") or "", **_name_of(who, "password"))
    refuse_expired(user)
    return Proof(user)


def _by_token(attempt: Attempt) -> Proof:
    session = session_of(attempt.data.get("id", ""))
    if session is None:
        raise NotFound("token")
    if session.trust is not None:
        raise Forbidden("Using trust-scoped token to create another token. Create a new trust-scoped token instead")
    if not DELEGATED_METHODS.isdisjoint(session.claims.methods):
        raise Forbidden("A token of an application credential, access key or OAuth cannot be exchanged for another.")
    return Proof(session.user, parent=session)


def _by_application_credential(attempt: Attempt) -> Proof:
    data = attempt.data
    credentials = ApplicationCredential.objects.select_related("user__domain")
    if "id" in data:
        credential = credentials.filter(pk=data["id"]).first()
    else:
        owner = user_named(**_name_of(data.get("user") or {}, "application_credential"))
        credential = credentials.filter(user=owner, name=data.get("name", "")).first() if owner else None
    right = verify_password(data["secret"], credential.secret_hash if credential else "")
    if credential is None or not right:
        raise Unauthorized(REQUIRED)
    if credential.expires_at is not None and credential.expires_at <= timezone.now():
        raise Unauthorized(REQUIRED)
    return Proof(credential.user, credential=credential, expires_at=credential.expires_at)


def _by_totp(attempt: Attempt) -> Proof:
    who = attempt.data.get("user") or {}
    user = user_named(**_name_of(who, "totp"))
    return Proof(admit(user, right=passcode_fits(user, who.get("passcode") or "")))


def passcode_fits(user: User | None, passcode: str) -> bool:
    """Is this the present code of one of the user's authenticators? Each code is taken once."""
    if user is None:
        return False
    window = settings.CONFIG.identity.totp_previous_windows
    for row in Credential.objects.filter(user=user, type="totp").order_by("pk"):
        try:
            step = totp.matching_step(opened_secret(row.sealed_blob), passcode, now=time.time(), previous=window)
        except (ValueError, TypeError):
            continue  # a secret that is none, stored before it was looked at
        fresh = Credential.objects.filter(Q(last_step=None) | Q(last_step__lt=step or 0), pk=row.pk)
        if step is not None and fresh.update(last_step=step):
            return True
    return False


def _by_oauth1(attempt: Attempt) -> Proof:
    if attempt.request is None:
        raise Unauthorized(REQUIRED)
    access = access_token_signed(attempt.request)
    if not is_active(access.user):
        raise Unauthorized(REQUIRED)
    return Proof(access.user, access_token=access, expires_at=access.expires_at)


METHODS: Mapping[str, Callable[[Attempt], Proof]] = {
    Method.PASSWORD: _by_password,
    Method.TOKEN: _by_token,
    Method.APPLICATION_CREDENTIAL: _by_application_credential,
    Method.TOTP: _by_totp,
    Method.OAUTH1: _by_oauth1,
}


def _name_of(who: Mapping[str, Any], method: str) -> dict[str, str]:
    """The keywords of `user_named`. Raises Invalid where nobody is named."""
    domain = who.get("domain") or {}
    if "id" not in who and ("name" not in who or not (domain.get("id") or domain.get("name"))):
        raise Invalid(f"Expecting to find id, or name and domain, in identity/{method}/user.", field="user")
    return {
        "user_id": who.get("id", ""),
        "name": who.get("name", ""),
        "domain_id": domain.get("id", ""),
        "domain_name": domain.get("name", ""),
    }
