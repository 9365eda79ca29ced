"""Projects, callers and a network to work on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.core.context import RequestContext
from apps.network import services
from apps.network.backends.ovn import Northbound
from apps.network.models import Network, Subnet
from tests.apps.network.northbound import Server, northbound_server
from tests.kit.projects import admin, ctx, other

__all__ = ["admin", "ctx", "other"]  # fixtures


@pytest.fixture
def network(ctx: RequestContext) -> Network:
    return services.network_create(ctx, name="net")


@pytest.fixture
def subnet(ctx: RequestContext, network: Network) -> Subnet:
    return services.subnet_create(ctx, network_id=str(network.pk), cidr="10.0.0.0/24")


@pytest.fixture
def external(admin: RequestContext) -> Network:
    """A network to the outside with addresses."""
    made = services.network_create(
        admin, name="public", external=True, network_type="flat", physical_network="physnet1"
    )
    services.subnet_create(
        admin,
        network_id=str(made.pk),
        cidr="172.31.0.0/24",
        enable_dhcp=False,
        allocation_pools=[{"start": "172.31.0.100", "end": "172.31.0.110"}],
    )
    return made


@pytest.fixture
def nb() -> Iterator[Server]:
    """An empty northbound database."""
    with northbound_server() as server:
        yield server


@pytest.fixture
def northbound(nb: Server) -> Iterator[Northbound]:
    """Our connection to it."""
    connection = Northbound(nb.remote)
    yield connection
    connection.close()
