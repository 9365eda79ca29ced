"""From the database into a real northbound database, and back when it is lost."""

from __future__ import annotations

import pytest

from apps.network import jobs, reconcile, services
from apps.network.models import Change, Port
from apps.network.states import Owner
from tests.kit.waiting import until


def project(northbound) -> list[str]:
    """What the daemon does with the marks there are."""
    scopes = {(c.kind, str(c.ident)) for c in Change.objects.all()}
    plan = jobs.project(northbound, scopes)
    Change.objects.all().delete()
    return plan.lines()


def port_rows(nb) -> dict[str, dict]:
    rows = nb.rows("Logical_Switch_Port", "name", "type", "addresses", "port_security", "options", "dhcpv4_options")
    return {row["name"]: row for row in rows}


def test_a_port_is_projected_with_its_switch_groups_and_dhcp(ctx, subnet, network, nb, northbound):
    port = services.port_create(ctx, network_id=str(network.pk))
    project(northbound)
    row = port_rows(nb)[str(port.pk)]
    assert row["addresses"] == row["port_security"] == f"{port.mac_address} 10.0.0.3"
    [dhcp] = nb.rows("DHCP_Options", "_uuid", "cidr", "options")
    assert row["dhcpv4_options"] == dhcp["_uuid"]
    assert dhcp["options"]["mtu"] == "1442"
    assert dhcp["options"]["classless_static_route"] == "{169.254.169.254/32,10.0.0.2, 0.0.0.0/0,10.0.0.1}"
    metadata = port_rows(nb)[str(Port.objects.get(device_owner=Owner.METADATA).pk)]
    assert metadata["type"] == "localport"
    groups = {g["name"]: g for g in nb.rows("Port_Group", "name", "ports", "acls")}
    assert len(groups) == 2
    assert all(g["ports"] for g in groups.values())
    assert jobs.sync(northbound, dry_run=True).lines() == []


def test_projecting_twice_changes_nothing(ctx, subnet, network, northbound):
    port = services.port_create(ctx, network_id=str(network.pk))
    project(northbound)
    assert not jobs.project(northbound, {("port", str(port.pk)), ("network", str(network.pk))})


def test_a_change_touches_only_what_changed(ctx, subnet, network, northbound):
    port = services.port_create(ctx, network_id=str(network.pk))
    project(northbound)
    services.port_update(ctx, port_id=str(port.pk), admin_state_up=False)
    assert project(northbound) == [f"change Logical_Switch_Port {port.pk}: enabled"]


def test_groups_follow_their_ports(ctx, subnet, network, nb, northbound):
    port = services.port_create(ctx, network_id=str(network.pk))
    group = services.security_group_create(ctx, name="web")
    services.security_group_rule_create(
        ctx, security_group_id=str(group.pk), direction="ingress", protocol="tcp", port_range_min=80, port_range_max=81
    )
    project(northbound)
    services.port_update(ctx, port_id=str(port.pk), security_groups=[str(group.pk)])
    project(northbound)
    name = f"kumo_sg_{group.pk.hex}"
    groups = {g["name"]: g["ports"] for g in nb.rows("Port_Group", "name", "ports")}
    assert [n for n, ports in groups.items() if ports] == ["kumo_drop", name] or sorted(
        n for n, ports in groups.items() if ports
    ) == sorted(["kumo_drop", name])
    matches = [row["match"] for row in nb.rows("ACL", "match")]
    assert f"outport == @{name} && ip4 && tcp && tcp.dst >= 80 && tcp.dst <= 81" in matches


def test_a_router_with_gateway_and_floating_ip(ctx, subnet, network, external, nb, northbound):
    router = services.router_create(ctx, external_gateway_info={"network_id": str(external.pk)})
    services.router_add_interface(ctx, router_id=str(router.pk), subnet_id=str(subnet.pk))
    port = services.port_create(ctx, network_id=str(network.pk))
    floating = services.floatingip_create(ctx, floating_network_id=str(external.pk), port_id=str(port.pk))
    project(northbound)
    nat = {row["type"]: row for row in nb.rows("NAT", "type", "external_ip", "logical_ip")}
    assert nat["dnat_and_snat"]["external_ip"] == floating.floating_ip_address
    assert nat["dnat_and_snat"]["logical_ip"] == "10.0.0.3"
    assert nat["snat"]["logical_ip"] == "10.0.0.0/24"
    [route] = nb.rows("Logical_Router_Static_Route", "ip_prefix", "nexthop", "output_port")
    assert (route["ip_prefix"], route["nexthop"]) == ("0.0.0.0/0", "172.31.0.1")
    networks = sorted(row["networks"] for row in nb.rows("Logical_Router_Port", "networks"))
    assert networks == ["10.0.0.1/24", "172.31.0.100/24"]
    [localnet] = [r for r in nb.rows("Logical_Switch_Port", "type", "options") if r["type"] == "localnet"]
    assert localnet["options"] == {"network_name": "physnet1"}
    services.floatingip_update(ctx, floatingip_id=str(floating.pk), port_id=None)
    assert project(northbound) == [f"delete NAT {floating.pk}"]
    assert jobs.sync(northbound, dry_run=True).lines() == []


def test_everything_goes_with_its_thing_and_foreign_rows_stay(ctx, subnet, network, external, nb, northbound):
    nb.ctl("ls-add", "foreign")
    nb.ctl("lsp-add", "foreign", "foreign-port")
    router = services.router_create(ctx, external_gateway_info={"network_id": str(external.pk)})
    services.router_add_interface(ctx, router_id=str(router.pk), subnet_id=str(subnet.pk))
    port = services.port_create(ctx, network_id=str(network.pk))
    project(northbound)
    services.port_delete(ctx, port_id=str(port.pk))
    services.router_remove_interface(ctx, router_id=str(router.pk), subnet_id=str(subnet.pk))
    services.router_delete(ctx, router_id=str(router.pk))
    services.network_delete(ctx, network_id=str(network.pk))
    project(northbound)
    assert {row["name"] for row in nb.rows("Logical_Switch", "name")} == {"foreign", f"kumo-{external.pk}"}
    assert set(port_rows(nb)) == {"foreign-port", f"provnet-{external.pk}"}
    assert nb.rows("Logical_Router", "name") == []
    assert jobs.sync(northbound, dry_run=True).lines() == []


def test_sync_mends_what_was_edited_and_lost(ctx, subnet, network, nb, northbound):
    port = services.port_create(ctx, network_id=str(network.pk))
    project(northbound)
    nb.ctl("lsp-set-addresses", str(port.pk), "unknown")
    nb.ctl("clear", "Port_Group", "kumo_drop", "ports")
    nb.ctl("lsp-del", str(Port.objects.get(device_owner=Owner.METADATA).pk))
    northbound.close()
    again = type(northbound)(nb.remote)
    found = jobs.sync(again, dry_run=True).lines()
    assert len(found) == 3, found
    assert jobs.sync(again).lines() == found
    assert jobs.sync(again, dry_run=True).lines() == []
    again.close()


def test_a_dry_run_changes_nothing(ctx, subnet, network, nb, northbound):
    assert jobs.sync(northbound, dry_run=True).lines()
    assert nb.rows("Logical_Switch", "name") == []
    assert Change.objects.exists()


def test_ports_follow_what_ovn_says(ctx, subnet, network, nb, northbound):
    port = services.port_create(ctx, network_id=str(network.pk))
    project(northbound)
    reconcile.record_status({str(port.pk): True, "not-a-uuid": True})
    port.refresh_from_db()
    assert port.status == "ACTIVE"
    reconcile.record_status({str(port.pk): False})
    port.refresh_from_db()
    assert port.status == "DOWN"


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_daemon_projects_hears_and_heals(ctx, subnet, network, nb, settings):
    """The real loop: a mark is projected, an `up` is recorded, an emptied database is filled again."""
    import threading

    import msgspec

    config = settings.CONFIG
    settings.CONFIG = msgspec.structs.replace(config, ovn=msgspec.structs.replace(config.ovn, northbound=nb.remote))
    stop = threading.Event()
    thread = threading.Thread(target=reconcile.run, args=(stop,))
    thread.start()

    try:
        until(lambda: not Change.objects.exists(), pause_s=0.02)
        port = services.port_create(ctx, network_id=str(network.pk))
        until(lambda: not Change.objects.exists(), pause_s=0.02)
        assert str(port.pk) in port_rows(nb)
        nb.ctl("set", "Logical_Switch_Port", str(port.pk), "up=true")
        until(lambda: Port.objects.get(pk=port.pk).status == "ACTIVE", pause_s=0.02)
        nb.stop(lose=True)
        nb.start()
        until(lambda: str(port.pk) in port_rows(nb), pause_s=0.02)
        until(lambda: Port.objects.get(pk=port.pk).status == "DOWN", pause_s=0.02)
    finally:
        stop.set()
        thread.join(timeout=60)
    assert not thread.is_alive()
