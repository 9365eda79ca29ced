"""Passkeys: WebAuthn credentials that are found without a name and ask their owner for a finger, a face or a PIN.

Such a key is a thing one has and, by that question, something one is or knows: it is enough to sign in by itself.
Source: W3C Web Authentication Level 3; the cryptography is the library's.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound, Unauthorized
from apps.core.transactions import on_violation, service
from apps.dashboard.models import Passkey
from apps.identity.models import User

on_violation("dashboard_passkey_once", lambda detail: Conflict(_("This passkey is known already.")))

CHALLENGE_S = 300
MOST = 20  # of one user


@dataclass(frozen=True, slots=True)
class Party:
    """Whom browsers make keys for: the name of the site, and the origin of its pages."""

    id: str
    origin: str


def party() -> Party | None:
    """This site; None where browsers would refuse: without TLS, or by a bare address in place of a name."""
    url = urlsplit(settings.CONFIG.public.url)
    name = url.hostname or ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        secure = url.scheme == "https" or name == "localhost"
        return Party(name, f"{url.scheme}://{url.netloc}") if name and secure else None
    return None


def _party() -> Party:
    found = party()
    if found is None:
        raise NotFound(_("Signing in by passkey at this address"))
    return found


def _library() -> Any:
    """The module `webauthn`, loaded by the first who needs it: it brings five megabytes of others."""
    import webauthn

    return webauthn


# --- adding a key -------------------------------------------------------------------------------------


def offer(session: SessionBase, user: User) -> str:
    """What a browser needs to make a key, as JSON. Raises Conflict over the most that one user may have."""
    known = list(Passkey.objects.filter(user=user).values_list("credential_id", flat=True))
    if len(known) >= MOST:
        raise Conflict(_("At most %d passkeys.") % MOST)
    webauthn = _library()
    structs = webauthn.helpers.structs
    options = webauthn.generate_registration_options(
        rp_id=_party().id,
        rp_name="Kumo",
        user_id=user.pk.encode(),
        user_name=user.name,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.REQUIRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=bytes(ident)) for ident in known],
    )
    _keep(session, "add", options.challenge)
    return str(webauthn.options_to_json(options))


def add(ctx: RequestContext, session: SessionBase, answer: dict[str, Any], name: str) -> Passkey:
    """Keep the key that the browser made. Raises Invalid for one that was not made for this page."""
    site, challenge, webauthn = _party(), _take(session, "add"), _library()
    try:
        made = webauthn.verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except (webauthn.helpers.exceptions.WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise Invalid(_("The browser's answer does not hold: %s") % error) from error
    return passkey_create(
        ctx,
        name=name.strip()[:255] or _("Passkey"),
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
    )


@service("anyone")
def passkey_create(
    ctx: RequestContext, *, name: str, credential_id: bytes, public_key: bytes, sign_count: int
) -> Passkey:
    """A key of the caller's that was checked. Raises Conflict for one that is known."""
    return Passkey.objects.create(
        user_id=ctx.user_id, name=name, credential_id=credential_id, public_key=public_key, sign_count=sign_count
    )


@service("anyone")
def passkey_delete(ctx: RequestContext, *, passkey_id: UUID) -> None:
    """Forget one of the caller's keys. Raises NotFound."""
    gone, _by_kind = Passkey.objects.filter(user_id=ctx.user_id, pk=passkey_id).delete()
    if not gone:
        raise NotFound(_("passkey"), passkey_id)


# --- signing in by one --------------------------------------------------------------------------------


def ask(session: SessionBase) -> str:
    """What a browser needs to sign in with any key it has for this site, as JSON."""
    webauthn = _library()
    options = webauthn.generate_authentication_options(
        rp_id=_party().id, user_verification=webauthn.helpers.structs.UserVerificationRequirement.REQUIRED
    )
    _keep(session, "ask", options.challenge)
    return str(webauthn.options_to_json(options))


def signed_in(session: SessionBase, answer: dict[str, Any]) -> User:
    """Whose key answered. Raises Unauthorized, the same for every reason."""
    site, challenge, webauthn = _party(), _take(session, "ask"), _library()
    read_bytes = webauthn.helpers.base64url_to_bytes
    refusals = (webauthn.helpers.exceptions.WebAuthnException, Passkey.DoesNotExist)
    try:
        ident = read_bytes(str(answer["id"]))
        row = Passkey.objects.select_related("user__domain").get(credential_id=ident)
        found = webauthn.verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            credential_public_key=bytes(row.public_key),
            credential_current_sign_count=row.sign_count,
            require_user_verification=True,
        )
        owner = read_bytes(str(answer["response"].get("userHandle") or "")) or row.user_id.encode()
    except (*refusals, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unauthorized(_("This passkey does not open this door.")) from error
    if not hmac.compare_digest(owner, row.user_id.encode()) or not (row.user.enabled and row.user.domain.enabled):
        raise Unauthorized(_("This passkey does not open this door."))
    Passkey.objects.filter(pk=row.pk).update(sign_count=found.new_sign_count, used_at=Now())
    return row.user


# --- challenges: one at a time for each purpose, used up by the first answer ----------------------------


def _keep(session: SessionBase, purpose: str, challenge: bytes) -> None:
    session[f"passkey_{purpose}"] = [challenge.hex(), time.time() + CHALLENGE_S]


def _take(session: SessionBase, purpose: str) -> bytes:
    text, ends = session.pop(f"passkey_{purpose}", ("", 0.0))
    if not text or ends < time.time():
        raise Invalid(_("That took too long. Begin again."))
    return bytes.fromhex(text)


def read(body: bytes) -> dict[str, Any]:
    """A browser's answer. Raises Invalid for what is none."""
    try:
        found = json.loads(body)
    except ValueError as error:
        raise Invalid(_("That is not an answer of a browser.")) from error
    if not isinstance(found, dict):
        raise Invalid(_("That is not an answer of a browser."))
    return found
