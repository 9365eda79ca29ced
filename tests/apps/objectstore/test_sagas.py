"""Many objects removed at once: with the rights of whoever asked, through crashes, and with what stays told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.errors import Cancelled
from apps.core.context import Origin, RequestContext, origin
from apps.core.errors import Forbidden, NotFound
from apps.objectstore import jobs, selectors, services
from apps.objectstore.models import Container, Object, Version
from apps.objectstore.selectors.bucket_policy import policy_document
from apps.objectstore.states import Versioning
from apps.objectstore.web.browse import Nothing
from apps.operations.models import Operation
from apps.operations.states import Status
from tests.kit import operations as ops
from tests.kit.http import context
from tests.kit.sagas import SagaCases

ALICE = context("alice")
BOX: dict[str, Any] = {"account": "alice", "container": "box"}


@pytest.fixture(autouse=True)
def box(disks: list[Path]) -> Iterator[Container]:
    """A container of alice's."""
    ops.reset()
    services.container_put(ALICE, account="alice", container="box", changes={})
    yield Container.objects.get(name="box")
    ops.reset()


def put(*names: str) -> None:
    for name in names:
        services.object_put(ALICE, **BOX, name=name, source=Nothing(), size=0, new=services.New())


def begun(ctx: RequestContext = ALICE, **wanted: Any) -> Operation:
    with ops.committed():
        return services.objects_delete(ctx, **BOX, **wanted)


def ended(ctx: RequestContext = ALICE, **wanted: Any) -> Operation:
    operation = begun(ctx, **wanted)
    ops.settle()
    operation.refresh_from_db()
    return operation


def left() -> list[str]:
    return sorted(Object.objects.values_list("name", flat=True))


class Talk:
    """What a job says of itself; cancelled after so many objects."""

    fence = 0

    def __init__(self, most: int = 1000) -> None:
        self.percents: list[int] = []
        self.most = most

    def progress(self, percent: int, text: str) -> None:
        self.percents.append(percent)

    def checkpoint(self) -> None:
        if len(self.percents) >= self.most:
            raise Cancelled("The operation was cancelled.")


@pytest.mark.parametrize("batch", [2, 500])
def test_what_lies_below_goes_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(jobs, "BATCH", batch)
    put("f", "f/", "f/1", "f/2", "f/d/3", "f0", "g/1")
    operation = ended(prefix="f/")
    assert (operation.status, left()) == (Status.DONE, ["f", "f0", "g/1"])
    assert selectors.container_get(ALICE, **BOX).totals.objects == 3


def test_versions_stay_unless_they_shall_go_for_good() -> None:
    services.container_versioning(ALICE, **BOX, versioning=Versioning.ENABLED)
    put("a", "a", "b")
    services.object_delete(ALICE, **BOX, name="b")
    assert ended().status == Status.DONE
    assert (left(), Version.objects.filter(is_marker=False).count()) == ([], 3)
    assert ended(versions=True).status == Status.DONE
    assert (left(), Version.objects.count()) == ([], 0)
    services.container_delete(ALICE, **BOX)


def test_it_tells_how_far_it_is_and_stops_where_it_is_cancelled(box: Container) -> None:
    put("1", "2", "3", "4")
    operation = begun()
    talk = Talk(most=2)
    with pytest.raises(Cancelled):
        jobs.objects_remove(view(operation), talk)
    assert (talk.percents, left()) == ([25, 50], ["3", "4"])
    assert jobs.objects_remove(view(operation), Talk()) == {"removed": 2}


def view(operation: Operation) -> Any:
    from apps.operations.turn import Source

    return Source(operation).view


def deny(action: str, where: str, **condition: Any) -> None:
    statement = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::box/{where}"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement | condition]})
    services.bucket_document_put(ALICE, bucket="box", kind="policy", document=policy_document(text, "box"))


def test_what_the_caller_may_not_remove_stays_and_is_told() -> None:
    put("a", "keep/1", "keep/2", "z")
    deny("s3:DeleteObject", "keep/*")
    operation = ended()
    assert (operation.status, left()) == (Status.FAILED, ["keep/1", "keep/2"])
    assert "2 objects were removed, 2 could not be" in str(operation.error)


def test_conditions_see_where_the_request_came_from() -> None:
    put("a")
    deny("s3:DeleteObject", "a", Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}})
    came = origin.set(Origin(address="203.0.113.9"))
    try:
        operation = begun()
    finally:
        origin.reset(came)
    ops.settle()
    operation.refresh_from_db()
    assert (operation.status, left()) == (Status.FAILED, ["a"])
    assert ended().status == Status.DONE


def test_others_begin_nothing() -> None:
    put("a")
    for ctx in (context("bob"), replace(ALICE, roles=frozenset({"reader"}))):
        with pytest.raises(Forbidden):
            services.objects_delete(ctx, **BOX)
    with pytest.raises(NotFound):
        services.objects_delete(ALICE, account="alice", container="none")
    assert (left(), Operation.objects.count()) == (["a"], 0)


def test_one_of_an_account_goes_after_the_other() -> None:
    put("a/1", "b/1")
    first, second = begun(prefix="a/"), begun(prefix="b/")
    assert second.waits_for == "locks"
    ops.settle()
    assert set(Operation.objects.values_list("status", flat=True)) == {Status.DONE}
    assert (left(), first.pk != second.pk) == ([], True)


def test_a_container_that_went_meanwhile_is_no_failure() -> None:
    operation = begun()
    services.container_delete(ALICE, **BOX)
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.DONE


@pytest.mark.slow
class TestObjectsDelete(SagaCases):
    """What is deleted stays so, whatever becomes of the operation."""

    kind = services.OBJECTS_DELETE

    def begin(self) -> Operation:
        put("f/1", "f/2", "g")
        return services.objects_delete(ALICE, **BOX, prefix="f/")

    def assert_done(self, operation: Operation) -> None:
        assert left() == ["g"]

    def assert_undone(self, operation: Operation) -> None:
        assert "g" in left()
