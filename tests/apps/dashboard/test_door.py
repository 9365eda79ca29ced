"""Signing in and out, whose project a page is for, and what keeps a page safe."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import translation

from apps.identity.models import Assignment, Project, User
from tests.apps.dashboard.conftest import PASSWORD

Door = Callable[..., Client]


def give(client: Client, **changes: str) -> int:
    given = {"name": "demo", "password": PASSWORD, "domain": "Default"} | changes
    return client.post("/sign-in", given).status_code


def test_the_right_password_opens_the_project(sign_in: Door) -> None:
    client = sign_in()
    assert client.get("/")["Location"] == "/p/demo/"
    assert client.get("/p/demo/tasks").status_code == 200


@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"name": "nobody"}, {"domain": "nowhere"}])
def test_a_wrong_name_or_password_opens_nothing_and_tells_nothing(people: None, changes: dict[str, str]) -> None:
    client = Client()
    assert give(client, **changes) == 401
    assert client.get("/")["Location"] == "/sign-in"
    texts = [
        client.post("/sign-in", {"name": n, "password": "x", "domain": "Default"}).content for n in ("demo", "nix")
    ]
    errors = [t[t.index(b"notice bad") : t.index(b"notice bad") + 300] for t in texts]
    assert errors[0] == errors[1]


def test_signing_in_throws_the_old_session_away(people: None) -> None:
    client = Client()
    client.get("/sign-in")
    session = client.session
    session["planted"] = "yes"
    session.save()
    before = client.cookies["kumo_session"].value if "kumo_session" in client.cookies else session.session_key
    give(client)
    assert client.cookies["kumo_session"].value != before
    assert "planted" not in client.session


def test_signing_out_ends_the_session(sign_in: Door) -> None:
    client = sign_in()
    client.post("/sign-out")
    assert client.get("/p/demo/tasks").status_code == 302


def test_signing_out_by_a_link_is_not_possible(sign_in: Door) -> None:
    assert sign_in().get("/sign-out").status_code == 405


def test_somebody_not_signed_in_is_led_back_after_signing_in(people: None) -> None:
    client = Client()
    answer = client.get("/p/demo/tasks?status=done")
    assert answer["Location"] == "/sign-in?next=%2Fp%2Fdemo%2Ftasks%3Fstatus%3Ddone"
    answer = client.post(answer["Location"], {"name": "demo", "password": PASSWORD, "domain": "Default"})
    assert answer["Location"] == "/p/demo/tasks?status=done"


@pytest.mark.parametrize("address", ["//evil.example/p/", "https://evil.example", "javascript:alert(1)", "/\\evil"])
def test_signing_in_never_leads_to_another_site(people: None, address: str) -> None:
    client = Client()
    answer = client.post(f"/sign-in?next={address}", {"name": "demo", "password": PASSWORD, "domain": "Default"})
    assert answer["Location"] == "/"


def test_a_project_without_a_role_does_not_exist(sign_in: Door) -> None:
    client = sign_in("demo")
    assert client.get("/p/admin/tasks").status_code == 404
    assert client.get("/p/nix/tasks").status_code == 404


def test_a_role_taken_away_closes_the_project_at_once(sign_in: Door) -> None:
    client = sign_in()
    assert client.get("/p/demo/tasks").status_code == 200
    from apps.identity.services.epoch import change_epoch

    Assignment.objects.filter(user__name="demo").delete()
    change_epoch()
    assert client.get("/p/demo/tasks").status_code == 404


def test_a_changed_password_ends_the_session(sign_in: Door) -> None:
    client = sign_in()
    User.objects.filter(name="demo").update(token_generation=5)
    assert client.get("/p/demo/tasks").status_code == 302


def test_a_project_can_be_named_by_its_id(sign_in: Door) -> None:
    project = Project.objects.get(name="demo", is_domain=False)
    assert sign_in().get(f"/p/{project.pk}/tasks").status_code == 200


def test_pages_for_operators_are_closed_to_others(sign_in: Door) -> None:
    client = sign_in()
    assert client.get("/p/demo/admin/hosts").status_code == 403
    assert b"/admin/hosts" not in client.get("/p/demo/tasks").content
    assert sign_in("admin").get("/p/admin/admin/hosts").status_code == 200


def test_somebody_whose_password_has_expired_chooses_another(people: None) -> None:
    User.objects.filter(name="demo").update(password_expires_at="2026-01-01T00:00Z")
    client = Client()
    given = {"name": "demo", "password": PASSWORD, "domain": "Default"}
    assert client.post("/sign-in", given)["Location"] == "/sign-in/expired"
    assert client.get("/p/demo/tasks").status_code == 302
    new = {"present": "wrong", "password": "a new one", "again": "a new one"}
    assert client.post("/sign-in/expired", new).status_code == 422
    assert client.post("/sign-in/expired", new | {"present": PASSWORD})["Location"] == "/sign-in"
    assert client.post("/sign-in", given | {"password": "a new one"})["Location"] == "/"


def test_without_the_password_nobody_learns_that_it_has_expired(people: None) -> None:
    User.objects.filter(name="demo").update(password_expires_at="2026-01-01T00:00Z")
    assert give(Client(), password="wrong") == 401
    assert Client().get("/sign-in/expired")["Location"] == "/sign-in"


def test_a_form_without_its_token_is_refused(sign_in: Door) -> None:
    client = sign_in(enforce_csrf_checks=False)
    client.handler.enforce_csrf_checks = True
    assert client.post("/sign-out").status_code == 403
    assert client.get("/p/demo/tasks").status_code == 200


def test_pages_allow_no_script_or_style_of_their_own(sign_in: Door) -> None:
    answer = sign_in().get("/p/demo/tasks")
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert b"style=" not in answer.content
    assert b"onclick" not in answer.content


def test_the_api_neither_reads_nor_sets_a_cookie(sign_in: Door) -> None:
    client = sign_in()
    answer = client.get("/identity/v3/projects")
    assert answer.status_code == 401
    assert not answer.cookies
    assert "Content-Security-Policy" not in answer or "script-src" not in answer["Content-Security-Policy"]


def test_an_unknown_page_is_a_page(sign_in: Door) -> None:
    answer = sign_in().get("/p/demo/nothing-here")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_the_switcher_lists_the_projects_of_the_user_alone(sign_in: Door) -> None:
    assert b"/p/admin/" not in sign_in().get("/p/demo/projects").content
    listed = sign_in("admin").get("/p/admin/projects").content
    assert b"/p/admin/" in listed


def test_the_language_can_be_chosen(sign_in: Door) -> None:
    client = sign_in()
    client.post("/language", {"language": "ja", "next": "/p/demo/tasks"})
    assert "タスク".encode() in client.get("/p/demo/tasks").content


def test_a_pages_language_is_not_that_of_what_its_thread_serves_next(people: None) -> None:
    client = Client(headers={"accept-language": "ja"})
    with translation.override("en"):
        page = client.get("/sign-in").content.decode()
        assert ('<html lang="ja"' in page, translation.get_language()) == (True, "en")
        assert (client.get("/p/demo/servers").status_code, translation.get_language()) == (302, "en")


def test_languages_are_named_in_their_own_words(people: None) -> None:
    page = Client(headers={"accept-language": "ja"}).get("/sign-in").content.decode()
    assert 'lang="en">English<' in page
    assert 'lang="ja">日本語<' in page


def test_the_doors_own_words_are_translated(people: None) -> None:
    page = Client(headers={"accept-language": "ja"}).get("/sign-in/reset").content.decode()
    assert "新しいパスワードの設定" in page
    assert "パスワードを設定" in page


def test_the_live_ticket_is_for_the_project(sign_in: Door) -> None:
    from urllib.parse import parse_qs, urlsplit

    from django.conf import settings

    from apps.dashboard.live import ticket

    address = sign_in().get("/p/demo/live").json()["url"]
    found = ticket.read(settings.SECRET_KEY, parse_qs(urlsplit(address).query)["ticket"][0])
    assert found is not None
    assert found.project_id == Project.objects.get(name="demo", is_domain=False).pk
    assert not found.everything
