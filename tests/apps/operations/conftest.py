from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit import operations as ops


@pytest.fixture(autouse=True)
def _fresh(db: None) -> Iterator[None]:
    ops.reset()
    yield
    ops.reset()
