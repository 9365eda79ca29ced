"""The layers hold, and a forbidden import is caught."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINTER, "--no-cache"], cwd=tree, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the code that a test may spoil."""
    for name in ("apps", "agents", "cloud"):
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / ".importlinter", tmp_path)
    return tmp_path


def test_the_contracts_are_kept() -> None:
    result = lint(CHECKOUT)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("apps/core/errors.py", "import apps.identity.models", "Apps import downwards only"),
        ("apps/identity/services.py", "import apps.compute.models", "Apps import downwards only"),
        ("apps/compute/models.py", "import apps.compute.services", "Rooms import downwards only"),
        ("apps/compute/helpers.py", "", "there are no other rooms"),
        ("apps/compute/services/extra.py", "import apps.identity.api", "see services, selectors"),
        ("agents/errors.py", "import django", "neither the control plane nor Django"),
        ("agents/errors.py", "import apps.core.errors", "neither the control plane nor Django"),
        ("apps/compute/states.py", "import agents.drivers", "through message types only"),
    ],
)
def test_a_forbidden_import_fails(tree: Path, file: str, line: str, contract: str) -> None:
    spoiled = tree / file
    spoiled.parent.mkdir(exist_ok=True)
    text = spoiled.read_text() if spoiled.exists() else ""
    head, future, tail = text.partition("from __future__ import annotations\n")
    spoiled.write_text(f"{head}{future}{line}\n{tail}" if future else f"{text}\n{line}\n")
    result = lint(tree)
    assert result.returncode != 0
    broken = [row for row in result.stdout.splitlines() if "BROKEN" in row]
    assert any(contract in row for row in broken), result.stdout
