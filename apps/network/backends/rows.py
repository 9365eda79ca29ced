"""Northbound rows as plain values, and the difference between what is wanted and what is there.

Every row of ours carries in `external_ids` which thing it belongs to (`kumo:kind`, `kumo:id`: its scope), its key
(`kumo:row`) and what it was joined to (`kumo:joins`). Rows without these marks are not ours and never touched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

Scope = tuple[str, str]  # kind and id of the thing a row was made for
Key = tuple[str, str]  # table, and our name of the row, unique within the table

KIND, IDENT, NAME, JOINS = "kumo:kind", "kumo:id", "kumo:row", "kumo:joins"

# The columns that are ours to say, with their empty values: lists for sets and optional values.
MANAGED: dict[str, dict[str, Any]] = {
    "Logical_Switch": {"name": "", "other_config": {}},
    "Logical_Switch_Port": {
        "name": "", "type": "", "addresses": [], "port_security": [], "enabled": [], "options": {}, "tag": [],
        "dhcpv4_options": [], "dhcpv6_options": [],
    },
    "DHCP_Options": {"cidr": "", "options": {}},
    "Logical_Router": {"name": "", "enabled": [], "options": {}},
    "Logical_Router_Port": {
        "name": "", "mac": "", "networks": [], "enabled": [], "options": {}, "ipv6_ra_configs": {},
    },
    "Gateway_Chassis": {"name": "", "chassis_name": "", "priority": 0},
    "Logical_Router_Static_Route": {"ip_prefix": "", "nexthop": "", "output_port": []},
    "NAT": {"type": "", "external_ip": "", "logical_ip": "", "external_mac": [], "logical_port": []},
    "Port_Group": {"name": ""},
    "ACL": {"direction": "", "priority": 0, "match": "", "action": ""},
}  # fmt: skip

# Sets of other rows by which a row is held (strong) or listed (weak).
STRONG = {
    ("Logical_Switch", "ports"),
    ("Logical_Router", "ports"),
    ("Logical_Router", "nat"),
    ("Logical_Router", "static_routes"),
    ("Logical_Router_Port", "gateway_chassis"),
    ("Port_Group", "acls"),
}
WEAK = {("Port_Group", "ports")}


@dataclass(frozen=True, slots=True)
class Ref:
    """Another row of ours, and the scope it is made in."""

    key: Key
    scope: Scope


@dataclass(frozen=True, slots=True)
class Join:
    """Membership in a set of another row."""

    to: Ref
    column: str

    @property
    def text(self) -> str:
        return f"{self.to.key[0]}|{self.to.key[1]}|{self.column}"


@dataclass(frozen=True, slots=True)
class Row:
    """One wanted row. Columns not given are to be empty."""

    table: str
    name: str
    scope: Scope
    columns: Mapping[str, Any] = field(default_factory=dict)
    joins: tuple[Join, ...] = ()
    label: str = ""  # a person's name for the thing, for those who look into OVN

    @property
    def key(self) -> Key:
        return self.table, self.name

    @property
    def ref(self) -> Ref:
        return Ref(self.key, self.scope)

    def column(self, name: str) -> Any:
        value = self.columns.get(name, MANAGED[self.table][name])
        return sorted(value, key=str) if isinstance(value, list | tuple | set | frozenset) else value

    @property
    def marks(self) -> dict[str, str]:
        """What goes into `external_ids`."""
        marks = {
            KIND: self.scope[0],
            IDENT: self.scope[1],
            NAME: self.name,
            JOINS: " ".join(sorted(j.text for j in self.joins)),
        }
        return marks | {"kumo:name": self.label} if self.label else marks


@dataclass(frozen=True, slots=True)
class Seen:
    """One row of ours as it is there. References in `columns` are keys, or None for rows that are not ours."""

    key: Key
    columns: Mapping[str, Any]
    joins: frozenset[str]
    marks: Mapping[str, str]


@dataclass(slots=True)
class Plan:
    """What makes the one the other."""

    create: list[Row] = field(default_factory=list)
    update: list[tuple[Row, list[str]]] = field(default_factory=list)
    join: list[tuple[Row, Join]] = field(default_factory=list)
    part: list[tuple[Key, str]] = field(default_factory=list)
    delete: list[Key] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.create or self.update or self.join or self.part or self.delete)

    def lines(self) -> list[str]:
        """For people."""
        found = [f"create {r.table} {r.name}" for r in self.create]
        found += [f"change {r.table} {r.name}: {', '.join(columns)}" for r, columns in self.update]
        made = {r.key for r in self.create}
        found += [f"join {r.table} {r.name} to {j.text}" for r, j in self.join if r.key not in made]
        found += [f"part {table} {name} from {text}" for (table, name), text in self.part]
        return found + [f"delete {table} {name}" for table, name in self.delete]


def diff(wanted: Collection[Row], seen: Mapping[Key, Seen]) -> Plan:
    """Pure: the smallest plan that makes what is seen into what is wanted."""
    plan = Plan()
    keys = set()
    for row in wanted:
        keys.add(row.key)
        there = seen.get(row.key)
        if there is None:
            plan.create.append(row)
            plan.join += [(row, join) for join in row.joins]
            continue
        changed = [c for c in MANAGED[row.table] if _comparable(row.column(c)) != there.columns[c]]
        if any(there.marks.get(mark) != text for mark, text in row.marks.items()):
            changed.append("external_ids")
        if changed:
            plan.update.append((row, changed))
        texts = {join.text for join in row.joins}
        plan.join += [(row, join) for join in row.joins if join.text not in there.joins]
        plan.part += [(row.key, text) for text in sorted(there.joins - texts)]
    plan.delete = sorted(key for key in seen if key not in keys)
    return plan


def _comparable(value: Any) -> Any:
    if isinstance(value, list):
        return [v.key if isinstance(v, Ref) else v for v in value]
    return dict(value) if isinstance(value, Mapping) else value
