"""What a user may do, and through which assignment: selectors, API and command."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.context import RequestContext, system
from apps.core.errors import Forbidden, Invalid, NotFound
from apps.identity import selectors
from apps.identity.models import Assignment, Group, Membership, Project, Role, User
from apps.identity.states import Scope
from tests.apps.identity.conftest import Api

CREATE = "os_compute_api:servers:create"
OPERATOR = system()


@pytest.fixture
def ann(cloud: None) -> User:
    """A user with a role inherited from the domain through a group, and nothing else."""
    made = User.objects.create(name="ann", domain_id="default")
    crew = Group.objects.create(name="crew", domain_id="default")
    Membership.objects.create(group=crew, user=made)
    manager = Role.objects.get(name="manager", domain=None)
    Assignment.objects.create(group=crew, role=manager, scope=Scope.DOMAIN, target_id="default", inherited=True)
    return made


def asked(ctx: RequestContext = OPERATOR, **words: Any) -> selectors.Permissions:
    return selectors.permissions(ctx, asked=selectors.Asked(**words))


def test_a_role_says_group_inheritance_and_implied_roles(ann: User) -> None:
    held = asked(user="ann", project="demo")
    assert [role.name for role in held.roles] == ["manager", "member", "reader"]
    (way,) = held.roles[1].ways
    assert (way.path, way.scope, way.group_name, way.inherited) == (("manager", "member"), "domain", "crew", True)
    assert way.text() == (
        "manager was given to the group crew on the domain Default, for the projects below it, which implies member"
    )


def test_roles_are_those_of_tokens(ann: User) -> None:
    project = Project.objects.get(name="demo")
    for user in User.objects.all():
        tokens = selectors.effective_roles(user_id=user.pk, scope=Scope.PROJECT, target_id=project.pk)
        assert [(r.id, r.name) for r in tokens] == [(r.id, r.name) for r in asked(user=user.pk, project="demo").roles]


def test_an_inherited_role_does_not_count_on_the_domain_itself(ann: User) -> None:
    assert asked(user="ann", domain="Default").roles == ()


def test_every_way_is_told(ann: User) -> None:
    project = Project.objects.get(name="demo")
    reader = Role.objects.get(name="reader", domain=None)
    Assignment.objects.create(user=ann, role=reader, scope=Scope.PROJECT, target=project)
    held = asked(user="ann", project="demo")
    ways = next(role.ways for role in held.roles if role.name == "reader")
    assert [way.path for way in ways] == [("reader",), ("manager", "member", "reader")]


def test_the_number_of_queries_does_not_grow_with_ways(ann: User) -> None:
    with CaptureQueriesContext(
        connection,
    ) as few:
        asked(user="ann", project="demo")
    for number in range(5):
        group = Group.objects.create(name=f"more-{number}", domain_id="default")
        Membership.objects.create(group=group, user=ann)
        role = Role.objects.get(name="reader", domain=None)
        Assignment.objects.create(group=group, role=role, scope=Scope.DOMAIN, target_id="default", inherited=True)
    with CaptureQueriesContext(connection) as many:
        asked(user="ann", project="demo")
    assert len(many) == len(few)


def test_a_refusal_names_the_least_role_that_would_do(ann: User) -> None:
    stranger = User.objects.create(name="eve", domain_id="default")
    held = asked(user=stranger.pk, project="demo")
    found = selectors.rule_explain(OPERATOR, permissions=held, rule=CREATE)
    assert (found.holds, found.enough) == (False, ("member",))
    assert "no  has the role member" in "\n".join(line.strip() for line in found.reason.lines())


def test_a_token_of_another_scope_is_a_reason(ann: User) -> None:
    found = selectors.rule_explain(OPERATOR, permissions=asked(user="admin", system=True), rule=CREATE)
    assert (found.holds, found.enough) == (False, ())
    assert "no  the token's scope is project (system)" in "\n".join(found.reason.lines())


def test_ones_own_permissions_are_everybodys_to_see(ann: User) -> None:
    ctx = RequestContext(user_id=ann.pk, project_id=Project.objects.get(name="demo").pk)
    assert asked(ctx, project="demo").user == ann


def test_what_is_not_the_callers_stays_unknown(ann: User) -> None:
    ctx = RequestContext(user_id=ann.pk, project_id=Project.objects.get(name="demo").pk, roles=frozenset({"member"}))
    with pytest.raises(Forbidden):
        asked(ctx, user="admin", project="demo")
    with pytest.raises(Forbidden):
        asked(ctx, user="nobody-at-all", project="demo")
    with pytest.raises(NotFound):
        asked(ctx, project="no-such-project")
    other = Project.objects.create(pk="other", name="other", is_domain=True)
    Project.objects.create(name="hidden", domain=other, parent=other)
    with pytest.raises(NotFound):
        asked(ctx, project="hidden")
    with pytest.raises(NotFound):
        asked(ctx, system=True)


def test_a_reader_of_a_domain_sees_its_projects_only(ann: User) -> None:
    other = Project.objects.create(pk="other", name="other", is_domain=True)
    Project.objects.create(name="theirs", domain=other, parent=other)
    ctx = RequestContext(user_id="somebody", domain_id="default", roles=frozenset({"reader"}))
    assert asked(ctx, user="ann", project="demo").roles
    with pytest.raises(NotFound):
        asked(ctx, user="ann", project="theirs")


@pytest.mark.parametrize("words", [{}, {"project": "demo", "system": True}, {"project": "demo", "domain": "Default"}])
def test_one_place_is_named(ann: User, words: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        asked(user="ann", **words)


def test_a_name_used_twice_needs_its_domain(ann: User) -> None:
    other = Project.objects.create(pk="other", name="other", is_domain=True)
    User.objects.create(name="ann", domain=other)
    with pytest.raises(Invalid, match="several"):
        asked(user="ann", project="demo")
    assert asked(user="ann", user_domain="Default", project="demo").user == ann


def test_the_api_tells_roles_rules_and_reasons(admin: Api, ann: User) -> None:
    project = Project.objects.get(name="demo").pk
    shown = admin("GET", f"/users/{ann.pk}/kumo-permissions?project_id={project}").json()["permissions"]
    assert shown["rules"][CREATE] is True
    assert shown["rules"]["os_compute_api:os-hypervisors:list"] is False
    assert shown["roles"][0]["ways"][0]["group"]["name"] == "crew"
    one = admin("GET", f"/users/{ann.pk}/kumo-permissions?project_id={project}&rule={CREATE}").json()["permissions"]
    assert one["rule"]["allowed"] is True
    assert one["rule"]["reason"]["parts"][0]["check"] == "the token's scope is project (project)"
    assert "rules" not in one


def test_the_api_refuses_what_makes_no_sense(admin: Api, demo: Api, ann: User) -> None:
    assert admin("GET", f"/users/{ann.pk}/kumo-permissions").status_code == 400
    assert admin("GET", f"/users/{ann.pk}/kumo-permissions?system=perhaps").status_code == 400
    assert admin("GET", f"/users/{ann.pk}/kumo-permissions?system=1&rule=none:such").status_code == 404
    assert demo("GET", f"/users/{ann.pk}/kumo-permissions?project_id=x").status_code == 403


def command(*words: str) -> str:
    out = StringIO()
    call_command("policy", *words, stdout=out)
    return out.getvalue()


def test_the_command_explains(ann: User) -> None:
    text = command("explain", "--user", "ann", "--project", "demo", CREATE)
    assert text.startswith(f"ann may {CREATE} on the project demo.")
    assert "member: manager was given to the group crew on the domain Default" in text


def test_the_command_says_why_not_and_exits_with_1(ann: User) -> None:
    out = StringIO()
    with pytest.raises(SystemExit) as caught:
        call_command("policy", "explain", "--user", "ann", "--domain", "Default", CREATE, "--json", stdout=out)
    assert caught.value.code == 1
    assert json.loads(out.getvalue())["allowed"] is False


def test_a_target_that_is_anothers(ann: User) -> None:
    with pytest.raises(SystemExit):
        command("explain", "--user", "ann", "--project", "demo", CREATE, "--target", "project_id=other")
    with pytest.raises(CommandError, match="KEY=VALUE"):
        command("explain", "--user", "ann", "--project", "demo", CREATE, "--target", "project_id")


def test_the_command_lists_rules(db: None) -> None:
    assert command("list", "servers:create", "attach") == (
        "os_compute_api:servers:create:attach_network: rule:project_member_or_admin  # project\n"
    )
    assert json.loads(command("list", "--json", "servers:create:attach"))["scopes"] == ["project"]


def test_a_file_of_overrides_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"os_compute_api:servers:create": "role:manager"\n')
    assert "can be read" in command("check", str(file))
    file.write_text('"os_compute_api:server:create": "role:a"\nadmin: "role:"\n"get_image": "(role:a"\n')
    with pytest.raises(CommandError) as caught:
        command("check", str(file))
    lines = str(caught.value).splitlines()
    assert (
        lines[0] == "os_compute_api:server:create: no rule has this name; did you mean os_compute_api:servers:create?"
    )
    assert lines[-1].startswith("get_image:")
    with pytest.raises(CommandError, match="cannot be read"):
        command("check", str(tmp_path / "absent"))
