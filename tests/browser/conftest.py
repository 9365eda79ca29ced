"""Chromium against this process's own server, with a database that knows users, a network, images and servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's loop runs in the tests' thread

CHROMIUM = "/usr/bin/chromium"
PASSWORD = "correct horse"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Somebody at a browser. `complaints` are what the page's console said, which must stay empty."""

    page: Any
    base: str
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> Any:
        answer = self.page.goto(self.base + path)
        self.page.wait_for_load_state("networkidle")
        return answer

    def go_live(self, path: str) -> None:
        """As `go`, on a page whose stream stays open: it is there when the page says it is connected."""
        self.page.goto(self.base + path)
        self.page.wait_for_selector("html[data-live]", state="attached")

    def sign_in(self, name: str = "demo", password: str = PASSWORD) -> None:
        self.go("/sign-in")
        self.page.fill("[name=name]", name)
        self.page.fill("[name=password]", password)
        self.page.click("button.primary")
        self.page.wait_for_url(self.base + "/p/**")


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Visitor]]:
    """Opens a fresh browser profile on a server: `visit(url, width=360, locale="ja-JP", dark=True)`."""
    contexts = []

    def opened(base: str, *, width: int = 1280, locale: str = "en-US", dark: bool = False) -> Visitor:
        context = chromium.new_context(
            viewport={"width": width, "height": 800},
            locale=locale,
            color_scheme="dark" if dark else "light",
            has_touch=width < 500,
        )
        contexts.append(context)
        visitor = Visitor(context.new_page(), base)
        visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        visitor.page.on("console", lambda said: _note(visitor, said))
        visitor.page.set_default_timeout(60_000)
        return visitor

    yield opened
    for context in contexts:
        context.close()


def _note(visitor: Visitor, said: Any) -> None:
    # Without the live process next to it, the test's server answers /live by 404, and pages say so themselves.
    if said.type == "error" and "404" not in said.text:
        visitor.complaints.append(said.text)


def virtual_authenticator(page: Any) -> None:
    """A device with passkeys that says yes by itself; Chromium's own, through its protocol for developers."""
    protocol = page.context.new_cdp_session(page)
    protocol.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    protocol.send("WebAuthn.addVirtualAuthenticator", {"options": options})
