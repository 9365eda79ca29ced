"""Fixtures of the system tests; see `tests.kit.hosts`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.local.host import Host
from tests.kit.hosts import RealSite, real_site


@pytest.fixture(scope="session")
def site() -> Iterator[RealSite]:
    """OVN central, an underlay and the namespace `outside`."""
    with real_site() as made:
        yield made


@pytest.fixture(scope="session")
def real_host(site: RealSite) -> Host:
    """A hypervisor made of namespaces, the first of `site`."""
    return site.hosts[0] if site.hosts else site.add_host()
