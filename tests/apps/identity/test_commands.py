"""The operators' commands about users, projects, roles and keys."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from apps.audit.models import Event
from apps.identity.models import Assignment, Project, Role, User
from apps.identity.services import sign_in
from apps.operations.models import Operation

SECRET = "a long pass phrase"


@pytest.fixture
def run(cloud: None, capsys: Any, monkeypatch: Any) -> Callable[..., str]:
    def run_(*args: str, stdin: str = "") -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        call_command(*args)
        return str(capsys.readouterr().out)

    return run_


def test_a_user_is_made_with_a_password_from_standard_input(run):
    said = run("user", "create", "eve", "--email", "eve@example.org", "--password-file", "-", stdin=f"{SECRET}\n")
    user = User.objects.get(name="eve")
    assert user.pk in said
    assert SECRET not in said
    assert sign_in(name="eve", password=SECRET, domain_name="Default").pk == user.pk
    assert user.extra == {"email": "eve@example.org"}
    event = Event.objects.get(action="identity.user.create")
    assert (event.credential, event.target_name) == ("command", "eve")
    assert SECRET not in str(vars(event))


def test_a_password_is_read_from_a_file(run, tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\nsecond line\n")
    run("user", "set-password", "demo", "--password-file", str(tmp_path / "secret"))
    assert sign_in(name="demo", password=SECRET, domain_name="Default").name == "demo"


@pytest.mark.parametrize(
    ("stdin", "given"), [("", ["--password-file", "-"]), ("\n", ["--password-file", "-"]), ("x\n", [])]
)
def test_without_a_password_nothing_is_changed(run, stdin, given):
    before = User.objects.get(name="demo").password_hash
    with pytest.raises(CommandError):
        run("user", "set-password", "demo", *given, stdin=stdin)
    assert User.objects.get(name="demo").password_hash == before


def test_a_file_that_cannot_be_read_is_told(run):
    with pytest.raises(CommandError, match="/no/such/file"):
        run("user", "create", "eve", "--password-file", "/no/such/file")
    assert not User.objects.filter(name="eve").exists()


def test_passwords_are_no_arguments(run):
    with pytest.raises(CommandError):
        run("user", "create", "eve", "--password", SECRET)


def test_users_are_listed_shown_disabled_enabled_and_deleted(run):
    assert "demo" in run("user", "list", "--match", "dem")
    assert "admin" not in run("user", "list", "--match", "dem")
    assert "role         member on project demo" in run("user", "show", "demo")
    run("user", "disable", "demo")
    assert not User.objects.get(name="demo").enabled
    with pytest.raises(CommandError, match="user enable demo"):
        run("user", "unlock", "demo")
    run("user", "enable", "demo")
    User.objects.filter(name="demo").update(failed_auth_count=9)
    run("user", "unlock", "demo")
    assert User.objects.get(name="demo").failed_auth_count == 0
    run("user", "delete", "demo")
    assert not User.objects.filter(name="demo").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("user", "show", "dem"), "Did you mean one of: demo"),
        (("user", "show", "demo", "--domain", "nowhere"), "There are: Default"),
        (("role", "assign", "emperor", "--user", "demo", "--system"), "There are: .*member"),
        (("project", "show", "nothing"), "no project 'nothing' in the domain Default"),
        (("role", "assign", "member", "--user", "demo"), "--project"),
        (("role", "assign", "member", "--user", "demo", "--system", "--inherited"), "cannot be inherited"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(run, args, words):
    before = Assignment.objects.count()
    with pytest.raises(CommandError, match=words):
        run(*args)
    assert Assignment.objects.count() == before


def test_roles_are_given_listed_and_taken(run):
    run("role", "create", "auditor", "--description", "reads")
    run("role", "assign", "auditor", "--user", "demo", "--project", "demo")
    role = Role.objects.get(name="auditor")
    assert Assignment.objects.filter(role=role, target__name="demo", user__name="demo").exists()
    assert "auditor" in run("role", "assignments", "--user", "demo")
    assert "auditor" not in run("role", "assignments", "--user", "demo", "--system")
    run("role", "revoke", "auditor", "--user", "demo", "--project", "demo")
    assert not Assignment.objects.filter(role=role).exists()
    with pytest.raises(CommandError):
        run("role", "revoke", "auditor", "--user", "demo", "--project", "demo")
    assert "admin  implies manager" in run("role", "list")


def test_projects_are_made_shown_and_deleted(run):
    run("project", "create", "alpha", "--description", "first")
    project = Project.objects.get(name="alpha")
    assert project.pk in run("project", "list", "--domain", "Default")
    assert "It has nothing." in run("project", "show", "alpha")
    run("project", "disable", "alpha")
    assert not Project.objects.get(pk=project.pk).enabled
    run("project", "delete", "alpha")
    assert not Project.objects.filter(pk=project.pk).exists()


def test_a_branch_of_projects_is_disabled_and_deleted_with_one_word(run):
    run("project", "create", "alpha")
    run("project", "create", "beta", "--parent", "alpha")
    run("project", "create", "gamma", "--parent", "beta")
    branch = Project.objects.filter(name__in=["alpha", "beta", "gamma"])
    with pytest.raises(CommandError, match="enabled projects"):
        run("project", "disable", "alpha")
    assert branch.filter(enabled=True).count() == 3
    with pytest.raises(CommandError, match="enabled projects"):
        run("project", "delete", "alpha", "--cascade")
    run("project", "disable", "alpha", "--cascade")
    assert not branch.filter(enabled=True).exists()
    assert list(branch.values_list("token_generation", flat=True)) == [1, 1, 1]
    with pytest.raises(CommandError, match="not a leaf"):
        run("project", "delete", "alpha")
    assert branch.count() == 3
    run("project", "delete", "alpha", "--cascade")
    assert not branch.exists()


def test_a_purge_is_only_told_when_asked_for_that(run):
    run("project", "create", "alpha")
    assert "It has nothing." in run("project", "purge", "alpha", "--dry-run")
    assert not Operation.objects.exists()


def test_a_purge_wants_the_name_typed(run, monkeypatch):
    run("project", "create", "alpha")
    monkeypatch.setattr("builtins.input", lambda prompt: "beta")
    with pytest.raises(CommandError, match="nothing was changed"):
        run("project", "purge", "alpha")
    assert not Operation.objects.exists()
    monkeypatch.setattr("builtins.input", lambda prompt: "alpha")
    assert "Operation" in run("project", "purge", "alpha", "--no-wait")
    operation = Operation.objects.get()
    assert (operation.kind, operation.input["keep"]) == ("identity.project.purge", False)


@pytest.mark.parametrize("command", ["token-keys", "credential-keys"])
def test_keys_are_rotated_and_that_is_an_event(run, command):
    with transaction.atomic():
        said = run(command, "rotate")
    assert "new key" in said
    assert Event.objects.filter(action=f"identity.{command.replace('-', '_')}.rotate", credential="command").exists()
