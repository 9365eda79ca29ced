"""Signing in, and the life of tokens.

Signing in is not one transaction: a wrong password is counted although the call fails.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound, Unauthorized
from apps.core.policy import enforce
from apps.core.transactions import internal, service
from apps.identity.backends.oauth1 import SignedRequest
from apps.identity.backends.tokens import (
    BadToken,
    Claims,
    Receipt,
    new_audit_id,
    seal,
    seal_receipt,
    sign,
    unseal_receipt,
)
from apps.identity.models import Project, RevokedToken, Trust, User
from apps.identity.selectors.delegations import generation_of
from apps.identity.selectors.sessions import Session, session_for, session_of
from apps.identity.services.epoch import change_epoch
from apps.identity.services.events import token_event
from apps.identity.services.keys import key_ring_ensured
from apps.identity.services.passwords import REQUIRED, admit, proven_user, refuse_expired
from apps.identity.services.proofs import METHODS, Attempt, Proof, passcode_fits
from apps.identity.services.scopes import Wanted, usable_project, wanted_scope
from apps.identity.states import Method, Scope

UNSUPPORTED = "Attempted to authenticate with an unsupported method."


class MoreFactors(Unauthorized):
    """What was shown is right, and not enough: `receipt` stands for it, `required` lists sets of methods that are."""

    def __init__(self, text: str, receipt: Receipt, user: User, required: Sequence[Sequence[str]]) -> None:
        super().__init__(REQUIRED)
        self.text, self.receipt, self.user, self.required = text, receipt, user, required


def sign_in(
    *,
    password: str,
    passcode: str = "",
    user_id: str = "",
    name: str = "",
    domain_id: str = "",
    domain_name: str = "",
) -> User:
    """The user with this name (or id), password and, where their rules ask for one, code of an authenticator.

    Raises Unauthorized, the same for every reason but an expired password, MoreFactors where a code is missing.
    """
    user = proven_user(password=password, user_id=user_id, name=name, domain_id=domain_id, domain_name=domain_name)
    refuse_expired(user)
    proven = {Method.PASSWORD}
    if passcode:
        if not passcode_fits(user, passcode):
            raise Unauthorized(REQUIRED)
        proven.add(Method.TOTP)
    _enough(user, proven)
    return user


def sign_in_further(*, receipt: str, passcode: str) -> User:
    """The user whom a receipt of `sign_in` stands for, after they showed a code of their authenticator too.

    Raises Unauthorized, the same for a wrong code and a receipt that does not hold; MoreFactors as `sign_in`.
    """
    try:
        shown = unseal_receipt(receipt, key_ring_ensured().every)
    except BadToken as error:
        raise Unauthorized(REQUIRED) from error
    user = User.objects.select_related("domain").filter(pk=shown.user_id).first()
    user = admit(user, right=passcode_fits(user, passcode))
    _enough(user, _shown_before(receipt, user) | {Method.TOTP})
    return user


@token_event
def token_issue(
    *,
    identity: Mapping[str, Any],
    scope: Mapping[str, Any] | str | None,
    receipt: str = "",
    request: SignedRequest | None = None,
) -> tuple[str, Session]:
    """A new token for the bodies `auth.identity` and `auth.scope`, already of the right shape.

    `receipt` stands for factors that were shown before. Raises Invalid for contradictory bodies, NotFound for a token
    that does not hold, MoreFactors where the user's rules ask for more, Unauthorized for everything that must not be
    told apart.
    """
    methods = tuple(dict.fromkeys(identity["methods"]))
    for method in methods:
        if method not in identity:
            raise Invalid(f"Expecting to find {method} in identity.", field=method)
        if method not in METHODS:
            raise Unauthorized(UNSUPPORTED)
    if Method.APPLICATION_CREDENTIAL in methods and scope is not None:
        raise Unauthorized("Application credentials cannot request a scope.")
    proofs = [METHODS[method](Attempt(identity[method], request)) for method in methods]
    if len({proof.user.pk for proof in proofs}) != 1:
        raise Unauthorized(REQUIRED)
    proof = _together(proofs)
    proven = {Method(method) for method in methods} | _shown_before(receipt, proof.user)
    if proof.parent is not None:
        proven |= set(proof.parent.claims.methods)
    _enough(proof.user, proven)
    return _granted(_issue_scoped(proof, proven, scope))


def _together(proofs: Sequence[Proof]) -> Proof:
    return Proof(
        proofs[0].user,
        next((p.parent for p in proofs if p.parent), None),
        next((p.credential for p in proofs if p.credential), None),
        next((p.access_token for p in proofs if p.access_token), None),
        min((p.expires_at for p in proofs if p.expires_at), default=None),
    )


def _granted(made: tuple[str, Session] | None) -> tuple[str, Session]:
    if made is None:
        raise Unauthorized(REQUIRED)
    return made


# --- several factors -------------------------------------------------------------------------------


def _enough(user: User, proven: Iterable[Method]) -> None:
    """Raise MoreFactors unless these methods satisfy one of the user's rules.

    Methods that do not exist are left out of a rule, and a rule of only such counts as none, so that a slip of the pen
    shuts nobody out.
    """
    if user.options.get("multi_factor_auth_enabled") is False:
        return
    written = user.options.get("multi_factor_auth_rules") or ()
    rules = [known for rule in written if (known := sorted({m for m in rule if m in METHODS}))]
    proven = frozenset(proven)
    if not rules or any(proven.issuperset(rule) for rule in rules):
        return
    now = time.time()
    receipt = Receipt(
        user_id=user.pk,
        user_generation=user.token_generation,
        methods=tuple(method for method in Method if method in proven),
        issued_at=int(now * 1_000_000),
        expires_at=int(now) + settings.CONFIG.identity.receipt_minutes * 60,
    )
    raise MoreFactors(seal_receipt(receipt, key_ring_ensured().newest), receipt, user, rules)


def _shown_before(text: str, user: User) -> set[Method]:
    """The factors that a receipt stands for; it must be this user's. Raises Unauthorized."""
    if not text:
        return set()
    try:
        receipt = unseal_receipt(text, key_ring_ensured().every)
    except BadToken as error:
        raise Unauthorized(REQUIRED) from error
    mine = receipt.user_id == user.pk and receipt.user_generation == user.token_generation
    if not mine or receipt.expires_at <= time.time():
        raise Unauthorized(REQUIRED)
    return set(receipt.methods)


# --- ending ----------------------------------------------------------------------------------------


@service("anyone")
def token_revoke(ctx: RequestContext, *, token: str) -> None:
    """End a token for every process with its next request. Raises NotFound for one that does not hold."""
    session = session_of(token)
    if session is None:
        raise NotFound("token")
    enforce(ctx, "identity:revoke_token", {"target": {"token": {"user_id": session.user.pk}}})
    window = datetime.timedelta(hours=settings.CONFIG.identity.allow_expired_hours)
    RevokedToken.objects.filter(expires_at__lt=timezone.now() - window - datetime.timedelta(minutes=5)).delete()
    RevokedToken.objects.get_or_create(
        audit_id=session.claims.audit_ids[0],
        defaults={"expires_at": datetime.datetime.fromtimestamp(session.claims.expires_at, datetime.UTC)},
    )


@service("anyone")
def user_tokens_revoke(ctx: RequestContext, *, user_id: str) -> None:
    """End every token of a user. Raises NotFound."""
    enforce(ctx, "identity:revoke_tokens_for_user", {"user_id": user_id})
    if not User.objects.filter(pk=user_id).exists():
        raise NotFound("user", user_id)
    end_tokens_of_user(user_id)
    change_epoch()


def end_tokens_of_user(user_id: str) -> None:
    """End every token of a user; the caller changes the epoch."""
    User.objects.filter(pk=user_id).update(token_generation=F("token_generation") + 1)


def end_tokens_of_project(project: Project) -> None:
    """End every token for a project, or of a domain's projects and users too; the caller changes the epoch."""
    inside = Q(pk=project.pk)
    if project.is_domain:
        inside |= Q(domain_id=project.pk)
        User.objects.filter(domain_id=project.pk).update(token_generation=F("token_generation") + 1)
    Project.objects.filter(inside).update(token_generation=F("token_generation") + 1)


# --- making ----------------------------------------------------------------------------------------


def _issue_scoped(
    proof: Proof, proven: Iterable[Method], scope: Mapping[str, Any] | str | None
) -> tuple[str, Session] | None:
    """The scope is looked at only now, when it is known who asks: strangers learn nothing of domains and projects."""
    fixed = proof.credential or proof.access_token
    if fixed is not None:
        return issue(proof, Wanted(Scope.PROJECT, usable_project(fixed.project_id)), proven)
    if scope is None and proof.user.default_project_id:
        made = issue(proof, Wanted(Scope.PROJECT, usable_project(proof.user.default_project_id)), proven)
        if made is not None:
            return made
    wanted = wanted_scope(scope, proof.user)
    made = issue(proof, wanted, proven)
    if made is not None and wanted.trust is not None:
        _use_up(wanted.trust)
    return made


def issue(proof: Proof, wanted: Wanted, proven: Iterable[Method]) -> tuple[str, Session] | None:
    """Seal a token; None if the user has no role there. It never outlives what it was made from."""
    target, trust = wanted.target, wanted.trust
    if wanted.scope in {Scope.PROJECT, Scope.DOMAIN} and target is None:
        return None
    now = time.time()
    audit_ids = [new_audit_id()]
    ends = [int(now) + settings.CONFIG.identity.token_hours * 3600]
    ends += [int(at.timestamp()) for at in (proof.expires_at, trust.expires_at if trust else None) if at is not None]
    if proof.parent is not None:
        audit_ids.append(proof.parent.claims.audit_ids[-1])
        ends.append(proof.parent.claims.expires_at)
    proven = frozenset(proven)
    claims = Claims(
        user_id=proof.user.pk,
        user_generation=generation_of(proof.user, trust),
        scope=wanted.scope,
        target_id=target.pk if target else "",
        target_generation=target.token_generation if target else 0,
        methods=tuple(method for method in Method if method in proven),
        issued_at=int(now * 1_000_000),
        expires_at=min(ends),
        audit_ids=tuple(audit_ids),
        credential_id=proof.credential.pk if proof.credential else "",
        trust_id=trust.pk if trust else "",
        access_token_id=proof.access_token.pk if proof.access_token else "",
    )
    ring = key_ring_ensured()
    session = session_for(claims, ring.epoch)
    if session is None:
        return None
    signed = settings.CONFIG.identity.token_provider == "jws"
    return (sign(claims, ring.signers[0]) if signed else seal(claims, ring.newest)), session


@internal("a trust is used up by the token that was just made from it")
def _use_up(trust: Trust) -> None:
    """One use less, unless they are unlimited. Raises Unauthorized where another took the last one meanwhile."""
    if trust.remaining_uses is None:
        return
    left = Trust.objects.filter(pk=trust.pk, remaining_uses__gt=0).update(remaining_uses=F("remaining_uses") - 1)
    if not left:
        raise Unauthorized(REQUIRED)
