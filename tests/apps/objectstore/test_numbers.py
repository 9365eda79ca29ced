"""What is told to those who watch the store."""

from __future__ import annotations

import threading

from apps.core.metrics import Gauge
from apps.objectstore import reconcile, services
from apps.objectstore.models import Blob
from tests.apps.objectstore.conftest import SYSTEM


def numbers() -> dict[str, float]:
    return {gauge.name: gauge.value for gauge in reconcile.numbers()}


def test_the_store_in_numbers(alice, box):
    alice.put("/box/a", b"abc")
    alice.put("/box/a", b"defg")
    while services.deltas_fold(SYSTEM):
        pass
    services.copies_audit(SYSTEM, policy="default", pace=services.Pace(threading.Event(), 0))
    blob = Blob.objects.get(unused_since=None)
    services.copy_damaged(blob.pk, blob.places[0])
    found = numbers()
    assert 0 <= found.pop("kumo_audit_age_seconds") < 600
    assert found == {
        "kumo_objects": 1,
        "kumo_object_bytes": 4,
        "kumo_object_uploads": 0,
        "kumo_copies_missing": 1,
        "kumo_blobs_unused": 1,
        "kumo_audit_bytes": 12,
        "kumo_audit_found": 0,
    }


def test_each_number_of_a_policy_names_it(disks):
    assert [gauge.labels for gauge in reconcile.numbers() if gauge.name == "kumo_copies_missing"] == [
        {"policy": "default"}
    ]
    assert all(isinstance(gauge, Gauge) and gauge.help.endswith(".") for gauge in reconcile.numbers())
