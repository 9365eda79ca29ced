"""Lists and single rows of identity's plain nouns, cut to what the caller may see."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, Q, QuerySet
from django.db.models.expressions import RawSQL

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.policy import enforce
from apps.core.transactions import selector
from apps.identity.models import (
    Assignment,
    Domain,
    Endpoint,
    Group,
    ImpliedRole,
    Membership,
    Project,
    Region,
    Role,
    Service,
    User,
)
from apps.identity.selectors import directories
from apps.identity.selectors.access import found, row_of, scoped, target_of
from apps.identity.states import Scope

M = TypeVar("M", bound=Model)

# --- domains and projects ---------------------------------------------------------------------------


@selector("anyone")
def domain_list(ctx: RequestContext) -> QuerySet[Domain]:
    """Domains: all, or for a reader of a domain that one."""
    return scoped(Domain.objects.all(), ctx, "identity:list_domains", domain_column="pk")


@selector("anyone")
def domain_get(ctx: RequestContext, *, domain_id: str) -> QuerySet[Domain]:
    """One domain. Raises NotFound."""
    found(Domain.objects.all(), domain_id, ctx, "identity:get_domain", noun="domain")
    return Domain.objects.filter(pk=domain_id)


@selector("anyone")
def project_list(
    ctx: RequestContext,
    *,
    is_domain: bool = False,
    tags: str = "",
    tags_any: str = "",
    not_tags: str = "",
    not_tags_any: str = "",
) -> QuerySet[Project]:
    """Projects, or with `is_domain` the domains as projects; tags are comma separated."""
    rows = scoped(Project.objects.filter(is_domain=is_domain), ctx, "identity:list_projects")
    if tags:
        rows = rows.filter(tags__contains=tags.split(","))
    if tags_any:
        rows = rows.filter(tags__overlap=tags_any.split(","))
    if not_tags:
        rows = rows.exclude(tags__contains=not_tags.split(","))
    if not_tags_any:
        rows = rows.exclude(tags__overlap=not_tags_any.split(","))
    return rows


@selector("anyone")
def project_get(ctx: RequestContext, *, project_id: str) -> QuerySet[Project]:
    """One project. Raises NotFound."""
    found(Project.objects.all(), project_id, ctx, "identity:get_project", noun="project")
    return Project.objects.filter(pk=project_id)


@selector("anyone")
def project_tags(ctx: RequestContext, *, project_id: str) -> list[str]:
    """The tags of a project."""
    return found(Project.objects.all(), project_id, ctx, "identity:list_project_tags", noun="project").tags


@selector("anyone")
def project_tag_check(ctx: RequestContext, *, project_id: str, tag: str) -> None:
    """Raise NotFound unless the project has the tag."""
    project = found(Project.objects.all(), project_id, ctx, "identity:get_project_tag", noun="project")
    if tag not in project.tags:
        raise NotFound("project tag", tag)


def project_parents(project_id: str) -> list[Project]:
    """The projects above one, nearest first, ending with its domain."""
    chain: list[Project] = []
    project = Project.objects.select_related("parent").filter(pk=project_id).first()
    while project is not None and project.parent is not None:
        chain.append(project.parent)
        project = Project.objects.select_related("parent").filter(pk=project.parent_id).first()
    return chain


_SUBTREE = """
WITH RECURSIVE below (id) AS (
    SELECT id FROM identity_project WHERE parent_id = %s
    UNION ALL
    SELECT p.id FROM identity_project p JOIN below b ON p.parent_id = b.id
)
SELECT id FROM below
"""


def project_subtree(project_id: str) -> QuerySet[Project]:
    """All projects below one."""
    return Project.objects.filter(pk__in=RawSQL(_SUBTREE, (project_id,)))  # noqa: S611 - the id is a parameter


# --- users and groups -------------------------------------------------------------------------------


@selector("anyone")
def user_list(ctx: RequestContext, *, domain_id: str = "", name: str = "", marker: str = "") -> QuerySet[User]:
    """Users: all, or those of the domain that the caller reads. Of a directory: those it has now, if its domain is
    named or the caller's, else those that were seen before."""
    rows = _plain(scoped(User.objects.all(), ctx, "identity:list_users"), domain_id, name)
    directories.see_all("user", domain_id or ctx.domain_id, name=name, continued=bool(marker))
    return rows


@selector("anyone")
def user_get(ctx: RequestContext, *, user_id: str) -> QuerySet[User]:
    """One user; everybody may see themself. Raises NotFound."""
    found(User.objects.all(), user_id, ctx, "identity:get_user", noun="user")
    directories.see("user", user_id)
    return User.objects.filter(pk=user_id)


@selector("anyone")
def user_groups(ctx: RequestContext, *, user_id: str) -> QuerySet[Group]:
    """The groups a user is in. Raises NotFound."""
    user = User.objects.filter(pk=user_id).first()
    enforce(ctx, "identity:list_groups_for_user", {**target_of(user=user), "user_id": user_id})
    if user is None:
        raise NotFound("user", user_id)
    directories.see_groups_of(user_id)
    return Group.objects.filter(membership__user_id=user_id)


@selector("anyone")
def user_projects(ctx: RequestContext, *, user_id: str) -> QuerySet[Project]:
    """The projects a user has a role in, directly, by a group, or inherited. Raises NotFound."""
    found(User.objects.all(), user_id, ctx, "identity:list_user_projects", noun="user")
    return projects_of(user_id)


@selector("identity:get_auth_projects")
def auth_projects(ctx: RequestContext) -> QuerySet[Project]:
    """The projects that the caller may choose as scope."""
    return projects_of(ctx.user_id).filter(enabled=True, domain__enabled=True)


@selector("identity:get_auth_domains")
def auth_domains(ctx: RequestContext) -> QuerySet[Domain]:
    """The domains that the caller may choose as scope."""
    mine = Assignment.objects.filter(_held_by(ctx.user_id), scope=Scope.DOMAIN, inherited=False)
    return Domain.objects.filter(enabled=True, pk__in=mine.values("target_id"))


_OF_USER = """
WITH RECURSIVE given AS (
    SELECT target_id, scope, inherited FROM identity_assignment
    WHERE (user_id = %s OR group_id IN (SELECT group_id FROM identity_membership WHERE user_id = %s))
      AND target_id IS NOT NULL
),
below (id) AS (
    SELECT p.id FROM identity_project p JOIN given g ON g.inherited AND p.parent_id = g.target_id
    UNION
    SELECT p.id FROM identity_project p JOIN below b ON p.parent_id = b.id
)
SELECT target_id FROM given WHERE scope = 'project' AND NOT inherited
UNION
SELECT id FROM below
"""


def projects_of(user_id: str) -> QuerySet[Project]:
    """The projects where a user has any role; one query."""
    return Project.objects.filter(
        is_domain=False,
        pk__in=RawSQL(_OF_USER, (user_id, user_id)),  # noqa: S611 - the id is a parameter
    )


def _held_by(user_id: str) -> Q:
    return Q(user_id=user_id) | Q(group__membership__user_id=user_id)


@selector("anyone")
def group_list(ctx: RequestContext, *, domain_id: str = "", name: str = "", marker: str = "") -> QuerySet[Group]:
    """Groups: all, or those of the domain that the caller reads; of a directory as users."""
    rows = _plain(scoped(Group.objects.all(), ctx, "identity:list_groups"), domain_id, name)
    directories.see_all("group", domain_id or ctx.domain_id, name=name, continued=bool(marker))
    return rows


def _plain(rows: QuerySet[M], domain_id: str, name: str) -> QuerySet[M]:
    """Those of a domain and name, without the ones that a directory lost."""
    asked = {key: value for key, value in (("domain_id", domain_id), ("name", name)) if value}
    return directories.here(rows.filter(**asked))


@selector("anyone")
def group_get(ctx: RequestContext, *, group_id: str) -> QuerySet[Group]:
    """One group. Raises NotFound."""
    found(Group.objects.all(), group_id, ctx, "identity:get_group", noun="group")
    directories.see("group", group_id)
    return Group.objects.filter(pk=group_id)


@selector("anyone")
def group_users(ctx: RequestContext, *, group_id: str) -> QuerySet[User]:
    """The users in a group. Raises NotFound."""
    found(Group.objects.all(), group_id, ctx, "identity:list_users_in_group", noun="group")
    directories.see_members_of(group_id)
    return User.objects.filter(membership__group_id=group_id)


@selector("anyone")
def group_user_check(ctx: RequestContext, *, group_id: str, user_id: str) -> None:
    """Raise NotFound unless the user is in the group."""
    group = Group.objects.filter(pk=group_id).first()
    user = User.objects.filter(pk=user_id).first()
    enforce(ctx, "identity:check_user_in_group", target_of(group=group, user=user))
    if group is None:
        raise NotFound("group", group_id)
    directories.see_members_of(group_id)
    if user is None or not Membership.objects.filter(group=group, user=user).exists():
        raise NotFound("user", user_id, hint="The group has no such member.")


# --- roles ------------------------------------------------------------------------------------------


@selector("anyone")
def role_list(ctx: RequestContext, *, domain_id: str = "") -> QuerySet[Role]:
    """Global roles, or the roles of a domain."""
    if domain_id:
        enforce(ctx, "identity:list_domain_roles")
        return Role.objects.filter(domain_id=domain_id)
    enforce(ctx, "identity:list_roles")
    return Role.objects.filter(domain_id=None)


@selector("anyone")
def role_get(ctx: RequestContext, *, role_id: str) -> QuerySet[Role]:
    """One role. Raises NotFound."""
    role = Role.objects.filter(pk=role_id).first()
    of_domain = role is not None and role.domain_id
    enforce(ctx, "identity:get_domain_role" if of_domain else "identity:get_role", target_of(role=role))
    if role is None:
        raise NotFound("role", role_id)
    return Role.objects.filter(pk=role_id)


@selector("identity:list_implied_roles")
def implied_role_list(ctx: RequestContext, *, prior_role_id: str) -> tuple[Role, list[Role]]:
    """A role and the roles that come with it. Raises NotFound."""
    prior = row_of(Role, prior_role_id, "role")
    return prior, list(prior.implies.order_by("name"))


@selector("identity:get_implied_role")
def implied_role_get(ctx: RequestContext, *, prior_role_id: str, implied_role_id: str) -> tuple[Role, Role]:
    """A role and one that comes with it. Raises NotFound."""
    prior = row_of(Role, prior_role_id, "role")
    implied = prior.implies.filter(pk=implied_role_id).first()
    if implied is None:
        raise NotFound("implied role", implied_role_id, hint=f"{prior.name} does not imply it.")
    return prior, implied


@selector("identity:list_role_inference_rules")
def role_inference_list(ctx: RequestContext) -> list[tuple[Role, list[Role]]]:
    """Every role that implies others, with these."""
    priors = Role.objects.filter(pk__in=ImpliedRole.objects.values("prior_id"))
    return [(prior, list(prior.implies.all())) for prior in priors.prefetch_related("implies").order_by("name")]


# --- catalogue --------------------------------------------------------------------------------------


@selector("identity:list_regions")
def region_list(ctx: RequestContext) -> QuerySet[Region]:
    """All regions."""
    return Region.objects.all()


@selector("identity:get_region")
def region_get(ctx: RequestContext, *, region_id: str) -> QuerySet[Region]:
    """One region."""
    return Region.objects.filter(pk=region_id)


@selector("identity:list_services")
def service_list(ctx: RequestContext) -> QuerySet[Service]:
    """All services of the catalogue."""
    return Service.objects.all()


@selector("identity:get_service")
def service_get(ctx: RequestContext, *, service_id: str) -> QuerySet[Service]:
    """One service."""
    return Service.objects.filter(pk=service_id)


@selector("identity:list_endpoints")
def endpoint_list(ctx: RequestContext) -> QuerySet[Endpoint]:
    """All endpoints."""
    return Endpoint.objects.all()


@selector("identity:get_endpoint")
def endpoint_get(ctx: RequestContext, *, endpoint_id: str) -> QuerySet[Endpoint]:
    """One endpoint."""
    return Endpoint.objects.filter(pk=endpoint_id)
