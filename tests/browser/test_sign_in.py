"""Signing in by passkey, with a device that Chromium plays, and what a page does with a code that came by mail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from apps.dashboard.models import Passkey
from apps.identity.models import User
from tests.apps.dashboard.conftest import people
from tests.browser.conftest import Visitor, virtual_authenticator

__all__ = ["people"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Visit = Callable[..., Visitor]


@pytest.fixture
def site(people: None, live_server: Any, settings: Any) -> str:
    """The test's own server under a name that browsers make passkeys for."""
    url = live_server.url.replace("127.0.0.1", "localhost")
    public = msgspec.structs.replace(settings.CONFIG.public, url=url)
    settings.CONFIG = msgspec.structs.replace(settings.CONFIG, public=public)
    return str(url)


def add(visitor: Visitor, name: str = "my telephone") -> None:
    page = visitor.page
    visitor.go("/p/demo/profile/sign-in")
    page.fill("#passkey-name", name)
    page.click("#passkey-add button")
    page.wait_for_selector(f".lines >> text={name}")


def test_a_passkey_is_added_and_signs_in_without_name_and_password(site: str, visit: Visit) -> None:
    visitor = visit(site)
    page = visitor.page
    virtual_authenticator(page)
    visitor.sign_in()
    add(visitor)
    key = Passkey.objects.get()
    assert (key.user.name, key.name, key.used_at) == ("demo", "my telephone", None)
    page.context.clear_cookies()
    visitor.go("/sign-in?next=/p/demo/tasks")
    page.click("#passkey-use")
    page.wait_for_url(f"{site}/p/demo/tasks")
    key.refresh_from_db()
    assert key.used_at is not None
    assert visitor.complaints == []


def test_a_passkey_that_was_taken_away_opens_nothing(site: str, visit: Visit) -> None:
    visitor = visit(site)
    page = visitor.page
    virtual_authenticator(page)
    visitor.sign_in()
    add(visitor)
    page.click(".lines button")
    page.wait_for_selector(".lines", state="detached")
    assert not Passkey.objects.exists()
    page.context.clear_cookies()
    visitor.go("/sign-in")
    page.click("#passkey-use")
    page.wait_for_selector("#passkey-wrong >> text=does not open this door")
    assert page.url.endswith("/sign-in")


def test_a_passkey_of_somebody_disabled_opens_nothing(site: str, visit: Visit) -> None:
    visitor = visit(site)
    page = visitor.page
    virtual_authenticator(page)
    visitor.sign_in()
    add(visitor)
    User.objects.filter(name="demo").update(enabled=False)
    page.context.clear_cookies()
    visitor.go("/sign-in")
    page.click("#passkey-use")
    page.wait_for_selector("#passkey-wrong >> text=does not open this door")


def test_an_answer_is_good_for_one_question(site: str, visit: Visit) -> None:
    visitor = visit(site)
    page = visitor.page
    virtual_authenticator(page)
    visitor.sign_in()
    add(visitor)
    page.context.clear_cookies()
    visitor.go("/sign-in")
    with page.expect_request(lambda asked: asked.method == "POST") as sent:
        page.click("#passkey-use")
    page.wait_for_url("**/p/demo/")
    request = sent.value
    page.context.clear_cookies()
    visitor.go("/sign-in")
    replay = """async ([url, body]) => {
        const headers = {...JSON.parse(document.body.getAttribute('hx-headers')), 'Content-Type': 'application/json'};
        return (await fetch(url, {method: 'POST', headers, body})).status;
    }"""
    assert page.evaluate(replay, [request.url, request.post_data]) == 400
    assert page.goto(f"{site}/p/demo/tasks").url.endswith("tasks")
    assert "/sign-in" in page.url


def test_a_code_that_came_by_mail_is_taken_out_of_the_address(site: str, visit: Visit) -> None:
    visitor = visit(site)
    visitor.go("/sign-in/reset#abc-def_123")
    assert visitor.page.input_value("[name=token]") == "abc-def_123"
    assert visitor.page.url == f"{site}/sign-in/reset"
