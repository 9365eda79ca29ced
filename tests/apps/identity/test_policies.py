"""Our defaults against Keystone's: every rule, every persona, every relation between caller and target."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.core.context import RequestContext
from apps.core.policy import allowed
from apps.identity.policies import RULES
from tests.kit import oslo

EXPECTED: dict[str, str] = yaml.safe_load((Path(__file__).parent / "keystone_policy.yaml").read_text())
IMPLIED = {
    "admin": ("admin", "manager", "member", "reader"),
    "manager": ("manager", "member", "reader"),
    "member": ("member", "reader"),
    "reader": ("reader",),
    "service": ("service",),
}
SCOPES: dict[str, dict[str, Any]] = {
    "project": {"project_id": "p1", "project_domain_id": "d1"},
    "domain": {"domain_id": "d1"},
    "system": {"system_scope": "all"},
    "unscoped": {},
}
DOMAINS = ("d1", "d2")
USERS = ("u1", "u2")
# Rules that Keystone's strings say in a way only its own enforcer can follow; each is tested through the API.
BY_HAND = {
    # `not domain_id:None`: Keystone's callers without a domain have the word None there.
    "identity:list_roles",
    # `not None:%(target.limit.project_id)s`: likewise.
    "identity:get_limit",
}


def targets() -> list[dict[str, Any]]:
    """Targets as the services fill them, in all relations to the caller."""
    found: list[dict[str, Any]] = [{}]
    for user, domain, role, role_domain in itertools.product(USERS, DOMAINS, ("admin", "member"), (None, "d1", "d2")):
        of = {"domain_id": domain}
        found.append(
            {
                "user_id": user,
                "target": {
                    "user": {"id": user, **of},
                    "group": {"id": "g", **of},
                    "project": {"id": "p1" if domain == "d1" else "p2", **of},
                    "domain": {"id": domain},
                    "domain_id": domain,
                    "role": {"id": "r", "name": role, "domain_id": role_domain},
                    "token": {"user_id": user},
                    "credential": {"user_id": user},
                    "trust": {
                        "trustor_user_id": user if domain == "d1" else "u3",
                        "trustee_user_id": user if role == "admin" else "u3",
                    },
                },
            }
        )
    return found


def flat(target: dict[str, Any]) -> dict[str, Any]:
    """Keystone's form: `target.user.id` as one key."""
    keys = {"user_id": target["user_id"]} if target else {}
    for noun, facts in target.get("target", {}).items():
        if isinstance(facts, dict):
            keys |= {f"target.{noun}.{name}": value for name, value in facts.items()}
        else:
            keys[f"target.{noun}"] = facts
    return keys


def ours(target: dict[str, Any]) -> dict[str, Any]:
    """Our services write the domain of a global role as the word None."""
    if not target:
        return {}
    role = {**target["target"]["role"]}
    role["domain_id"] = role["domain_id"] or "None"
    return {**target, "target": {**target["target"], "role": role}}


@pytest.fixture(scope="module")
def keystone() -> Any:
    return oslo.enforcer(EXPECTED)


def credentials(role: str, scope: str, user: str) -> dict[str, Any]:
    where = SCOPES[scope]
    return {
        "roles": list(IMPLIED[role]),
        "user_id": user,
        "project_id": where.get("project_id"),
        "domain_id": where.get("domain_id"),
        "system_scope": where.get("system_scope"),
        "token": {
            "domain": {"id": where.get("domain_id")},
            "project": {"domain": {"id": where.get("project_domain_id")}},
        },
    }


@pytest.mark.parametrize("rule", sorted(r.name for r in RULES if r.name in EXPECTED and r.name not in BY_HAND))
def test_default_allows_what_keystones_allows(rule: str, keystone: Any) -> None:
    different = []
    for role, scope, target in itertools.product(IMPLIED, SCOPES, targets()):
        ctx = RequestContext(user_id="u1", roles=frozenset(IMPLIED[role]), **SCOPES[scope])
        expected = keystone.enforce(rule, flat(target), credentials(role, scope, "u1"))
        if allowed(ctx, rule, ours(target)) is not bool(expected):
            different.append((role, scope, target, expected))
    assert different == []


def test_every_rule_of_ours_is_one_of_keystones() -> None:
    assert {rule.name for rule in RULES} - set(EXPECTED) == set()
