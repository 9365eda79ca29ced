"""How fast requests may come: each of a kind is due a share of a second after the one before.

One upsert in PostgreSQL counts over all web processes, as attempts to sign in are counted; whoever is too early by more
than the allowance is not counted.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from django.db import connection
from django.db.models.functions import Now

from apps.core.context import RequestContext
from apps.core.errors import KumoError
from apps.core.transactions import internal
from apps.objectstore.models import Rate

ALLOWANCE_S = 5  # so many seconds' worth of requests may come at once
KEPT = datetime.timedelta(hours=1)

_COUNT = """
INSERT INTO objectstore_rate AS r (key, due_at)
VALUES (%(key)s, clock_timestamp() + %(share)s * interval '1 s')
ON CONFLICT (key) DO UPDATE SET due_at = greatest(r.due_at, clock_timestamp()) + %(share)s * interval '1 s'
WHERE r.due_at < clock_timestamp() + %(allowance)s * interval '1 s'
"""


class RateLimited(KumoError):
    """Too many requests of a kind."""

    status = 498
    title = "Rate Limited"


@internal("before a request is looked at", atomic=False)
def request_count(ctx: RequestContext, *, key: str, rate: float) -> None:
    """Count a request of a kind of which `rate` a second may come. Raises RateLimited."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"key": key, "share": 1 / rate, "allowance": ALLOWANCE_S})
        if cursor.rowcount == 0:
            raise RateLimited("Slow down", hint=f"{rate:g} a second may come.")


@internal("the collector", atomic=False)
def rates_forget(ctx: RequestContext) -> int:
    """Remove what says nothing any more; returns how many."""
    return Rate.objects.filter(due_at__lt=Now() - KEPT).delete()[0]


def rate_at(limits: Sequence[tuple[int, float]], size: int) -> float:
    """The rate for a container of so many objects: on the line between two (size, rate), 0 for none below the first."""
    reached = [n for n, (low, _) in enumerate(limits) if size >= low]
    if not reached:
        return 0.0
    low, rate = limits[reached[-1]]
    if len(reached) == len(limits):
        return rate
    high, next_rate = limits[reached[-1] + 1]
    return rate + (next_rate - rate) * (size - low) / (high - low)
