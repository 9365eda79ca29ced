"""What needs a real cloud: the stream of changes, and a guest's screen in the browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import Visitor
from tests.kit.cloud import RealCloud

pytestmark = [pytest.mark.browser]

# The test's address is plain HTTP, which noVNC warns of.
EXPECTED = re.compile(r"secure context")


@pytest.fixture
def at_demo(real_cloud: RealCloud, visit: Callable[..., Visitor]) -> Visitor:
    """Somebody in the project demo."""
    visitor = visit(real_cloud.url)
    visitor.sign_in("demo", real_cloud.password("demo"))
    return visitor


def test_a_change_is_seen_without_a_reload_and_a_screen_is_shown(at_demo: Visitor) -> None:
    page = at_demo.page
    at_demo.go_live("/p/demo/servers")
    row = page.locator("#list tbody tr", has_text="demo")
    address = row.locator("a.name").get_attribute("href")
    page.goto(f"{at_demo.base}{address}/console")
    page.wait_for_selector("#console-state.ok", timeout=60_000)
    size = page.evaluate("(() => { const c = document.querySelector('#screen canvas'); return [c.width, c.height] })()")
    assert min(size) >= 300
    coloured = """() => {
        const c = document.querySelector('#screen canvas');
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 < 3 && v > 60);
    }"""
    page.wait_for_function(coloured, timeout=60_000)

    at_demo.go_live("/p/demo/servers")
    page.evaluate("window.sameDocument = true")
    row.locator("details.menu summary").click()
    row.locator("button", has_text="Pause").click()
    page.wait_for_selector("#list .state.idle", timeout=60_000)
    row.locator("details.menu summary").click()
    row.locator("button", has_text="Resume").click()
    page.wait_for_selector("#list .state.ok", timeout=60_000)
    assert page.evaluate("window.sameDocument")
    assert [said for said in at_demo.complaints if not EXPECTED.search(said)] == []
