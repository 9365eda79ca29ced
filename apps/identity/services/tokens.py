"""Signing in, and the life of tokens.

Whatever is wrong with somebody's credentials, the answer and the time it takes are the same. Signing in is not one
transaction: a wrong password is counted although the call fails.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, NotFound, Unauthorized
from apps.core.policy import enforce
from apps.core.transactions import service
from apps.identity.backends.passwords import hash_password, needs_rehash, verify_password
from apps.identity.backends.tokens import Claims, new_audit_id, seal
from apps.identity.models import ApplicationCredential, Project, RevokedToken, User
from apps.identity.selectors.sessions import Session, session_for, session_of
from apps.identity.services.directories import proven_in_directory
from apps.identity.services.events import locked_event, token_event
from apps.identity.services.keys import key_ring_ensured
from apps.identity.states import Method, Scope

REQUIRED = "The request you have made requires authentication."
UNSUPPORTED = "Attempted to authenticate with an unsupported method."
SCOPES = ("system", "project", "domain", "unscoped")


@dataclass(frozen=True, slots=True)
class _Proof:
    """What one method showed: who it is, and what limits the token made from it."""

    user: User
    parent: Session | None = None
    credential: ApplicationCredential | None = None


def sign_in(*, password: str, user_id: str = "", name: str = "", domain_id: str = "", domain_name: str = "") -> User:
    """The user with this name (or id) and password. Raises Unauthorized, the same for every reason but expiry."""
    user = proven_user(password=password, user_id=user_id, name=name, domain_id=domain_id, domain_name=domain_name)
    if user.password_expires_at is not None and user.password_expires_at <= timezone.now():
        raise Unauthorized(f"The password is expired and needs to be changed for user: {user.pk}.")
    return user


def proven_user(
    *, password: str, user_id: str = "", name: str = "", domain_id: str = "", domain_name: str = ""
) -> User:
    """The same, also with a password that has expired; wrong ones count towards the lock."""
    of_directory = proven_in_directory(
        password=password, user_id=user_id, name=name, domain_id=domain_id, domain_name=domain_name
    )
    if of_directory is not None:
        return of_directory
    user = _user(user_id=user_id, name=name, domain_id=domain_id, domain_name=domain_name)
    right = verify_password(password, user.password_hash if user else "")
    if user is None:
        raise Unauthorized(REQUIRED)
    if not right and not _locked(user):
        _count_failure(user)
    if not right or _locked(user) or not (user.enabled and user.domain.enabled):
        raise Unauthorized(REQUIRED)
    if user.failed_auth_count:
        User.objects.filter(pk=user.pk).update(failed_auth_count=0, failed_auth_at=None)
    if needs_rehash(user.password_hash):
        User.objects.filter(pk=user.pk).update(password_hash=hash_password(password))
    return user


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


@token_event
def token_issue(*, identity: Mapping[str, Any], scope: Mapping[str, Any] | str | None) -> tuple[str, Session]:
    """A new token for the bodies `auth.identity` and `auth.scope`, already of the right shape.

    Raises Invalid for contradictory bodies, NotFound for a token that does not hold, Unauthorized for everything
    that must not be told apart.
    """
    methods = tuple(dict.fromkeys(identity["methods"]))
    for method in methods:
        if method not in identity:
            raise Invalid(f"Expecting to find {method} in identity.", field=method)
        if method not in _METHODS:
            raise Unauthorized(UNSUPPORTED)
    if Method.APPLICATION_CREDENTIAL in methods and scope is not None:
        raise Unauthorized("Application credentials cannot request a scope.")
    proofs = [_METHODS[method](identity[method]) for method in methods]
    if len({proof.user.pk for proof in proofs}) != 1:
        raise Unauthorized(REQUIRED)
    proof = _Proof(
        proofs[0].user,
        next((p.parent for p in proofs if p.parent), None),
        next((p.credential for p in proofs if p.credential), None),
    )
    made = _issue_scoped(proof, methods, scope)
    if made is None:
        raise Unauthorized(REQUIRED)
    return made


def _issue_scoped(
    proof: _Proof, methods: tuple[str, ...], scope: Mapping[str, Any] | str | None
) -> tuple[str, Session] | None:
    """The scope is looked at only now, when it is known who asks: strangers learn nothing of domains and projects."""
    if proof.credential is not None:
        return _issue(proof, Scope.PROJECT, _usable_project(proof.credential.project_id), methods)
    if scope is None and proof.user.default_project_id:
        made = _issue(proof, Scope.PROJECT, _usable_project(proof.user.default_project_id), methods)
        if made is not None:
            return made
    target_scope, target = _scope(scope)
    return _issue(proof, target_scope, target, methods)


@service("anyone")
def token_revoke(ctx: RequestContext, *, token: str) -> None:
    """End a token for every process with its next request. Raises NotFound for one that does not hold."""
    session = session_of(token)
    if session is None:
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


def _by_password(data: Mapping[str, Any]) -> _Proof:
    who = data.get("user") or {}
    _named(who, "identity/password/user")
    domain = who.get("domain") or {}
    user = sign_in(
        password=who.get("password") or "",
        user_id=who.get("id", ""),
        name=who.get("name", ""),
        domain_id=domain.get("id", ""),
        domain_name=domain.get("name", ""),
    )
    return _Proof(user)


def _by_token(data: Mapping[str, Any]) -> _Proof:
    session = session_of(data.get("id", ""))
    if session is None:
        raise NotFound("token")
    if session.credential is not None:
        raise Forbidden("A token of an application credential cannot be exchanged for another.")
    return _Proof(session.user, parent=session)


def _by_application_credential(data: Mapping[str, Any]) -> _Proof:
    credentials = ApplicationCredential.objects.select_related("user__domain")
    if "id" in data:
        credential = credentials.filter(pk=data["id"]).first()
    else:
        who = data.get("user") or {}
        _named(who, "identity/application_credential/user")
        domain = who.get("domain") or {}
        owner = _user(
            user_id=who.get("id", ""),
            name=who.get("name", ""),
            domain_id=domain.get("id", ""),
            domain_name=domain.get("name", ""),
        )
        credential = credentials.filter(user=owner, name=data.get("name", "")).first() if owner else None
    right = verify_password(data["secret"], credential.secret_hash if credential else "")
    if credential is None or not right:
        raise Unauthorized(REQUIRED)
    if credential.expires_at is not None and credential.expires_at <= timezone.now():
        raise Unauthorized(REQUIRED)
    return _Proof(credential.user, credential=credential)


_METHODS = {
    Method.PASSWORD: _by_password,
    Method.TOKEN: _by_token,
    Method.APPLICATION_CREDENTIAL: _by_application_credential,
}


def _named(who: Mapping[str, Any], place: str) -> None:
    domain = who.get("domain") or {}
    if "id" not in who and ("name" not in who or not (domain.get("id") or domain.get("name"))):
        raise Invalid(f"Expecting to find id, or name and domain, in {place}.", field="user")


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


def _issue(proof: _Proof, scope: Scope, target: Project | None, methods: tuple[str, ...]) -> tuple[str, Session] | None:
    """Seal a token; None if the user has no role there. It never outlives what it was made from."""
    if scope in {Scope.PROJECT, Scope.DOMAIN} and target is None:
        return None
    now = time.time()
    audit_ids = [new_audit_id()]
    proven = {Method(method) for method in methods}
    expires_at = int(now) + settings.CONFIG.identity.token_hours * 3600
    if proof.parent is not None:
        audit_ids.append(proof.parent.claims.audit_ids[-1])
        proven |= set(proof.parent.claims.methods)
        expires_at = min(expires_at, proof.parent.claims.expires_at)
    if proof.credential is not None and proof.credential.expires_at is not None:
        expires_at = min(expires_at, int(proof.credential.expires_at.timestamp()))
    claims = Claims(
        user_id=proof.user.pk,
        user_generation=proof.user.token_generation,
        scope=scope,
        target_id=target.pk if target else "",
        target_generation=target.token_generation if target else 0,
        methods=tuple(method for method in Method if method in proven),
        issued_at=int(now * 1_000_000),
        expires_at=expires_at,
        audit_ids=tuple(audit_ids),
        credential_id=proof.credential.pk if proof.credential else "",
    )
    ring = key_ring_ensured()
    session = session_for(claims, ring.epoch)
    return None if session is None else (seal(claims, ring.newest), session)
