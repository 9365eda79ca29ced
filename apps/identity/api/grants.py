"""Roles at an address of the tree `/v3/{projects,domains,system}/…/{users,groups}/…/roles`, implied roles, and the
list of all assignments."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.types import parse_flag
from apps.core.api.views import ApiView, Crud
from apps.core.errors import Invalid
from apps.identity import resources, selectors, services
from apps.identity.api.base import IDENTITY, Association, IdentityView
from apps.identity.models import Group, Project, Role, User
from apps.identity.states import Scope


class Grants(IdentityView):
    """The roles given at an address."""

    resource = resources.ROLE
    calls = Crud(list=selectors.grant_roles)


class Grant(Association):
    """One role at an address: check, give, take away."""

    check = selectors.grant_check
    join = services.assignment_create
    part = services.assignment_delete


def grant_urls() -> list[URLPattern]:
    """Every address: three scopes, users and groups, and inherited ones for projects and domains."""
    found: list[URLPattern] = []
    for actor in ("user", "group"):
        tail = f"{actor}s/<str:{actor}_id>/roles"
        for scope in (Scope.PROJECT, Scope.DOMAIN):
            place = f"{scope}s/<str:target_id>/{tail}"
            fixed = {"scope": scope}
            below = {"scope": scope, "inherited": True}
            found += [
                path(f"/v3/{place}", Grants.as_view(list_view="detail"), fixed),
                path(f"/v3/{place}/<str:role_id>", Grant.as_view(), fixed),
                path(f"/v3/OS-INHERIT/{place}/inherited_to_projects", Grants.as_view(list_view="detail"), below),
                path(f"/v3/OS-INHERIT/{place}/<str:role_id>/inherited_to_projects", Grant.as_view(), below),
            ]
        found += [
            path(f"/v3/system/{tail}", Grants.as_view(list_view="detail"), {"scope": Scope.SYSTEM}),
            path(f"/v3/system/{tail}/<str:role_id>", Grant.as_view(), {"scope": Scope.SYSTEM}),
        ]
    return found


# --- implied roles ----------------------------------------------------------------------------------


class _Inference(ApiView):
    api = IDENTITY

    def role(self, role: Role) -> dict[str, Any]:
        return {"id": role.pk, "name": role.name, "links": {"self": f"{self.base}/identity/v3/roles/{role.pk}"}}

    def answer(self, prior: Role, implied: Any, status: int = 200) -> Response:
        links = {"self": f"{self.base}{self.request.path}"}
        return Response(
            {"role_inference": {"prior_role": self.role(prior), "implies": implied}, "links": links}, status
        )


class ImpliedRoles(_Inference):
    """`GET /v3/roles/{id}/implies`."""

    def get(self, request: Request, prior_role_id: str) -> Response:
        prior, implied = selectors.implied_role_list(self.ctx, prior_role_id=prior_role_id)
        return self.answer(prior, [self.role(role) for role in implied])


class ImpliedRole(_Inference):
    """`/v3/roles/{id}/implies/{id}`."""

    def get(self, request: Request, **ids: str) -> Response:
        prior, implied = selectors.implied_role_get(self.ctx, **ids)
        if request.method == "HEAD":
            return Response(status=204)
        return self.answer(prior, self.role(implied))

    def put(self, request: Request, **ids: str) -> Response:
        prior, implied = services.implied_role_create(self.ctx, **ids)
        return self.answer(prior, self.role(implied), 201)

    def delete(self, request: Request, **ids: str) -> Response:
        services.implied_role_delete(self.ctx, **ids)
        return Response(status=204)


class RoleInferences(_Inference):
    """`GET /v3/role_inferences`."""

    def get(self, request: Request) -> Response:
        found = [
            {"prior_role": self.role(prior), "implies": [self.role(role) for role in implied]}
            for prior, implied in selectors.role_inference_list(self.ctx)
        ]
        return Response({"role_inferences": found, "links": {"self": f"{self.base}{request.path}"}})


# --- the list of all --------------------------------------------------------------------------------

_TEXT_FILTERS = {
    "user.id": "user_id",
    "group.id": "group_id",
    "role.id": "role_id",
    "scope.project.id": "project_id",
    "scope.domain.id": "domain_id",
}


class RoleAssignments(ApiView):
    """`GET /v3/role_assignments` with Keystone's filters."""

    api = IDENTITY

    def get(self, request: Request) -> Response:
        asked = request.query_params
        wanted = selectors.AssignmentFilter(
            **{arg: asked[name] for name, arg in _TEXT_FILTERS.items() if asked.get(name)},
            system=bool(asked.get("scope.system")),
            inherited=True if asked.get("scope.OS-INHERIT:inherited_to") == "projects" else None,
            effective=_said(asked, "effective"),
            include_subtree=_said(asked, "include_subtree"),
        )
        given = selectors.assignment_list(self.ctx, wanted=wanted)
        names = _Names(given) if _said(asked, "include_names") else None
        path = f"{self.base}/identity/v3/role_assignments"
        return Response(
            {
                "role_assignments": [self._rendered(one, names) for one in given],
                "links": {"next": None, "self": path, "previous": None},
            }
        )

    def _rendered(self, given: selectors.Given, names: _Names | None) -> dict[str, Any]:
        shown: dict[str, Any] = {"role": _ref(names, "role", given.role_id)}
        actor = "user" if given.user_id else "group"
        actor_id = given.user_id or given.group_id
        shown[actor] = _ref(names, actor, actor_id)
        place: dict[str, Any] = (
            {"all": True} if given.scope == Scope.SYSTEM else _ref(names, given.scope, given.target_id)
        )
        shown["scope"] = {str(given.scope): place}
        if given.inherited or given.inherited_from[1]:
            shown["scope"]["OS-INHERIT:inherited_to"] = "projects"
        shown["links"] = self._links(given)
        return shown

    def _links(self, given: selectors.Given) -> dict[str, str]:
        """The address where this was given, and how it reached whom it is listed for."""
        v3 = f"{self.base}/identity/v3"
        scope, target = given.inherited_from if given.inherited_from[1] else (given.scope, given.target_id)
        actor = f"groups/{given.through_group or given.group_id}"
        if given.user_id and not given.through_group:
            actor = f"users/{given.user_id}"
        place = "system" if scope == Scope.SYSTEM else f"{scope}s/{target}"
        role = given.prior_role or given.role_id
        address = f"{place}/{actor}/roles/{role}"
        if given.inherited or given.inherited_from[1]:
            address = f"OS-INHERIT/{address}/inherited_to_projects"
        links = {"assignment": f"{v3}/{address}"}
        if given.through_group:
            links["membership"] = f"{v3}/groups/{given.through_group}/users/{given.user_id}"
        if given.prior_role:
            links["prior_role"] = f"{v3}/roles/{given.prior_role}"
        return links


def _said(asked: Any, name: str) -> bool:
    """A flag of Keystone's query strings: there without a value, or with one that is not false."""
    if name not in asked:
        return False
    try:
        return parse_flag(asked[name]) if asked[name] else True
    except ValueError as error:
        raise Invalid(str(error), field=name) from error


class _Names:
    """Names of everything in a list, read with one query a kind."""

    def __init__(self, given: list[selectors.Given]) -> None:
        self.roles = Role.objects.select_related("domain").in_bulk({g.role_id for g in given})
        self.users = User.objects.select_related("domain").in_bulk({g.user_id for g in given if g.user_id})
        self.groups = Group.objects.select_related("domain").in_bulk({g.group_id for g in given if g.group_id})
        self.targets = Project.objects.select_related("domain").in_bulk({g.target_id for g in given if g.target_id})

    def ref(self, noun: str, ident: str) -> dict[str, Any]:
        rows: dict[str, dict[str, Any]] = {"role": self.roles, "user": self.users, "group": self.groups}
        row = rows.get(noun, self.targets).get(ident)
        if row is None:
            return {"id": ident}
        shown: dict[str, Any] = {"id": ident, "name": row.name}
        if row.domain is not None:
            shown["domain"] = {"id": row.domain.pk, "name": row.domain.name}
        return shown


def _ref(names: _Names | None, noun: str, ident: str) -> dict[str, Any]:
    return names.ref(noun, ident) if names else {"id": ident}
