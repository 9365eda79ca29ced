"""The network API over HTTP: bodies, codes, errors."""

from __future__ import annotations

import pytest

from apps.network import services
from apps.network.models import Network, Port
from tests.kit.http import AUTHENTICATION, Caller

V = "/networking/v2.0"


@pytest.fixture(autouse=True)
def authentication(settings):
    settings.KUMO_AUTHENTICATION = AUTHENTICATION


@pytest.fixture
def me(ctx) -> Caller:
    return Caller(ctx, V)


@pytest.fixture
def ops(admin) -> Caller:
    return Caller(admin, V)


@pytest.fixture
def stranger(other) -> Caller:
    return Caller(other, V)


def made(caller, path, body, status=201):
    answer = caller("POST", path, body)
    assert answer.status_code == status, answer.content
    return next(iter(answer.json().values()))


def test_a_network_is_made_shown_changed_and_deleted(me):
    network = made(me, "/networks", {"network": {"name": "a", "description": "first", "admin_state_up": "true"}})
    assert network["status"] == "ACTIVE"
    assert (network["mtu"], network["subnets"], network["tags"], network["revision_number"]) == (1442, [], [], 0)
    assert network["project_id"] == network["tenant_id"] == "one"
    assert not any(name.startswith("provider:") for name in network)
    path = f"/networks/{network['id']}"
    assert me("GET", path).json()["network"] == network
    changed = me("PUT", path, {"network": {"name": "b"}}).json()["network"]
    assert (changed["name"], changed["revision_number"]) == ("b", 1)
    assert me("DELETE", path).status_code == 204
    gone = me("GET", path)
    assert gone.status_code == 404
    assert gone.json()["NeutronError"]["type"] == "NetworkNotFound"


def test_bulk_create_makes_all_or_none(me):
    body = {"networks": [{"name": "a"}, {"name": "b"}]}
    answer = me("POST", "/networks", body)
    assert answer.status_code == 201
    assert [n["name"] for n in answer.json()["networks"]] == ["a", "b"]
    refused = me("POST", "/networks", {"networks": [{"name": "c"}, {"name": "d", "mtu": 100_000}]})
    assert refused.status_code == 400
    assert Network.objects.count() == 2


def test_attributes_of_administrators_are_refused(me, ops):
    for attribute in ("shared", "router:external"):
        answer = me("POST", "/networks", {"network": {attribute: True}})
        assert answer.status_code == 403, attribute
    assert not Network.objects.exists()
    network = made(ops, "/networks", {"network": {"shared": True}})
    assert network["provider:network_type"] == "geneve"
    assert me("GET", f"/networks/{network['id']}").status_code == 200
    refused = me("PUT", f"/networks/{network['id']}", {"network": {"name": "mine"}})
    assert refused.status_code == 403
    assert me("DELETE", f"/networks/{network['id']}").status_code == 403


def test_other_projects_things_are_not_found(me, stranger, network, subnet):
    for path in (f"/networks/{network.pk}", f"/subnets/{subnet.pk}"):
        assert stranger("GET", path).status_code == 404
        assert stranger("PUT", path, {path.split("/")[1][:-1]: {"name": "x"}}).status_code == 404
        assert stranger("DELETE", path).status_code == 404
    assert stranger("GET", "/networks").json() == {"networks": []}


@pytest.mark.parametrize("collection", ["networks", "subnets", "ports", "routers", "floatingips", "security-groups",
                                        "security-group-rules", "subnetpools"])  # fmt: skip
@pytest.mark.parametrize("ident", ["nonsense", "0b9c1e4e-6f5b-4c39-9a43-1d2f3e4a5b6c"])
def test_unknown_ids_are_404_with_neutrons_type(me, collection, ident):
    answer = me("GET", f"/{collection}/{ident}")
    assert answer.status_code == 404
    assert answer.json()["NeutronError"]["type"].endswith("NotFound")
    assert answer.json()["NeutronError"]["type"] != "NotFound"
    assert me("DELETE", f"/{collection}/{ident}").status_code == 404


def test_subnets_of_an_external_network_are_hidden(me, ops, external):
    shown = me("GET", "/networks?router:external=true").json()["networks"]
    assert [n["id"] for n in shown] == [str(external.pk)]
    subnet = str(external.subnets.get().pk)
    assert me("GET", f"/subnets/{subnet}").status_code == 404
    assert ops("GET", f"/subnets/{subnet}").status_code == 200


def test_a_subnet_with_everything(me, network):
    body = {
        "network_id": str(network.pk), "ip_version": 4, "cidr": "10.0.0.0/28", "gateway_ip": "10.0.0.2",
        "allocation_pools": [{"start": "10.0.0.5", "end": "10.0.0.9"}], "dns_nameservers": ["8.8.8.8"],
        "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.3"}], "enable_dhcp": True,
    }  # fmt: skip
    subnet = made(me, "/subnets", {"subnet": body})
    assert {k: subnet[k] for k in body} == body
    changed = me("PUT", f"/subnets/{subnet['id']}", {"subnet": {"dns_nameservers": [], "gateway_ip": None}})
    assert changed.json()["subnet"]["dns_nameservers"] == []
    assert changed.json()["subnet"]["gateway_ip"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "status", "kind"),
    [
        ({"cidr": "10.0.0.128/25"}, 400, "InvalidInput"),  # overlaps
        ({"cidr": "nonsense"}, 400, ""),
        ({"cidr": "10.1.0.0/24", "ip_version": 6}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "gateway_ip": "10.2.0.1"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "gateway_ip": "10.1.0.0"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.2.0.1", "end": "10.2.0.2"}]}, 400,
         "OutOfBoundsAllocationPool"),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.1", "end": "10.1.0.2"}]}, 409,
         "GatewayConflictWithAllocationPools"),
        ({"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.9", "end": "10.1.0.2"}]}, 400,
         "InvalidAllocationPool"),
        ({"cidr": "10.1.0.0/24", "ipv6_ra_mode": "slaac"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "colour": "red"}, 400, ""),
    ],
)  # fmt: skip
def test_wrong_subnets_are_refused_and_nothing_changes(me, network, subnet, changes, status, kind):
    body = {"network_id": str(network.pk), "ip_version": 4} | changes
    answer = me("POST", "/subnets", {"subnet": body})
    assert answer.status_code == status, answer.content
    assert kind in answer.json()["NeutronError"]["type"]
    assert network.subnets.count() == 1


def test_ports_are_filtered_by_what_they_have(me, network, subnet):
    ports = [made(me, "/ports", {"port": {"network_id": str(network.pk), "name": f"p{i}"}}) for i in range(3)]
    address = ports[1]["fixed_ips"][0]["ip_address"]

    def names(query):
        answer = me("GET", f"/ports?{query}")
        assert answer.status_code == 200, answer.content
        return [p["name"] for p in answer.json()["ports"]]

    assert names(f"fixed_ips=ip_address={address}") == ["p1"]
    assert names(f"fixed_ips=subnet_id={subnet.pk}&device_owner=") == ["p0", "p1", "p2"]
    assert names("name=p2&fields=name") == ["p2"]
    assert names(f"mac_address={ports[0]['mac_address']}") == ["p0"]
    assert names(f"security_groups={ports[0]['security_groups'][0]}") == ["p0", "p1", "p2"]
    assert names("device_owner=network:distributed") == [""]
    assert me("GET", "/ports?colour=red").status_code == 400
    assert me("GET", "/ports?fields=id&fields=mac_address").json()["ports"][0].keys() == {"id", "mac_address"}


def test_collections_page_with_links_both_ways(me):
    for name in ("a", "b", "c"):
        made(me, "/networks", {"network": {"name": name}})
    first = me("GET", "/networks?limit=2&sort_key=name&sort_dir=asc").json()
    assert [n["name"] for n in first["networks"]] == ["a", "b"]
    [link] = first["networks_links"]
    assert link["rel"] == "next"
    second = Caller(me.ctx)("GET", link["href"].removeprefix("http://testserver")).json()
    assert [n["name"] for n in second["networks"]] == ["c"]
    assert [link["rel"] for link in second["networks_links"]] == ["previous"]


def test_if_match_guards_a_revision(me, network):
    path = f"/networks/{network.pk}"
    stale = me("PUT", path, {"network": {"name": "x"}}, If_Match="revision_number=7")
    assert stale.status_code == 412
    assert stale.json()["NeutronError"]["type"] == "RevisionNumberConstraintFailed"
    assert me("PUT", path, {"network": {"name": "x"}}, If_Match="revision_number=0").status_code == 200
    assert me("DELETE", path, If_Match="revision_number=0").status_code == 412
    assert Network.objects.filter(pk=network.pk).exists()


def test_tags_of_every_kind(me, network, subnet):
    path = f"/networks/{network.pk}/tags"
    assert me("PUT", f"{path}/red").status_code == 201
    assert me("PUT", path, {"tags": ["blue", "red"]}).json() == {"tags": ["blue", "red"]}
    assert me("GET", f"{path}/red").status_code == 204
    assert me("GET", f"{path}/green").status_code == 404
    queries = ("tags=blue,red", "tags=green", "tags-any=green,red", "not-tags=red", "not-tags-any=green")
    found = [len(me("GET", f"/networks?{query}").json()["networks"]) for query in queries]
    assert found == [1, 0, 1, 0, 1]
    assert me("DELETE", f"{path}/red").status_code == 204
    assert me("GET", path).json() == {"tags": ["blue"]}
    assert me("DELETE", path).status_code == 204
    assert me("GET", f"/subnets/{subnet.pk}").json()["subnet"]["tags"] == []
    assert me("GET", f"/colours/{network.pk}/tags").status_code == 404


def test_the_way_out_and_back(me, network, subnet, external):
    router = made(me, "/routers", {"router": {"name": "r", "external_gateway_info": {"network_id": str(external.pk)}}})
    [outside] = router["external_gateway_info"]["external_fixed_ips"]
    assert outside["ip_address"] == "172.31.0.100"
    joined = me("PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": str(subnet.pk)})
    assert joined.status_code == 200
    assert joined.json()["subnet_ids"] == [str(subnet.pk)]
    again = me("PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": str(subnet.pk)})
    assert again.status_code == 400
    port = made(me, "/ports", {"port": {"network_id": str(network.pk)}})
    floating = made(
        me, "/floatingips", {"floatingip": {"floating_network_id": str(external.pk), "port_id": port["id"]}}
    )
    assert (floating["status"], floating["router_id"]) == ("ACTIVE", router["id"])
    assert floating["port_details"]["mac_address"] == port["mac_address"]
    for method, path in (
        ("DELETE", f"/routers/{router['id']}"),
        ("DELETE", f"/subnets/{subnet.pk}"),
        ("DELETE", f"/networks/{network.pk}"),
        ("DELETE", f"/ports/{joined.json()['port_id']}"),
    ):
        assert me(method, path).status_code == 409, path
    kept = me("PUT", f"/routers/{router['id']}/remove_router_interface", {"subnet_id": str(subnet.pk)})
    assert kept.json()["NeutronError"]["type"] == "RouterInterfaceInUseByFloatingIP"
    assert me("PUT", f"/routers/{router['id']}", {"router": {"external_gateway_info": {}}}).status_code == 409
    assert me("DELETE", f"/ports/{port['id']}").status_code == 204
    freed = me("GET", f"/floatingips/{floating['id']}").json()["floatingip"]
    assert (freed["status"], freed["port_id"], freed["fixed_ip_address"], freed["router_id"]) == ("DOWN", *[None] * 3)
    assert me("DELETE", f"/floatingips/{floating['id']}").status_code == 204
    assert (
        me("PUT", f"/routers/{router['id']}/remove_router_interface", {"subnet_id": str(subnet.pk)}).status_code == 200
    )
    assert me("DELETE", f"/routers/{router['id']}").status_code == 204
    assert me("DELETE", f"/networks/{network.pk}").status_code == 204
    assert not Port.objects.exists()


def test_floating_ips_need_a_way(me, network, subnet, external):
    port = made(me, "/ports", {"port": {"network_id": str(network.pk)}})
    body = {"floating_network_id": str(external.pk), "port_id": port["id"]}
    answer = me("POST", "/floatingips", {"floatingip": body})
    assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (404, "ExternalGatewayForFloatingIPNotFound")
    inner = me("POST", "/floatingips", {"floatingip": {"floating_network_id": str(network.pk)}})
    assert inner.status_code == 400
    assert not Port.objects.filter(device_owner="network:floatingip").exists()


def test_security_groups_and_rules(me):
    [default] = me("GET", "/security-groups").json()["security_groups"]
    assert (default["name"], len(default["security_group_rules"])) == ("default", 4)
    group = made(me, "/security-groups", {"security_group": {"name": "web"}})
    assert [r["direction"] for r in group["security_group_rules"]] == ["egress", "egress"]
    body = {"security_group_id": group["id"], "direction": "ingress", "protocol": 6, "port_range_min": "80",
            "port_range_max": 81, "remote_ip_prefix": "10.0.0.5/24"}  # fmt: skip
    rule = made(me, "/security-group-rules", {"security_group_rule": body})
    assert (rule["protocol"], rule["port_range_min"], rule["normalized_cidr"]) == ("6", 80, "10.0.0.0/24")
    again = me("POST", "/security-group-rules", {"security_group_rule": body})
    assert (again.status_code, again.json()["NeutronError"]["type"]) == (409, "SecurityGroupRuleExists")
    shown = me("GET", f"/security-groups/{group['id']}").json()["security_group"]
    assert rule in shown["security_group_rules"]
    refused = me("DELETE", f"/security-groups/{default['id']}")
    assert refused.status_code == 409
    assert me("DELETE", f"/security-group-rules/{rule['id']}").status_code == 204
    assert me("DELETE", f"/security-groups/{group['id']}").status_code == 204


def test_quotas(me, ops):
    assert me("GET", "/quotas/one").status_code == 403  # for managers of the project
    assert ops("GET", "/quotas/one").json()["quota"]["network"] == 100
    assert me("PUT", "/quotas/one", {"quota": {"network": 0}}).status_code == 403
    assert ops("PUT", "/quotas/one", {"quota": {"network": 1}}).json()["quota"]["network"] == 1
    made(me, "/networks", {"network": {}})
    over = me("POST", "/networks", {"network": {}})
    assert (over.status_code, over.json()["NeutronError"]["type"]) == (409, "OverQuota")
    details = ops("GET", "/quotas/one/details.json").json()["quota"]["network"]
    assert details == {"limit": 1, "used": 1, "reserved": 0}
    assert me("GET", "/quotas/two").status_code == 403
    assert [q["project_id"] for q in ops("GET", "/quotas").json()["quotas"]] == ["one"]
    assert ops("PUT", "/quotas/one", {"quota": {"colour": 1}}).status_code == 400
    assert ops("DELETE", "/quotas/one").status_code == 204
    assert ops("GET", "/quotas/one/default").json()["quota"]["network"] == 100


def test_discovery(me, client):
    versions = client.get("/networking").json()["versions"]
    assert versions[0]["links"][0]["href"] == "http://testserver/networking/v2.0/"
    assert {r["collection"] for r in client.get("/networking/v2.0/").json()["resources"]} >= {"networks", "ports"}
    aliases = {e["alias"] for e in me("GET", "/extensions").json()["extensions"]}
    assert "standard-attr-tag" in aliases
    assert me("GET", "/extensions/router").json()["extension"]["alias"] == "router"
    assert me("GET", "/extensions/no-such").status_code == 404
    assert me("GET", "/agents").json() == {"agents": []}


def test_a_list_of_ports_is_few_queries(me, network, subnet, django_assert_max_num_queries):
    for _ in range(3):
        services.port_create(me.ctx, network_id=str(network.pk))
    with django_assert_max_num_queries(1):
        assert len(me("GET", "/ports").json()["ports"]) == 4


def test_subnet_pools(me, network):
    pool = made(
        me, "/subnetpools", {"subnetpool": {"name": "p", "prefixes": ["10.20.0.0/16"], "default_prefixlen": 24}}
    )
    assert (pool["ip_version"], pool["min_prefixlen"]) == (4, "8")
    body = {"network_id": str(network.pk), "ip_version": 4, "subnetpool_id": pool["id"]}
    cidrs = [made(me, "/subnets", {"subnet": body})["cidr"] for _ in range(2)]
    assert cidrs == ["10.20.0.0/24", "10.20.1.0/24"]
    taken = me("POST", "/subnets", {"subnet": body | {"cidr": "10.20.1.0/25"}})
    assert taken.status_code == 409
    assert me("DELETE", f"/subnetpools/{pool['id']}").status_code == 409
