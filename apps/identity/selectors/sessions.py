"""From a token to the caller's context: what every request to every API goes through.

A process keeps what it worked out about a token while the epoch stands still, so that a request costs one small
query that also asks whether the token was revoked. Whatever changes roles, users, projects or keys changes the
epoch in its own transaction, and holds for the very next request in every process.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from apps.core.context import RequestContext
from apps.identity.backends.access_rules import AllowedCall
from apps.identity.backends.tokens import BadToken, Claims, unseal, verified
from apps.identity.models import AccessToken, ApplicationCredential, Project, Trust, User
from apps.identity.selectors.catalog import forget_catalog
from apps.identity.selectors.delegations import delegation_of, generation_of, is_active
from apps.identity.selectors.epoch import pulse
from apps.identity.selectors.keys import forget_keys, key_ring
from apps.identity.selectors.roles import RoleName, effective_roles
from apps.identity.states import DELEGATED_METHODS, Scope

_MOST = 2_000  # sessions kept in one process; about 10 kB each with their documents
_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Session:
    """A token that holds, resolved. `documents` keeps what was rendered from it."""

    claims: Claims
    epoch: int
    user: User
    target: Project | None
    roles: tuple[RoleName, ...]
    context: RequestContext
    credential: ApplicationCredential | None = None
    trust: Trust | None = None
    access_token: AccessToken | None = None
    calls: tuple[AllowedCall, ...] | None = None  # the only calls it may make; None: all
    documents: dict[str, Any] = field(default_factory=dict)

    def context_for(self, *, request_id: str, global_request_id: str = "") -> RequestContext:
        """The context of one request made with this token."""
        return replace(self.context, request_id=request_id, global_request_id=global_request_id)


_held: dict[str, Session] = {}
_web: dict[tuple[str, str], tuple[int, RequestContext]] = {}


def _keep(kept: dict[_K, _V], key: _K, value: _V) -> None:
    """Bounded, the oldest going first; another thread that drops one at the same moment does no harm."""
    while len(kept) >= _MOST:
        with contextlib.suppress(StopIteration, RuntimeError):
            kept.pop(next(iter(kept)), None)
    kept[key] = value


def forget() -> None:
    """Drop what this process keeps; for tests that write rows past the services."""
    _held.clear()
    _web.clear()
    forget_catalog()
    forget_keys()


def session_of(token: str) -> Session | None:
    """The session of a token that holds now, else None."""
    return sessions_of((token,))[0]


def sessions_of(tokens: Sequence[str], *, grace_s: Sequence[int] = ()) -> list[Session | None]:
    """The same for several tokens, with one query when all of them are known.

    `grace_s` says for each how many seconds it may have been expired; nothing: none.
    """
    held = [_held.get(token) for token in tokens]
    now = time.time()
    epoch, revoked = pulse([s.claims.audit_ids[0] for s in held if s is not None])
    found: list[Session | None] = []
    for token, session, grace in zip(tokens, held, grace_s or [0] * len(tokens), strict=True):
        if session is None or session.epoch != epoch:
            found.append(_resolved(token, epoch, now - grace))
        elif session.claims.audit_ids[0] in revoked or session.claims.expires_at <= now - grace:
            _held.pop(token, None)
            found.append(None)
        else:
            found.append(session)
    return found


def _resolved(token: str, epoch: int, at: float) -> Session | None:
    """Work a token out from the database, and keep it."""
    ring = key_ring(epoch)
    if ring is None:
        return None
    try:
        claims = verified(token, ring.signers) if token.count(".") == 2 else unseal(token, ring.every)
    except BadToken:
        return None
    if claims.expires_at <= at or pulse(claims.audit_ids[:1])[1]:
        return None
    session = session_for(claims, epoch)
    if session is not None:
        _keep(_held, token, session)
    else:
        _held.pop(token, None)
    return session


def session_for(claims: Claims, epoch: int) -> Session | None:
    """What these claims amount to now; None if user, scope or delegation is gone, disabled, or of a new generation."""
    holder = User.objects.select_related("domain").filter(pk=claims.user_id).first()
    if holder is None or not is_active(holder):
        return None
    delegation = delegation_of(claims, holder)
    if delegation is None or generation_of(holder, delegation.trust) != claims.user_generation:
        return None
    target: Project | None = None
    if claims.target_id:
        target = Project.objects.select_related("domain").filter(pk=claims.target_id).first()
        if target is None or not is_usable(target) or target.token_generation != claims.target_generation:
            return None
    given = effective_roles(user_id=delegation.giver.pk, scope=claims.scope, target_id=claims.target_id)
    roles = delegation.narrowed(given)
    if not roles and claims.scope != Scope.UNSCOPED:
        return None
    context = context_from(
        delegation.user, claims.scope, target, roles, token_id=claims.audit_ids[0], credential=_shown_by(claims)
    )
    return Session(
        claims=claims,
        epoch=epoch,
        user=delegation.user,
        target=target,
        roles=roles,
        context=replace(
            context, trust_id=claims.trust_id, is_delegated=not DELEGATED_METHODS.isdisjoint(claims.methods)
        ),
        credential=delegation.credential,
        trust=delegation.trust,
        access_token=delegation.access_token,
        calls=_calls(delegation.credential),
    )


def _calls(credential: ApplicationCredential | None) -> tuple[AllowedCall, ...] | None:
    if credential is None or not credential.has_access_rules:
        return None
    return tuple(AllowedCall(r.service, r.method, r.path) for r in credential.access_rules.all())


def is_usable(target: Project) -> bool:
    """Is this project or domain enabled, and the domain it is in?"""
    return target.enabled and (target.domain is None or target.domain.enabled)


def _shown_by(claims: Claims) -> str:
    """By what the caller once showed who it is: a credential, trust or OAuth token by its id, else the methods."""
    for name in ("credential_id", "trust_id", "access_token_id"):
        if ident := getattr(claims, name):
            return f"{'application_credential' if name == 'credential_id' else name.removesuffix('_id')}:{ident}"
    return "+".join(claims.methods)


def context_from(
    user: User,
    scope: Scope,
    target: Project | None,
    roles: Sequence[RoleName],
    *,
    token_id: str = "",
    credential: str = "session",
) -> RequestContext:
    """The caller's context, still without a request id of its own."""
    of_project = target if scope == Scope.PROJECT else None
    return RequestContext(
        user_id=user.pk,
        user_name=user.name,
        user_domain_id=user.domain_id,
        project_id=of_project.pk if of_project else "",
        project_name=of_project.name if of_project else "",
        project_domain_id=(of_project.domain_id or "") if of_project else "",
        domain_id=target.pk if target and scope == Scope.DOMAIN else "",
        system_scope="all" if scope == Scope.SYSTEM else "",
        roles=frozenset(role.name for role in roles),
        request_id="",
        token_id=token_id,
        credential=credential,
    )


def web_context(user_id: str, project_id: str, request_id: str) -> RequestContext | None:
    """The context of a signed-in page in one project; None if user or project no longer allow it."""
    epoch, _ = pulse()
    held = _web.get((user_id, project_id))
    if held is None or held[0] != epoch:
        context = _web_context(user_id, project_id)
        if context is None:
            _web.pop((user_id, project_id), None)
            return None
        held = (epoch, context)
        _keep(_web, (user_id, project_id), held)
    return replace(held[1], request_id=request_id)


def _web_context(user_id: str, project_id: str) -> RequestContext | None:
    user = User.objects.select_related("domain").filter(pk=user_id).first()
    if user is None or not (user.enabled and user.domain.enabled):
        return None
    if not project_id:
        return context_from(user, Scope.UNSCOPED, None, ())
    target = Project.objects.select_related("domain").filter(pk=project_id, is_domain=False).first()
    if target is None or not is_usable(target):
        return None
    roles = effective_roles(user_id=user_id, scope=Scope.PROJECT, target_id=project_id)
    return context_from(user, Scope.PROJECT, target, roles) if roles else None
