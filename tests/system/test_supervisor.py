"""Supervision: what is killed comes back, what it left behind does not stay, and a stop leaves nothing."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local.namespaces import is_zombie
from scripts.local.run import run
from scripts.local.site import Site
from scripts.local.supervisor import Service, Supervisor
from tests.kit.waiting import until

pytestmark = pytest.mark.system


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with tempfile.TemporaryDirectory(prefix="kt-", dir="/tmp") as state:
        made = Supervisor(Site(state=Path(state)))
        yield made
        made.shut_down()


def sleeper(*words: str, **more: str) -> Service:
    """A service with a child that outlives it when it is killed."""
    return Service("sleeper", ("sh", "-c", "sleep 3600 & exec sleep 7200", *words), environment=more)


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def started(supervisor: Supervisor, service: Service) -> tuple[int, int]:
    """Process ids of the service and of its child."""
    supervisor.ensure([service])
    until(lambda: bool(supervisor.pid_of("sleeper")) and bool(children_of(supervisor.pid_of("sleeper"))))
    pid = supervisor.pid_of("sleeper")
    return pid, children_of(pid)[0]


def test_killed_service_comes_back_without_the_children_it_left(supervisor: Supervisor) -> None:
    pid, child = started(supervisor, sleeper())
    os.kill(pid, signal.SIGKILL)
    until(lambda: supervisor.pid_of("sleeper") not in (0, pid))
    until(lambda: is_zombie(child))


def test_same_definition_leaves_the_process_alone_and_another_restarts_it(supervisor: Supervisor) -> None:
    pid, _ = started(supervisor, sleeper())
    assert started(supervisor, sleeper())[0] == pid
    supervisor.ensure([sleeper(KUMO_REVISION="2")])
    until(lambda: supervisor.pid_of("sleeper") not in (0, pid))


def test_shut_down_leaves_no_process_even_after_the_supervisor_was_killed(supervisor: Supervisor) -> None:
    pid, child = started(supervisor, sleeper())
    os.kill(supervisor.pid(), signal.SIGKILL)
    until(lambda: not supervisor.pid())
    supervisor.shut_down()
    assert is_zombie(pid)
    assert is_zombie(child)
    assert str(supervisor.tree) not in run(["sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"]).stdout
