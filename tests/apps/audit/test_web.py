"""The audit log's pages."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.audit.models import Event
from apps.audit.web import views
from apps.core.context import operator
from apps.identity import services
from apps.identity.models import Project, User
from tests.apps.identity.conftest import PASSWORDS


@pytest.fixture
def browser(cloud):
    def opened(name: str, language: str = "en") -> Client:
        client = Client(headers={"accept-language": language})
        given = {"name": name, "password": PASSWORDS[name], "domain": "Default"}
        assert client.post("/sign-in", given).status_code == 302
        return client

    return opened


def test_signing_in_and_out_by_the_web_are_events(browser):
    client = browser("demo")
    Client().post("/sign-in", {"name": "demo", "password": "wrong", "domain": "Default"})
    client.post("/sign-out")
    found = [(e.action, e.outcome, e.user_name) for e in Event.objects.order_by("at")]
    assert found == [
        ("identity.user.authenticate", "success", "demo"),
        ("identity.user.authenticate", "failure", "demo"),
        ("identity.user.sign_out", "success", "demo"),
    ]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_list_and_an_event_can_be_looked_at(browser, language):
    project = Project.objects.get(name="demo", is_domain=False)
    services.project_update(operator(), project_id=project.pk, description="<b>new</b>")
    client = browser("admin", language)
    page = client.get("/p/admin/audit").content.decode()
    assert "identity.project.update" in page
    event = Event.objects.get(action="identity.project.update")
    shown = client.get(f"/p/admin/audit/{event.id}").content.decode()
    assert "&lt;b&gt;new&lt;/b&gt;" in shown
    assert "<b>new</b>" not in shown


def test_filters_and_words_narrow_the_list(browser):
    client = browser("admin")
    services.project_create(operator(), name="needle", domain_id="default")
    for query in ("q=needle", "q=project.create", "service=identity", "outcome=success", "range=hour", "range=all"):
        assert "needle" in client.get(f"/p/admin/audit?{query}").content.decode(), query
    for query in ("q=haystack", "service=image", "outcome=failure", "q=127.0.0.1 needle"):
        assert "needle</td>" not in client.get(f"/p/admin/audit?{query}").content.decode().replace("\n", ""), query


def test_counting_ends_somewhere(browser, monkeypatch):
    monkeypatch.setattr(views, "MOST_COUNTED", 2)
    client = browser("admin")
    for name in "abc":
        services.project_create(operator(), name=name, domain_id="default")
    assert "2+" in client.get("/p/admin/audit").content.decode()


def test_members_see_their_own_events_only(browser):
    services.project_create(operator(), name="hidden", domain_id="default")
    other = Event.objects.get(action="identity.project.create")
    client = browser("demo")
    assert "identity.project.create" not in client.get("/p/demo/audit").content.decode()
    assert client.get(f"/p/demo/audit/{other.id}").status_code == 404
    mine = Event.objects.get(action="identity.user.authenticate", user_id=User.objects.get(name="demo").pk)
    assert client.get(f"/p/demo/audit/{mine.id}").status_code == 200
