"""Which roles somebody has where, with groups, inheritance and implied roles taken into account."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from apps.identity.states import Scope

# `above` walks from the project to its domain; an inherited assignment counts below its target, not on it.
_EFFECTIVE = """
WITH RECURSIVE above (id, parent_id, distance) AS (
    SELECT id, parent_id, 0 FROM identity_project WHERE id = %(target)s
    UNION ALL
    SELECT p.id, p.parent_id, a.distance + 1 FROM identity_project p JOIN above a ON p.id = a.parent_id
),
given AS (
    SELECT role_id FROM identity_assignment
    WHERE (user_id = %(user)s OR group_id IN (SELECT group_id FROM identity_membership WHERE user_id = %(user)s))
      AND CASE
          WHEN inherited THEN %(scope)s = 'project' AND target_id IN (SELECT id FROM above WHERE distance > 0)
          ELSE scope = %(scope)s AND coalesce(target_id, '') = %(target)s
          END
),
effective (role_id) AS (
    SELECT role_id FROM given
    UNION
    SELECT i.implied_id FROM identity_impliedrole i JOIN effective e ON e.role_id = i.prior_id
)
SELECT r.id, r.name FROM identity_role r JOIN effective e ON e.role_id = r.id
WHERE r.domain_id IS NULL ORDER BY r.name
"""


@dataclass(frozen=True, slots=True)
class RoleName:
    """A role as tokens show it."""

    id: str
    name: str


def effective_roles(*, user_id: str, scope: Scope, target_id: str = "") -> tuple[RoleName, ...]:
    """The global roles of a user on a project, on a domain or on the system; empty for nothing; one query."""
    if scope == Scope.UNSCOPED:
        return ()
    with connection.cursor() as cursor:
        cursor.execute(_EFFECTIVE, {"user": user_id, "scope": str(scope), "target": target_id})
        return tuple(RoleName(*row) for row in cursor.fetchall())


_CLOSURE = """
WITH RECURSIVE closed (role_id) AS (
    SELECT id::varchar FROM unnest(%s::varchar[]) AS id
    UNION
    SELECT i.implied_id FROM identity_impliedrole i JOIN closed c ON c.role_id = i.prior_id
)
SELECT c.role_id FROM closed c JOIN identity_role r ON r.id = c.role_id WHERE r.domain_id IS NULL
"""


def with_implied(role_ids: Iterable[str]) -> frozenset[str]:
    """These roles and all that they imply; roles of domains, which never show in tokens, are left out."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOSURE, [list(role_ids)])
        return frozenset(row[0] for row in cursor.fetchall())
