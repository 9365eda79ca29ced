"""What a user may do somewhere, and through which assignments: the roles with the ways they came, and rules explained.

A way begins at an assignment (to the user or to a group of theirs, on the place itself or inherited from above it) and
may go on through implied roles.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model, Q, QuerySet

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.core.transactions import selector
from apps.identity.models import ImpliedRole, Project, Role, User
from apps.identity.states import Scope

M = TypeVar("M", bound=Model)

# As `_EFFECTIVE` of the roles, but each row keeps where it began and which roles it went through.
_WAYS = """
WITH RECURSIVE above (id, parent_id, distance) AS (
    SELECT id, parent_id, 0 FROM identity_project WHERE id = %(target)s
    UNION ALL
    SELECT p.id, p.parent_id, a.distance + 1 FROM identity_project p JOIN above a ON p.id = a.parent_id
),
way (role_id, path, scope, target_id, inherited, group_id) AS (
    SELECT role_id, ARRAY[role_id::text], scope, target_id, inherited, group_id FROM identity_assignment
    WHERE (user_id = %(user)s OR group_id IN (SELECT group_id FROM identity_membership WHERE user_id = %(user)s))
      AND CASE
          WHEN inherited THEN %(scope)s = 'project' AND target_id IN (SELECT id FROM above WHERE distance > 0)
          ELSE scope = %(scope)s AND coalesce(target_id, '') = %(target)s
          END
    UNION ALL
    SELECT i.implied_id, w.path || i.implied_id::text, w.scope, w.target_id, w.inherited, w.group_id
    FROM identity_impliedrole i JOIN way w ON w.role_id = i.prior_id WHERE NOT i.implied_id = ANY (w.path)
)
SELECT r.id, r.name, (SELECT jsonb_agg(s.name ORDER BY p.place) FROM unnest(w.path) WITH ORDINALITY p (id, place)
                      JOIN identity_role s ON s.id = p.id),
       w.scope, coalesce(w.target_id, ''), coalesce(t.name, ''), w.inherited, coalesce(w.group_id, ''),
       coalesce(g.name, '')
FROM way w JOIN identity_role r ON r.id = w.role_id
LEFT JOIN identity_project t ON t.id = w.target_id LEFT JOIN identity_group g ON g.id = w.group_id
WHERE r.domain_id IS NULL ORDER BY r.name, cardinality(w.path), t.name, g.name
"""


@dataclass(frozen=True, slots=True)
class Way:
    """How a role came to somebody: the roles from the one that was given to this one, and where and to whom."""

    path: tuple[str, ...]  # names; more than one where roles imply each other
    scope: str
    target_id: str
    target_name: str
    inherited: bool
    group_id: str
    group_name: str

    def text(self) -> str:
        """One sentence for people."""
        to = f"the group {self.group_name}" if self.group_id else "the user"
        on = f"the {self.scope} {self.target_name}" if self.target_id else "the system"
        below = ", for the projects below it" if self.inherited else ""
        implied = f", which implies {' → '.join(self.path[1:])}" if len(self.path) > 1 else ""
        return f"{self.path[0]} was given to {to} on {on}{below}{implied}"


@dataclass(frozen=True, slots=True)
class HeldRole:
    """A role somebody has, with every way it came."""

    id: str
    name: str
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """What permissions are about: a project, a domain or the system."""

    scope: Scope
    target: Project | None = None

    @property
    def id(self) -> str:
        return self.target.pk if self.target else ""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a user has at a place: roles with their ways, and the context that a token of theirs would have there."""

    user: User
    place: Place
    roles: tuple[HeldRole, ...]
    context: RequestContext

    def rules(self) -> dict[str, bool]:
        """Every rule: does it let the user act on what is theirs there? By name."""
        return {name: policy.allowed(self.context, name) for name in sorted(policy.book.rules)}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether a rule lets a user act, why, and which roles alone would be enough there."""

    rule: policy.Rule
    holds: bool
    reason: policy.Reason
    enough: tuple[str, ...]


_RULE = "identity:list_role_assignments"


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose permissions where: the user (empty: the caller) and one of project, domain and system, by id or name."""

    user: str = ""
    user_domain: str = ""  # where the user's name is looked up; empty: anywhere
    project: str = ""
    project_domain: str = ""
    domain: str = ""
    system: bool = False


@selector("anyone")
def permissions(ctx: RequestContext, *, asked: Asked) -> Permissions:
    """What a user may do at a place: one's own for everybody, others' for those who may list role assignments there.

    Raises Invalid for none or several places and for names that several have, NotFound, Forbidden.
    """
    everywhere = policy.allowed(ctx, _RULE, {})
    if not everywhere and asked.user not in {"", ctx.user_id}:
        policy.enforce(ctx, _RULE, {"target": {"domain_id": ctx.domain_id}} if ctx.domain_id else {})
    place = _place(asked)
    user = _user(asked.user or ctx.user_id, asked.user_domain)
    roles = _held(user, place)
    if not everywhere and not (user.pk == ctx.user_id and roles) and _domain_of(place) != ctx.domain_id:
        raise NotFound(place.scope, asked.project or asked.domain)
    return Permissions(user, place, roles, _context(user, place, {role.name for role in roles}))


def _domain_of(place: Place) -> str | None:
    if place.target is None:
        return None
    return place.target.pk if place.target.is_domain else place.target.domain_id


def _user(ref: str, domain: str) -> User:
    rows = User.objects.select_related("domain").filter(Q(pk=ref) | Q(name=ref))
    return _only(rows.filter(Q(domain_id=domain) | Q(domain__name=domain)) if domain else rows, "user", ref)


def _place(asked: Asked) -> Place:
    if sum(map(bool, (asked.project, asked.domain, asked.system))) != 1:
        raise Invalid("Name one place: a project, a domain or the system.", field="project")
    if asked.system:
        return Place(Scope.SYSTEM)
    scope, ref = (Scope.DOMAIN, asked.domain) if asked.domain else (Scope.PROJECT, asked.project)
    rows = Project.objects.select_related("domain").filter(Q(pk=ref) | Q(name=ref), is_domain=scope == Scope.DOMAIN)
    if asked.project_domain:
        rows = rows.filter(Q(domain_id=asked.project_domain) | Q(domain__name=asked.project_domain))
    return Place(scope, _only(rows, scope, ref))


def _only(rows: QuerySet[M], noun: str, ref: str) -> M:
    """The row with that id, else the only one with that name."""
    found = list(rows[:3])
    exact = [row for row in found if row.pk == ref] or found
    if not exact:
        raise NotFound(noun, ref)
    if len(exact) > 1:
        raise Invalid(f"There are several with the name {ref}: say in which domain, or give the id.", field=noun)
    return exact[0]


def _held(user: User, place: Place) -> tuple[HeldRole, ...]:
    ways: dict[tuple[str, str], list[Way]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_WAYS, {"user": user.pk, "scope": str(place.scope), "target": place.id})
        for ident, name, path, *rest in cursor.fetchall():
            names = json.loads(path) if isinstance(path, str) else path
            ways[(ident, name)].append(Way(tuple(names), *rest))
    return tuple(HeldRole(ident, name, tuple(found)) for (ident, name), found in ways.items())


def _context(user: User, place: Place, roles: set[str]) -> RequestContext:
    """The context of a token of this user for that place with these roles."""
    target = place.target
    facts: dict[str, Any] = {
        Scope.PROJECT: {
            "project_id": place.id,
            "project_name": target.name if target else "",
            "project_domain_id": (target.domain_id or "") if target else "",
        },
        Scope.DOMAIN: {"domain_id": place.id},
        Scope.SYSTEM: {"system_scope": "all"},
    }[place.scope]
    return RequestContext(
        user_id=user.pk, user_name=user.name, user_domain_id=user.domain_id, roles=frozenset(roles), **facts
    )


@selector("anyone")
def rule_explain(
    ctx: RequestContext, *, permissions: Permissions, rule: str, target: Mapping[str, Any] | None = None
) -> Explanation:
    """Why the rule lets that user act or not; `target` says more of what is acted on than that it is theirs.

    Whoever may see the permissions may have them explained. Raises NotFound for a rule that does not exist.
    """
    known = policy.book.rules.get(rule)
    if known is None:
        raise NotFound("rule", rule)
    facts = {**policy.own_target(permissions.context), **(target or {})}
    reason = policy.explain(permissions.context, rule, facts)
    return Explanation(known, reason.holds, reason, _enough(permissions, rule, facts))


def _enough(held: Permissions, rule: str, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Roles of which each alone would do, without those that only imply one that does."""
    names = dict(Role.objects.filter(domain=None).values_list("pk", "name"))
    implied: dict[str, set[str]] = defaultdict(set)
    for prior, role in ImpliedRole.objects.values_list("prior_id", "implied_id"):
        implied[prior].add(role)
    closed = {role: _closure(role, implied) for role in names}
    would = {
        role
        for role, following in closed.items()
        if policy.allowed(_context(held.user, held.place, {names[r] for r in following if r in names}), rule, facts)
    }
    nothing = policy.allowed(_context(held.user, held.place, set()), rule, facts)
    least = {role for role in would if not (closed[role] - {role}) & would}
    return () if nothing else tuple(sorted(names[role] for role in least))


def _closure(role: str, implied: Mapping[str, set[str]]) -> set[str]:
    found, stack = {role}, [role]
    while stack:
        for following in implied.get(stack.pop(), ()):
            if following not in found:
                found.add(following)
                stack.append(following)
    return found
