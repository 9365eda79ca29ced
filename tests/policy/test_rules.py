"""Our default rules against OpenStack's: every rule, persona and scope, and every relation of caller and target."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from apps.compute import policies as compute
from apps.core.policy import Rule, allowed
from apps.hosts import policies as hosts
from apps.identity import policies as identity
from apps.image import policies as image
from apps.network import policies as network
from tests.policy import oracle
from tests.policy.oracle import Persona

Targets = list[tuple[dict[str, Any], dict[str, Any]]]  # ours, OpenStack's

SCOPES: dict[str, dict[str, str]] = {
    "project": {"project_id": "p1", "project_domain_id": "d1"},
    "domain": {"domain_id": "d1"},
    "system": {"system_scope": "all"},
}
PERSONAS = [
    *(Persona(f"{scope} {role}", role, "u1", facts) for role in oracle.IMPLIED for scope, facts in SCOPES.items()),
    Persona("unscoped", "", "u1"),
]
TABLES = {
    "identity": identity.RULES,
    "image": image.RULES,
    "network": network.RULES,
    "compute": compute.RULES,
    "placement": tuple(rule for rule in hosts.RULES if rule.name.startswith("placement:")),
}
# Rules that OpenStack's strings say in a way only its own enforcer can follow; each is tested through the API.
BY_HAND = {
    # `not domain_id:None`: Keystone's callers without a domain have the word None there.
    "identity:list_roles",
    # `not None:%(target.limit.project_id)s`: likewise.
    "identity:get_limit",
}
# Rules that decide otherwise than OpenStack's, and why. Each line is in docs/explanation/policy.md.
DIFFERENT = {
    "get_image": "Glance lets every project pass for every shared image and hides them below; our rule says it itself",
    "download_image": "likewise",
    "create_port": "on a shared network Neutron lets everybody, also readers, who change nothing here",
    "create_port:fixed_ips": "likewise",
    "create_port:fixed_ips:subnet_id": "likewise",
    "update_port:fixed_ips:subnet_id": "likewise",
    "create_port:binding:profile": "for Nova's service user only there; here compute asks itself, administrators may",
    "update_port:binding:profile": "likewise",
}
# Rules of ours that OpenStack has no name for, and why they are there.
OURS = {
    "os_compute_api:flavors": "Nova asks nothing of those who list flavors",
    "image_info": "nor Glance of those who ask what they use",
    "list_quotas": "Neutron has get_quota for the list too and then refuses all but administrators",
    "create_network:mtu": "Neutron lets every owner; named so that an operator can say otherwise",
    "update_network:mtu": "likewise",
    "update_subnetpool:shared": "Neutron refuses everybody; here administrators may share a pool later",
}


def identity_targets() -> Targets:
    found: Targets = [({}, {})]
    domains = ("d1", "d2")
    for user, domain, role, role_domain in itertools.product(
        ("u1", "u2"), domains, ("admin", "member"), (None, *domains)
    ):
        of = {"domain_id": domain}
        facts: dict[str, Any] = {
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
        }
        flat: dict[str, Any] = {"user_id": user}
        for noun, fact in facts.items():
            flat |= (
                {f"target.{noun}.{k}": v for k, v in fact.items()}
                if isinstance(fact, dict)
                else {f"target.{noun}": fact}
            )
        # Our services write the domain of a global role as the word None.
        ours = {**facts, "role": {**facts["role"], "domain_id": role_domain or "None"}}
        found.append(({"user_id": user, "target": ours}, flat))
    return found


def same(**values: tuple[Any, ...]) -> Targets:
    """All combinations, told to both in the same words."""
    rows = [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]
    return [(row, row) for row in rows]


def network_targets() -> Targets:
    found: Targets = []
    for owner, parent, shared in itertools.product(("p1", "p2"), ("p1", "p2"), (True, False)):
        ours = {"project_id": owner, "network_project_id": parent, "network_shared": shared}
        theirs = {
            "project_id": owner,
            "network:project_id": parent,
            "ext_parent:project_id": parent,
            "security_group:project_id": parent,
            "shared": shared,
            "device_owner": "network:router_interface",  # our services ask about this kind only
        }
        found.append((ours, theirs))
    return found


# Where a row always belongs to its parent's project, the two are one.
_OF_GROUP = ("create_security_group_rule", "get_security_group_rule", "delete_security_group_rule")


_NEVER_SHARED = ("get_security_group", "get_security_group:tags")


def targets_of(service: str, rule: str) -> Targets:
    found = TARGETS[service]
    if rule in _OF_GROUP:
        return [pair for pair in found if pair[0]["project_id"] == pair[0]["network_project_id"]]
    if rule in _NEVER_SHARED:
        return [pair for pair in found if not pair[1]["shared"]]
    return found


TARGETS: dict[str, Targets] = {
    "identity": identity_targets(),
    "image": same(
        project_id=("p1", "p2"), member_id=("p1", "p2"), visibility=("private", "shared", "community", "public")
    ),
    "network": network_targets(),
    "compute": same(project_id=("p1", "p2"), user_id=("u1", "u2")),
    "placement": same(project_id=("p1", "p2")),
}
for _ours, _theirs in TARGETS["image"]:
    _theirs["owner"] = _theirs["project_id"]


def named() -> Iterator[tuple[str, Rule]]:
    for service, rules in TABLES.items():
        for rule in rules:
            if rule.name in oracle.RULES[service] and rule.name not in BY_HAND | DIFFERENT.keys():
                yield service, rule


_compared: dict[tuple[object, ...], list[tuple[str, dict[str, Any], bool]]] = {}


def differences(service: str, rule: Rule) -> list[tuple[str, dict[str, Any], bool]]:
    """Persona, target and what OpenStack says, where ours says otherwise; rules of the same texts are asked once."""
    pairs = targets_of(service, rule.name)
    texts = (service, len(pairs), rule.check, rule.scopes, *oracle.RULES[service][rule.name][:2])
    if texts not in _compared:
        _compared[texts] = [
            (persona.name, ours, expected)
            for persona, (ours, theirs) in itertools.product(PERSONAS, pairs)
            if allowed(persona.context, rule.name, ours)
            is not (expected := oracle.allows(service, rule.name, persona, theirs))
        ]
    return _compared[texts]


@pytest.mark.slow
@pytest.mark.parametrize(("service", "rule"), list(named()), ids=lambda v: getattr(v, "name", v))
def test_default_allows_what_openstacks_allows(service: str, rule: Rule) -> None:
    assert differences(service, rule) == []


def test_every_rule_of_ours_is_openstacks_or_says_why_not() -> None:
    unknown = {
        rule.name for service, rules in TABLES.items() for rule in rules if rule.name not in oracle.RULES[service]
    }
    assert unknown == set(OURS)


@pytest.mark.parametrize("name", sorted(DIFFERENT))
def test_a_listed_difference_is_one(name: str) -> None:
    service = next(s for s, rules in TABLES.items() if any(r.name == name for r in rules))
    assert any(
        allowed(persona.context, name, ours) is not oracle.allows(service, name, persona, theirs)
        for persona, (ours, theirs) in itertools.product(PERSONAS, TARGETS[service])
    )
