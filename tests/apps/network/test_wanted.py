"""Pure: facts to rows, and rows to differences."""

from __future__ import annotations

import dataclasses

import pytest

from apps.network.backends.rows import Join, Ref, Row, Seen, diff
from apps.network.jobs import wanted
from apps.network.jobs.facts import GroupFact, NetworkFact, PortFact, RouterFact, RuleFact, SubnetFact

NET, SUB, PORT, ROUTER, GROUP = (f"00000000-0000-4000-8000-00000000000{i}" for i in range(1, 6))
SUBNET = SubnetFact(SUB, 4, "10.0.0.0/24", gateway="10.0.0.1", metadata="10.0.0.2")
NETWORK = NetworkFact(NET, 1442, subnets=(SUBNET,))
VIF = PortFact(PORT, NETWORK, "fa:16:3e:00:00:01", addresses=(("10.0.0.5", SUB),), groups=(GROUP,), chassis="hv")


def lsp(port: PortFact) -> Row:
    return next(row for row in wanted.port_rows(port) if row.table == "Logical_Switch_Port")


def test_a_secured_port_may_send_from_its_own_addresses_and_pairs_only():
    row = lsp(dataclasses.replace(VIF, pairs=(("fa:16:3e:00:00:02", "10.0.0.9"),)))
    assert row.columns["addresses"] == ["fa:16:3e:00:00:01 10.0.0.5"]
    assert row.columns["port_security"] == ["fa:16:3e:00:00:01 10.0.0.5", "fa:16:3e:00:00:02 10.0.0.9"]
    assert row.columns["options"] == {"requested-chassis": "hv"}
    assert {join.to.key[1] for join in row.joins} == {NET, "kumo_drop", wanted.group_name(GROUP)}


def test_a_port_without_security_is_in_no_group_and_takes_everything():
    row = lsp(dataclasses.replace(VIF, secured=False, groups=()))
    assert row.columns["port_security"] == []
    assert "unknown" in row.columns["addresses"]
    assert [join.to.key[0] for join in row.joins] == ["Logical_Switch"]


def test_dhcp_tells_of_the_metadata_service_the_mtu_and_the_way_out():
    options = wanted.dhcp_options(NETWORK, SUBNET) or {}
    assert options["classless_static_route"] == "{169.254.169.254/32,10.0.0.2, 0.0.0.0/0,10.0.0.1}"
    assert (options["mtu"], options["router"], options["server_id"]) == ("1442", "10.0.0.1", "10.0.0.1")


def test_a_subnet_without_gateway_has_no_way_out():
    options = wanted.dhcp_options(NETWORK, dataclasses.replace(SUBNET, gateway="")) or {}
    assert "router" not in options
    assert "0.0.0.0/0" not in options["classless_static_route"]


def test_extra_options_get_rows_of_their_own():
    rows = wanted.port_rows(dataclasses.replace(VIF, options=(("bootfile-name", "pxelinux.0", 4), ("999", "x", 4))))
    own = next(row for row in rows if row.table == "DHCP_Options")
    assert own.columns["options"]["bootfile_name"] == '"pxelinux.0"'
    assert lsp(dataclasses.replace(VIF, options=(("mtu", "1400", 4),))).columns["dhcpv4_options"] == [own.ref]


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ({"direction": "egress"}, "inport == @g && ip4"),
        ({"protocol": "tcp", "least": 22, "most": 22}, "outport == @g && ip4 && tcp && tcp.dst == 22"),
        ({"protocol": "udp", "least": 1, "most": 9}, "outport == @g && ip4 && udp && udp.dst >= 1 && udp.dst <= 9"),
        (
            {"protocol": "icmp", "least": 8, "most": 0},
            "outport == @g && ip4 && icmp4 && icmp4.type == 8 && icmp4.code == 0",
        ),
        ({"protocol": "icmp", "ethertype": "IPv6"}, "outport == @g && ip6 && icmp6"),
        ({"protocol": "47"}, "outport == @g && ip4 && ip.proto == 47"),
        ({"prefix": "10.1.2.3/16"}, "outport == @g && ip4 && ip4.src == 10.1.0.0/16"),
        ({"prefix": "0.0.0.0/0"}, "outport == @g && ip4"),
        ({"group": GROUP}, f"outport == @g && ip4 && ip4.src == ${wanted.group_name(GROUP)}_ip4"),
    ],
)
def test_rules_become_matches(rule, match):
    fact = RuleFact(**({"id": "r", "direction": "ingress", "ethertype": "IPv4"} | rule))
    assert wanted.match("g", fact) == match


def test_a_stateless_group_lets_pass_without_state():
    group = GroupFact(GROUP, stateful=False, rules=(RuleFact("r", "egress", "IPv4"),))
    assert [r.columns["action"] for r in wanted.group_rows(group) if r.table == "ACL"] == ["allow-stateless"]


def test_gateways_stand_by_on_several_hosts_in_an_order_of_their_own():
    outside = NetworkFact("00000000-0000-4000-8000-000000000009", 1500, external=True, subnets=(
        SubnetFact("s", 4, "172.31.0.0/24", gateway="172.31.0.1"),))  # fmt: skip
    gateway = PortFact(PORT, outside, "fa:16:3e:00:00:03", addresses=(("172.31.0.9", "s"),),
                       owner="network:router_gateway", router=ROUTER)  # fmt: skip
    router = RouterFact(ROUTER, ports=(gateway,), chassis=tuple(f"hv-{i}" for i in range(8)))
    rows = wanted.router_rows(router, distributed=False)
    standing = [row.columns for row in rows if row.table == "Gateway_Chassis"]
    assert len(standing) == 5
    assert len({row["priority"] for row in standing}) == 5


SWITCH = Row("Logical_Switch", "n", ("network", "n"), {"name": "n"})
MEMBER = Row("Logical_Switch_Port", "p", ("port", "p"), {"name": "p", "enabled": [True]}, (Join(SWITCH.ref, "ports"),))


def seen(row: Row, **changes) -> Seen:
    from apps.network.backends.rows import MANAGED

    columns = {name: row.column(name) for name in MANAGED[row.table]} | changes
    return Seen(row.key, columns, frozenset(j.text for j in row.joins), row.marks)


def test_nothing_differs_from_itself():
    assert not diff([SWITCH, MEMBER], {row.key: seen(row) for row in (SWITCH, MEMBER)})


def test_differences_are_the_smallest():
    plan = diff([SWITCH, MEMBER], {SWITCH.key: seen(SWITCH), MEMBER.key: seen(MEMBER, enabled=[False])})
    assert plan.lines() == ["change Logical_Switch_Port p: enabled"]
    assert diff([SWITCH], {row.key: seen(row) for row in (SWITCH, MEMBER)}).delete == [MEMBER.key]
    moved = dataclasses.replace(MEMBER, joins=(Join(Ref(("Logical_Switch", "other"), ("network", "o")), "ports"),))
    plan = diff([moved], {MEMBER.key: seen(MEMBER)})
    assert plan.part == [(MEMBER.key, "Logical_Switch|n|ports")]
    assert [join.text for _, join in plan.join] == ["Logical_Switch|other|ports"]
