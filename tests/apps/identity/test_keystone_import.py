"""Users of a Keystone, out of its database's dump: with their passwords, groups and roles.

The hashes were made by passlib 1.7.4, the library that Keystone used, of the password PASSWORD.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.audit.models import Event
from apps.core.context import operator, system
from apps.core.errors import Unauthorized
from apps.identity.backends import keystone_dump
from apps.identity.backends.foreign_hashes import checker_of
from apps.identity.backends.keystone_api import KeystoneApi
from apps.identity.models import Assignment, FormerPassword, Group, ImpliedRole, Membership, Project, Role, User
from apps.identity.services import bootstrap, group_create, group_user_add, keystone_import, sign_in, user_create

PASSWORD = "größe 雲 pass"
HASHES = {
    "bcrypt": "$2b$04$8StIfsyogRrrb2WqhULIXO0cUhjMjuFYMx5QexWwQXjgHjBbvGDSS",
    "bcrypt_sha256": "$bcrypt-sha256$v=2,t=2b,r=4$37rE5nQAEWm1TR6DdDCCg.$LI.O9cYtn2EePAFLseBQBO/DUxdTZzG",
    "bcrypt_sha256_old": "$bcrypt-sha256$2b,4$EVJUbjmd/PdWpkPK/lt4ze$BKjk4M28Lv/dfIAwB6AwgPgZyfdwl2m",
    "scrypt": "$scrypt$ln=4,r=8,p=1$J0QoZWzt/f8fg5BSCuEcYw$afiwWQsJvMTfiJlUO+W6O4mTGK2aIpcIVOsMWx4lEds",
    "scrypt_wide": "$scrypt$ln=5,r=4,p=2$MUZIyVmL0XpvjbH2XktJqQ$FYMMEdChNdxpot8opVsQTW9tBbiWEoQS2Ta8ZCrT3RE",
    "pbkdf2": "$pbkdf2-sha512$100$3ZuTcm7NuRdibI0RIuS8Nw$3FwHWXtjGL.73WWbYiga9H68kWXOUtk7/qF6VgBxE35"
    "Npn/PzsrD8xIRfTgAximcDy7iKzXKUfegc38mjUJJUw",
}
ROOT = "<<keystone.domain.root>>"


def data() -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Table → columns and rows, in an order of columns that is Keystone's own."""
    people = list(HASHES)
    users: list[list[Any]] = [[f"u-{n}", "{}", 1, None, "default"] for n in people]
    users += [["u-admin", "{}", 1, None, "default"], ["u-ldap", "{}", 1, None, "d-staff"]]
    users += [
        ["u-odd", json.dumps({"email": "o'dd\\x@example.org", "description": "tab\there\nline"}), 0, "p-1", "d-staff"]
    ]
    local = [[n, f"u-{name}", "default", name] for n, name in enumerate([*people, "admin"], 1)]
    local.append([90, "u-odd", "d-staff", "odd"])
    passwords = [[n, n, 0, HASHES[name], 1_700_000_000_000_000 + n, None] for n, name in enumerate(people, 1)]
    passwords.append([80, 1, 0, HASHES["pbkdf2"], 1_600_000_000_000_000, 1_700_000_000_000_000])
    passwords.append([81, 90, 0, "$unknown$hash", 1_700_000_000_000_000, None])
    return {
        "project": (
            ["id", "name", "extra", "description", "enabled", "domain_id", "parent_id", "is_domain"],
            [
                ["p-2", "child", "{}", "below; (it's), 'quoted'", 1, "d-staff", "p-1", 0],
                ["p-1", "alpha", "{}", "", 1, "d-staff", "d-staff", 0],
                [ROOT, ROOT, "{}", "", 0, ROOT, None, 1],
                ["default", "Default", "{}", "The default domain", 1, ROOT, None, 1],
                ["d-staff", "Staff", "{}", None, 1, ROOT, None, 1],
                ["p-lost", "lost", "{}", "", 1, "d-nowhere", "d-nowhere", 0],
            ],
        ),
        "role": (["id", "name", "extra", "domain_id", "description"],
                 [["r-member", "member", "{}", "<<null>>", None], ["r-boss", "boss", "{}", "<<null>>", "the boss"]]),
        "implied_role": (["prior_role_id", "implied_role_id"], [["r-boss", "r-member"]]),
        "user": (["id", "extra", "enabled", "default_project_id", "domain_id"], users),
        "local_user": (["id", "user_id", "domain_id", "name"], local),
        "nonlocal_user": (["domain_id", "name", "user_id"], [["d-staff", "ldap", "u-ldap"]]),
        "password": (
            ["id", "local_user_id", "self_service", "password_hash", "created_at_int", "expires_at_int"], passwords,
        ),
        "group": (["id", "domain_id", "name", "description", "extra"], [["g-1", "d-staff", "staff", "", "{}"]]),
        "user_group_membership": (["user_id", "group_id"], [["u-scrypt", "g-1"]]),
        "assignment": (
            ["type", "actor_id", "target_id", "role_id", "inherited"],
            [
                ["UserProject", "u-scrypt", "p-1", "r-member", 0],
                ["GroupDomain", "g-1", "d-staff", "r-boss", 1],
                ["UserProject", "u-gone", "p-1", "r-member", 0],
            ],
        ),
        "system_assignment": (["type", "actor_id", "target_id", "role_id", "inherited"],
                              [["UserSystem", "u-bcrypt", "system", "r-boss", 0]]),
    }  # fmt: skip


def mysql() -> str:
    """As mysqldump writes it."""

    def literal(value: Any) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, int):
            return str(value)
        escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
        return f"'{escaped}'"

    parts = ["-- MySQL dump 10.13", "DROP TABLE IF EXISTS `endpoint`;", "INSERT INTO `endpoint` VALUES ('x','(;','y');"]
    for table, (columns, rows) in data().items():
        parts.append(f"CREATE TABLE `{table}` (")
        parts += [f"  `{column}` varchar(64) DEFAULT NULL," for column in columns]
        parts += ["  PRIMARY KEY (`id`),", "  KEY `ix` (`id`)", ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb3;"]
        values = ",".join("(" + ",".join(literal(v) for v in row) + ")" for row in rows)
        parts.append(f"INSERT INTO `{table}` VALUES {values};")
    return "\n".join(parts) + "\n"


def postgres() -> str:
    """As pg_dump writes it."""

    def cell(column: str, value: Any) -> str:
        if value is None:
            return "\\N"
        if column in {"enabled", "is_domain", "inherited", "self_service"}:
            return "t" if value else "f"
        return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")

    parts = ["-- PostgreSQL database dump", "COPY public.endpoint (id, url) FROM stdin;", "1\thttp://x", "\\.", ""]
    for table, (columns, rows) in data().items():
        parts.append(f'COPY public."{table}" ({", ".join(columns)}) FROM stdin;')
        parts += ["\t".join(cell(c, v) for c, v in zip(columns, row, strict=True)) for row in rows]
        parts += ["\\.", ""]
    return "\n".join(parts)


def postgres_inserts() -> str:
    """As pg_dump --column-inserts writes it: quotes doubled, line breaks as they are."""

    def literal(value: Any) -> str:
        return (
            "NULL" if value is None else str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
        )

    parts = []
    for table, (columns, rows) in data().items():
        for row in rows:
            shown = [literal(v) for v in row]
            parts.append(f'INSERT INTO public."{table}" ({", ".join(columns)}) VALUES ({", ".join(shown)});')
    return "\n".join(parts) + "\n"


@pytest.fixture
def run(cloud: None, tmp_path: Path, capsys: Any) -> Callable[..., str]:
    def run_(dump: str | bytes, *args: str) -> str:
        file = tmp_path / "keystone.sql"
        file.write_bytes(dump if isinstance(dump, bytes) else dump.encode())
        call_command("import-keystone", str(file), *args)
        return str(capsys.readouterr().out)

    return run_


@pytest.mark.parametrize("make", [mysql, postgres])
def test_everything_is_taken_over(run, make):
    before = User.objects.get(name="admin").pk
    said = run(make())
    child = Project.objects.get(pk="p-2")
    assert (child.name, child.parent_id, child.domain_id) == ("child", "p-1", "d-staff")
    assert child.description == "below; (it's), 'quoted'"
    odd = User.objects.get(pk="u-odd")
    assert (odd.enabled, odd.default_project_id, odd.password_hash) == (False, "p-1", "")
    assert (odd.extra, odd.description) == ({"email": "o'dd\\x@example.org"}, "tab\there\nline")
    assert User.objects.get(name="admin").pk == before
    ours = Role.objects.get(name="member", domain=None)
    assert Assignment.objects.filter(user_id="u-scrypt", target_id="p-1", role=ours, inherited=False).exists()
    assert Assignment.objects.filter(group_id="g-1", target_id="d-staff", role_id="r-boss", inherited=True).exists()
    assert Assignment.objects.filter(user_id="u-bcrypt", scope="system", role_id="r-boss").exists()
    assert Membership.objects.filter(user_id="u-scrypt", group_id="g-1").exists()
    assert ImpliedRole.objects.filter(prior_id="r-boss", implied=ours).exists()
    assert FormerPassword.objects.get().user_id == "u-bcrypt"
    for reason in ("project lost", "user u-ldap: of a directory", "password of odd", "u-gone"):
        assert reason in said
    (event,) = Event.objects.filter(action="identity.keystone.import")
    assert event.arguments["user"] == 7
    assert not any(one in str(vars(event)) + said for one in HASHES.values())


@pytest.mark.parametrize("name", sorted(HASHES))
def test_people_sign_in_with_their_password_which_is_then_hashed_anew(run, name):
    run(mysql())
    with pytest.raises(Unauthorized):
        sign_in(name=name, password=f"{PASSWORD}x", domain_name="Default")
    assert User.objects.get(pk=f"u-{name}").password_hash == HASHES[name]
    assert sign_in(name=name, password=PASSWORD, domain_name="Default").pk == f"u-{name}"
    assert User.objects.get(pk=f"u-{name}").password_hash.startswith("$argon2id$")
    assert sign_in(name=name, password=PASSWORD, domain_name="Default").pk == f"u-{name}"


def test_a_dry_run_tells_and_writes_nothing(run):
    counted = [model.objects.count() for model in (Project, User, Role, Group, Assignment, Membership)]
    said = run(mysql(), "--dry-run")
    assert "Nothing was written." in said
    assert "WOULD BE NEW" in said
    assert [model.objects.count() for model in (Project, User, Role, Group, Assignment, Membership)] == counted
    assert not Event.objects.filter(action="identity.keystone.import").exists()


def test_a_second_run_adds_nothing_and_leaves_what_was_changed(run):
    run(mysql())
    User.objects.filter(pk="u-scrypt").update(description="changed here")
    counted = [model.objects.count() for model in (Project, User, Role, Group, Assignment, Membership)]
    run(gzip.compress(postgres().encode()))
    assert [model.objects.count() for model in (Project, User, Role, Group, Assignment, Membership)] == counted
    assert User.objects.get(pk="u-scrypt").description == "changed here"


def test_the_forms_of_a_dump_say_the_same():
    by_copy, by_insert = (
        keystone_dump.read(text.splitlines(keepends=True)).rows for text in (postgres(), postgres_inserts())
    )
    assert by_insert["user"][-1]["extra"] == by_copy["user"][-1]["extra"]
    assert {t: len(rows) for t, rows in by_insert.items()} == {t: len(rows) for t, rows in by_copy.items()}
    assert "endpoint" not in by_copy


@pytest.mark.parametrize(
    ("dump", "words"),
    [
        ("", "no rows of: assignment"),
        ("INSERT INTO `user` VALUES ('a');\n", "without its CREATE TABLE"),
        ('COPY public."user" (id, extra) FROM stdin;\nx\ty\n', "do not end"),
        ('COPY public."user" (id, extra) FROM stdin;\nx\n\\.\n', "1 values for the 2 columns of user"),
        ("INSERT INTO public.role (id) VALUES ('a", "does not end"),
        ("INSERT INTO public.role (id) VALUES what;\n", "unexpected"),
        (b"\xff\xfe\x00", "not a dump"),
        (b"\x1f\x8b\x08broken", "cannot be read"),
    ],
)
def test_what_is_no_dump_is_told_and_nothing_is_written(run, dump, words):
    counted = User.objects.count()
    with pytest.raises(CommandError, match=words):
        run(dump)
    assert User.objects.count() == counted


def test_a_file_that_is_not_there_is_told(run):
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import-keystone", "/no/such/file")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_api_gives_the_same_rows_but_for_passwords(live_server, tmp_path, capsys):
    """Read from this very cloud: everything is here already, then what was removed meanwhile comes again."""
    bootstrap(system(), passwords={"admin": PASSWORD, "demo": PASSWORD})
    user = user_create(system(), name="guest", domain_id="default", password=PASSWORD, extra={"email": "g@example.org"})
    group = group_create(system(), name="staff", domain_id="default")
    group_user_add(system(), group_id=group.pk, user_id=user.pk)
    api = KeystoneApi(f"{live_server.url}/identity/v3")
    api.sign_in(user="admin", password=PASSWORD, domain="Default")
    tables = api.tables()
    assert len(tables["user"]) == User.objects.count()
    assert len(tables["assignment"]) == Assignment.objects.count()
    assert "password" not in json.dumps(tables["user"]).replace("password_expires_at", "")
    User.objects.filter(pk=user.pk).delete()
    report = keystone_import(operator(), tables=tables)
    assert report.made == {"user": 1, "membership": 1}
    again = User.objects.get(pk=user.pk)
    assert (again.name, again.extra, again.password_hash) == ("guest", {"email": "g@example.org"}, "")
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    address = ["--from-api", f"{live_server.url}/identity/v3", "--password-file", str(tmp_path / "secret")]
    call_command("import-keystone", *address)
    assert re.search(r"user +0 +3", capsys.readouterr().out)
    (tmp_path / "secret").write_text("wrong\n")
    with pytest.raises(CommandError, match="answered 401"):
        call_command("import-keystone", *address)


@pytest.mark.parametrize("url", ["ftp://x/v3", "http://127.0.0.1:9/v3", "x"])
def test_an_address_that_is_none_is_told(cloud, tmp_path, url):
    (tmp_path / "secret").write_text("x\n")
    with pytest.raises(CommandError, match="Nothing was written"):
        call_command("import-keystone", "--from-api", url, "--password-file", str(tmp_path / "secret"))


@pytest.mark.parametrize(
    "stored",
    [
        "", "plain", "$2b$31$8StIfsyogRrrb2WqhULIXO0cUhjMjuFYMx5QexWwQXjgHjBbvGDSS",
        "$scrypt$ln=30,r=8,p=1$J0QoZWzt$afiwWQsJ", "$scrypt$ln=14,r=999,p=999$J0QoZWzt$afiwWQsJ",
        "$pbkdf2-sha512$99999999$3ZuTcm7N$3FwHWXtj", "$pbkdf2-sha512$100$3ZuTc$x", "$argon2id$v=19$m=1$x",
    ],
)  # fmt: skip
def test_hashes_that_are_none_or_cost_too_much_are_not_tried(stored):
    assert checker_of(stored) is None
