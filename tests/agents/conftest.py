"""Fixtures of tests of what runs on hosts. None of them needs Django's database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.config import AgentConfig
from agents.host import Host
from agents.layout import Layout
from tests.kit.control_plane import ControlPlaneStub, control_plane
from tests.kit.verbs import RunningVerb


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "state")
    made.make()
    return made


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[ControlPlaneStub]:
    """A control plane that the host of this test may ask."""
    directory = tmp_path / "control"
    directory.mkdir()
    with control_plane(directory) as made:
        yield made


def agent_config(stub: ControlPlaneStub, state: Path, **changes: Any) -> AgentConfig:
    """The file of a host that `stub` has enrolled."""
    given: dict[str, Any] = {
        "name": "host-1",
        "state": str(state),
        "control_url": stub.url,
        "broker_url": "redis://127.0.0.1:1/0",
        "drivers": {"hypervisor": {"default": {"BACKEND": "fake", "OPTIONS": {}}}},
    }
    made = AgentConfig(**(given | changes))
    stub.give_identity(made.identity, made.name)
    return made


@pytest.fixture
def host(stub: ControlPlaneStub, layout: Layout) -> Iterator[Host]:
    """A host with pretended guests and a real way to its control plane."""
    made = Host(agent_config(stub, layout.state))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def job(host: Host) -> RunningVerb:
    return RunningVerb(host)
