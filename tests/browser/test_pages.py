"""The web admin in Chromium: what its scripts do, on a wide and a narrow window, in both languages and themes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.compute.models import Server
from apps.operations.models import Operation
from tests.apps.compute.conftest import settle
from tests.apps.dashboard.conftest import Town, people, town
from tests.browser.conftest import Visitor

__all__ = ["people", "town"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Visit = Callable[..., Visitor]


@pytest.fixture
def at_work(town: Town, live_server: Any, visit: Visit) -> Iterator[tuple[Town, Visitor]]:
    """Somebody who has signed in to demo, and at the end a console that complained of nothing."""
    visitor = visit(live_server.url)
    visitor.sign_in()
    yield town, visitor
    assert visitor.complaints == []


def test_a_server_is_launched_with_the_form(at_work: tuple[Town, Visitor]) -> None:
    _town, visitor = at_work
    page = visitor.page
    visitor.go("/p/demo/servers")
    page.click("text=Launch your first server")
    page.fill("#launch [name=name]", "web-1")
    page.check("label:has-text('small-linux') input")
    page.check("input[name=flavor][value=tiny]")
    page.wait_for_selector("#launch .will >> text=Start 1 server (1 vCPU, 512 MiB)")
    assert page.input_value("#launch [name=name]") == "web-1"
    page.click("#launch button.primary")
    page.wait_for_url(re.compile(r"/servers/[0-9a-f-]{36}$"))
    server = Server.objects.get()
    assert server.name == "web-1"
    settle()
    visitor.go(f"/p/demo/servers/{server.pk}")
    assert page.inner_text("#head .state") == "Active"


def test_a_wrong_count_is_said_at_its_field_at_once(at_work: tuple[Town, Visitor]) -> None:
    _town, visitor = at_work
    page = visitor.page
    visitor.go("/p/demo/servers/launch")
    page.fill("[name=count]", "99")
    page.press("[name=count]", "Tab")
    page.wait_for_selector(".field.has-error:has([name=count]) .wrong")
    assert page.locator(".field.has-error").count() == 1


def test_the_filter_narrows_while_one_types_and_the_address_follows(at_work: tuple[Town, Visitor]) -> None:
    town, visitor = at_work
    for name in ("alpha", "beta"):
        town.server(name)
    page = visitor.page
    visitor.go("/p/demo/servers")
    page.keyboard.press("/")
    page.keyboard.type("alp")
    page.wait_for_selector("#list >> text=beta", state="detached")
    assert page.locator("#list a.name").all_inner_texts() == ["alpha"]
    assert page.evaluate("document.activeElement.id") == "filter"
    assert page.url.endswith("/p/demo/servers?q=alp&status=")
    page.reload()
    assert page.locator("#list a.name").all_inner_texts() == ["alpha"]


def test_many_are_stopped_at_once_without_a_reload(at_work: tuple[Town, Visitor]) -> None:
    town, visitor = at_work
    for name in ("alpha", "beta"):
        town.server(name)
    page = visitor.page
    visitor.go("/p/demo/servers")
    page.evaluate("window.sameDocument = true")
    page.check("#pick-all")
    assert page.inner_text("#picked") == "2"
    page.click("#bulk button:has-text('Stop')")
    page.wait_for_selector(".toast.success >> text=Stopping · 2")
    page.wait_for_selector("#list .state.busy")
    settle()
    page.evaluate("htmx.trigger('#list', 'kumo:live')")
    page.wait_for_selector("#list .state.off")
    assert page.evaluate("window.sameDocument")
    assert set(Server.objects.values_list("state", flat=True)) == {"shutoff"}


def test_deleting_asks_in_a_dialog_and_can_be_left(at_work: tuple[Town, Visitor]) -> None:
    town, visitor = at_work
    server = town.server("precious")
    page = visitor.page
    visitor.go(f"/p/demo/servers/{server.pk}")
    page.click("#head button:has-text('Delete')")
    page.wait_for_selector("#modal[open] >> text=Its disk of 1 GiB")
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    page.keyboard.press("Escape")
    page.wait_for_selector("#modal[open]", state="detached")
    assert not Operation.objects.filter(kind="compute.server.delete").exists()
    page.click("#head button:has-text('Delete')")
    page.click("#modal button.danger")
    page.wait_for_url("**/p/demo/servers")
    settle()
    assert not Server.objects.exists()


def test_a_refresh_keeps_what_is_ticked_and_open(at_work: tuple[Town, Visitor]) -> None:
    town, visitor = at_work
    server = town.server("alpha")
    page = visitor.page
    visitor.go("/p/demo/servers")
    page.check(f"input[name=id][value='{server.pk}']")
    Server.objects.update(state="paused")
    page.evaluate("htmx.trigger('#list', 'kumo:live')")
    page.wait_for_selector("#list .state.idle")
    assert page.is_checked(f"input[name=id][value='{server.pk}']")
    assert page.inner_text("#picked") == "1"


def test_the_palette_goes_where_one_types(at_work: tuple[Town, Visitor]) -> None:
    town, visitor = at_work
    server = town.server("needle")
    page = visitor.page
    visitor.go("/p/demo/")
    page.keyboard.press("Control+k")
    page.keyboard.type("10.0.0.")
    page.wait_for_selector("#results a:has-text('needle')")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/servers/{server.pk}")


def test_keys_move_and_open_rows_but_not_while_typing(at_work: tuple[Town, Visitor]) -> None:
    town, visitor = at_work
    for name in ("alpha", "beta"):
        town.server(name)
    page = visitor.page
    visitor.go("/p/demo/")
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url("**/p/demo/servers")
    for key in "jjx":
        page.keyboard.press(key)
    assert page.inner_text("tr.here a.name") == "alpha"
    assert page.inner_text("#picked") == "1"
    page.focus("#filter")
    page.keyboard.type("x")
    assert page.inner_text("#picked") == "1"


def test_the_theme_is_kept_without_a_flash(at_work: tuple[Town, Visitor]) -> None:
    _town, visitor = at_work
    page = visitor.page
    page.click("summary[aria-label=Appearance]")
    page.click("text=Dark")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    answer = visitor.go("/p/demo/servers")
    assert 'data-theme="dark"' in answer.text()


def test_pages_say_when_live_updates_are_interrupted(at_work: tuple[Town, Visitor]) -> None:
    _town, visitor = at_work  # no live process runs beside this server
    visitor.go("/p/demo/servers")
    visitor.page.wait_for_selector("#offline:not([hidden])", state="attached")


def test_the_log_of_tasks_is_everywhere_and_stays_open(at_work: tuple[Town, Visitor]) -> None:
    town, visitor = at_work
    town.server("alpha")
    page = visitor.page
    visitor.go("/p/demo/networks")
    page.click("#tasks > summary")
    page.wait_for_selector("#tasks .task >> text=Launch server")
    visitor.go("/p/demo/images")
    assert page.evaluate("document.querySelector('#tasks').open")


PAGES = (
    "", "servers", "servers/launch", "networks", "networks/create", "routers", "floating-ips", "security-groups",
    "images", "images/upload", "key-pairs", "key-pairs/create", "flavors", "tasks",
)  # fmt: skip


@pytest.mark.parametrize(
    ("width", "locale", "dark"),
    [(360, "en-US", False), (360, "ja-JP", True), (1280, "ja-JP", False), (800, "en-US", True)],
)
def test_every_page_fits_its_window(
    town: Town, live_server: Any, visit: Visit, width: int, locale: str, dark: bool
) -> None:
    server = town.server("a-server-with-a-name-that-is-much-longer-than-anybody-would-choose.example.internal")
    visitor = visit(live_server.url, width=width, locale=locale, dark=dark)
    visitor.sign_in()
    for path in (*PAGES, f"servers/{server.pk}", f"servers/{server.pk}/network", f"networks/{town.network.pk}"):
        visitor.go(f"/p/demo/{path}")
        page = visitor.page
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.evaluate("document.documentElement.lang") == locale[:2]
        unnamed = page.evaluate(UNNAMED)
        assert unnamed == [], path
    assert visitor.complaints == []


# Controls that a screen reader could not name, and fields without a label.
UNNAMED = """() => [...document.querySelectorAll('a, button, summary, input:not([type=hidden]), select, textarea')]
    .filter((e) => e.checkVisibility())
    .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.title || (e.labels && e.labels.length)))
    .map((e) => e.outerHTML.slice(0, 120))"""
