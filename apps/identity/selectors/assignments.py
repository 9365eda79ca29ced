"""Who was given which role where; and, worked out, who therefore has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Q, QuerySet

from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.core.policy import allowed, enforce
from apps.core.transactions import selector
from apps.identity.models import Assignment, Group, ImpliedRole, Membership, Project, Role, User
from apps.identity.selectors.access import target_of
from apps.identity.selectors.nouns import project_subtree
from apps.identity.states import Scope


@dataclass(frozen=True, slots=True)
class Grant:
    """A place in the API's tree of assignments: who, where, inherited or not; `role` only where one is named."""

    user: User | None
    group: Group | None
    scope: Scope
    target: Project | None
    inherited: bool
    role: Role | None = None

    def row(self) -> dict[str, Any]:
        """The columns of the assignment."""
        columns: dict[str, Any] = {
            name: getattr(self, name) for name in ("user", "group", "scope", "target", "inherited")
        }
        return columns | ({"role": self.role} if self.role else {})


def grant_of(
    verb: str,
    ctx: RequestContext,
    *,
    scope: Scope,
    target_id: str = "",
    user_id: str = "",
    group_id: str = "",
    inherited: bool = False,
    role_id: str = "",
) -> Grant:
    """The rows that a grant's address names, after its rule was enforced. Raises NotFound for the first missing one."""
    user = User.objects.filter(pk=user_id).first() if user_id else None
    group = Group.objects.filter(pk=group_id).first() if group_id else None
    targets = (
        Project.objects.filter(is_domain=scope == Scope.DOMAIN) if scope == Scope.DOMAIN else Project.objects.all()
    )
    target = targets.filter(pk=target_id).first() if target_id else None
    role = Role.objects.filter(pk=role_id).first() if role_id else None
    noun = {Scope.DOMAIN: "domain", Scope.PROJECT: "project"}.get(scope, "system")
    enforce(ctx, _rule(verb, scope, user_id), target_of(user=user, group=group, role=role, **{noun: target}))
    for wanted, row, name in (
        (role_id, role, "role"),
        (user_id, user, "user"),
        (group_id, group, "group"),
        (target_id, target, noun),
    ):
        if wanted and row is None:
            raise NotFound(name, wanted)
    return Grant(user, group, scope, target, inherited, role)


def _rule(verb: str, scope: Scope, user_id: str) -> str:
    if scope == Scope.SYSTEM:
        plural = "s" if verb == "list" else ""
        return f"identity:{verb}_system_grant{plural}_for_{'user' if user_id else 'group'}"
    return "identity:list_grants" if verb == "list" else f"identity:{verb}_grant"


@selector("anyone")
def grant_roles(ctx: RequestContext, **address: Any) -> QuerySet[Role]:
    """The roles given at one address, as they were given. Raises NotFound."""
    grant = grant_of("list", ctx, **address)
    return Role.objects.filter(pk__in=Assignment.objects.filter(**grant.row()).values("role_id"))


@selector("anyone")
def grant_check(ctx: RequestContext, **address: Any) -> None:
    """Raise NotFound unless exactly this was given."""
    grant = grant_of("check", ctx, **address)
    if not Assignment.objects.filter(**grant.row()).exists():
        raise NotFound("role assignment", grant.role.pk if grant.role else "")


# --- the list of all -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """One line of the list: ids only, and in the effective form how it came about."""

    role_id: str
    scope: str
    target_id: str = ""
    user_id: str = ""
    group_id: str = ""
    inherited: bool = False
    through_group: str = ""  # effective: the group that brought it
    prior_role: str = ""  # effective: the role that implies it
    inherited_from: tuple[str, str] = ("", "")  # effective: scope and id of what it was given on


@dataclass(frozen=True, slots=True)
class AssignmentFilter:
    """What to list. Empty text: no restriction."""

    user_id: str = ""
    group_id: str = ""
    role_id: str = ""
    project_id: str = ""
    domain_id: str = ""
    system: bool = False
    inherited: bool | None = None
    effective: bool = False
    include_subtree: bool = False


@selector("anyone")
def assignment_list(ctx: RequestContext, *, wanted: AssignmentFilter) -> list[Given]:
    """Assignments as they were given, or with `effective` what every user has because of them.

    The number of queries does not depend on the number of rows. Raises Invalid for filters that exclude each other.
    """
    _check(wanted)
    rule = "identity:list_role_assignments_for_tree" if wanted.include_subtree else "identity:list_role_assignments"
    rows = Assignment.objects.all()
    if not allowed(ctx, rule, {}):
        enforce(ctx, rule, {"target": {"domain_id": ctx.domain_id}} if ctx.domain_id else {})
        rows = rows.filter(Q(target_id=ctx.domain_id) | Q(target__domain_id=ctx.domain_id))
    targets = _targets(wanted)
    if wanted.effective:
        given = _effective(rows.filter(_reaching(wanted, targets)), wanted.user_id, targets)
        return sorted({g for g in given if _matches(g, wanted, targets)}, key=_order)
    return [g for g in _given(rows.filter(_stored(wanted, targets))) if _matches(g, wanted, targets)]


def _check(wanted: AssignmentFilter) -> None:
    if wanted.user_id and wanted.group_id:
        raise Invalid("Specify a user or group, not both.", field="group.id")
    if sum(map(bool, (wanted.project_id, wanted.domain_id, wanted.system))) > 1:
        raise Invalid("Specify one of system, domain or project.", field="scope")
    if wanted.effective and wanted.group_id:
        raise Invalid("Combining effective and group filter will always result in an empty list.", field="group.id")
    if wanted.effective and wanted.inherited and wanted.domain_id:
        raise Invalid(
            "Combining effective, domain and inherited filters will always result in an empty list.",
            field="scope.domain.id",
        )
    if wanted.include_subtree and not wanted.project_id:
        raise Invalid(
            "scope.project.id must be specified if include_subtree is also specified.", field="include_subtree"
        )


def _targets(wanted: AssignmentFilter) -> frozenset[str]:
    """The projects that the list is about; empty: no restriction to projects."""
    if not wanted.project_id:
        return frozenset()
    below = project_subtree(wanted.project_id).values_list("pk", flat=True) if wanted.include_subtree else ()
    return frozenset({wanted.project_id, *below})


def _stored(wanted: AssignmentFilter, targets: frozenset[str]) -> Q:
    """The same restriction for the rows themselves."""
    query = Q()
    for column in ("user_id", "group_id", "role_id"):
        if value := getattr(wanted, column):
            query &= Q(**{column: value})
    if targets:
        query &= Q(scope=Scope.PROJECT, target_id__in=targets)
    if wanted.domain_id:
        query &= Q(scope=Scope.DOMAIN, target_id=wanted.domain_id)
    if wanted.system:
        query &= Q(scope=Scope.SYSTEM)
    return query


def _reaching(wanted: AssignmentFilter, targets: frozenset[str]) -> Q:
    """Rows from which an effective assignment can follow that is wanted: through a group, or from above."""
    query = Q()
    if wanted.user_id:
        groups = Membership.objects.filter(user_id=wanted.user_id).values("group_id")
        query &= Q(user_id=wanted.user_id) | Q(group_id__in=groups)
    if targets:
        query &= Q(scope=Scope.PROJECT, target_id__in=targets) | Q(inherited=True)
    if wanted.domain_id:
        query &= Q(scope=Scope.DOMAIN, target_id=wanted.domain_id)
    if wanted.system:
        query &= Q(scope=Scope.SYSTEM)
    return query


def _given(rows: QuerySet[Assignment]) -> Iterator[Given]:
    columns = ("role_id", "scope", "target_id", "user_id", "group_id", "inherited")
    for role, scope, target, user, group, inherited in rows.order_by("pk").values_list(*columns):
        yield Given(role, scope, target or "", user or "", group or "", inherited)


def _matches(given: Given, wanted: AssignmentFilter, targets: frozenset[str]) -> bool:
    return (
        (not wanted.user_id or given.user_id == wanted.user_id)
        and (not wanted.group_id or given.group_id == wanted.group_id)
        and (not wanted.role_id or given.role_id == wanted.role_id)
        and (not targets or (given.scope == Scope.PROJECT and given.target_id in targets))
        and (not wanted.domain_id or (given.scope == Scope.DOMAIN and given.target_id == wanted.domain_id))
        and (not wanted.system or given.scope == Scope.SYSTEM)
        and (wanted.inherited is None or wanted.inherited == (given.inherited or bool(given.inherited_from[1])))
    )


def _effective(rows: QuerySet[Assignment], user_id: str, projects: frozenset[str]) -> Iterator[Given]:
    """Replace groups by their users, inherited assignments by the projects below, and add implied roles.

    Where `user_id` or `projects` are not empty, what is of others may be left out.
    """
    belong = Membership.objects.filter(group_id__in=rows.exclude(group=None).values("group_id"))
    members: dict[str, list[str]] = defaultdict(list)
    for group, user in (belong.filter(user_id=user_id) if user_id else belong).values_list("group_id", "user_id"):
        members[group].append(user)
    implied = _implied()
    below = _below()
    of_domains = set(Role.objects.exclude(domain=None).values_list("pk", flat=True))  # they never show in a token
    for given in _given(rows):
        for placed in _placed(given, below, projects):
            for person in _people(placed, members):
                if person.role_id not in of_domains:
                    yield person
                for role in implied[person.role_id] - of_domains:
                    yield replace(person, role_id=role, prior_role=person.role_id)


def _placed(given: Given, below: dict[str, list[str]], projects: frozenset[str]) -> Iterator[Given]:
    if not given.inherited:
        yield given
        return
    stack = list(below[given.target_id])
    while stack:
        project = stack.pop()
        stack.extend(below[project])
        if not projects or project in projects:
            origin = (given.scope, given.target_id)
            yield replace(given, scope=Scope.PROJECT, target_id=project, inherited=False, inherited_from=origin)


def _people(given: Given, members: dict[str, list[str]]) -> Iterator[Given]:
    if not given.group_id:
        yield given
        return
    for user in members[given.group_id]:
        yield replace(given, user_id=user, group_id="", through_group=given.group_id)


def _implied() -> dict[str, set[str]]:
    """Every role that follows from a role, over any number of steps."""
    direct: dict[str, set[str]] = defaultdict(set)
    for prior, role in ImpliedRole.objects.values_list("prior_id", "implied_id"):
        direct[prior].add(role)
    closed: dict[str, set[str]] = defaultdict(set)
    for prior in list(direct):
        stack = list(direct[prior])
        while stack:
            role = stack.pop()
            if role not in closed[prior]:
                closed[prior].add(role)
                stack.extend(direct.get(role, ()))
    return closed


def _below() -> dict[str, list[str]]:
    children: dict[str, list[str]] = defaultdict(list)
    for project, parent in Project.objects.exclude(parent=None).values_list("pk", "parent_id"):
        children[str(parent)].append(project)
    return children


def _order(given: Given) -> tuple[str, ...]:
    return (given.scope, given.target_id, given.user_id, given.role_id, given.prior_role, given.through_group)
