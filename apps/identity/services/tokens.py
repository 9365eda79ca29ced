"""Signing in, and the life of tokens.

Whatever is wrong with somebody's credentials, the answer and the time it takes are the same.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound, Unauthorized
from apps.core.policy import enforce
from apps.core.transactions import internal, service
from apps.identity.backends.passwords import hash_password, needs_rehash, verify_password
from apps.identity.backends.tokens import Claims, new_audit_id, seal
from apps.identity.models import Project, RevokedToken, User
from apps.identity.selectors.sessions import Session, session_for, session_of
from apps.identity.services.keys import key_ring_ensured
from apps.identity.states import Method, Scope

REQUIRED = "The request you have made requires authentication."
UNSUPPORTED = "Attempted to authenticate with an unsupported method."
SCOPES = ("system", "project", "domain", "unscoped")


@internal("signing in: there is no caller yet")
def sign_in(*, password: str, user_id: str = "", name: str = "", domain_id: str = "", domain_name: str = "") -> User:
    """The user with this name (or id) and password. Raises Unauthorized, always the same."""
    user = _user(user_id=user_id, name=name, domain_id=domain_id, domain_name=domain_name)
    right = verify_password(password, user.password_hash if user else "")
    if user is None or not right or not (user.enabled and user.domain.enabled):
        raise Unauthorized(REQUIRED)
    if user.password_expires_at is not None and user.password_expires_at <= timezone.now():
        raise Unauthorized(f"The password is expired and needs to be changed for user: {user.pk}.")
    if needs_rehash(user.password_hash):
        User.objects.filter(pk=user.pk).update(password_hash=hash_password(password))
    return user


@internal("signing in: there is no caller yet")
def token_issue(*, identity: Mapping[str, Any], scope: Mapping[str, Any] | str | None) -> tuple[str, Session]:
    """A new token for the bodies `auth.identity` and `auth.scope`, already of the right shape.

    Raises Invalid for contradictory bodies, Unauthorized for everything that must not be told apart.
    """
    methods = tuple(dict.fromkeys(identity["methods"]))
    for method in methods:
        if method not in identity:
            raise Invalid(f"Expecting to find {method} in identity.", field=method)
        if method not in _METHODS:
            raise Unauthorized(UNSUPPORTED)
    if not methods:
        raise Unauthorized(REQUIRED)
    users: dict[str, User] = {}
    parent: Session | None = None
    for method in methods:
        user, session = _METHODS[method](identity[method])
        users[user.pk] = user
        parent = session or parent
    if len(users) != 1:
        raise Unauthorized(REQUIRED)
    user = next(iter(users.values()))
    target_scope, target = _scope(scope)  # only now: strangers learn nothing of domains and projects
    if scope is None and user.default_project_id:
        made = _issue(user, Scope.PROJECT, _usable_project(user.default_project_id), methods, parent)
        if made is not None:
            return made
    made = _issue(user, target_scope, target, methods, parent)
    if made is None:
        raise Unauthorized(REQUIRED)
    return made


@service("anyone")
def token_revoke(ctx: RequestContext, *, token: str) -> None:
    """End a token for every process with its next request. Raises NotFound for one that does not hold."""
    session = session_of(token)
    if session is None:
        enforce(ctx, "identity:revoke_token", {})
        raise NotFound("token")
    enforce(ctx, "identity:revoke_token", {"target": {"token": {"user_id": session.user.pk}}})
    RevokedToken.objects.filter(expires_at__lt=timezone.now() - datetime.timedelta(minutes=5)).delete()
    RevokedToken.objects.get_or_create(
        audit_id=session.claims.audit_ids[0],
        defaults={"expires_at": datetime.datetime.fromtimestamp(session.claims.expires_at, datetime.UTC)},
    )


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


# --- methods of proving who one is ------------------------------------------------------------------


def _by_password(data: Mapping[str, Any]) -> tuple[User, None]:
    who = data.get("user") or {}
    if "id" not in who and ("name" not in who or not who.get("domain")):
        raise Invalid("Expecting to find id, or name and domain, in identity/password/user.", field="user")
    domain = who.get("domain") or {}
    user = sign_in(
        password=who.get("password") or "",
        user_id=who.get("id", ""),
        name=who.get("name", ""),
        domain_id=domain.get("id", ""),
        domain_name=domain.get("name", ""),
    )
    return user, None


def _by_token(data: Mapping[str, Any]) -> tuple[User, Session]:
    session = session_of(data.get("id", ""))
    if session is None:
        raise Unauthorized(REQUIRED)
    return session.user, session


_METHODS = {Method.PASSWORD: _by_password, Method.TOKEN: _by_token}


def _user(*, user_id: str, name: str, domain_id: str, domain_name: str) -> User | None:
    users = User.objects.select_related("domain")
    if user_id:
        return users.filter(pk=user_id).first()
    if domain_id:
        return users.filter(name=name, domain_id=domain_id).first()
    return users.filter(name=name, domain__name=domain_name, domain__is_domain=True).first()


# --- scopes -----------------------------------------------------------------------------------------


def _scope(scope: Mapping[str, Any] | str | None) -> tuple[Scope, Project | None]:
    """What `auth.scope` names. A project or domain that is unknown counts as one without roles: Unauthorized."""
    if scope is None or scope == "unscoped":
        return Scope.UNSCOPED, None
    if isinstance(scope, str) or sum(word in scope for word in SCOPES) != 1:
        raise Invalid(f"Expecting to find one of {', '.join(SCOPES)} in scope.", field="scope")
    if "unscoped" in scope:
        return Scope.UNSCOPED, None
    if "system" in scope:
        if scope["system"].get("all") is not True:
            raise Invalid('The only system scope is {"all": true}.', field="system")
        return Scope.SYSTEM, None
    if "domain" in scope:
        return Scope.DOMAIN, _domain_named(scope["domain"])
    return Scope.PROJECT, _project_named(scope["project"])


def _domain_named(ref: Mapping[str, Any]) -> Project:
    if "id" not in ref and "name" not in ref:
        raise Invalid("Expecting to find id or name in domain.", field="domain")
    key = {"name": ref["name"]} if ref.get("name") else {"pk": ref.get("id", "")}
    found = Project.objects.filter(is_domain=True, enabled=True, **key).first()
    if found is None:
        raise Unauthorized(REQUIRED)
    return found


def _project_named(ref: Mapping[str, Any]) -> Project:
    if ref.get("name"):
        if not ref.get("domain"):
            raise Invalid("Expecting to find domain in project.", field="domain")
        domain = _domain_named(ref["domain"])
        found = Project.objects.filter(is_domain=False, enabled=True, domain=domain, name=ref["name"]).first()
    elif "id" in ref:
        found = _usable_project(ref["id"])
    else:
        raise Invalid("Expecting to find id or name in project.", field="project")
    if found is None:
        raise Unauthorized(REQUIRED)
    return found


def _usable_project(project_id: str) -> Project | None:
    return Project.objects.filter(pk=project_id, is_domain=False, enabled=True, domain__enabled=True).first()


# --- making -----------------------------------------------------------------------------------------


def _issue(
    user: User, scope: Scope, target: Project | None, methods: tuple[str, ...], parent: Session | None
) -> tuple[str, Session] | None:
    """Seal a token; None if the user has no role there. One made from a token never outlives it."""
    if scope in {Scope.PROJECT, Scope.DOMAIN} and target is None:
        return None
    now = time.time()
    audit_ids = [new_audit_id()]
    proven = {Method(method) for method in methods}
    expires_at = int(now) + settings.CONFIG.identity.token_hours * 3600
    if parent is not None:
        audit_ids.append(parent.claims.audit_ids[-1])
        proven |= set(parent.claims.methods)
        expires_at = min(expires_at, parent.claims.expires_at)
    claims = Claims(
        user_id=user.pk,
        user_generation=user.token_generation,
        scope=scope,
        target_id=target.pk if target else "",
        target_generation=target.token_generation if target else 0,
        methods=tuple(method for method in Method if method in proven),
        issued_at=int(now * 1_000_000),
        expires_at=expires_at,
        audit_ids=tuple(audit_ids),
    )
    ring = key_ring_ensured()
    session = session_for(claims, ring.epoch)
    return None if session is None else (seal(claims, ring.newest), session)
