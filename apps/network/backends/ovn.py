"""The one connection to OVN's northbound database.

ovsdbapp keeps a replica of the tables we use up to date in a thread of its own. An index of our rows, by key and by
scope, is kept beside it from the same notifications, so that projecting one port looks at the rows of one port.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any

from ovs.db import idl as ovs_idl
from ovsdbapp import exceptions
from ovsdbapp.backend.ovs_idl import command, connection
from ovsdbapp.schema.ovn_northbound import impl_idl

from apps.network.backends.errors import Missing, Unreachable
from apps.network.backends.rows import (
    IDENT,
    JOINS,
    KIND,
    MANAGED,
    NAME,
    STRONG,
    WEAK,
    Key,
    Plan,
    Ref,
    Row,
    Scope,
    Seen,
    diff,
)

logger = logging.getLogger("kumo.network")

TIMEOUT_S = 8
_REFERENCES = {"dhcpv4_options", "dhcpv6_options"}


class _Replica(connection.OvsdbIdl):
    """The replica with our index. All of it runs in ovsdbapp's thread."""

    def __init__(self, remote: str, helper: Any, **options: Any) -> None:
        super().__init__(remote, helper, **options)
        self.rows: dict[Key, Any] = {}
        self.scopes: dict[Scope, set[Key]] = defaultdict(set)
        self._placed: dict[Any, tuple[Key, Scope]] = {}
        self.wake: Callable[[], None] = lambda: None
        self.ups: dict[str, bool] = {}
        self.ups_lock = threading.Lock()
        self.dump = 0  # the session whose first, whole dump is in

    def run(self) -> bool:
        changed: bool = super().run()
        session = self._session.get_seqno()
        if self.state == self.IDL_S_MONITORING and session != self.dump:
            self.dump = session
            self.wake()
        return changed

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        table = row._table.name
        if table not in MANAGED:
            return
        if event == ovs_idl.ROW_DELETE:
            self._forget(row)
            return
        if event == ovs_idl.ROW_CREATE or hasattr(updates, "external_ids"):
            self._place(row)
        if table == "Logical_Switch_Port" and (event == ovs_idl.ROW_CREATE or hasattr(updates, "up")):
            with self.ups_lock:
                self.ups[row.name] = bool(row.up and row.up[0])
            self.wake()

    def _place(self, row: Any) -> None:
        self._forget(row)
        marks = row.external_ids
        if NAME not in marks or KIND not in marks:
            return
        key, scope = (row._table.name, marks[NAME]), (marks[KIND], marks.get(IDENT, ""))
        self.rows[key] = row
        self.scopes[scope].add(key)
        self._placed[row.uuid] = (key, scope)

    def _forget(self, row: Any) -> None:
        placed = self._placed.pop(row.uuid, None)
        if placed is None:
            return
        key, scope = placed
        held = self.rows.get(key)
        if held is not None and held.uuid == row.uuid:
            del self.rows[key]
            self.scopes[scope].discard(key)
            if not self.scopes[scope]:
                del self.scopes[scope]

    def reindex(self) -> None:
        """Make the index anew from the tables: rows lost with a connection are not notified one by one."""
        self.rows.clear()
        self.scopes.clear()
        self._placed.clear()
        for table in MANAGED:
            for row in self.tables[table].rows.values():
                self._place(row)

    def key_of(self, row: Any) -> Key | None:
        """Our key of a row, or None for a foreign one."""
        placed = self._placed.get(row.uuid)
        return placed[0] if placed else None


class _Api(impl_idl.OvnNbApiIdlImpl):
    """ovsdbapp keeps one connection per class; here it belongs to its object."""

    _own: connection.Connection

    @property
    def ovsdb_connection(self) -> connection.Connection:
        return self._own

    @ovsdb_connection.setter
    def ovsdb_connection(self, made: connection.Connection) -> None:
        self._own = made


class _Project(command.BaseCommand):
    """Computes the difference against the replica and applies it, in one transaction."""

    def __init__(self, api: Any, wanted: Collection[Row], scopes: Collection[Scope] | None, dry_run: bool) -> None:
        super().__init__(api)
        self.wanted = wanted
        self.scopes = scopes
        self.dry_run = dry_run

    def run_idl(self, txn: Any) -> None:
        replica: _Replica = self.api.idl
        if self.scopes is None:
            replica.reindex()
            keys = set(replica.rows)
        else:
            keys = {key for scope in self.scopes for key in replica.scopes.get(scope, ())}
        actual = _memberships(replica) if self.scopes is None else None
        seen = {key: _see(replica, key, actual) for key in keys}
        # A row may have moved to another scope since; what is wanted decides.
        for row in self.wanted:
            if row.key not in seen and row.key in replica.rows:
                seen[row.key] = _see(replica, row.key, actual)
        plan = diff(self.wanted, seen)
        self.result = plan
        if self.dry_run or not plan:
            return
        _check_references(replica, self.wanted, plan)
        _Writer(replica, txn, plan).write()


def _see(replica: _Replica, key: Key, actual: dict[Key, set[str]] | None) -> Seen:
    row = replica.rows[key]
    marks = row.external_ids
    columns = {}
    for name in MANAGED[key[0]]:
        value = getattr(row, name)
        if name in _REFERENCES:
            value = [replica.key_of(v) for v in value]
        elif isinstance(value, list):
            value = sorted(value, key=str)
        columns[name] = value
    joins = set(marks.get(JOINS, "").split()) if actual is None else actual.get(key, set())
    return Seen(key, columns, frozenset(joins), marks)


def _memberships(replica: _Replica) -> dict[Key, set[str]]:
    """What our rows really are members of, whatever their marks say."""
    found: dict[Key, set[str]] = defaultdict(set)
    for (table, name), row in replica.rows.items():
        for parent, column in STRONG | WEAK:
            if parent != table:
                continue
            for member in getattr(row, column):
                key = replica.key_of(member)
                if key is not None:
                    found[key].add(f"{table}|{name}|{column}")
    return found


def _check_references(replica: _Replica, wanted: Collection[Row], plan: Plan) -> None:
    made = {row.key for row in plan.create}
    touched = list(plan.create) + [r for r, _ in plan.update] + [r for r, _ in plan.join]
    lacking = {
        ref.scope
        for row in touched
        for ref in _refs(row)
        if ref.key not in made and (ref.key not in replica.rows or ref.key in plan.delete)
    }
    if lacking:
        raise Missing(lacking)


def _refs(row: Row) -> Iterable[Ref]:
    for join in row.joins:
        yield join.to
    for value in row.columns.values():
        if isinstance(value, list | tuple):
            yield from (v for v in value if isinstance(v, Ref))


class _Writer:
    """Writes a plan into an OVSDB transaction: new rows first, then what refers to them."""

    def __init__(self, replica: _Replica, txn: Any, plan: Plan) -> None:
        self.replica, self.txn, self.plan = replica, txn, plan
        self.made: dict[Key, Any] = {}

    def write(self) -> None:
        for row in self.plan.create:
            self.made[row.key] = self.txn.insert(self.replica.tables[row.table])
        for row in self.plan.create:
            self._set(self.made[row.key], row, list(MANAGED[row.table]))
            self.made[row.key].external_ids = row.marks
        for row, columns in self.plan.update:
            there = self.replica.rows[row.key]
            self._set(there, row, [c for c in columns if c != "external_ids"])
            if "external_ids" in columns:
                there.external_ids = {**there.external_ids, **row.marks}
        self._join()
        self._part()
        self._delete()

    def _at(self, key: Key) -> Any:
        return self.made.get(key) or self.replica.rows[key]

    def _set(self, there: Any, row: Row, columns: Iterable[str]) -> None:
        for name in columns:
            value = row.column(name)
            if isinstance(value, list):
                value = [self._at(v.key) if isinstance(v, Ref) else v for v in value]
            setattr(there, name, value)

    def _join(self) -> None:
        """A new row's sets are written whole, those of rows that were there before are added to."""
        sets: dict[tuple[Key, str], list[Any]] = defaultdict(list)
        for row, join in self.plan.join:
            sets[join.to.key, join.column].append(self._at(row.key))
        for (key, column), members in sets.items():
            if key in self.made:
                setattr(self.made[key], column, members)
            else:
                for member in members:
                    self.replica.rows[key].addvalue(column, member.uuid)

    def _part(self) -> None:
        for key, text in self.plan.part:
            self._leave(key, text)

    def _leave(self, key: Key, text: str) -> None:
        table, name, column = text.split("|")
        parent = self.replica.rows.get((table, name))
        if parent is not None and (table, name) not in self.plan.delete:
            parent.delvalue(column, self.replica.rows[key].uuid)

    def _delete(self) -> None:
        for key in self.plan.delete:
            row = self.replica.rows[key]
            for text in row.external_ids.get(JOINS, "").split():
                table, _, column = text.split("|")
                if (table, column) in STRONG:
                    self._leave(key, text)
            row.delete()


class Northbound:
    """The connection. `wake` is called, in another thread, when ports went up or down."""

    def __init__(self, remote: str, wake: Callable[[], None] = lambda: None) -> None:
        """Connect and read everything. Raises Unreachable."""
        try:
            self.replica = _Replica.from_server(remote, "OVN_Northbound", helper_tables=tuple(MANAGED))
            self.replica.wake = wake
            self.connection = connection.Connection(self.replica, TIMEOUT_S)
            self.connection.start()
            self.api = _Api(self.connection, start=False, auto_index=False)
        except Exception as error:
            raise Unreachable(f"OVN's northbound database at {remote} does not answer: {error}") from error

    def close(self) -> None:
        """Let go of the connection."""
        self.connection.stop(TIMEOUT_S)

    @property
    def session(self) -> int:
        """Another number whenever the connection was lost, made again, and everything read again."""
        return self.replica.dump

    def project(self, wanted: Collection[Row], scopes: Collection[Scope] | None, *, dry_run: bool = False) -> Plan:
        """Make the rows of these scopes (None: all of ours) what is wanted; returns what was done.

        Raises Missing when rows of other scopes must be made with them, Unreachable when the database does not
        answer in time, RuntimeError with OVSDB's words when it refuses.
        """
        order = _Project(self.api, wanted, scopes, dry_run)
        try:
            with self.api.transaction(check_error=True, log_errors=False) as transaction:
                transaction.add(order)
        except exceptions.TimeoutException as error:
            raise Unreachable(str(error)) from error
        plan: Plan = order.result
        return plan

    def ups_of(self, names: Collection[str]) -> dict[str, bool]:
        """What is known now of these ports."""
        with self.connection.lock:
            rows = {name: self.replica.rows.get(("Logical_Switch_Port", name)) for name in names}
            return {name: bool(row.up and row.up[0]) for name, row in rows.items() if row is not None}

    def take_ups(self) -> dict[str, bool]:
        """Ports whose state was heard of since the last call, by name."""
        with self.replica.ups_lock:
            ups, self.replica.ups = self.replica.ups, {}
        return ups
