"""Guests and operations on them, as services of an app would make them."""

from __future__ import annotations

from django.db import transaction

from apps.core.context import RequestContext
from apps.operations import services
from apps.operations.models import Operation
from tests.kit.demo.models import Guest, Part

CTX = RequestContext(user_id="u1", user_name="hana", project_id="p1", roles=frozenset({"member", "reader"}))


def create(host: str, *, parts: int = 2, network: str = "up") -> Operation:
    with transaction.atomic():
        guest = Guest.objects.create(network=network)
        Part.objects.bulk_create(Part(guest_id=guest.pk) for _ in range(parts))
        return start("demo.guest.create", guest, {"host": host})


def start(kind: str, guest: Guest, given: dict[str, str] | None = None) -> Operation:
    return services.operation_start(
        CTX, kind=kind, subject_type="guest", subject_id=guest.pk, project_id="p1", input=given or {}
    )


def delete(subject_id: str) -> Operation:
    with transaction.atomic():
        Guest.objects.filter(pk=subject_id).update(state="deleting")
        return services.operation_supersede(
            CTX, kind="demo.guest.delete", subject_type="guest", subject_id=subject_id, project_id="p1"
        )
