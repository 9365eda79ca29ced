"""Pages of a project: what they show, what their forms do, and what they refuse without leaving anything behind."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import cast
from urllib.parse import unquote, urlsplit

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.compute import services as compute
from apps.compute.models import KeyPair, Server
from apps.identity.models import Assignment, Role
from apps.identity.services.epoch import change_epoch
from apps.image.models import Image
from apps.network.models import FloatingIp, Network, Router, SecurityGroup, Subnet
from apps.network.web.topology import draw
from tests.apps.compute.conftest import settle
from tests.apps.dashboard.conftest import Town
from tests.kit import operations as ops

pytestmark = pytest.mark.slow

Door = Callable[..., Client]
ACT = {"HTTP_X_KUMO_ACT": "1"}

LISTS = (
    "", "servers", "servers/launch", "images", "images/upload", "key-pairs", "key-pairs/create", "flavors", "networks",
    "networks/create", "routers", "routers/create", "floating-ips", "floating-ips/create", "security-groups",
    "security-groups/create", "tasks", "tasks/log", "projects", "palette", "palette?q=web",
)  # fmt: skip
OPERATORS = ("admin/hosts", "admin/servers", "admin/tasks", "admin/projects", "flavors/create")
TABS = ("", "/console", "/log", "/network", "/tasks", "/raw")


def toasts(answer: HttpResponse) -> list[list[str]]:
    return json.loads(unquote(answer["X-Kumo-Toasts"]))


def act(client: Client, path: str, **given: object) -> HttpResponse:
    """What the page's script does for a button."""
    with ops.committed():
        return cast(HttpResponse, client.post(f"/p/demo/{path}", given, **ACT))  # type: ignore[arg-type]


# --- everything can be looked at -------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_page_of_a_member_can_be_looked_at(sign_in: Door, town: Town, language: str) -> None:
    client = sign_in(headers={"accept-language": language})
    for path in LISTS:
        assert client.get(f"/p/demo/{path}").status_code == 200, path
    server = town.server()
    paths = [f"servers/{server.pk}{tab}" for tab in TABS]
    paths += [f"networks/{town.network.pk}", f"images/{town.image.pk}", f"networks/{town.network.pk}/subnets/create"]
    paths += [f"security-groups/{SecurityGroup.objects.get(project_id=town.ctx.project_id).pk}", *LISTS]
    for path in paths:
        assert client.get(f"/p/demo/{path}").status_code == 200, path


def test_every_page_of_an_operator_can_be_looked_at(sign_in: Door, town: Town) -> None:
    town.server()
    client = sign_in("admin")
    for path in (*LISTS, *OPERATORS, f"admin/hosts/{town.host.pk}"):
        assert client.get(f"/p/admin/{path}").status_code == 200, path


@pytest.mark.parametrize("path", OPERATORS[:3])
def test_operators_pages_are_refused_to_members(sign_in: Door, town: Town, path: str) -> None:
    assert sign_in().get(f"/p/demo/{path}").status_code == 403


def test_an_empty_project_shows_the_first_step(sign_in: Door, town: Town) -> None:
    page = sign_in().get("/p/demo/").content.decode()
    assert "Launch your first server" in page
    town.server()
    assert "Launch your first server" not in sign_in().get("/p/demo/").content.decode()


# --- servers ---------------------------------------------------------------------------------------


def launch(client: Client, town: Town, **given: object) -> HttpResponse:
    asked = {
        "name": "web",
        "count": "1",
        "image": str(town.image.pk),
        "flavor": town.flavor.pk,
        "networks": [str(town.network.pk)],
        "groups": ["default"],
        "key": "laptop",
    }
    with ops.committed():
        return cast(HttpResponse, client.post("/p/demo/servers/launch", asked | given))


def test_the_launch_form_makes_a_server(sign_in: Door, town: Town) -> None:
    client = sign_in()
    answer = launch(client, town)
    server = Server.objects.get()
    assert answer["Location"] == f"/p/demo/servers/{server.pk}"
    settle()
    page = client.get(f"/p/demo/servers/{server.pk}").content.decode()
    assert "Active" in page
    assert "10.0.0." in page
    assert (server.key_name, server.flavor_id) == ("laptop", "tiny")


def test_a_first_launch_makes_key_network_and_router_on_the_way(sign_in: Door, town: Town) -> None:
    public = KeyPair.objects.get(name="laptop").public_key
    answer = launch(sign_in(), town, networks=["make"], key="new", key_name="mine", public_key=public)
    assert answer.status_code == 302
    made = Network.objects.exclude(pk__in=[town.network.pk, town.outside.pk]).get()
    assert Router.objects.get().gateway_network == town.outside
    assert made.ports.filter(device_id=str(Server.objects.get().pk)).exists()
    assert Server.objects.get().key_name == "mine"


def test_a_refused_launch_leaves_nothing_behind(sign_in: Door, town: Town) -> None:
    networks = Network.objects.count()
    public = KeyPair.objects.get(name="laptop").public_key
    answer = launch(sign_in(), town, networks=["make"], count="11", key="new", key_name="mine", public_key=public)
    assert answer.status_code == 422
    assert "Quota exceeded" in answer.content.decode()
    counts = (Server.objects.count(), Network.objects.count(), Router.objects.count(), KeyPair.objects.count())
    assert counts == (0, networks, 0, 1)


def test_the_form_is_checked_while_it_is_filled_in(sign_in: Door, town: Town) -> None:
    client = sign_in()
    given = {"name": "", "count": "99", "image": str(town.image.pk), "flavor": "big", "networks": ["make"], "key": ""}
    answer = client.post("/p/demo/servers/launch", given, headers={"HX-Request": "true", "HX-Target": "launch"})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "<html" not in page
    assert "less than or equal to 50" in page
    assert "required" not in re.sub(r"\srequired\b", "", page)
    assert "Fits on none of 1 hosts" in page
    assert "Make the network" in page
    assert not Server.objects.exists()


def test_a_server_is_stopped_and_started_from_the_list(sign_in: Door, town: Town) -> None:
    server, client = town.server(), sign_in()
    assert toasts(act(client, "servers/act/stop", id=[server.pk])) == [["success", "Stopping · web"]]
    settle()
    server.refresh_from_db()
    assert server.state == "shutoff"
    act(client, "servers/act/start", id=[server.pk])
    settle()
    server.refresh_from_db()
    assert server.state == "active"


def test_deleting_asks_first_and_names_what_is_lost(sign_in: Door, town: Town) -> None:
    server, client = town.server(), sign_in()
    answer = client.post("/p/demo/servers/act/delete", {"only": server.pk})
    assert answer["Location"] == f"/p/demo/servers/act/delete?id={server.pk}"
    page = client.get(answer["Location"]).content.decode()
    assert "Its disk of 1 GiB" in page
    assert Server.objects.filter(pk=server.pk).exists()
    act(client, "servers/act/delete", id=[server.pk], sure="1")
    settle()
    assert not Server.objects.exists()


def test_one_refusal_does_not_stop_the_others(sign_in: Door, town: Town) -> None:
    running, stopped, client = town.server("a"), town.server("b"), sign_in()
    Server.objects.filter(pk=stopped.pk).update(state="shutoff")
    said = toasts(act(client, "servers/act/stop", id=[running.pk, stopped.pk]))
    assert [tone for tone, _ in said] == ["success", "error"]
    assert said[1][1].startswith("b: ")


def test_another_projects_server_is_not_there(sign_in: Door, town: Town) -> None:
    server, client = town.server(), sign_in("admin")
    for tab in TABS:
        found = client.get(f"/p/admin/servers/{server.pk}{tab}").status_code
        assert found == 200  # administrators see every project's
    Assignment.objects.filter(user__name="admin").update(role=Role.objects.get(name="member"))
    change_epoch()
    for tab in TABS:
        assert client.get(f"/p/admin/servers/{server.pk}{tab}").status_code == 404
    answer = client.post("/p/admin/servers/act/stop", {"id": server.pk}, **ACT)  # type: ignore[arg-type]
    assert answer.status_code == 404
    server.refresh_from_db()
    assert server.state == "active"


def test_a_reader_changes_nothing(sign_in: Door, town: Town) -> None:
    server = town.server()
    Assignment.objects.filter(user__name="demo").update(role=Role.objects.get(name="reader"))
    change_epoch()
    client = sign_in()
    page = client.get("/p/demo/servers").content.decode()
    assert "act/stop" not in page
    assert 'id="create"' not in page
    said = toasts(act(client, "servers/act/stop", id=[server.pk]))
    assert said[0][0] == "error"
    assert launch(client, town).status_code in {403, 422}
    server.refresh_from_db()
    assert server.state == "active"
    assert Server.objects.count() == 1


def test_the_raw_tab_shows_what_the_api_shows(sign_in: Door, town: Town) -> None:
    server = town.server()
    page = sign_in().get(f"/p/demo/servers/{server.pk}/raw").content.decode()
    assert f"&quot;id&quot;: &quot;{server.pk}&quot;" in page
    assert "openstack server create" in page
    assert "--flavor m1.tiny" in page


def test_the_console_gives_an_address_that_works_once(sign_in: Door, town: Town) -> None:
    server, client = town.server(), sign_in()
    answer = client.post(f"/p/demo/servers/{server.pk}/console")
    assert re.fullmatch(r"/console/ws\?token=[\w-]{43}", answer.json()["ws"])
    Server.objects.update(state="shutoff")
    refused = client.post(f"/p/demo/servers/{server.pk}/console")
    assert refused.status_code == 409
    assert "error" in refused.json()


def test_the_apis_console_address_is_a_page_that_needs_no_session(town: Town) -> None:
    with ops.committed():
        console = compute.server_console_open(town.ctx, server_id=str(town.server().pk))
    answer = Client().get(urlsplit(console.url).path, {"path": "console/ws?token=t"})
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert "noVNC" in answer.content.decode()
    assert "<script" in answer.content.decode()


def test_an_operations_page_shows_its_steps(sign_in: Door, town: Town) -> None:
    server, client = town.server(), sign_in()
    page = client.get("/p/demo/tasks").content.decode()
    address = re.search(r"/p/demo/tasks/[0-9a-f-]{36}", page)
    assert address
    page = client.get(address[0]).content.decode()
    assert "Prepare the disks" in page
    assert "hv-1" in page
    assert str(server.pk) in page


# --- lists -----------------------------------------------------------------------------------------


def names(page: str) -> list[str]:
    return re.findall(r'<a class="name"[^>]*>([^<]*)</a>', page)


def many(town: Town, count: int = 30) -> None:
    for number in range(count):
        Network.objects.create(project_id=town.ctx.project_id, name=f"net-{number:02d}", mtu=1442)
    Network.objects.filter(name__in=["main", "public"]).update(name="net-99")


def test_a_list_is_paged_forwards_and_backwards(sign_in: Door, town: Town) -> None:
    many(town)
    client = sign_in()
    page = client.get("/p/demo/networks").content.decode()
    first = names(page)
    assert len(first) == 25
    following = re.search(r'rel="next" href="([^"]*)"', page)
    assert following
    page = client.get(following[1].replace("&amp;", "&")).content.decode()
    second = names(page)
    assert first + second == sorted(first + second)
    assert len(second) == 7
    previous = re.search(r'rel="prev" href="([^"]*)"', page)
    assert previous
    assert names(client.get(previous[1].replace("&amp;", "&")).content.decode()) == first


def test_a_list_turns_round(sign_in: Door, town: Town) -> None:
    many(town)
    shown = names(sign_in().get("/p/demo/networks?sort=-name").content.decode())
    assert shown == sorted(shown, reverse=True)


@pytest.mark.parametrize("cursor", ["x", "bm9uc2Vuc2U", "WyJhIiwgMSwgMl0", "%00", "W10"])
def test_an_address_that_no_list_gave_out_is_refused(sign_in: Door, town: Town, cursor: str) -> None:
    assert sign_in().get(f"/p/demo/servers?at={cursor}").status_code == 400


def test_filters_narrow_a_list_and_say_when_nothing_fits(sign_in: Door, town: Town) -> None:
    town.server("alpha")
    town.server("beta")
    client = sign_in()
    assert names(client.get("/p/demo/servers?q=alp").content.decode()) == ["alpha"]
    assert names(client.get("/p/demo/servers?q=10.0.0&status=active").content.decode()) == ["beta", "alpha"]
    page = client.get("/p/demo/servers?q=gamma").content.decode()
    assert "Nothing matches" in page


def test_a_fragment_is_the_list_alone(sign_in: Door, town: Town) -> None:
    headers = {"HX-Request": "true", "HX-Target": "list"}
    page = sign_in().get("/p/demo/networks", headers=headers).content.decode()
    assert page.lstrip().startswith('<div id="list"')


def test_the_palette_finds_by_name_and_address(sign_in: Door, town: Town) -> None:
    server, client = town.server("needle"), sign_in()
    for words in ("need", "10.0.0."):
        assert f"/p/demo/servers/{server.pk}" in client.get(f"/p/demo/palette?q={words}").content.decode()
    assert "/servers/launch" in client.get("/p/demo/palette?q=launch").content.decode()


# --- network ---------------------------------------------------------------------------------------


def test_a_network_is_made_with_subnet_and_way_out(sign_in: Door, town: Town) -> None:
    given = {"name": "lan", "cidr": "10.7.0.0/24", "dns_nameservers": "9.9.9.9 1.1.1.1", "router": "new"}
    answer = sign_in().post("/p/demo/networks/create", given)
    assert answer.status_code == 302
    subnet = Subnet.objects.get(cidr="10.7.0.0/24")
    assert subnet.dns_nameservers == ["9.9.9.9", "1.1.1.1"]
    assert Router.objects.get().gateway_network == town.outside


def test_the_picture_shows_what_is_joined_to_what(sign_in: Door, town: Town) -> None:
    with ops.committed():
        client = sign_in()
        client.post("/p/demo/routers/create", {"name": "way-out", "outside": str(town.outside.pk)})
        router, subnet = Router.objects.get(), Subnet.objects.get(network=town.network)
        client.post(f"/p/demo/routers/{router.pk}/join", {"subnet": subnet.pk})
    server = town.server("needle")
    page = client.get("/p/demo/topology").content.decode()
    for address in (f"networks/{town.network.pk}", f"networks/{town.outside.pk}", f"routers/{router.pk}"):
        assert page.count(f"/p/demo/{address}") == 1
    assert f"/p/demo/servers/{server.pk}" in page
    assert page.count('class="cable"') == 2
    other = sign_in("admin").get("/p/admin/topology").content.decode()
    assert "needle" not in other
    assert "way-out" not in other


def test_the_picture_overlaps_nowhere_and_counts_what_it_does_not_name(town: Town) -> None:
    many(town, 6)
    networks = list(Network.objects.prefetch_related("subnets"))
    routers = [Router.objects.create(project_id=town.ctx.project_id, name=f"r{n}") for n in range(5)]
    servers = {town.network.pk: {f"s{n}": f"server-{n}" for n in range(11)}}
    drawing = draw(networks, routers, servers)
    for column in (drawing.outside, drawing.routers, drawing.networks):
        below = sorted(column, key=lambda box: box.y)
        assert all(a.y + a.height < b.y for a, b in pairwise(below))
        assert all(box.y + box.height <= drawing.height for box in column)
    crowded = next(box for box in drawing.networks if box.id == town.network.pk)
    assert (len(crowded.lines), crowded.more) == (8, 3)


def test_a_wrong_range_is_said_at_its_field_and_makes_nothing(sign_in: Door, town: Town) -> None:
    before = Network.objects.count()
    answer = sign_in().post("/p/demo/networks/create", {"name": "lan", "cidr": "10.7.0.0/99", "router": ""})
    assert answer.status_code == 422
    assert "wrong" in answer.content.decode()
    assert Network.objects.count() == before


def test_rules_are_added_by_preset_and_removed(sign_in: Door, town: Town) -> None:
    client = sign_in()
    client.post("/p/demo/security-groups/create", {"name": "web", "description": ""})
    group = SecurityGroup.objects.get(name="web")
    page = f"/p/demo/security-groups/{group.pk}"
    assert client.post(page, {"preset": "https", "direction": "ingress"}).status_code == 302
    rule = group.rules.get(direction="ingress")
    assert (rule.protocol, rule.port_range_min, rule.port_range_max) == ("tcp", 443, 443)
    again = client.post(page, {"preset": "https", "direction": "ingress"})
    assert again.status_code == 422
    client.post(page, {"remove": rule.pk})
    assert not group.rules.filter(direction="ingress").exists()


def test_a_floating_ip_is_got_for_a_server_and_released(sign_in: Door, town: Town) -> None:
    with ops.committed():
        client = sign_in()
        client.post("/p/demo/routers/create", {"name": "main", "outside": str(town.outside.pk)})
        router, subnet = Router.objects.get(), Subnet.objects.get(network=town.network)
        client.post(f"/p/demo/routers/{router.pk}/join", {"subnet": subnet.pk})
    server = town.server()
    port = town.network.ports.get(device_id=str(server.pk))
    given = {"address": f"new:{town.outside.pk}", "port": port.pk}
    assert client.post("/p/demo/floating-ips/create", given).status_code == 302
    floating = FloatingIp.objects.get()
    assert floating.port == port
    assert str(floating.floating_ip_address) in client.get("/p/demo/servers").content.decode()
    act(client, "floating-ips/act/delete", id=[floating.pk], sure="1")
    assert not FloatingIp.objects.exists()


# --- keys and images -------------------------------------------------------------------------------


def test_a_private_key_is_shown_once(sign_in: Door, town: Town) -> None:
    client = sign_in()
    answer = client.post("/p/demo/key-pairs/create", {"name": "fresh", "public_key": ""})
    assert "PRIVATE KEY" in answer.content.decode()
    assert answer["Cache-Control"] == "no-store"
    assert "PRIVATE KEY" not in client.get("/p/demo/key-pairs").content.decode()


def test_a_damaged_public_key_is_said_at_its_field(sign_in: Door, town: Town) -> None:
    answer = sign_in().post("/p/demo/key-pairs/create", {"name": "bad", "public_key": "ssh-rsa nonsense"})
    assert answer.status_code == 422
    assert not KeyPair.objects.filter(name="bad").exists()


def registered(client: Client, **given: str) -> dict[str, str]:
    asked = {"name": "mine", "disk_format": "raw", "visibility": "private", "min_disk_gib": "0", "min_ram_mib": "0"}
    return client.post("/p/demo/images/upload", asked | given).json()


@pytest.mark.django_db(transaction=True)
def test_an_image_is_brought_in(sign_in: Door, town: Town) -> None:
    client = sign_in()
    where = registered(client)
    answer = client.put(where["file"], io.BytesIO(b"\0" * 4096).read(), content_type="application/octet-stream")
    assert answer.status_code == 200, answer.content
    assert Image.objects.get(name="mine").status == "active"
    assert client.get(where["page"]).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_an_image_that_is_not_what_it_says_leaves_nothing(sign_in: Door, town: Town) -> None:
    client = sign_in()
    where = registered(client, disk_format="qcow2")
    answer = client.put(where["file"], b"not a disk at all", content_type="application/octet-stream")
    assert answer.status_code == 415
    assert answer.json()["error"]
    assert not Image.objects.filter(name="mine").exists()


@pytest.mark.parametrize("path", ["", "servers", "networks", "floating-ips", "security-groups", "tasks", "tasks/log"])
def test_more_rows_need_no_more_queries(sign_in: Door, town: Town, path: str) -> None:
    client = sign_in()

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"/p/demo/{path}").status_code == 200
        return len(captured)

    town.server("first")
    few = queries()
    for number in range(4):
        town.server(f"more-{number}")
        Network.objects.create(project_id=town.ctx.project_id, name=f"net-{number}", mtu=1442)
        SecurityGroup.objects.create(project_id=town.ctx.project_id, name=f"group-{number}")
    assert queries() <= few
