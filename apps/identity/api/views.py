"""The plain nouns of identity, each by its table and its calls."""

from __future__ import annotations

import datetime
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api import types as t
from apps.core.api.listing import Param
from apps.core.api.resource import CREATE, SHOW
from apps.core.api.views import ApiView, Crud
from apps.core.errors import Invalid
from apps.identity import resources, selectors, services
from apps.identity.api.base import IDENTITY, Association, IdentityView, with_extra
from apps.identity.models import Project
from apps.identity.resources import TAG


class Domains(IdentityView):
    resource = resources.DOMAIN
    calls = Crud.of("domain", selectors, services)


class Projects(IdentityView):
    resource = resources.PROJECT
    calls = Crud.of("project", selectors, services)
    params = (
        Param("is_domain", t.flag),
        Param("tags", t.text()),
        Param("tags-any", t.text(), arg="tags_any"),
        Param("not-tags", t.text(), arg="not_tags"),
        Param("not-tags-any", t.text(), arg="not_tags_any"),
    )

    def show(self, request: Request, **_: Any) -> Response:
        """One project; on request with what is above and below it, as members or as ids."""
        response = super().show(request)
        project_id, asked = self.kwargs["ident"], request.query_params
        if "parents_as_list" in asked or "parents_as_ids" in asked:
            above = [p for p in selectors.project_parents(project_id) if not p.is_domain]
            response.data["project"]["parents"] = self._members(above) if "parents_as_list" in asked else _chain(above)
        if "subtree_as_list" in asked or "subtree_as_ids" in asked:
            below = list(selectors.project_subtree(project_id))
            members = "subtree_as_list" in asked
            response.data["project"]["subtree"] = self._members(below) if members else _tree(project_id, below)
        return response

    def _members(self, projects: list[Project]) -> list[Any]:
        fields = self.resource.visible(SHOW, self.version, self.ctx)
        render, columns = self.resource.renderer(fields), self.resource.columns(fields)
        ids = [project.pk for project in projects]
        rows = {row["pk"]: row for row in Project.objects.filter(pk__in=ids).values(*columns)}
        return [{"project": with_extra(render(rows[ident], self.env))} for ident in ids]


def _chain(above: list[Project]) -> dict[str, Any] | None:
    """`{parent: {grandparent: null}}`."""
    nested: dict[str, Any] | None = None
    for project in reversed(above):
        nested = {project.pk: nested}
    return nested


def _tree(project_id: str, below: list[Project]) -> dict[str, Any] | None:
    """`{child: {grandchild: null}}`."""
    return {p.pk: _tree(p.pk, below) for p in below if p.parent_id == project_id} or None


class ProjectTags(ApiView):
    """`/v3/projects/{id}/tags`."""

    api = IDENTITY

    def get(self, request: Request, project_id: str) -> Response:
        return self._answer(selectors.project_tags(self.ctx, project_id=project_id), project_id)

    def put(self, request: Request, project_id: str) -> Response:
        tags = self.body(_TAGS)["tags"]
        return self._answer(services.project_tags_set(self.ctx, project_id=project_id, tags=tags), project_id)

    def delete(self, request: Request, project_id: str) -> Response:
        services.project_tags_clear(self.ctx, project_id=project_id)
        return Response(status=204)

    def _answer(self, tags: list[str], project_id: str) -> Response:
        path = f"{self.base}/identity/v3/projects/{project_id}/tags"
        return Response({"tags": tags, "links": {"next": None, "self": path, "previous": None}})


_TAGS = t.shape({"tags": t.array(TAG, unique=True)}, required=("tags",)).schema


class ProjectTag(Association):
    """`/v3/projects/{id}/tags/{tag}`."""

    check = selectors.project_tag_check
    join = services.project_tag_add
    part = services.project_tag_remove

    def put(self, request: Request, **ids: str) -> Response:
        super().put(request, **ids)
        location = f"{self.base}/identity/v3/projects/{ids['project_id']}/tags/{ids['tag']}"
        return Response(status=201, headers={"Location": location})


# What the selectors of users and groups must know before they ask a directory.
OF_DIRECTORY = (Param("domain_id", t.text(64)), Param("name", t.text(255)), Param("marker", t.text(64)))


class Users(IdentityView):
    resource = resources.USER
    params = OF_DIRECTORY
    calls = Crud.of("user", selectors, services)


class UserPassword(ApiView):
    """`POST /v3/users/{id}/password`: the present password is the proof, so that an expired one can be changed."""

    api = IDENTITY
    public = True

    def post(self, request: Request, user_id: str) -> Response:
        passwords = self.body(_PASSWORD_CHANGE)["user"]
        services.user_change_password(user_id=user_id, **passwords)
        return Response(status=204)


_PASSWORD = t.text(4096)
_PASSWORD_CHANGE = t.shape(
    {
        "user": t.shape(
            {"password": _PASSWORD, "original_password": _PASSWORD}, required=("password", "original_password")
        )
    },
    required=("user",),
).schema


class UserTokens(ApiView):
    """`DELETE /v3/users/{id}/tokens`: end all of them."""

    api = IDENTITY

    def delete(self, request: Request, user_id: str) -> Response:
        services.user_tokens_revoke(self.ctx, user_id=user_id)
        return Response(status=204)


class UserProjects(IdentityView):
    resource = resources.PROJECT
    calls = Crud(list=selectors.user_projects)


class UserGroups(IdentityView):
    resource = resources.GROUP
    calls = Crud(list=selectors.user_groups)


class AuthProjects(IdentityView):
    resource = resources.PROJECT
    calls = Crud(list=selectors.auth_projects)


class AuthDomains(IdentityView):
    resource = resources.DOMAIN
    calls = Crud(list=selectors.auth_domains)


class Groups(IdentityView):
    resource = resources.GROUP
    params = OF_DIRECTORY
    calls = Crud.of("group", selectors, services)


class GroupUsers(IdentityView):
    resource = resources.USER
    calls = Crud(list=selectors.group_users)


class GroupUser(Association):
    """`/v3/groups/{id}/users/{id}`."""

    check = selectors.group_user_check
    join = services.group_user_add
    part = services.group_user_remove


class Roles(IdentityView):
    resource = resources.ROLE
    calls = Crud.of("role", selectors, services)
    params = (Param("domain_id", t.text(64)),)


class Regions(IdentityView):
    resource = resources.REGION
    calls = Crud.of("region", selectors, services)


class NamedRegion(Regions):
    """One region; `PUT` makes it with the id of its address."""

    def _handler(self, method: str) -> Any:
        return self.make if method == "put" else super()._handler(method)

    def make(self, request: Request, **_: Any) -> Response:
        body = request.data or {"region": {}}
        arguments = {**self._arguments(CREATE, body), "region_id": self.kwargs["ident"]}
        return Response(self._written(services.region_create(self.ctx, **arguments), SHOW), status=201)


class Services(IdentityView):
    resource = resources.SERVICE
    calls = Crud.of("service", selectors, services)


class Endpoints(IdentityView):
    resource = resources.ENDPOINT
    calls = Crud.of("endpoint", selectors, services)


def _restricted(request: Request) -> bool:
    """Did the caller sign in by an application credential that may not manage others?"""
    session = request.auth
    return (
        isinstance(session, selectors.Session)
        and session.credential is not None
        and not session.credential.unrestricted
    )


class ApplicationCredentials(IdentityView):
    resource = resources.APPLICATION_CREDENTIAL
    calls = Crud.of("application_credential", selectors, services, without=("update",))

    def create(self, request: Request, **_: Any) -> Response:
        arguments = self._arguments(CREATE, request.data)
        if text := arguments.get("expires_at"):
            arguments["expires_at"] = moment(text)
        made, secret = services.application_credential_create(
            self.ctx, **self.parents, restricted=_restricted(request), **arguments
        )
        answer = self._written(made, SHOW)
        answer[self.resource.member]["secret"] = secret
        return Response(answer, status=201)

    def destroy(self, request: Request, **_: Any) -> Response:
        services.application_credential_delete(self.ctx, **self.target, restricted=_restricted(request))
        return Response(status=204)


def moment(text: str) -> datetime.datetime:
    """A body's `expires_at`. Raises Invalid."""
    try:
        return t.parse_time(text)
    except ValueError as error:
        raise Invalid("Timestamp not in expected format; ISO 8601 is.", field="expires_at") from error


class AccessRules(IdentityView):
    resource = resources.ACCESS_RULE
    calls = Crud.of("access_rule", selectors, services, without=("create", "update"))
