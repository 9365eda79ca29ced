"""The first rows of a cloud: without them nobody could sign in to make any."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings

from apps.core.context import RequestContext
from apps.core.transactions import internal
from apps.identity.backends.passwords import hash_password, verify_password
from apps.identity.models import Assignment, Domain, Endpoint, ImpliedRole, Project, Region, Role, Service, User
from apps.identity.services.epoch import change_epoch
from apps.identity.services.keys import key_ring_ensured
from apps.identity.services.limits import registered_limits_ensured
from apps.identity.services.tokens import end_tokens_of_user
from apps.identity.states import (
    ADMIN_ROLE,
    CATALOGUE,
    DEFAULT_DOMAIN_ID,
    DEFAULT_ROLES,
    IMPLIED_ROLES,
    Interface,
    Scope,
    built_in_id,
)


@internal("an operator's command, before there is any user")
def bootstrap(ctx: RequestContext, *, passwords: Mapping[str, str], demo: bool = True) -> None:
    """Make what is missing of domain, roles, projects, users, assignments and catalogue; harmless to repeat.

    `passwords` maps the user names `admin` and `demo` to what their passwords must be from now on.
    """
    key_ring_ensured()
    Domain.objects.get_or_create(
        pk=DEFAULT_DOMAIN_ID, defaults={"name": "Default", "description": "The default domain"}
    )
    roles = _roles()
    admin = _user("admin", passwords.get("admin", ""))
    project = _project("admin", "Project of the administrators")
    _assign(admin, roles[ADMIN_ROLE], Scope.PROJECT, project)
    _assign(admin, roles[ADMIN_ROLE], Scope.DOMAIN, Project.objects.get(pk=DEFAULT_DOMAIN_ID))
    _assign(admin, roles[ADMIN_ROLE], Scope.SYSTEM, None)
    if demo:
        member = _user("demo", passwords.get("demo", ""))
        shared = _project("demo", "A project to try things in")
        _assign(member, roles["member"], Scope.PROJECT, shared)
        _assign(admin, roles[ADMIN_ROLE], Scope.PROJECT, shared)
    _catalogue()
    registered_limits_ensured(ctx)
    change_epoch()


def _roles() -> dict[str, Role]:
    roles = {}
    for name in DEFAULT_ROLES:
        roles[name], _ = Role.objects.get_or_create(name=name, domain=None, defaults={"options": {"immutable": True}})
    pairs = [ImpliedRole(prior=roles[prior], implied=roles[implied]) for prior, implied in IMPLIED_ROLES]
    ImpliedRole.objects.bulk_create(pairs, ignore_conflicts=True)
    return roles


def _project(name: str, description: str) -> Project:
    project, _ = Project.objects.get_or_create(
        name=name,
        domain_id=DEFAULT_DOMAIN_ID,
        is_domain=False,
        defaults={"parent_id": DEFAULT_DOMAIN_ID, "description": description},
    )
    return project


def _user(name: str, password: str) -> User:
    user, _ = User.objects.get_or_create(name=name, domain_id=DEFAULT_DOMAIN_ID)
    if password and not verify_password(password, user.password_hash):
        User.objects.filter(pk=user.pk).update(password_hash=hash_password(password), enabled=True)
        end_tokens_of_user(user.pk)
    return user


def _assign(user: User, role: Role, scope: Scope, target: Project | None) -> None:
    Assignment.objects.get_or_create(user=user, role=role, scope=scope, target=target, inherited=False, group=None)


def _catalogue() -> None:
    region, _ = Region.objects.get_or_create(pk=settings.CONFIG.public.region)
    services = [Service(pk=built_in_id(kind), type=kind, name=name) for kind, name, _ in CATALOGUE]
    endpoints = [
        Endpoint(
            pk=built_in_id(f"{kind}/{interface}"),
            service_id=built_in_id(kind),
            region=region,
            interface=interface,
            url=f"$(public_url)s{path}",
        )
        for kind, _, path in CATALOGUE
        for interface in Interface
    ]
    Service.objects.bulk_create(services, ignore_conflicts=True)
    Endpoint.objects.bulk_create(endpoints, ignore_conflicts=True)
