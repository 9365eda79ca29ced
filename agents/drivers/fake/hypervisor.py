"""A hypervisor without machines, for tests of what goes wrong and for simulating many hosts.

Guests are files in the state directory, so that they outlive a killed worker as libvirt's do. It passes the
same conformance tests as the real driver; it is never a default.
"""

from __future__ import annotations

import builtins
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from agents import disks
from agents.contracts import (
    Diagnostics,
    DiskUse,
    Domain,
    DomainEvent,
    DomainReady,
    NicUse,
    ObservedDomain,
    Power,
    VcpuUse,
)
from agents.drivers.hypervisor import Capabilities, Checkpoint, EventSink, GuestNetwork
from agents.errors import Refused, Transient, VerbError
from agents.layout import Layout
from agents.wiring import Wiring

STEP_S = 0.05


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call of `method` that fails, before or after it has done its work."""

    method: Literal["ensure", "remove", "reboot", "list"]
    kind: Literal["transient", "refused"] = "transient"
    after: bool = False
    times: int = 1


class FakeOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the fake pretends."""

    vcpus: int = 64
    ram_mib: int = 262_144
    delay_s: float = 0.0  # how long each change takes
    stops_when_asked: bool = True  # guests hear the power button
    faults: tuple[Fault, ...] = ()


class Guest(msgspec.Struct):
    """One pretended guest; `marked` is false for somebody else's."""

    wanted: Domain
    power: Power
    running_shape: tuple[Any, ...] | None = None
    marked: bool = True


class FakeHypervisor:
    """See the module."""

    api = 1
    Options = FakeOptions
    wiring: Wiring | None = None

    def __init__(self, layout: Layout, options: FakeOptions) -> None:
        self._layout = layout
        self._options = options
        self._directory = layout.state / "fake"
        self._lock = threading.RLock()
        self._sink: EventSink = lambda event: None
        self._faults = deque(fault for fault in options.faults for _ in range(fault.times))

    def capabilities(self) -> Capabilities:
        return Capabilities(
            virtualization="qemu",
            version="0.0.0",
            vcpus=self._options.vcpus,
            ram_mib=self._options.ram_mib,
            cpu_model="pretended",
            cpu_features=(),
            firmware=frozenset({"bios", "uefi"}),
            consoles=frozenset({"vnc", "serial"}),
        )

    def list(self) -> builtins.list[ObservedDomain]:
        with self._lock, self._faulty("list"):
            return [_observed(guest) for guest in self._guests() if guest.marked]

    def observe(self, server_id: str) -> ObservedDomain | None:
        guest = self._read(server_id)
        return _observed(guest) if guest and guest.marked else None

    def networks(self) -> Iterator[GuestNetwork]:
        for guest in self._guests():
            for nic in guest.wanted.nics:
                if guest.marked and nic.metadata is not None:
                    yield GuestNetwork(guest.wanted.server_id, nic.network_id, nic.metadata)

    def ensure(self, wanted: Domain, checkpoint: Checkpoint) -> DomainReady:
        with self._faulty("ensure"):
            guest = self._read(wanted.server_id)
            if guest is None:
                if wanted.has_root_disk:
                    disks.base_of(self._layout, wanted.server_id)
                guest = Guest(wanted, Power.SHUTOFF)
            else:
                _own(guest)
                if guest.wanted.generation > wanted.generation:
                    raise Refused(
                        f"generation {wanted.generation} is older than {guest.wanted.generation}, which this host has"
                    )
                guest.wanted = wanted
            self._write(guest)
            self._reach(guest, wanted.power, wanted.hard_stop_after_s, checkpoint)
            return _ready(guest)

    def remove(self, server_id: str) -> None:
        with self._faulty("remove"):
            guest = self._read(server_id)
            if guest is None:
                return
            _own(guest)
            self._path(server_id).unlink(missing_ok=True)
            guest.power = Power.MISSING
            self._tell(guest, "undefined")

    def reboot(self, server_id: str, *, hard: bool, hard_stop_after_s: int, checkpoint: Checkpoint) -> DomainReady:
        with self._faulty("reboot"):
            guest = self._read(server_id)
            if guest is None:
                raise Refused(f"server {server_id} is not on this host")
            _own(guest)
            self._reach(guest, Power.SHUTOFF, 0 if hard else hard_stop_after_s, checkpoint)
            self._reach(guest, Power.RUNNING, 0, checkpoint)
            return _ready(guest)

    def console(self, server_id: str, kind: str) -> socket.socket:
        guest = self._read(server_id)
        if guest is None or guest.power not in (Power.RUNNING, Power.PAUSED):
            raise Refused(f"server {server_id} does not run on this host, so it has no console")
        _own(guest)
        ours, theirs = socket.socketpair()
        theirs.sendall(b"RFB 003.008\n" if kind == "vnc" else b"login: ")
        threading.Thread(target=_echo, args=(theirs,), daemon=True).start()
        return ours

    def diagnostics(self, server_id: str) -> Diagnostics:
        guest = self._read(server_id)
        if guest is None or guest.power not in (Power.RUNNING, Power.PAUSED):
            raise Refused(f"server {server_id} does not run on this host, so there is nothing to diagnose")
        _own(guest)
        traffic = dict.fromkeys(("rx_bytes", "rx_packets", "rx_errors", "rx_drop"), 0)
        traffic |= dict.fromkeys(("tx_bytes", "tx_packets", "tx_errors", "tx_drop"), 0)
        return Diagnostics(
            driver="fake",
            virtualization="qemu",
            power=guest.power,
            memory_kib=guest.wanted.ram_mib * 1024,
            vcpus=tuple(VcpuUse(number=number, time_ns=0) for number in range(guest.wanted.vcpus)),
            disks=(DiskUse(name="vda", read_bytes=0, read_requests=0, write_bytes=0, write_requests=0),),
            nics=tuple(NicUse(name=f"tap{nic.port_id[:11]}", mac=nic.mac, **traffic) for nic in guest.wanted.nics),
        )

    def listen(self, sink: EventSink, opened: Callable[[], None]) -> None:
        self._sink = sink
        opened()
        for guest in self._guests():
            self._tell(guest, "connected")

    def close(self) -> None:
        self._sink = lambda event: None

    # --- for tests: what a real host does by itself -------------------------------------------------

    def change_outside(self, server_id: str, power: Power) -> None:
        """A guest changes without having been told to."""
        guest = self._read(server_id)
        if guest is None:
            raise Refused(f"server {server_id} is not on this host")
        guest.power = power
        self._write(guest)
        self._tell(guest, "changed outside")

    def define_foreign(self, wanted: Domain) -> None:
        """Somebody else's guest, without our mark."""
        self._write(Guest(wanted, Power.RUNNING, marked=False))

    # --- pieces -------------------------------------------------------------------------------------

    def _reach(self, guest: Guest, power: Power, grace_s: int, checkpoint: Checkpoint) -> None:
        if guest.power == power:
            return
        if power == Power.SUSPENDED and guest.power == Power.SHUTOFF:
            raise Refused("a guest that is switched off has no memory to save")
        if power == Power.SHUTOFF and guest.power == Power.RUNNING and not self._options.stops_when_asked:
            self._sleep(grace_s, checkpoint)
        self._sleep(self._options.delay_s, checkpoint)
        if guest.power == Power.SHUTOFF:
            guest.running_shape = _shape(guest.wanted)
        guest.power = power
        self._write(guest)
        self._tell(guest, power.value)

    def _sleep(self, duration_s: float, checkpoint: Checkpoint) -> None:
        end = time.monotonic() + duration_s
        while (left := end - time.monotonic()) > 0:
            checkpoint()
            time.sleep(min(STEP_S, left))

    def _faulty(self, method: str) -> _Faulty:
        with self._lock:
            for fault in self._faults:
                if fault.method == method:
                    self._faults.remove(fault)
                    return _Faulty(fault)
        return _Faulty(None)

    def _tell(self, guest: Guest, reason: str) -> None:
        if guest.marked:
            self._sink(DomainEvent(observed=_observed(guest), reason=reason))

    def _path(self, server_id: str) -> Any:
        return self._directory / f"{server_id}.json"

    def _guests(self) -> Iterator[Guest]:
        if self._directory.is_dir():
            for path in sorted(self._directory.glob("*.json")):
                yield msgspec.json.decode(path.read_bytes(), type=Guest)

    def _read(self, server_id: str) -> Guest | None:
        try:
            return msgspec.json.decode(self._path(server_id).read_bytes(), type=Guest)
        except FileNotFoundError:
            return None

    def _write(self, guest: Guest) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._path(guest.wanted.server_id)
        made = path.with_suffix(f".{threading.get_ident()}")
        made.write_bytes(msgspec.json.encode(guest))
        os.replace(made, path)


class _Faulty:
    """Raises its fault on entry, or on leaving when the work is done already."""

    def __init__(self, fault: Fault | None) -> None:
        self._fault = fault

    def __enter__(self) -> None:
        if self._fault and not self._fault.after:
            raise self._error()

    def __exit__(self, kind: object, *_: object) -> None:
        if self._fault and self._fault.after and kind is None:
            raise self._error()

    def _error(self) -> VerbError:
        return (Refused if self._fault and self._fault.kind == "refused" else Transient)("a fault was injected")


def _own(guest: Guest) -> None:
    if not guest.marked:
        raise Refused(f"the domain with UUID {guest.wanted.server_id} is not managed by this cloud")


def _shape(wanted: Domain) -> tuple[Any, ...]:
    return (wanted.vcpus, wanted.ram_mib, wanted.firmware, wanted.config_drive)


def _observed(guest: Guest) -> ObservedDomain:
    return ObservedDomain(
        server_id=guest.wanted.server_id,
        generation=guest.wanted.generation,
        operation_id=guest.wanted.operation_id,
        power=guest.power,
    )


def _ready(guest: Guest) -> DomainReady:
    active = guest.power in (Power.RUNNING, Power.PAUSED)
    return DomainReady(
        server_id=guest.wanted.server_id,
        generation=guest.wanted.generation,
        power=guest.power,
        needs_restart=active and guest.running_shape != _shape(guest.wanted),
    )


def _echo(end: socket.socket) -> None:
    with end:
        while data := end.recv(4096):
            end.sendall(data)
