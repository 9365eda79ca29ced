"""Fixtures that stand on real hosts; `tests.conftest` hands them to all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.local.host import Host
from tests.kit import cloud, hosts


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
