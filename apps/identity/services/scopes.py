"""What `auth.scope` names. A project or domain that is unknown counts as one without roles: Unauthorized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.core.errors import Forbidden, Invalid, Unauthorized
from apps.identity.models import Project, Trust, User
from apps.identity.selectors.delegations import trust_in_force
from apps.identity.services.passwords import REQUIRED
from apps.identity.states import Scope

TRUST = "OS-TRUST:trust"
SCOPES = ("system", "project", "domain", TRUST, "unscoped")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The scope of a token to be; a target that is None, where the scope needs one, is none that can be had."""

    scope: Scope
    target: Project | None = None
    trust: Trust | None = None


def wanted_scope(scope: Mapping[str, Any] | str | None, user: User) -> Wanted:
    """The scope that a user asks for. Raises Invalid for what is none, Unauthorized, Forbidden for others' trusts."""
    if scope is None or scope == "unscoped":
        return Wanted(Scope.UNSCOPED)
    if isinstance(scope, str) or sum(word in scope for word in SCOPES) != 1:
        raise Invalid(f"Expecting to find one of {', '.join(SCOPES)} in scope.", field="scope")
    if "unscoped" in scope:
        return Wanted(Scope.UNSCOPED)
    if "system" in scope:
        if scope["system"].get("all") is not True:
            raise Invalid('The only system scope is {"all": true}.', field="system")
        return Wanted(Scope.SYSTEM)
    if "domain" in scope:
        return Wanted(Scope.DOMAIN, _domain_named(scope["domain"]))
    if "project" in scope:
        return Wanted(Scope.PROJECT, _project_named(scope["project"]))
    return _by_trust(scope[TRUST], user)


def _by_trust(ref: Mapping[str, Any], user: User) -> Wanted:
    if not ref.get("id"):
        raise Invalid("Expecting to find trust_id in trust.", field="id")
    trust = trust_in_force(ref["id"])
    if trust is None or trust.remaining_uses == 0:
        raise Unauthorized(REQUIRED)
    if trust.trustee_id != user.pk:
        raise Forbidden("User is not a trustee.")
    if trust.project_id is None:
        return Wanted(Scope.UNSCOPED, trust=trust)
    return Wanted(Scope.PROJECT, usable_project(trust.project_id), trust)


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
        found = usable_project(ref["id"])
    else:
        raise Invalid("Expecting to find id or name in project.", field="project")
    if found is None:
        raise Unauthorized(REQUIRED)
    return found


def usable_project(project_id: str) -> Project | None:
    """The project, if it and its domain are enabled."""
    return Project.objects.filter(pk=project_id, is_domain=False, enabled=True, domain__enabled=True).first()
