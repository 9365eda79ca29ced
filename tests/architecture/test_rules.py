"""Every public service and selector carries a rule that exists, or says why it needs none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.core import policy, transactions
from apps.core.api import openapi
from apps.core.api.resource import Resource
from apps.core.api.views import ResourceView

CHECKOUT = Path(__file__).resolve().parents[2]
WRAPPERS = {"service", "selector", "internal", "streaming"}
# Who may make Kumo's own context, which passes every rule.
SYSTEM_CALLERS = (
    "apps/core/",
    "apps/operations/",
    "/sagas",
    "/jobs",
    "/reconcile",
    "/tasks",
    "/management/",
    "/checks",
    "/apps.py",
    "/api/host.py",
    "/owned",
    "apps/image/backends/objectstore.py",
)


def rooms(*names: str) -> Iterator[Path]:
    for app in sorted((CHECKOUT / "apps").iterdir()):
        for name in names:
            if app.name != "core":
                yield from [p for p in [app / f"{name}.py"] if p.exists()]
                yield from sorted((app / name).glob("*.py"))


def public_functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def exported(path: Path) -> set[str] | None:
    """What a room that is a package offers to other apps; None where the room is one module."""
    room = path.parent / "__init__.py"
    if path.parent.parent.name == "apps" or path == room:
        return None
    return {
        a.asname or a.name for n in ast.parse(room.read_text()).body if isinstance(n, ast.ImportFrom) for a in n.names
    }


def takes_context(node: ast.FunctionDef) -> bool:
    return bool(node.args.args) and node.args.args[0].arg == "ctx"


def wrapper(node: ast.FunctionDef) -> str:
    for decorator in node.decorator_list:
        call = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
        if name in WRAPPERS:
            return name
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("path", list(rooms("services", "selectors")), ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_public_functions_that_take_a_context_are_wrapped(path: Path) -> None:
    offered = exported(path)
    functions = [node for node in public_functions(path) if offered is None or node.name in offered]
    bare = [node.name for node in functions if takes_context(node) and not wrapper(node)]
    assert bare == []


def test_rules_that_are_enforced_exist() -> None:
    unknown = {rule for rule in transactions.PUBLIC.values() if rule not in policy.book.rules}
    assert unknown == set()


def test_every_rule_compiles() -> None:
    policy.book.verify()


def test_internal_services_say_why() -> None:
    assert [name for name, reason in transactions.INTERNAL.items() if len(reason) < 10] == []


@pytest.mark.slow
def test_the_system_context_is_made_in_few_places_only() -> None:
    offenders = []
    for path in sorted((CHECKOUT / "apps").rglob("*.py")):
        relative = "/" + str(path.relative_to(CHECKOUT))
        if any(part in relative for part in SYSTEM_CALLERS):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                owner = getattr(getattr(node.func, "value", None), "id", "")
                if name in {"system", "operator"} and owner in {"", "context"}:
                    offenders.append(f"{relative}:{node.lineno}")
    assert offenders == []


def resources() -> Iterator[tuple[str, Resource]]:
    for _path, view, _given in openapi.routes():
        if issubclass(view, ResourceView):
            yield view.__name__, view.resource


def test_rules_of_fields_exist() -> None:
    unknown = {
        f"{name}.{f.name}: {rule}"
        for name, resource in resources()
        for f in resource.fields
        for rule in (f.rule, f.sets)
        if rule and rule not in policy.book.rules
    }
    assert unknown == set()


def test_rules_say_which_tokens_they_take() -> None:
    """Those that let everybody through take every token; only the rule that is asked for is looked at."""
    base = {rule.name for rule in policy.BASE_RULES}
    asked = [policy.book.rules[name] for name in set(transactions.PUBLIC.values()) - base]
    assert sorted(r.name for r in asked if not r.scopes and r.check not in {"@", "rule:anyone"}) == []
