"""What compute asks of the network."""

from __future__ import annotations

import uuid

import pytest
from django.db.models import UUIDField, Value

from apps.core.errors import Conflict, Forbidden, Invalid, OverQuota
from apps.hosts.models import Host
from apps.identity.services import limit_set
from apps.network import selectors, services
from apps.network.models import Change, FloatingIp, Port
from apps.network.states import Owner
from tests.kit.rows import make_host

SERVER = uuid.uuid4()


def create(ctx, requests, **more):
    return services.server_ports_create(
        ctx, server_id=SERVER, server_name="s", requests=requests, security_groups=None, **more
    )


def test_ports_are_made_on_the_only_network_there_is(ctx, subnet, network):
    for requests in (None, "auto"):
        [port] = create(ctx, requests)
        assert (port.network, port.device_id, port.device_owner) == (network, str(SERVER), "compute:nova")
        assert port.made_for_server


def test_no_network_is_fine_unless_it_is_asked_for(ctx):
    assert create(ctx, None) == []
    assert create(ctx, "none") == []
    with pytest.raises(Invalid):
        create(ctx, "auto")


def test_several_networks_are_a_conflict(ctx, subnet):
    services.network_create(ctx, name="second")
    with pytest.raises(Conflict):
        create(ctx, None)
    assert not Port.objects.filter(device_id=str(SERVER)).exists()


def test_wrong_requests_are_refused_as_compute_says_it(ctx, other, subnet, network, external):
    bare = services.network_create(ctx, name="bare")
    mine = services.port_create(ctx, network_id=str(network.pk))
    services.port_update(ctx, port_id=str(mine.pk), device_id="something")
    for requests, error in (
        ([{"uuid": str(uuid.uuid4())}], Invalid),
        ([{"uuid": "nonsense"}], Invalid),
        ([{"port": str(uuid.uuid4())}], Invalid),
        ([{"uuid": str(bare.pk)}], Invalid),
        ([{"uuid": str(network.pk), "fixed_ip": "10.77.0.1"}], Invalid),
        ([{"port": str(mine.pk)}], Conflict),
        ([{"uuid": str(external.pk)}], Forbidden),
    ):
        with pytest.raises(error):
            create(ctx, requests)
    with pytest.raises(Invalid):
        create(other, [{"uuid": str(network.pk)}])
    assert not Port.objects.filter(device_id=str(SERVER)).exists()


def test_over_quota_is_403_for_compute(ctx, subnet, network):
    limit_set(ctx, project_id="one", service="network", resource="port", value=0)
    with pytest.raises(OverQuota) as refused:
        create(ctx, [{"uuid": str(network.pk)}])
    assert refused.value.status == 403


def test_ports_are_bound_and_known_to_be_projected(ctx, subnet, network):
    make_host("hv-1", chassis="chassis-1")
    [port] = create(ctx, [{"uuid": str(network.pk), "fixed_ip": "10.0.0.9"}])
    assert not services.projected(server_id=SERVER)
    services.server_ports_bind(ctx, server_id=SERVER, host="hv-1")
    port.refresh_from_db()
    assert (port.host_name, port.chassis) == ("hv-1", "chassis-1")
    [nic] = services.server_nics(ctx, server_id=SERVER)
    assert (nic.port_id, nic.mac, nic.mtu) == (str(port.pk), port.mac_address, 1442)
    assert nic.metadata is not None
    assert nic.metadata.cidrs == ("10.0.0.2/24",)
    Change.objects.all().delete()
    assert services.projected(server_id=SERVER)
    Port.objects.filter(pk=port.pk).update(status="ACTIVE")
    services.server_ports_bind(ctx, server_id=SERVER, host="hv-1")
    port.refresh_from_db()
    assert port.status == "ACTIVE"  # binding again to the same host takes nothing down


def test_release_deletes_what_was_made_and_frees_the_rest(ctx, subnet, network):
    own = services.port_create(ctx, network_id=str(network.pk), name="own")
    made, taken = create(ctx, [{"uuid": str(network.pk)}, {"port": str(own.pk)}])
    assert [p.nic_index for p in (made, taken)] == [0, 1]
    for _ in range(2):
        services.server_ports_release(ctx, server_id=SERVER)
    own.refresh_from_db()
    assert (own.device_id, own.device_owner, own.host_name) == ("", "", "")
    assert list(Port.objects.exclude(device_owner=Owner.METADATA)) == [own]


def test_addresses_and_groups_come_with_a_query_over_servers(ctx, subnet, network, external):
    router = services.router_create(ctx, external_gateway_info={"network_id": str(external.pk)})
    services.router_add_interface(ctx, router_id=str(router.pk), subnet_id=str(subnet.pk))
    [port] = create(ctx, [{"uuid": str(network.pk)}])
    floating: FloatingIp = services.floatingip_create(ctx, floating_network_id=str(external.pk), port_id=str(port.pk))
    make_host()
    row = (
        Host.objects.annotate(server=Value(SERVER, output_field=UUIDField()))
        .annotate(addresses=selectors.server_addresses("server"), groups=selectors.security_groups_of_server("server"))
        .get()
    )
    assert [(a["type"], a["ip"], a["version"], a["network_name"]) for a in row.addresses] == [
        ("fixed", "10.0.0.3", 4, "net"),
        ("floating", floating.floating_ip_address, 4, "net"),
    ]
    assert row.groups == ["default"]


def test_an_address_names_its_server_unless_others_may_claim_it(ctx, other, admin, subnet, network):
    create(ctx, [{"uuid": str(network.pk)}])

    def owner(address):
        return selectors.port_owner_by_address(ctx, network_id=network.pk, address=address)

    assert owner("10.0.0.3") == (str(SERVER), "one")
    assert owner("10.0.0.99") is None
    assert owner("10.0.0.2") is None  # the metadata port is no server
    services.network_update(admin, network_id=str(network.pk), shared=True)
    foreign = services.port_create(other, network_id=str(network.pk))
    Port.objects.filter(pk=foreign.pk).update(
        allowed_address_pairs=[{"ip_address": "10.0.0.3", "mac_address": foreign.mac_address}]
    )
    assert owner("10.0.0.3") is None


def test_groups_are_added_to_and_taken_from_all_ports(ctx, subnet, network):
    group = services.security_group_create(ctx, name="web")
    [port] = create(ctx, [{"uuid": str(network.pk)}])
    services.server_group_change(ctx, server_id=SERVER, name="web", add=True)
    assert set(port.security_groups.values_list("name", flat=True)) == {"web", "default"}
    services.server_group_change(ctx, server_id=SERVER, name=str(group.pk), add=False)
    assert set(port.security_groups.values_list("name", flat=True)) == {"default"}


def test_what_a_user_writes_into_a_port_makes_it_no_servers(ctx, other, subnet, network):
    """Else anybody could plug a port of theirs into somebody else's server."""
    create(ctx, [{"uuid": str(network.pk)}])
    theirs = services.network_create(other, name="theirs")
    services.subnet_create(other, network_id=str(theirs.pk), cidr="10.8.0.0/24")
    services.port_create(other, network_id=str(theirs.pk), device_id=str(SERVER), device_owner="compute:nova")
    assert len(services.server_nics(ctx, server_id=SERVER)) == 1
    services.server_ports_release(ctx, server_id=SERVER)
    assert Port.objects.filter(device_id=str(SERVER)).count() == 1
