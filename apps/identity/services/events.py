"""Signing in and out as events of the audit log; what fails is kept as well as what succeeds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from apps.core import audit, logs
from apps.core.audit import Target
from apps.core.context import RequestContext
from apps.core.errors import KumoError
from apps.identity.models import User
from apps.identity.selectors.sessions import Session

CHANGE_PASSWORD = "identity.user.change_password"
AUTHENTICATE, LOCK, SIGN_OUT = "identity.user.authenticate", "identity.user.lock", "identity.user.sign_out"
_METHODS_SHOWN = 16


@dataclass
class SignIn:
    """Who says to be whom, by which methods; `user` is set once that is proven."""

    methods: tuple[str, ...]
    user_id: str = ""
    name: str = ""
    domain_id: str = ""
    domain_name: str = ""
    user: User | None = None
    session: Session | None = None


@contextmanager
def sign_in_event(**claimed: Any) -> Iterator[SignIn]:
    """One event for what is tried inside: set `user` (or `session`) on success, let the error pass otherwise."""
    tried = SignIn(**claimed)
    try:
        yield tried
    except KumoError as error:
        _note(tried, error)
        raise
    _note(tried, None)


def _note(tried: SignIn, error: KumoError | None) -> None:
    user = tried.session.user if tried.session else tried.user
    if user is None or error is not None:
        user = _claimed(tried)
    ctx = RequestContext(request_id=logs.request_id.get(), credential="+".join(tried.methods)[:128])
    if tried.session is not None:
        ctx = replace(tried.session.context, request_id=logs.request_id.get())
    elif user is not None:
        ctx = replace(ctx, user_id=user.pk, user_name=user.name, user_domain_id=user.domain_id)
    name = user.name if user else tried.name
    target = Target(type="identity.user", id=user.pk if user else tried.user_id, name=name)
    asked = {"methods": tried.methods, "domain": tried.domain_id or tried.domain_name}
    audit.note(ctx, AUTHENTICATE, target, error=error, arguments=asked)


def _claimed(tried: SignIn) -> User | None:
    """Whose account was tried; asked for known and unknown names alike, so that both take the same time."""
    users = User.objects.all()
    if tried.user_id:
        return users.filter(pk=tried.user_id).first()
    if tried.domain_id:
        return users.filter(name=tried.name, domain_id=tried.domain_id).first()
    return users.filter(name=tried.name, domain__name=tried.domain_name, domain__is_domain=True).first()


def token_event(
    issue: Callable[..., tuple[str, Session]],
) -> Callable[..., tuple[str, Session]]:
    """Around `token_issue`: the same event from the body `auth.identity`."""

    @functools.wraps(issue)
    def noted(*, identity: Mapping[str, Any], **given: Any) -> tuple[str, Session]:
        with sign_in_event(**_said(identity)) as event:
            token, event.session = issue(identity=identity, **given)
        return token, event.session

    return noted


def _said(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Who the body says it is from; whatever shape it has."""
    methods = tuple(str(m) for m in identity.get("methods", ())[:_METHODS_SHOWN])
    said: dict[str, Any] = {"methods": methods}
    for method in methods:
        proof = identity.get(method)
        who = proof.get("user") if isinstance(proof, Mapping) else None
        if isinstance(who, Mapping):
            inside = who.get("domain")
            domain = inside if isinstance(inside, Mapping) else {}
            said |= {"user_id": str(who.get("id") or ""), "name": str(who.get("name") or "")}
            said |= {"domain_id": str(domain.get("id") or ""), "domain_name": str(domain.get("name") or "")}
            break
    return said


@contextmanager
def password_event(user_id: str) -> Iterator[None]:
    """A user's own change of password, which needs no token: done or refused."""
    user = User.objects.filter(pk=user_id).first()
    ctx = RequestContext(credential="password", request_id=logs.request_id.get())
    if user is not None:
        ctx = replace(ctx, user_id=user.pk, user_name=user.name, user_domain_id=user.domain_id)
    target = Target(type="identity.user", id=user_id, name=user.name if user else "")
    try:
        yield
    except KumoError as error:
        audit.note(ctx, CHANGE_PASSWORD, target, error=error)
        raise
    audit.note(ctx, CHANGE_PASSWORD, target)


def locked_event(user: User) -> None:
    """A user was locked by wrong passwords."""
    ctx = RequestContext(request_id=logs.request_id.get())
    audit.note(ctx, LOCK, Target(type="identity.user", id=user.pk, name=user.name))


def sign_out_event(user: User) -> None:
    """A user ended their session."""
    ctx = RequestContext(
        user_id=user.pk,
        user_name=user.name,
        user_domain_id=user.domain_id,
        credential="session",
        request_id=logs.request_id.get(),
    )
    audit.note(ctx, SIGN_OUT, Target(type="identity.user", id=user.pk, name=user.name))
