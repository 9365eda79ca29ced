"""Fixtures of all tests, and those that stand on real hosts; `tests.conftest` hands them out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from scripts.local.host import Host
from tests.kit import cloud, hosts


@pytest.fixture(autouse=True)
def log_of_its_own(request: pytest.FixtureRequest) -> Iterator[None]:
    """The audit log loses nothing, and is no table that Django empties: after tests that commit, this does."""
    yield
    mark = request.node.get_closest_marker("django_db")
    if "transactional_db" in request.fixturenames or (mark is not None and mark.kwargs.get("transaction")):
        blocker: Any = request.getfixturevalue("django_db_blocker")
        with blocker.unblock(), connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")  # past the triggers
            cursor.execute("TRUNCATE audit_event")
            cursor.execute("RESET session_replication_role")


@pytest.fixture(scope="session")
def site() -> Iterator[hosts.RealSite]:
    """OVN central, an underlay and the namespace `outside`; hosts by `add_host`."""
    with hosts.real_site() as made:
        yield made


@pytest.fixture(scope="session")
def real_host(site: hosts.RealSite) -> Host:
    """A hypervisor made of namespaces, the first of `site`."""
    return site.hosts[0] if site.hosts else site.add_host()


@pytest.fixture(scope="session")
def real_cloud() -> Iterator[cloud.RealCloud]:
    """A whole cloud with the project demo; the one that KUMO_TEST_CLOUD names, else one of its own."""
    with cloud.real_cloud() as made:
        yield made
