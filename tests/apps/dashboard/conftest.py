"""A signed-in browser without a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from django.test import Client

from apps.compute import services as compute
from apps.compute.models import Flavor, Server
from apps.core.context import RequestContext
from apps.hosts.models import Host
from apps.identity import selectors
from apps.identity.models import Project, User
from apps.image.models import Image
from apps.image.states import ImageStatus, Visibility
from apps.network import services as network
from apps.network.models import Network
from tests.apps.compute.conftest import Hypervisor, settle
from tests.kit import operations as ops
from tests.kit.rows import bootstrapped, make_host

PASSWORD = "correct horse"


@pytest.fixture
def people(db: None) -> None:
    """Users `admin` and `demo` in their projects."""
    bootstrapped({"admin": PASSWORD, "demo": PASSWORD})


@pytest.fixture
def sign_in(people: None) -> Callable[..., Client]:
    """Returns a client whose session belongs to the user."""

    def opened(name: str = "demo", **options: object) -> Client:
        client = Client(**options)  # type: ignore[arg-type]
        answer = client.post("/sign-in", {"name": name, "password": PASSWORD, "domain": "Default"})
        assert answer.status_code == 302
        return client

    return opened


@dataclass
class Town:
    """What pages show: the project demo with a network, two flavors, an image, a key pair and a host."""

    ctx: RequestContext
    network: Network
    outside: Network
    flavor: Flavor
    image: Image
    host: Host
    hypervisor: Hypervisor

    def server(self, name: str = "web", *, active: bool = True) -> Server:
        """A server of the project, running if asked."""
        with ops.committed():
            made = compute.server_create(
                self.ctx,
                name=name,
                flavor_ref=self.flavor.pk,
                image_ref=str(self.image.pk),
                networks=[{"uuid": str(self.network.pk)}],
            )
        if active:
            settle()
        found = made.servers[0]
        found.refresh_from_db()
        return found


@pytest.fixture
def town(people: None) -> Iterator[Town]:
    ops.reset()
    user = User.objects.get(name="demo")
    project = Project.objects.get(name="demo", is_domain=False)
    ctx = selectors.web_context(user.pk, project.pk, "req-1")
    admins = Project.objects.get(name="admin", is_domain=False)
    admin = selectors.web_context(User.objects.get(name="admin").pk, admins.pk, "req-2")
    assert ctx is not None
    assert admin is not None
    outside = network.network_create(admin, name="public", external=True)
    network.subnet_create(admin, network_id=str(outside.pk), cidr="172.31.0.0/24", enable_dhcp=False)
    made = network.network_create(ctx, name="main")
    network.subnet_create(ctx, network_id=str(made.pk), cidr="10.0.0.0/24")
    image = Image.objects.create(
        project_id=admins.pk,
        name="small-linux",
        status=ImageStatus.ACTIVE,
        visibility=Visibility.PUBLIC,
        container_format="bare",
        disk_format="qcow2",
        size=1000,
        virtual_size=1 << 30,
        checksum="0" * 32,
        hash_value="0" * 128,
        sha256="0" * 64,
    )
    Flavor.objects.create(id="big", name="m1.big", vcpus=8, ram_mib=65536, root_gib=10)
    flavor = Flavor.objects.create(id="tiny", name="m1.tiny", vcpus=1, ram_mib=512, root_gib=1)
    compute.key_pair_create(ctx, name="laptop")
    hypervisor = Hypervisor()
    host = make_host("hv-1")
    ops.enrol("hv-1", hypervisor.verbs(), hypervisor)
    yield Town(ctx, made, outside, flavor, image, host, hypervisor)
    ops.reset()
