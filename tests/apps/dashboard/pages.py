"""Every page in the table of addresses, with something to show on it: what holds for all pages is tested on these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from apps.audit.models import Event
from apps.network import services as network
from apps.network.models import SecurityGroup, Subnet
from apps.operations.models import Operation
from tests.apps.dashboard.conftest import Town

PREFIX = "p/<str:project>/"
# For scripts and buttons.
NOT_READ = {"image:image-file", "network:subnet", "dashboard:passkey-add", "dashboard:passkey", "dashboard:access-key"}


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
    """One of each thing that has a page: the start of a URL's name → the id in its address."""
    outside = {"network_id": str(town.outside.pk)}
    router = network.router_create(town.ctx, name="main", external_gateway_info=outside)
    subnet = Subnet.objects.get(network=town.network)
    network.router_add_interface(town.ctx, router_id=str(router.pk), subnet_id=str(subnet.pk))
    server = town.server()
    group = SecurityGroup.objects.get(project_id=town.ctx.project_id)
    return {
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
    if arguments == ["action"]:
        return ""  # what is done to rows is a page of the rows it is given; the lists' tests look at them
    assert not arguments or ident, f"say in `things` what {name} is to show"
    return reverse(name, args=(project, *[ident for _ in arguments]))
