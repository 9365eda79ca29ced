"""axe-core over every page in the table of addresses, in light and dark: nothing that keeps somebody out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.apps.dashboard.conftest import Town, people, town
from tests.apps.dashboard.pages import address, pages, things
from tests.browser.conftest import Visitor

__all__ = ["people", "things", "town"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AXE = (Path(__file__).parent / "axe-4.14.1.min.js").read_text()
# Not pages of HTML: answers to scripts, and files.
NO_PAGES = {"dashboard:live", "dashboard:clouds-yaml", "dashboard:openrc", "dashboard:other-sessions"}
FRAGMENTS = {"dashboard:projects", "dashboard:palette", "operations:tasks", "compute:server-log-text"}
OUTSIDE = ("/sign-in", "/sign-in/reset")

RUN = """async (rules) => {
    const options = rules.length ? { runOnly: { type: "rule", values: rules } } : { resultTypes: ["violations"] };
    const found = await axe.run(document, options);
    const where = (nodes) => nodes.slice(0, 3).map((n) => `${n.target.join(" ")} ${n.failureSummary}`).join(" | ");
    const grave = found.violations.filter((v) => ["serious", "critical"].includes(v.impact));
    return grave.map((v) => `${v.id}: ${where(v.nodes)}`);
}"""


def violations(visitor: Visitor, path: str) -> list[str]:
    """What axe finds serious or critical, in the light theme, and of contrasts in the dark one."""
    page = visitor.page
    page.goto(visitor.base + path)
    page.evaluate(AXE)
    found = page.evaluate(RUN, [])
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {said}" for said in page.evaluate(RUN, ["color-contrast"])]
    page.emulate_media(color_scheme="light")
    return [f"{path}: {said}" for said in found]


@pytest.mark.parametrize("who", ["demo", "admin"])
def test_no_page_keeps_anybody_out(
    town: Town, things: Mapping[str, str], live_server: Any, visit: Callable[..., Visitor], who: str
) -> None:
    visitor = visit(live_server.url)
    visitor.page.emulate_media(reduced_motion="reduce")  # colours change at once
    found = [said for path in OUTSIDE for said in violations(visitor, path)] if who == "demo" else []
    visitor.sign_in(who)
    for name, arguments in pages().items():
        path = address(name, arguments, things, who)
        operators = "/admin/" in path.removeprefix("/p/admin")
        if path and name not in NO_PAGES | FRAGMENTS and operators == (who == "admin"):
            found += violations(visitor, path)
    assert found == []
