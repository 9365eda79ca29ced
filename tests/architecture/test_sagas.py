"""Every kind of operation passes the generic cases, and is told of in the documentation."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from apps.operations.registry import SAGAS
from tests.kit.sagas import SagaCases

# Children of the test kit's own saga, which its cases go through.
PARTS = {"demo.part.create", "demo.part.delete"}
CHECKOUT = Path(__file__).resolve().parents[2]


@cache
def kinds_with_cases() -> frozenset[str]:
    """Kinds of the classes that inherit the cases, found by importing whatever names them."""
    for path in (CHECKOUT / "tests/apps").rglob("test_*.py"):
        if "SagaCases" in path.read_text():
            importlib.import_module(".".join(path.relative_to(CHECKOUT).with_suffix("").parts))
    found, classes = set(), [SagaCases]
    while classes:
        one = classes.pop()
        classes += one.__subclasses__()
        found.add(getattr(one, "kind", ""))
    return frozenset(found)


@cache
def kinds_told_of() -> frozenset[str]:
    pages = (path.read_text() for path in (CHECKOUT / "docs").rglob("*.md"))
    return frozenset(kind for page in pages for kind in re.findall(r"`([a-z]+\.[a-z_]+\.[a-z_]+)`", page))


@pytest.mark.parametrize("kind", sorted(kind for kind in SAGAS if kind not in PARTS))
def test_kind_passes_the_generic_cases(kind: str) -> None:
    assert kind in kinds_with_cases()


@pytest.mark.parametrize("kind", sorted(kind for kind in SAGAS if not kind.startswith("demo.")))
def test_kind_has_a_line_in_the_documentation(kind: str) -> None:
    assert kind in kinds_told_of()
