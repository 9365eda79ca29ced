"""Projects, callers and a network to work on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apps.core.context import RequestContext
from apps.identity.models import Project
from apps.network import services
from apps.network.backends.ovn import Northbound
from apps.network.models import Network, Subnet
from tests.apps.network.northbound import Server, northbound_server

READER = frozenset({"reader"})
MEMBER = READER | {"member"}
ADMIN = MEMBER | {"manager", "admin"}


def make_project(ident: str) -> Project:
    domain, _ = Project.objects.get_or_create(id="default", name="Default", is_domain=True)
    return Project.objects.create(id=ident, name=ident, domain=domain, parent=domain)


def caller(project: str, roles: frozenset[str] = MEMBER) -> RequestContext:
    return RequestContext(user_id=f"user-of-{project}", project_id=project, roles=roles)


@pytest.fixture
def ctx(db: Any) -> RequestContext:
    """A member of the project `one`."""
    make_project("one")
    return caller("one")


@pytest.fixture
def other(ctx: RequestContext) -> RequestContext:
    """A member of another project."""
    make_project("two")
    return caller("two")


@pytest.fixture
def admin(ctx: RequestContext) -> RequestContext:
    """An administrator."""
    make_project("ops")
    return caller("ops", ADMIN)


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
