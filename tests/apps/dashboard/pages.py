"""Every page in the table of addresses, with something to show on it: what holds for all pages is tested on these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from apps.audit.models import Event
from apps.network import services as network
from apps.network.models import SecurityGroup, Subnet
from apps.objectstore import services as objects
from apps.objectstore.models import Container
from apps.operations.models import Operation
from tests.apps.dashboard.conftest import Town

PREFIX = "p/<str:project>/"
# For scripts and buttons.
NOT_READ = {
    "image:image-file", "network:subnet", "dashboard:passkey-add", "dashboard:passkey", "dashboard:access-key",
    "objectstore:object-file", "objectstore:links-revoke",
    "objectstore:uploads", "objectstore:upload", "objectstore:upload-part", "objectstore:version-file",
}  # fmt: skip


def pages() -> dict[str, list[str]]:
    """Every page of a project that can be read: URL name → names of its arguments after the project."""
    return {
        name: [argument for argument in pattern.pattern.converters if argument != "project"]
        for name, pattern in _patterns(get_resolver(), "", "")
        if name not in NOT_READ
    }


def _patterns(at: URLResolver, address: str, namespace: str) -> Iterator[tuple[str, URLPattern]]:
    for found in at.url_patterns:
        here = address + str(found.pattern)
        if isinstance(found, URLResolver):
            inner = f"{found.app_name}:" if found.app_name else namespace
            yield from _patterns(found, here, inner)
        elif here.startswith(PREFIX):
            yield f"{namespace}{found.name}", found


@pytest.fixture
def things(town: Town) -> Mapping[str, str]:
    """One of each thing that has a page: the start of a URL's name → the id in its address, with a query if need be."""
    outside = {"network_id": str(town.outside.pk)}
    router = network.router_create(town.ctx, name="main", external_gateway_info=outside)
    subnet = Subnet.objects.get(network=town.network)
    network.router_add_interface(town.ctx, router_id=str(router.pk), subnet_id=str(subnet.pk))
    server = town.server()
    group = SecurityGroup.objects.get(project_id=town.ctx.project_id)
    account = town.ctx.project_id
    objects.bucket_create(town.ctx, account=account, name="photos", lock_enabled=True)
    new = objects.New(content_type="application/directory")
    objects.object_put(town.ctx, account=account, container="photos", name="2026/", source=BytesIO(), size=0, new=new)
    photos = Container.objects.get(account_id=account, name="photos").pk
    return {
        "objectstore:": str(photos),
        "objectstore:object": f"{photos}?name=2026/",
        "objectstore:objects": str(photos),
        "compute:server": str(server.pk),
        "image:image": str(town.image.pk),
        "network:network": str(town.network.pk),
        "network:subnet-create": str(town.network.pk),
        "network:router": str(router.pk),
        "network:security-group": str(group.pk),
        "hosts:host": str(town.host.pk),
        "identity:project": town.ctx.project_id,
        "audit:event": str(Event.objects.filter(action="network.router.create").latest("id").id),
        "operations:operation": str(Operation.objects.filter(subject_id=server.pk)[:1].get().pk),
    }


def address(name: str, arguments: list[str], things: Mapping[str, str], project: str) -> str:
    """An address of the page that shows something."""
    ident = next((things[start] for start in sorted(things, reverse=True) if name.startswith(start)), "")
    if "action" in arguments:
        return ""  # what is done to rows is a page of the rows it is given; the lists' tests look at them
    assert not arguments or ident, f"say in `things` what {name} is to show"
    ident, mark, query = ident.partition("?")
    return reverse(name, args=(project, *[ident for _ in arguments])) + mark + query
