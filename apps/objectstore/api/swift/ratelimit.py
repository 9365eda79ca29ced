"""Which requests are counted: containers made and removed in an account, writes and listings of a container.

The rates are the configuration's, by the number of objects in the container. Source: Swift's documentation of rate
limiting; unlike there, nobody is kept waiting, since that would hold a thread.
"""

from __future__ import annotations

from django.conf import settings

from apps.objectstore import selectors, services
from apps.objectstore.api.swift.base import Call
from apps.objectstore.services.rates import rate_at


def counted(call: Call) -> None:
    """Count a request if the configuration limits its kind. Raises RateLimited."""
    limits, address, method = settings.CONFIG.objectstore, call.address, call.request.method
    if not address.container:
        return
    where = f"{address.project_id}/{address.container}"
    if not address.name and method in {"PUT", "DELETE"}:
        _count(call, address.project_id, limits.account_ratelimit)
    elif address.name and method in {"PUT", "POST", "DELETE", "COPY"} and limits.container_ratelimits:
        _count(call, where, rate_at(limits.container_ratelimits, _size(call)))
    elif not address.name and method == "GET" and limits.container_listing_ratelimits:
        _count(call, f"listing/{where}", rate_at(limits.container_listing_ratelimits, _size(call)))


def _count(call: Call, key: str, rate: float) -> None:
    if rate:
        services.request_count(call.ctx, key=key, rate=rate)


def _size(call: Call) -> int:
    return selectors.container_size(call.ctx, account=call.address.project_id, container=call.address.container)


def told() -> dict[str, dict[str, object]]:
    """What `/info` says of it: nothing where nothing is limited."""
    limits = settings.CONFIG.objectstore
    facts: dict[str, object] = {
        "account_ratelimit": limits.account_ratelimit,
        "max_sleep_time_seconds": 0,
        "container_ratelimits": limits.container_ratelimits,
        "container_listing_ratelimits": limits.container_listing_ratelimits,
    }
    return {"ratelimit": facts} if any(facts.values()) else {}
