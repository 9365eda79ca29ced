"""Numbers about this cloud in Prometheus' text form.

What processes count by themselves (requests, bytes, times) lies in small files of each in a directory of the state, and
whoever answers sums up all; what the database knows is asked when somebody looks. An app registers what it knows by
`gauges`.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import Error
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

logger = logging.getLogger("kumo.metrics")

CONTENT_TYPE = CONTENT_TYPE_LATEST
TOKEN = "metrics_token"  # name of the secret; without its file nobody may look
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
_APIS = frozenset(
    {"identity", "image", "object-store", "s3", "networking", "compute", "placement", "audit", "internal"}
)
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "COPY", "OPTIONS"})

_own = CollectorRegistry()  # of this process; never asked, since the files have the same
_requests = Counter("kumo_requests", "Requests answered.", ("api", "method", "status"), registry=_own)
_received = Counter("kumo_received_bytes", "Bytes of bodies of requests that succeeded.", ("api",), registry=_own)
_sent = Counter("kumo_sent_bytes", "Bytes of bodies of answers, as far as announced.", ("api",), registry=_own)
_seconds = Histogram(
    "kumo_request_seconds",
    "Time until the answer began; with an upload, all of its body.",
    ("api", "method"),
    buckets=_BUCKETS,
    registry=_own,
)


@dataclass(frozen=True, slots=True)
class Gauge:
    """One number as it is now."""

    name: str
    help: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


Source = Callable[[], Iterable[Gauge]]
_sources: list[Source] = []


_directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
with contextlib.suppress(OSError):
    _directory.mkdir(mode=0o755, parents=True, exist_ok=True)
_counts = os.access(_directory, os.W_OK)  # commands of other users may not


def gauges(source: Source) -> Source:
    """Register who knows numbers of the database; usable as a decorator. Looking must cost a few milliseconds."""
    if source not in _sources:
        _sources.append(source)
    return source


def request_done(path: str, method: str, status: int, seconds: float, received: int, sent: int) -> None:
    """Count one request by the API its path is of, its method and its status; sizes are in bytes."""
    if not _counts:
        return
    first = path.lstrip("/").partition("/")[0]
    api = first if first in _APIS else "web"
    method = method if method in _METHODS else "other"
    try:
        _requests.labels(api, method, str(status)).inc()
        _seconds.labels(api, method).observe(seconds)
        if received and status < 300:
            _received.labels(api).inc(received)
        if sent and method != "HEAD":
            _sent.labels(api).inc(sent)
    except OSError:  # no room for the file: numbers are not worth a request
        logger.exception("a request could not be counted")


class _FromDatabase:
    """What the registered sources say."""

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for source in _sources:
            try:
                found = list(source())
            except Error:
                logger.exception("numbers of the database could not be had")
                continue
            for gauge in found:
                names = tuple(gauge.labels)
                family = families.setdefault(gauge.name, GaugeMetricFamily(gauge.name, gauge.help, labels=names))
                family.add_metric(tuple(gauge.labels.values()), gauge.value)
        yield from families.values()


def text() -> bytes:
    """All numbers of all processes, now."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(_directory))
    registry.register(_FromDatabase())
    return generate_latest(registry)


def may_look(authorization: str) -> bool:
    """Whether a header `Authorization: Bearer …` carries the token, which is a file among the secrets."""
    try:
        token = (Path(settings.CONFIG.secrets) / TOKEN).read_text().strip()
    except OSError:
        return False
    scheme, _, given = authorization.partition(" ")
    return bool(token) and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
