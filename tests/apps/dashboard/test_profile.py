"""A user's own pages: the files for the command line, the password, sessions and application credentials."""

from __future__ import annotations

import html
import re
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import yaml
from django.conf import settings
from django.test import Client

from apps.core.context import RequestContext
from apps.dashboard import clients
from apps.dashboard.models import WebSession
from apps.identity import services as identity
from apps.identity.models import ApplicationCredential, Assignment, Credential, Role, User
from apps.identity.selectors.credentials import key_row
from apps.identity.services.epoch import change_epoch
from tests.apps.dashboard.conftest import PASSWORD

Door = Callable[..., Client]


def pre(page: str, ident: str) -> str:
    found = re.search(rf'<pre id="{ident}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found
    return html.unescape(found[1])


# --- the command line -------------------------------------------------------------------------------


def test_the_files_for_the_command_line_name_everything_but_the_password(sign_in: Door) -> None:
    client = sign_in()
    answer = client.get("/p/demo/profile/clouds.yaml")
    assert answer["Content-Disposition"] == 'attachment; filename="clouds.yaml"'
    cloud = yaml.safe_load(answer.content)["clouds"]["kumo-demo"]
    assert cloud["auth"] == {
        "auth_url": f"{settings.CONFIG.public.url}/identity/v3",
        "username": "demo",
        "user_domain_name": "Default",
        "project_name": "demo",
        "project_domain_name": "Default",
    }
    shell = client.get("/p/demo/profile/openrc.sh").content.decode()
    assert "export OS_USERNAME=demo" in shell
    assert PASSWORD not in shell


def test_a_shell_reads_what_was_written_whatever_a_project_is_called(db: None) -> None:
    ctx = RequestContext(user_name="o'neil", project_name='$(touch /tmp/x); `id` "q"', project_id="p")
    script = clients.openrc(ctx, clients.Secret("id-1", "s'ecret$HOME"))
    read = subprocess.run(
        ["sh", "-c", f"{script}\nprintf %s \"$OS_APPLICATION_CREDENTIAL_SECRET\""],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert read.stdout == "s'ecret$HOME"
    plain = clients.openrc(ctx).split("printf", maxsplit=1)[0]
    read = subprocess.run(
        ["sh", "-c", f'{plain}\nprintf %s "$OS_PROJECT_NAME"'], capture_output=True, text=True, check=True
    )
    assert read.stdout == ctx.project_name
    assert shlex.split(script)


def test_the_profile_lists_the_addresses_of_the_apis(sign_in: Door) -> None:
    page = sign_in().get("/p/demo/profile").content.decode()
    assert f'data-copy="{settings.CONFIG.public.url}/compute/v2.1' in page


# --- application credentials ------------------------------------------------------------------------


def test_an_application_credential_shows_its_secret_once_and_signs_in(sign_in: Door) -> None:
    client = sign_in()
    given = {"name": "ci", "description": "", "roles": ["member", "reader"], "days": "30"}
    answer = client.post("/p/demo/profile/credentials/create", given)
    assert answer["Cache-Control"] == "no-store"
    page = answer.content.decode()
    auth = yaml.safe_load(pre(page, "clouds"))["clouds"]["kumo-demo"]["auth"]
    made = ApplicationCredential.objects.get(name="ci")
    assert auth["application_credential_id"] == made.pk
    method = {"id": made.pk, "secret": auth["application_credential_secret"]}
    _, session = identity.token_issue(
        identity={"methods": ["application_credential"], "application_credential": method}, scope=None
    )
    assert session.context.project_name == "demo"
    assert {role.name for role in session.roles} == {"member", "reader"}
    listed = client.get("/p/demo/profile/credentials").content.decode()
    assert "ci" in listed
    assert auth["application_credential_secret"] not in listed


def test_an_application_credential_is_deleted_after_a_question(sign_in: Door) -> None:
    client = sign_in()
    client.post("/p/demo/profile/credentials/create", {"name": "ci", "roles": ["reader"], "days": ""})
    made = ApplicationCredential.objects.get(name="ci")
    asked = client.post("/p/demo/profile/credentials/act/delete", {"only": made.pk})
    assert "Programs that sign in with it" in client.get(asked["Location"]).content.decode()
    assert ApplicationCredential.objects.exists()
    client.post("/p/demo/profile/credentials/act/delete", {"id": made.pk, "sure": "1"})
    assert not ApplicationCredential.objects.exists()


def test_another_users_application_credential_is_not_there(sign_in: Door) -> None:
    client = sign_in()
    client.post("/p/demo/profile/credentials/create", {"name": "ci", "roles": ["reader"], "days": ""})
    made = ApplicationCredential.objects.get(name="ci")
    other = sign_in("admin")
    assert other.post("/p/admin/profile/credentials/act/delete", {"id": made.pk, "sure": "1"}).status_code == 404
    assert ApplicationCredential.objects.filter(pk=made.pk).exists()


def test_a_role_that_one_does_not_have_cannot_be_given_on(sign_in: Door) -> None:
    answer = sign_in().post("/p/demo/profile/credentials/create", {"name": "ci", "roles": ["admin"], "days": ""})
    assert answer.status_code == 422
    assert not ApplicationCredential.objects.exists()


# --- access keys ------------------------------------------------------------------------------------


def test_an_access_key_is_made_shown_and_deleted(sign_in: Door) -> None:
    client = sign_in()
    client.post("/p/demo/profile/access-keys")
    row = Credential.objects.get(type="ec2")
    page = client.get("/p/demo/profile/access-keys").content.decode()
    found = re.search(r'data-copy="(\w{32})"', page)
    assert found
    shown = client.post(f"/p/demo/profile/access-keys/{found[1]}")
    assert shown["Cache-Control"] == "no-store"
    secret = key_row(row)["secret"]
    assert secret in shown.content.decode()
    assert secret not in page
    client.post("/p/demo/profile/access-keys", {"delete": found[1]})
    assert not Credential.objects.exists()


def test_programs_are_told_of_a_key_in_their_own_words(sign_in: Door, settings: Any) -> None:
    def told(s3_url: str) -> str:
        public = msgspec.structs.replace(settings.CONFIG.public, s3_url=s3_url)
        settings.CONFIG = msgspec.structs.replace(settings.CONFIG, public=public)
        return sign_in().post("/p/demo/profile/access-keys").content.decode()

    below = told("")
    assert "endpoint_url = http://testserver/s3" in below
    assert "s3cmd" not in below
    own = told("https://s3.example.com")
    for line in ("endpoint_url = https://s3.example.com", "host_base = s3.example.com", "use_https = True"):
        assert line in own
    keys = [key_row(row) for row in Credential.objects.all()]
    assert any(f"secret_access_key = {key['secret']}" in own for key in keys)


def test_another_users_access_key_is_not_there(sign_in: Door) -> None:
    client = sign_in()
    client.post("/p/demo/profile/access-keys")
    access = key_row(Credential.objects.get())["access"]
    other = sign_in("admin")
    assert "0</span>" in other.get("/p/admin/profile/access-keys").content.decode()
    Assignment.objects.filter(user__name="admin").update(role=Role.objects.get(name="member"))
    change_epoch()
    assert other.post(f"/p/admin/profile/access-keys/{access}").status_code in {403, 404}
    assert other.post("/p/admin/profile/access-keys", {"delete": access}).status_code in {403, 404}
    assert Credential.objects.exists()


# --- the password -----------------------------------------------------------------------------------


def change(client: Client, present: str, password: str, again: str = "") -> int:
    given = {"present": present, "password": password, "again": again or password}
    return client.post("/p/demo/profile/password", given).status_code


def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(sign_in: Door) -> None:
    here, there = sign_in(), sign_in()
    assert change(here, PASSWORD, "another one") == 302
    assert here.get("/p/demo/profile").status_code == 200
    assert there.get("/p/demo/profile").status_code == 302
    assert identity.sign_in(name="demo", domain_name="Default", password="another one").name == "demo"


@pytest.mark.parametrize(
    ("present", "password", "again"), [("wrong", "new one", "new one"), (PASSWORD, "one", "two"), (PASSWORD, "", "")]
)
def test_a_password_is_not_changed_by_mistake(sign_in: Door, present: str, password: str, again: str) -> None:
    client, before = sign_in(), User.objects.get(name="demo").password_hash
    assert change(client, present, password, again) == 422
    assert User.objects.get(name="demo").password_hash == before
    assert client.get("/p/demo/profile").status_code == 200


# --- sessions ---------------------------------------------------------------------------------------


def test_sessions_are_listed_with_address_and_browser(sign_in: Door) -> None:
    sign_in(headers={"user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "x-forwarded-for": "192.0.2.7"})
    page = sign_in().get("/p/demo/profile/sessions").content.decode()
    assert "Firefox · Linux" in page
    assert "192.0.2.7" in page
    assert page.count("this one") == 1


def test_a_session_that_is_ended_is_over_at_once(sign_in: Door) -> None:
    here, there = sign_in(), sign_in()
    keys = set(re.findall(r'name="only" value="(\w{40})"', here.get("/p/demo/profile/sessions").content.decode()))
    assert len(keys) == 2
    other = WebSession.objects.exclude(pk=own(here)).get()
    here.post("/p/demo/profile/sessions/act/end", {"id": other.pk, "sure": "1"})
    assert there.get("/p/demo/profile").status_code == 302
    assert here.get("/p/demo/profile").status_code == 200


def test_all_other_sessions_are_ended_by_one_button_and_nobody_elses(sign_in: Door) -> None:
    here, there, admin = sign_in(), sign_in(), sign_in("admin")
    here.post("/p/demo/profile/sessions/others")
    assert there.get("/p/demo/profile").status_code == 302
    assert [c.get(f"/p/{n}/profile").status_code for c, n in ((here, "demo"), (admin, "admin"))] == [200, 200]


def test_another_users_session_is_not_there(sign_in: Door) -> None:
    client, admin = sign_in(), sign_in("admin")
    answer = client.post("/p/demo/profile/sessions/act/end", {"id": own(admin), "sure": "1"})
    assert answer.status_code == 404
    assert admin.get("/p/admin/profile").status_code == 200


def test_what_a_browser_holds_is_not_in_the_database(sign_in: Door) -> None:
    key = sign_in().cookies["kumo_session"].value
    row = WebSession.objects.get()
    assert key not in (row.session_key, row.session_data)
    thief = Client()
    thief.cookies["kumo_session"] = row.session_key
    assert thief.get("/p/demo/profile").status_code == 302


def test_a_session_ends_however_busy_it_is(sign_in: Door) -> None:
    client = sign_in()
    ends = WebSession.objects.get().expire_date
    WebSession.objects.update(seen_at="2026-01-01T00:00:00Z")
    client.get("/p/demo/profile")
    row = WebSession.objects.get()
    assert row.seen_at.year > 2025 or row.seen_at.month > 1  # it was noted, and written
    assert abs((row.expire_date - ends).total_seconds()) < 1


def own(client: Client) -> str:
    """How a client's session is stored."""
    from apps.dashboard.store import digest

    return digest(client.cookies["kumo_session"].value)
