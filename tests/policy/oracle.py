"""What OpenStack itself would answer: its default rules, read from `openstack_rules.yaml`, evaluated by oslo.policy."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from oslo_policy import _checks, policy

from apps.core.context import RequestContext
from tests.kit import oslo

RULES: dict[str, dict[str, list[str]]] = yaml.safe_load(Path(__file__).with_name("openstack_rules.yaml").read_text())
SCOPES = {"p": "project", "d": "domain", "s": "system"}
IMPLIED = {
    "admin": ("admin", "manager", "member", "reader"),
    "manager": ("manager", "member", "reader"),
    "member": ("member", "reader"),
    "reader": ("reader",),
    "service": ("service",),
}


@dataclass(frozen=True)
class Persona:
    """A caller: a role somewhere. `facts` are the fields of the RequestContext that say where."""

    name: str
    role: str
    user_id: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def context(self) -> RequestContext:
        return RequestContext(user_id=self.user_id, roles=frozenset(IMPLIED.get(self.role, ())), **self.facts)

    @property
    def credentials(self) -> dict[str, Any]:
        """The caller as OpenStack's services hand it to oslo.policy."""
        facts = {name: self.facts.get(name) for name in ("project_id", "domain_id", "system_scope")}
        return {
            **facts,
            "roles": list(IMPLIED.get(self.role, ())),
            "user_id": self.user_id,
            "system": bool(facts["system_scope"]),
            "token": {
                "domain": {"id": facts["domain_id"]},
                "project": {"domain": {"id": self.facts.get("project_domain_id")}},
            },
        }


class FieldCheck(_checks.Check):
    """Neutron's own kind of check: an attribute of the target has this value, or matches it after `=~`."""

    def __call__(self, target: Mapping[str, Any], creds: Any, enforcer: Any, current_rule: Any = None) -> bool:
        name, _, value = self.match.partition(":")[2].partition("=")
        held = str(target.get(name))
        return bool(re.match(value[1:], held)) if value.startswith("~") else held == value


_checks.registered_checks.setdefault("field", FieldCheck)


@functools.cache
def enforcer(service: str) -> Any:
    """oslo.policy with one service's defaults; an empty check lets everybody through, as there."""
    made = oslo.enforcer({name: check for name, (check, *_) in RULES[service].items()})
    for name, (check, scopes, _) in RULES[service].items():
        made.register_default(policy.RuleDefault(name, check, scope_types=[SCOPES[s] for s in scopes] or None))
    return made


def allows(service: str, rule: str, persona: Persona, target: Mapping[str, Any]) -> bool:
    """Would OpenStack let this caller do it to this target (in oslo.policy's form, nested names as one key)?"""
    if rule not in RULES[service]:
        raise KeyError(f"OpenStack's {service} has no rule {rule}")
    return bool(enforcer(service).enforce(rule, dict(target), persona.credentials))
