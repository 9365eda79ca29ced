"""The same sagas over real brokers, with a real control worker and a real host worker, killed at each step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agents.contracts import Power
from agents.drivers.fake.hypervisor import FakeHypervisor, FakeOptions
from agents.layout import Layout
from apps.operations.models import Operation, OperationLock
from apps.operations.states import ACTIVE, FINISHED, Status
from tests.kit import brokers
from tests.kit.demo import make
from tests.kit.demo.models import Claim, Guest, Note, Part
from tests.kit.workers import HOST, Cloud, cloud

pytestmark = [pytest.mark.kill, pytest.mark.django_db(transaction=True)]
RECOVERY_S = 60


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Broker]:
    with getattr(brokers, request.param)(tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture
def running(broker: brokers.Broker, tmp_path: Path, transactional_db: None) -> Iterator[Cloud]:
    with cloud(broker, tmp_path, delay_s=0.05) as made:
        yield made


def ended(operation: Operation, running: Cloud, within_s: float = RECOVERY_S) -> Operation:
    brokers.until(
        lambda: not Operation.objects.filter(pk=operation.pk, status__in=ACTIVE).exists(),
        within_s,
        running.logs,
    )
    operation.refresh_from_db()
    return operation


def hypervisor(running: Cloud) -> FakeHypervisor:
    return FakeHypervisor(Layout(running.directory / "agent"), FakeOptions())


def assert_active(operation: Operation, running: Cloud) -> None:
    assert operation.status == Status.DONE, (operation.error, running.logs())
    assert Guest.objects.get(pk=operation.subject_id).state == "active"
    observed = hypervisor(running).observe(operation.subject_id)
    assert observed is not None
    assert observed.power == Power.RUNNING


def assert_nothing_left(running: Cloud) -> None:
    assert hypervisor(running).list() == []
    for model in (Guest, Part, Claim, Note):
        assert not model.objects.exists(), list(model.objects.all())
    assert not OperationLock.objects.exists()
    assert not Operation.objects.exclude(status__in=FINISHED).exists()


def test_create_reboot_delete(running: Cloud) -> None:
    creation = make.create(HOST)
    assert_active(ended(creation, running), running)
    reboot = make.start("demo.guest.reboot", Guest.objects.get(pk=creation.subject_id))
    assert ended(reboot, running).status == Status.DONE
    assert ended(make.delete(creation.subject_id), running).status == Status.DONE
    assert_nothing_left(running)


def test_workers_end_when_asked(running: Cloud) -> None:
    assert running.agent.end() == 0
    assert running.control.end() == 0


def test_broker_that_forgets_everything(running: Cloud) -> None:
    creations = [make.create(HOST) for _ in range(5)]
    running.broker.process.restart()
    for creation in creations:
        assert_active(ended(creation, running), running)


@pytest.mark.parametrize("victim", ["control", "agent"])
def test_kill_at_each_step(running: Cloud, victim: str) -> None:
    """One guest for each step; the victim dies as soon as that step is seen to be under way."""
    steps = ("parts", "disks", "domain", "note", "")
    creations = []
    for step in steps:
        creation = make.create(HOST)
        brokers.until(partial(reached, creation, step), RECOVERY_S, running.logs)
        getattr(running, victim).restart()
        creations.append(creation)
    for creation in creations:
        assert_active(ended(creation, running), running)


@pytest.mark.parametrize("victim", ["control", "agent"])
def test_kill_while_many_are_created_and_deleted(running: Cloud, victim: str) -> None:
    creations = [make.create(HOST) for _ in range(20)]
    for _ in range(3):
        getattr(running, victim).restart()
        done = Operation.objects.filter(kind="demo.guest.create", status__in=FINISHED).count()
        brokers.until(partial(finished, min(20, done + 3)), RECOVERY_S, running.logs)
    deletions = [make.delete(creation.subject_id) for creation in creations]
    getattr(running, victim).restart()
    for deletion in deletions:
        assert ended(deletion, running).status == Status.DONE, (deletion.error, running.logs())
    brokers.until(lambda: not Operation.objects.exclude(status__in=FINISHED).exists(), RECOVERY_S, running.logs())
    assert_nothing_left(running)


def finished(count: int) -> bool:
    return Operation.objects.filter(kind="demo.guest.create", status__in=FINISHED).count() >= count


def reached(operation: Operation, step: str) -> bool:
    row = Operation.objects.filter(pk=operation.pk).values("cursor", "status").get()
    return row["cursor"] == step or row["status"] in FINISHED
