"""What a project has of the object store, and removing it."""

from __future__ import annotations

import datetime

from django.utils import timezone

from apps.core import owned
from apps.objectstore.models import Container, Object
from tests.apps.objectstore.conftest import SYSTEM, Swift
from tests.kit.http import context


def test_a_container_is_removed_with_its_objects_even_those_whose_time_is_over(disks):
    mine, others = Swift(context("p1")), Swift(context("p2"))
    for swift in (mine, others):
        swift.put("/c")
        swift.put("/c/one", b"1")
    mine.put("/c/two", b"2")
    Object.objects.filter(name="two").update(delete_at=timezone.now() - datetime.timedelta(hours=1))
    (holding,) = owned.holdings(["p1"])
    assert (holding.kind.noun, holding.count) == ("container", 1)
    for row in owned.rows_of(holding.kind, ["p1"]):
        owned.remove(SYSTEM, holding.kind, row)
    assert owned.holdings(["p1"]) == []
    assert list(Container.objects.values_list("account_id", flat=True)) == ["p2"]
    assert Object.objects.count() == 1
