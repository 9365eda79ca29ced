"""The grammar of rules, with oslo.policy as the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core import policy
from apps.core.context import RequestContext, system
from apps.core.errors import Forbidden
from tests.kit import oslo

ATOMS = ["role:admin", "role:reader", "project_id:%(project_id)s", "user_id:%(user_id)s", "@", "!", "rule:named"]


def expressions() -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from(ATOMS),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda p: f"({p[0]} and {p[1]})"),
            st.tuples(inner, inner).map(lambda p: f"({p[0]} or {p[1]})"),
            inner.map(lambda e: f"(not {e})"),
        ),
        max_leaves=6,
    )


def kumo_says(check: str, ctx: RequestContext, target: dict[str, str]) -> bool:
    book = policy.PolicyBook()
    book.register([policy.Rule("named", "role:member"), policy.Rule("asked", check)])
    return book.check("asked").decide(ctx, target)


def oslo_says(check: str, ctx: RequestContext, target: dict[str, str]) -> bool:
    enforcer = oslo.enforcer({"named": "role:member", "asked": check})
    credentials = {"roles": sorted(ctx.roles), "project_id": ctx.project_id, "user_id": ctx.user_id}
    return bool(enforcer.enforce("asked", target, credentials))


@settings(max_examples=150, deadline=None)
@given(
    check=expressions(),
    roles=st.frozensets(st.sampled_from(["admin", "member", "reader"])),
    project=st.sampled_from(["p1", "p2"]),
    user=st.sampled_from(["u1", "u2"]),
)
def test_decisions_agree_with_oslo_policy(check: str, roles: frozenset[str], project: str, user: str) -> None:
    ctx = RequestContext(user_id=user, project_id=project, roles=roles)
    target = {"project_id": "p1", "user_id": "u1"}
    assert kumo_says(check, ctx, target) == oslo_says(check, ctx, target)


def test_missing_target_key_denies() -> None:
    assert not kumo_says("project_id:%(absent)s", RequestContext(project_id="p1"), {})


def test_an_empty_scope_never_equals_an_empty_target() -> None:
    assert not kumo_says("project_id:%(project_id)s", RequestContext(), {"project_id": ""})


def test_dotted_target_keys_are_followed() -> None:
    ctx = RequestContext(domain_id="d1")
    assert kumo_says("domain_id:%(target.user.domain_id)s", ctx, {"target": {"user": {"domain_id": "d1"}}})  # type: ignore[dict-item]


@pytest.mark.parametrize("text", ["role:admin and", "(role:admin", "role:admin )", "nonsense", "and role:admin"])
def test_unreadable_rules_are_found_at_start(text: str) -> None:
    book = policy.PolicyBook()
    book.register([policy.Rule("asked", text)])
    with pytest.raises(policy.PolicyError):
        book.verify()


def test_circular_rules_are_found_at_start() -> None:
    book = policy.PolicyBook()
    book.register([policy.Rule("a", "rule:b"), policy.Rule("b", "not rule:a")])
    with pytest.raises(policy.PolicyError, match="circle"):
        book.verify()


def test_override_of_an_unknown_rule_is_refused() -> None:
    book = policy.PolicyBook()
    book.register([policy.Rule("a", "@")])
    with pytest.raises(policy.PolicyError, match="nowhere"):
        book.override("nowhere: '@'")


def test_override_replaces_the_default() -> None:
    book = policy.PolicyBook()
    book.register([policy.Rule("a", "@")])
    book.override("a: '!'")
    assert not book.check("a").decide(RequestContext(), {})


def test_enforce_names_the_rule() -> None:
    with pytest.raises(Forbidden) as caught:
        policy.enforce(RequestContext(roles=frozenset({"reader"})), "admin")
    assert caught.value.rule == "admin"


def test_explain_shows_each_part_with_its_outcome() -> None:
    ctx = RequestContext(project_id="p1", roles=frozenset({"reader"}))
    reason = policy.explain(ctx, "project_member_or_admin")
    text = "\n".join(reason.lines())
    assert not reason.holds
    assert "no  has the role member" in text
    assert "yes project_id is %(project_id)s" in text


def test_the_system_context_passes_every_rule() -> None:
    policy.enforce(system(), "nobody")
