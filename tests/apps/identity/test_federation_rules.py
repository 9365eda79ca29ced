"""The mapping language, against the examples of Keystone's administrator guide and beyond."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.api import schema
from apps.core.errors import Invalid, Unauthorized
from apps.identity.backends.federation_rules import RULES, GroupRef, ProjectRef, check, mapped

ALICE = {
    "UserName": ["alice"],
    "Email": ["alice@example.org"],
    "orgPersonType": ["Employee", "Contractor"],
    "groups": ["devs", "ops", "old"],
}
NAMED = {"user": {"name": "{0}"}}


def rule(remote: list[Any], *local: Any) -> list[dict[str, Any]]:
    return [{"local": list(local) or [NAMED], "remote": remote}]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"any_one_of": ["Employee"]}, True),
        ({"any_one_of": ["Guest", "Contractor"]}, True),
        ({"any_one_of": ["Guest"]}, False),
        ({"any_one_of": ["employee"]}, False),
        ({"any_one_of": ["^Emp"], "regex": True}, True),
        ({"any_one_of": ["^Emp"]}, False),
        ({"any_one_of": ["^emp$"], "regex": True}, False),
        ({"not_any_of": ["Guest"]}, True),
        ({"not_any_of": ["Guest", "Employee"]}, False),
        ({"not_any_of": ["tract"], "regex": True}, False),
        ({"not_any_of": ["^tract"], "regex": True}, True),
    ],
)
def test_a_condition_decides_whether_a_rule_holds(condition: dict[str, Any], holds: bool) -> None:
    rules = rule([{"type": "UserName"}, {"type": "orgPersonType", **condition}])
    if holds:
        assert mapped(rules, ALICE).name == "alice"
    else:
        with pytest.raises(Unauthorized):
            mapped(rules, ALICE)


def test_an_attribute_that_is_missing_fails_even_a_negative_condition() -> None:
    with pytest.raises(Unauthorized):
        mapped(rule([{"type": "UserName"}, {"type": "nothing", "not_any_of": ["x"]}]), ALICE)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, {"devs", "ops", "old"}),
        ({"whitelist": ["devs", "other"]}, {"devs"}),
        ({"blacklist": ["old"]}, {"devs", "ops"}),
        ({"whitelist": ["^o"], "regex": True}, {"ops", "old"}),
        ({"blacklist": ["^o"], "regex": True}, {"devs"}),
        ({"whitelist": []}, set()),
    ],
)
def test_lists_choose_groups(condition: dict[str, Any], expected: set[str]) -> None:
    remote = [{"type": "UserName"}, {"type": "groups", **condition}]
    who = mapped(rule(remote, NAMED, {"groups": "{1}", "domain": {"id": "d1"}}), ALICE)
    assert set(who.groups) == {GroupRef(name=name, domain=("id", "d1")) for name in expected}


def test_all_rules_that_hold_apply_and_the_first_user_counts() -> None:
    rules = [
        *rule([{"type": "UserName"}], NAMED, {"group": {"id": "g1"}}),
        *rule([{"type": "Email"}], {"user": {"name": "{0}"}}, {"group": {"name": "g2", "domain": {"name": "D"}}}),
        *rule([{"type": "nothing"}], {"group": {"id": "never"}}),
    ]
    who = mapped(rules, ALICE)
    assert who.name == "alice"
    assert who.groups == (GroupRef(id="g1"), GroupRef(name="g2", domain=("name", "D")))


def test_places_count_only_what_is_let_through() -> None:
    remote = [{"type": "orgPersonType", "any_one_of": ["Employee"]}, {"type": "UserName"}, {"type": "Email"}]
    who = mapped(rule(remote, {"user": {"id": "{1}", "name": "{0} <{1}>", "email": "{1}"}}), ALICE)
    assert (who.id, who.name, who.email) == ("alice@example.org", "alice <alice@example.org>", "alice@example.org")


def test_projects_domain_and_type() -> None:
    local = [
        {"user": {"name": "{0}", "type": "local", "domain": {"name": "Default"}}},
        {"projects": [{"name": "Sandbox of {0}", "roles": [{"name": "member"}], "domain": {"id": "default"}}]},
    ]
    who = mapped(rule([{"type": "UserName"}], *local), ALICE)
    assert (who.local, who.domain) == (True, ("name", "Default"))
    assert who.projects == (ProjectRef("Sandbox of alice", ("member",), ("id", "default")),)


def test_without_a_user_the_remote_user_is_it() -> None:
    rules = rule([{"type": "UserName"}], {"group": {"id": "g1"}})
    assert mapped(rules, {**ALICE, "REMOTE_USER": ["al"]}).id == "al"
    with pytest.raises(Unauthorized):
        mapped(rules, ALICE)


def test_several_values_name_nobody() -> None:
    with pytest.raises(Unauthorized):
        mapped(rule([{"type": "groups"}], {"user": {"name": "{0}"}}), ALICE)


def test_group_ids_come_as_a_list_or_with_semicolons() -> None:
    rules = rule([{"type": "UserName"}, {"type": "groups"}], NAMED, {"group_ids": "{1}"})
    assert {g.id for g in mapped(rules, ALICE).groups} == {"devs", "ops", "old"}
    assert {g.id for g in mapped(rules, {**ALICE, "groups": ["a;b"]}).groups} == {"a", "b"}


@given(st.text(max_size=50))
def test_a_value_is_never_read_as_a_place_or_a_pattern(text: str) -> None:
    who = mapped(
        rule([{"type": "v"}, {"type": "w"}], {"user": {"id": "x", "name": "{0}-{1}"}}), {"v": [text], "w": ["w"]}
    )
    assert who.name == f"{text}-w"


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [{"local": [NAMED]}],
        [{"local": [], "remote": [{"type": "x"}]}],
        [{"local": [NAMED], "remote": []}],
        [{"local": [NAMED], "remote": [{"any_one_of": ["x"]}]}],
        [{"local": [NAMED], "remote": [{"type": "x", "any_one_of": ["a"], "not_any_of": ["b"]}]}],
        [{"local": [NAMED], "remote": [{"type": "x", "regex": True}]}],
        [{"local": [{"unknown": 1}], "remote": [{"type": "x"}]}],
        [{"local": [{"group": {"name": "no domain"}}], "remote": [{"type": "x"}]}],
        [{"local": [{"user": {"name": "x", "type": "other"}}], "remote": [{"type": "x"}]}],
        [{"local": [{"projects": [{"name": "x"}]}], "remote": [{"type": "x"}]}],
    ],
)
def test_rules_of_a_wrong_shape_are_refused(rules: Any) -> None:
    with pytest.raises(Invalid):
        schema.validate(RULES.schema, rules)


@pytest.mark.parametrize(
    "rules",
    [
        rule([{"type": "x"}], {"user": {"name": "{1}"}}),
        rule([{"type": "x", "any_one_of": ["a"]}], {"user": {"name": "{0}"}}),
        rule([{"type": "x"}, {"type": "y", "whitelist": ["("], "regex": True}]),
    ],
)
def test_rules_that_contradict_themselves_are_refused(rules: Any) -> None:
    schema.validate(RULES.schema, rules)
    with pytest.raises(Invalid):
        check(rules)
