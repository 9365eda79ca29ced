"""Signing in by another's word: from a checked assertion to a user of ours with their groups and projects."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from urllib.parse import quote

import msgspec
from django.conf import settings
from django.utils import timezone

from apps.core import sealing
from apps.core.errors import Unauthorized, Unavailable
from apps.core.transactions import internal
from apps.identity.backends import oidc
from apps.identity.backends.federation_rules import NOT_MAPPED, GroupRef, Mapped, ProjectRef, mapped
from apps.identity.backends.oidc import Attempt, Oidc
from apps.identity.models import (
    Assignment,
    FederatedMembership,
    FederatedUser,
    FederationProtocol,
    Group,
    Membership,
    Project,
    Role,
    User,
)
from apps.identity.selectors.federation import protocol_in_use
from apps.identity.selectors.sessions import Session
from apps.identity.services.epoch import change_epoch
from apps.identity.services.events import sign_in_event
from apps.identity.services.passwords import REQUIRED
from apps.identity.services.proofs import Proof
from apps.identity.services.scopes import Wanted
from apps.identity.services.tokens import issue
from apps.identity.states import Method, Scope


def federated_token(*, provider_id: str, protocol_id: str, access_token: str) -> tuple[str, Session]:
    """An unscoped token for the owner of an access token. Raises NotFound, Unauthorized, Unavailable."""
    protocol = protocol_in_use(provider_id, protocol_id)
    with sign_in_event(methods=(_method(protocol),)) as event:
        claims = _relying_party().bearer(_oidc(protocol), access_token)
        token, event.session = token_of_federated(federated_user(protocol=protocol, claims=claims), protocol)
    return token, event.session


def federated_begin(*, provider_id: str, protocol_id: str, redirect_uri: str, origin: str = "") -> tuple[str, Attempt]:
    """Where a browser shall go, and what to keep with it until it comes back."""
    protocol = protocol_in_use(provider_id, protocol_id)
    return _relying_party().begin(
        _oidc(protocol), provider=provider_id, protocol=protocol_id, redirect_uri=redirect_uri, origin=origin
    )


def federated_finish(*, attempt: Attempt, state: str, code: str) -> tuple[User, FederationProtocol]:
    """The user who came back from their provider. Raises Unauthorized, Unavailable, NotFound."""
    protocol = protocol_in_use(attempt.provider, attempt.protocol)
    with sign_in_event(methods=(_method(protocol),)) as event:
        claims = _relying_party().finish(_oidc(protocol), attempt, state=state, code=code)
        event.user = federated_user(protocol=protocol, claims=claims)
    return event.user, protocol


def token_of_federated(user: User, protocol: FederationProtocol) -> tuple[str, Session]:
    """An unscoped token for somebody who was vouched for."""
    made = issue(Proof(user), Wanted(Scope.UNSCOPED), (_method(protocol),))
    if made is None:
        raise Unauthorized(REQUIRED)
    return made


def _relying_party() -> ModuleType:
    """What talks to providers, loaded by the first who needs it: its libraries are large, and few clouds do."""
    from apps.identity.backends import relying_party

    return relying_party


def _method(protocol: FederationProtocol) -> Method:
    """The protocol's own name where tokens know it, else the general word."""
    return Method.OPENID if protocol.name == Method.OPENID else Method.MAPPED


def _oidc(protocol: FederationProtocol) -> Oidc:
    if protocol.oidc is None:
        raise Unavailable(
            f"Nobody has said how {protocol} is reached.", hint="Set `oidc` of the protocol: issuer and client_id."
        )
    secret = sealing.unseal(protocol.oidc_secret).decode() if protocol.oidc_secret else ""
    return msgspec.convert({**protocol.oidc, "client_secret": secret}, Oidc)


@internal("the provider's signature or introspection was the proof; nobody has a context before they signed in")
def federated_user(*, protocol: FederationProtocol, claims: Mapping[str, Any]) -> User:
    """Who the provider's claims make somebody here; made if they are new, groups and projects as the mapping says.

    Raises Unauthorized where the provider is not the one it should be, or the mapping names nobody who may sign in.
    """
    known = set(protocol.provider.remotes.values_list("remote_id", flat=True))
    if known and str(claims.get("iss", "")) not in known:
        raise Unauthorized(REQUIRED)
    who = mapped(protocol.mapping.rules, oidc.assertion_of(claims))
    if who.local:
        return _local(who, protocol)
    user = _shadow(who, protocol)
    if not (user.enabled and user.domain.enabled):
        raise Unauthorized(REQUIRED)
    changed = _memberships(user, who, protocol) | _projects(user, who, protocol)
    if changed:
        change_epoch()
    return user


def _local(who: Mapped, protocol: FederationProtocol) -> User:
    """A user of ours who must be there already."""
    users = User.objects.select_related("domain").filter(enabled=True, domain__enabled=True)
    home = _domain_id(who.domain, protocol)
    found = users.filter(pk=who.id, domain_id=home).first() or users.filter(name=who.name, domain_id=home).first()
    if found is None:
        raise Unauthorized(NOT_MAPPED)
    return found


def _shadow(who: Mapped, protocol: FederationProtocol) -> User:
    """The user behind an id at a provider, made at their first sign-in."""
    unique = quote(who.id)
    if len(unique) > 255:
        unique = hashlib.sha256(unique.encode()).hexdigest()
    key = {"provider_id": protocol.provider_id, "protocol": protocol.name, "unique_id": unique}
    found = (
        FederatedUser.objects.select_related("user__domain").select_for_update(no_key=True, of=("self",)).filter(**key)
    )
    federated = found.first()
    name = who.name[:255]
    extra = {"email": who.email} if who.email else {}
    if federated is None:
        home = _domain_id(who.domain, protocol)
        user = User.objects.create(domain_id=home, name=_free(name, unique, home, ""), extra=extra)
        FederatedUser.objects.create(user=user, display_name=name, **key)
        return User.objects.select_related("domain").get(pk=user.pk)
    user = federated.user
    if federated.display_name != name or (extra and user.extra.get("email") != who.email):
        user.name = _free(name, unique, user.domain_id, user.pk)
        user.extra = {**user.extra, **extra}
        user.save(update_fields=["name", "extra"])
        federated.display_name = name
        federated.save(update_fields=["display_name"])
        change_epoch()
    return user


def _free(name: str, unique: str, domain_id: str, own: str) -> str:
    """The name, or where somebody else in the domain has it, one with a mark made of the unique id."""
    if not User.objects.filter(domain_id=domain_id, name=name).exclude(pk=own).exists():
        return name
    return f"{name[:240]}#{hashlib.sha256(unique.encode()).hexdigest()[:12]}"


def _domain_id(domain: tuple[str, str], protocol: FederationProtocol) -> str:
    """The domain that a mapping names, else the provider's. Raises Unauthorized for one that is not there."""
    key, value = domain
    if not key:
        return protocol.provider.domain_id
    found = Project.objects.filter(is_domain=True, enabled=True, **{"pk" if key == "id" else "name": value}).first()
    if found is None:
        raise Unauthorized(NOT_MAPPED)
    return found.pk


# --- what comes with being somebody -------------------------------------------------------------------


def _memberships(user: User, who: Mapped, protocol: FederationProtocol) -> bool:
    """Make the memberships that the mapping gave just these; what an administrator gave stays. True if any differ."""
    wanted = {group.pk for ref in who.groups if (group := _group(ref, protocol))}
    given = {row.group_id: row for row in FederatedMembership.objects.filter(user=user)}
    expires = timezone.now() + _lifetime(protocol)
    for group_id in sorted(wanted - set(given)):
        _, made = Membership.objects.get_or_create(user=user, group_id=group_id)
        if made:
            FederatedMembership.objects.create(
                user=user, group_id=group_id, provider=protocol.provider, expires_at=expires
            )
    FederatedMembership.objects.filter(user=user, group_id__in=wanted).update(expires_at=expires)
    lost = set(given) - wanted
    Membership.objects.filter(user=user, group_id__in=lost).delete()
    FederatedMembership.objects.filter(user=user, group_id__in=lost).delete()
    return bool(wanted ^ set(given))


def _group(ref: GroupRef, protocol: FederationProtocol) -> Group | None:
    """The group a mapping names; one that is not there gives nothing."""
    if ref.id:
        return Group.objects.filter(pk=ref.id).first()
    key, value = ref.domain
    if not key:
        return Group.objects.filter(name=ref.name, domain_id=protocol.provider.domain_id).first()
    return Group.objects.filter(name=ref.name, **{"domain_id" if key == "id" else "domain__name": value}).first()


def _lifetime(protocol: FederationProtocol) -> datetime.timedelta:
    """How long memberships last without a new sign-in: as the provider says, else as long as a token."""
    minutes = protocol.provider.authorization_ttl
    return (
        datetime.timedelta(minutes=minutes)
        if minutes
        else datetime.timedelta(hours=settings.CONFIG.identity.token_hours)
    )


def _projects(user: User, who: Mapped, protocol: FederationProtocol) -> bool:
    """Make the projects that the mapping gives, with the roles there. True if any was new."""
    changed = False
    for ref in who.projects:
        project = _project(ref, protocol)
        for role in Role.objects.filter(name__in=ref.roles, domain=None):
            _, made = Assignment.objects.get_or_create(
                user=user, group=None, role=role, scope=Scope.PROJECT, target=project, inherited=False
            )
            changed |= made
    return changed


def _project(ref: ProjectRef, protocol: FederationProtocol) -> Project:
    home = _domain_id(ref.domain, protocol)
    found, _ = Project.objects.get_or_create(
        name=ref.name[:64], domain_id=home, is_domain=False, defaults={"parent_id": home}
    )
    return found


@internal("a duty of the control worker: what a provider vouched for holds for a time only")
def federated_memberships_expire() -> int:
    """Take away the memberships whose time is over; how many."""
    over = list(FederatedMembership.objects.filter(expires_at__lte=timezone.now()).select_for_update(skip_locked=True))
    for row in over:
        Membership.objects.filter(user_id=row.user_id, group_id=row.group_id).delete()
    FederatedMembership.objects.filter(pk__in=[row.pk for row in over]).delete()
    if over:
        change_epoch()
    return len(over)
