"""What a page may cost: a bound on the queries of every page in the table of addresses, new pages included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from apps.audit.models import Event
from apps.network import services as network
from apps.network.models import SecurityGroup, Subnet
from apps.operations.models import Operation
from tests.apps.dashboard.conftest import Town

Door = Callable[..., Client]

MOST = 12
LESS = {"dashboard:overview": 10, "compute:launch": 10}  # what people look at most
PREFIX = "p/<str:project>/"
# For scripts and buttons.
NOT_READ = {"image:image-file", "network:subnet", "dashboard:passkey-add", "dashboard:passkey"}


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
        "audit:event": str(Event.objects.get(action="network.router.create").id),
        "operations:operation": str(Operation.objects.filter(subject_id=server.pk)[:1].get().pk),
    }


def address(name: str, arguments: list[str], things: Mapping[str, str], project: str) -> str:
    """An address of the page that shows something."""
    from django.urls import reverse

    ident = next((things[start] for start in sorted(things, reverse=True) if name.startswith(start)), "")
    if arguments == ["action"]:
        return ""  # what is done to rows is a page of the rows it is given; the lists' tests look at them
    assert not arguments or ident, f"say in `things` what {name} is to show"
    return reverse(name, args=(project, *[ident for _ in arguments]))


def test_no_page_asks_the_database_too_often(sign_in: Door, things: Mapping[str, str]) -> None:
    clients = {who: sign_in(who) for who in ("demo", "admin")}
    dear = {}
    for name, arguments in pages().items():
        for who, client in clients.items():
            path = address(name, arguments, things, who)
            if not path or client.get(path).status_code == 403:
                continue
            with CaptureQueriesContext(connection) as captured:
                status = client.get(path).status_code
            assert status in {200, 405}, path
            if len(captured) > LESS.get(name, MOST):
                dear[name, who] = len(captured), [q["sql"][:110] for q in captured]
    assert dear == {}


def test_the_overview_of_an_empty_project_is_within_the_budget_too(sign_in: Door, town: Town) -> None:
    client = sign_in("admin")
    client.get("/p/admin/")
    with CaptureQueriesContext(connection) as captured:
        client.get("/p/admin/")
    assert len(captured) <= LESS["dashboard:overview"], [q["sql"][:110] for q in captured]
