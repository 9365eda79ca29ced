"""Ports and their addresses."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from apps.core.errors import Conflict, Forbidden, Invalid, KumoError, NotFound
from apps.identity.services import limit_set
from apps.network import services
from apps.network.models import Change, FixedIp, Port, PortGroup
from apps.network.states import Owner, eui64


def addresses(port: Port) -> list[str]:
    return list(port.fixed_ips.order_by("pk").values_list("address", flat=True))


def test_a_port_gets_an_address_the_default_group_and_a_mark_for_the_projector(ctx, network, subnet):
    port = services.port_create(ctx, network_id=str(network.pk))
    assert addresses(port) == ["10.0.0.3"]  # .1 is the gateway, .2 the metadata service
    group = PortGroup.objects.get(port=port).security_group
    assert (group.is_default, group.rules.count()) == (True, 4)
    assert Change.objects.filter(kind="port", ident=port.pk).exists()


def test_addresses_go_up_and_gaps_are_filled_when_the_end_is_reached(ctx, network):
    subnet = services.subnet_create(
        ctx,
        network_id=str(network.pk),
        cidr="10.1.0.0/24",
        enable_dhcp=False,
        allocation_pools=[{"start": "10.1.0.10", "end": "10.1.0.12"}],
    )
    ports = [services.port_create(ctx, network_id=str(network.pk)) for _ in range(3)]
    assert [addresses(p) for p in ports] == [["10.1.0.10"], ["10.1.0.11"], ["10.1.0.12"]]
    with pytest.raises(Conflict) as refused:
        services.port_create(ctx, network_id=str(network.pk))
    assert refused.value.code == "IpAddressGenerationFailure"
    assert Port.objects.filter(network=network).count() == 3
    services.port_delete(ctx, port_id=str(ports[1].pk))
    assert addresses(services.port_create(ctx, network_id=str(network.pk))) == ["10.1.0.11"]
    assert FixedIp.objects.filter(subnet=subnet).count() == 3


def test_an_address_in_use_is_refused_and_nothing_is_left(ctx, network, subnet):
    wish = [{"ip_address": "10.0.0.50"}]
    services.port_create(ctx, network_id=str(network.pk), fixed_ips=wish)
    before = Port.objects.count()
    with pytest.raises(Conflict) as refused:
        services.port_create(ctx, network_id=str(network.pk), fixed_ips=wish)
    assert refused.value.code == "IpAddressAlreadyAllocated"
    assert "10.0.0.50" in str(refused.value)
    assert Port.objects.count() == before


@pytest.mark.parametrize("address", ["10.9.9.9", "10.0.0.0", "10.0.0.255", "nonsense"])
def test_an_address_that_is_not_of_the_subnet_is_refused(ctx, network, subnet, address):
    with pytest.raises(Invalid):
        services.port_create(
            ctx, network_id=str(network.pk), fixed_ips=[{"subnet_id": str(subnet.pk), "ip_address": address}]
        )


def test_a_self_addressing_subnet_gives_the_address_that_follows_from_the_mac(ctx, network):
    services.subnet_create(
        ctx,
        network_id=str(network.pk),
        cidr="2001:db8::/64",
        ipv6_ra_mode="slaac",
        ipv6_address_mode="slaac",
    )
    port = services.port_create(ctx, network_id=str(network.pk))
    assert addresses(port) == [eui64("2001:db8::/64", port.mac_address)]


def test_ipv6_addresses_are_allocated_from_large_pools(ctx, network):
    services.subnet_create(ctx, network_id=str(network.pk), cidr="2001:db8::/48")
    ports = [services.port_create(ctx, network_id=str(network.pk)) for _ in range(2)]
    assert [addresses(p) for p in ports] == [["2001:db8::2"], ["2001:db8::3"]]


def test_a_chosen_mac_is_unique_on_its_network(ctx, network, subnet):
    services.port_create(ctx, network_id=str(network.pk), mac_address="FA:16:3E:00:00:01")
    with pytest.raises(Conflict) as refused:
        services.port_create(ctx, network_id=str(network.pk), mac_address="fa:16:3e:00:00:01")
    assert refused.value.code == "MacAddressInUse"


def test_update_keeps_addresses_whose_subnet_is_named(ctx, network, subnet):
    port = services.port_create(ctx, network_id=str(network.pk))
    had = addresses(port)
    services.port_update(ctx, port_id=str(port.pk), fixed_ips=[{"subnet_id": str(subnet.pk)}])
    assert addresses(port) == had
    services.port_update(ctx, port_id=str(port.pk), fixed_ips=[{"ip_address": "10.0.0.77"}])
    assert addresses(port) == ["10.0.0.77"]
    services.port_update(ctx, port_id=str(port.pk), fixed_ips=[])
    assert addresses(port) == []


def test_another_projects_network_is_not_found(ctx, other, network, subnet):
    with pytest.raises(NotFound):
        services.port_create(other, network_id=str(network.pk))


def test_an_external_network_is_seen_but_not_used(ctx, external):
    with pytest.raises(Forbidden):
        services.port_create(ctx, network_id=str(external.pk))


def test_a_shared_network_takes_ports_but_no_chosen_addresses(admin, ctx):
    shared = services.network_create(admin, name="shared", shared=True)
    services.subnet_create(admin, network_id=str(shared.pk), cidr="10.2.0.0/24")
    assert addresses(services.port_create(ctx, network_id=str(shared.pk))) == ["10.2.0.3"]
    with pytest.raises(Forbidden):
        services.port_create(ctx, network_id=str(shared.pk), fixed_ips=[{"ip_address": "10.2.0.9"}])


def test_binding_is_the_administrators(ctx, network, subnet):
    with pytest.raises(Forbidden):
        services.port_create(ctx, network_id=str(network.pk), binding_host_id="host-1")
    port = services.port_create(ctx, network_id=str(network.pk))
    with pytest.raises(Forbidden):
        services.port_update(ctx, port_id=str(port.pk), binding_host_id="host-1")


def test_quota_answers_with_409(ctx, network, subnet):
    limit_set(ctx, project_id="one", service="network", resource="port", value=1)
    services.port_create(ctx, network_id=str(network.pk))
    with pytest.raises(KumoError) as refused:
        services.port_create(ctx, network_id=str(network.pk))
    assert (refused.value.status, refused.value.code) == (409, "OverQuota")


def test_ports_without_port_security_have_no_groups_or_pairs(ctx, network, subnet):
    port = services.port_create(ctx, network_id=str(network.pk), port_security_enabled=False)
    assert not PortGroup.objects.filter(port=port).exists()
    with pytest.raises(Conflict):
        services.port_update(ctx, port_id=str(port.pk), allowed_address_pairs=[{"ip_address": "10.0.0.9"}])


@pytest.mark.django_db(transaction=True)
def test_ports_made_at_once_never_share_an_address(ctx, network, subnet):
    """Twelve callers at once; each in a transaction that stays open until all have their address."""
    services.port_create(ctx, network_id=str(network.pk))
    failures: list[BaseException] = []

    def make() -> None:
        try:
            services.port_create(ctx, network_id=str(network.pk))
        except BaseException as error:  # noqa: BLE001
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=make) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    taken = list(FixedIp.objects.exclude(port__device_owner=Owner.METADATA).values_list("address", flat=True))
    assert len(taken) == len(set(taken)) == 13
