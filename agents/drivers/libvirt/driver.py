"""Makes libvirt match wanted guests. Everything it does can be repeated; only marked domains are touched."""

from __future__ import annotations

import builtins
import logging
import os
import socket
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any, Literal

import libvirt
import msgspec

from agents import disks, virtualization
from agents.contracts import Diagnostics, Domain, DomainEvent, DomainReady, ObservedDomain, Power
from agents.drivers.hypervisor import Capabilities, Checkpoint, EventSink, GuestNetwork
from agents.drivers.libvirt import counters, document, marks, power, streams
from agents.drivers.libvirt.connection import Connection, Lifecycle
from agents.drivers.libvirt.errors import is_gone, translated
from agents.errors import Refused, Transient
from agents.layout import Layout
from agents.wiring import Datapath, Wiring

log = logging.getLogger(__name__)

UNPLUG_S = 10.0

_LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
_CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)

# Which of libvirt's events tell a change of power, and the word for it.
_EVENTS = {
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: "undefined",
    libvirt.VIR_DOMAIN_EVENT_STARTED: "started",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspended",
    libvirt.VIR_DOMAIN_EVENT_RESUMED: "resumed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "stopped",
    libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: "pmsuspended",
}
_STOPPED_WHY = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: "shutdown by the guest",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: "power cut",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: "migrated",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: "memory saved",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: "the emulator died",
}


class LibvirtOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[drivers.hypervisor.default.OPTIONS]` of a host."""

    uri: str = "qemu:///system"
    virtualization: Literal["auto", "kvm", "qemu"] = "auto"
    datapath: Datapath = "auto"
    integration_bridge: str = "br-int"
    emulator: str | None = None


class LibvirtHypervisor:
    """The hypervisor of a host, through libvirtd."""

    api = 1
    Options = LibvirtOptions

    def __init__(self, layout: Layout, options: LibvirtOptions) -> None:
        self._layout = layout
        self._options = options
        self._connection = Connection(options.uri)
        self._switch = Wiring(options.integration_bridge, options.datapath)
        self.wiring: Wiring | None = self._switch
        self._virtualization = virtualization.choose(options.virtualization)
        self._capabilities: Capabilities | None = None
        self._seen: dict[str, marks.Mark] = {}  # to name a domain that is gone when its event arrives
        self._seen_lock = threading.Lock()

    # --- asking ------------------------------------------------------------------------------------

    def capabilities(self) -> Capabilities:
        if self._capabilities is None:
            with translated():
                self._capabilities = self._read_capabilities()
        return self._capabilities

    def list(self) -> builtins.list[ObservedDomain]:
        return [_observed(domain, mark) for domain, mark in self._marked()]

    def observe(self, server_id: str) -> ObservedDomain | None:
        with translated():
            domain = self._find(server_id)
            mark = domain and self._mark(domain)
            return _observed(domain, mark) if mark else None

    def networks(self) -> Iterator[GuestNetwork]:
        for _, mark in self._marked():
            for network in mark.networks:
                yield GuestNetwork(mark.server_id, network.network_id, network.endpoint)

    # --- doing -------------------------------------------------------------------------------------

    def ensure(self, wanted: Domain, checkpoint: Checkpoint) -> DomainReady:
        with translated():
            domain = self._find(wanted.server_id)
            if domain is None:
                domain = self._define(wanted)
            else:
                self._redefine(domain, wanted, checkpoint)
            power.reach(
                domain,
                wanted.power,
                grace_s=wanted.hard_stop_after_s,
                checkpoint=checkpoint,
                wait=self._connection.wait_changed,
            )
            self._catch_up(domain, wanted, checkpoint)
            return self._ready(domain)

    def remove(self, server_id: str) -> None:
        with translated():
            domain = self._find(server_id)
            if domain is None:
                return
            self._own(domain)
            try:
                power.cut(domain)
                domain.undefineFlags(_UNDEFINE)
            except libvirt.libvirtError as error:
                if not is_gone(error):
                    raise

    def reboot(self, server_id: str, *, hard: bool, hard_stop_after_s: int, checkpoint: Checkpoint) -> DomainReady:
        with translated():
            domain = self._find(server_id)
            if domain is None:
                raise Refused(f"server {server_id} is not on this host")
            self._own(domain)
            grace_s = 0 if hard else hard_stop_after_s
            power.stop(domain, grace_s=grace_s, checkpoint=checkpoint, wait=self._connection.wait_changed)
            domain.create()
            return self._ready(domain)

    def console(self, server_id: str, kind: str) -> socket.socket:
        with translated():
            domain = self._find(server_id)
            if domain is None or not domain.isActive():
                raise Refused(f"server {server_id} does not run on this host, so it has no console")
            self._own(domain)
            if kind == "vnc":
                return socket.socket(fileno=domain.openGraphicsFD(0))
            return streams.serial(self._connection.get(), domain)

    def diagnostics(self, server_id: str) -> Diagnostics:
        with translated():
            domain = self._find(server_id)
            if domain is None or not domain.isActive():
                raise Refused(f"server {server_id} does not run on this host, so there is nothing to diagnose")
            self._own(domain)
            return counters.read(domain, self._virtualization)

    # --- events ------------------------------------------------------------------------------------

    def listen(self, sink: EventSink, opened: Callable[[], None]) -> None:
        def on_opened() -> None:
            opened()
            self._report_all(sink)

        self._connection.listen(lambda event: self._on_lifecycle(event, sink), on_opened)

    def close(self) -> None:
        self._connection.close()

    def _on_lifecycle(self, event: Lifecycle, sink: EventSink) -> None:
        reason = _EVENTS.get(event.event)
        if reason is None:
            return
        if event.event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
            reason = _STOPPED_WHY.get(event.detail, reason)
        observed = self.observe(event.uuid) or self._missing(event.uuid)
        if observed is not None:
            sink(DomainEvent(observed=observed, reason=reason))

    def _report_all(self, sink: EventSink) -> None:
        for observed in self.list():
            sink(DomainEvent(observed=observed, reason="libvirtd was connected"))

    def _missing(self, server_id: str) -> ObservedDomain | None:
        with self._seen_lock:
            mark = self._seen.pop(server_id, None)
        if mark is None:
            return None
        return ObservedDomain(
            server_id=server_id,
            generation=mark.generation,
            operation_id=mark.operation_id,
            power=Power.MISSING,
        )

    # --- pieces ------------------------------------------------------------------------------------

    def _find(self, server_id: str) -> Any:
        try:
            return self._connection.get().lookupByUUIDString(server_id)
        except libvirt.libvirtError as error:
            if is_gone(error):
                return None
            raise

    def _marked(self) -> Iterator[tuple[Any, marks.Mark]]:
        with translated():
            domains = self._connection.get().listAllDomains()
        for domain in domains:
            with translated():
                mark = self._mark(domain)
            if mark is not None:
                yield domain, mark

    def _mark(self, domain: Any, flags: int = _CONFIG) -> marks.Mark | None:
        """The mark in the definition, which is never behind; with _LIVE that of the running machine."""
        try:
            text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, marks.NAMESPACE, flags)
        except libvirt.libvirtError as error:
            code = error.get_error_code()
            if code == libvirt.VIR_ERR_OPERATION_INVALID and flags == _CONFIG:
                return self._mark(domain, _LIVE)  # undefined by somebody while it runs
            if code == libvirt.VIR_ERR_NO_DOMAIN_METADATA or is_gone(error):
                return None
            raise
        mark = marks.parse(text)
        if mark is None or mark.server_id != domain.UUIDString():
            return None
        with self._seen_lock:
            self._seen[mark.server_id] = mark
        return mark

    def _own(self, domain: Any) -> marks.Mark:
        mark = self._mark(domain)
        if mark is None:
            raise Refused(f"the domain {domain.name()} with UUID {domain.UUIDString()} is not managed by this cloud")
        return mark

    def _traits(self) -> document.Traits:
        return document.Traits(
            virtualization=self._virtualization,
            userspace_datapath=self._switch.userspace(),
            integration_bridge=self._options.integration_bridge,
            direct_io=self._layout.direct_io(),
            emulator=self._options.emulator,
        )

    def _build(self, wanted: Domain) -> tuple[str, str]:
        files = self._layout.guest(wanted.server_id)
        base = disks.base_of(self._layout, wanted.server_id) if wanted.has_root_disk else None
        return document.build(wanted, files, base, self._traits())

    def _define(self, wanted: Domain) -> Any:
        text, _ = self._build(wanted)
        return self._connection.get().defineXML(text)

    def _redefine(self, domain: Any, wanted: Domain, checkpoint: Checkpoint) -> None:
        """Bring an existing definition up to the wish. Raises Refused where the wish is older."""
        mark = self._own(domain)
        if mark.generation > wanted.generation:
            raise Refused(f"generation {wanted.generation} is older than {mark.generation}, which this host has")
        text, shape = self._build(wanted)
        if mark.shape != shape:
            self._connection.get().defineXML(text)
        elif mark != marks.mark_of(wanted, shape):
            self._plug(domain, wanted, _CONFIG, checkpoint)
            self._write_mark(domain, wanted, shape, _CONFIG)

    def _catch_up(self, domain: Any, wanted: Domain, checkpoint: Checkpoint) -> None:
        """Bring the running machine as near to the wish as goes without a restart."""
        if not domain.isActive():
            return
        mark = self._mark(domain, _LIVE)
        if mark is not None and mark != marks.mark_of(wanted, mark.shape):
            self._plug(domain, wanted, _LIVE, checkpoint)
            self._write_mark(domain, wanted, mark.shape, _LIVE)

    def _write_mark(self, domain: Any, wanted: Domain, shape: str, flags: int) -> None:
        made = marks.element(marks.mark_of(wanted, shape))
        domain.setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT,
            ET.tostring(made, encoding="unicode"),
            marks.PREFIX,
            marks.NAMESPACE,
            flags,
        )
        domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, wanted.name, None, None, flags)

    def _plug(self, domain: Any, wanted: Domain, flags: int, checkpoint: Checkpoint) -> None:
        """Plug in interfaces that are missing and pull out those not wanted."""
        traits = self._traits()
        present = self._interfaces(domain, flags)
        for port_id in present.keys() - {nic.port_id for nic in wanted.nics}:
            domain.detachDeviceFlags(ET.tostring(present[port_id], encoding="unicode"), flags)
            if flags == _LIVE:
                self._await_unplugged(domain, port_id, checkpoint)
        for nic in wanted.nics:
            if nic.port_id not in present:
                domain.attachDeviceFlags(ET.tostring(document.interface(nic, traits), encoding="unicode"), flags)

    def _interfaces(self, domain: Any, flags: int) -> dict[str, ET.Element]:
        view = libvirt.VIR_DOMAIN_XML_INACTIVE if flags == _CONFIG else 0
        return document.interface_ports(domain.XMLDesc(view))

    def _await_unplugged(self, domain: Any, port_id: str, checkpoint: Checkpoint) -> None:
        """A guest lets go of a device in its own time."""
        waited = 0.0
        while domain.isActive() and port_id in self._interfaces(domain, _LIVE):
            if waited >= UNPLUG_S:
                raise Transient(f"the guest has not let go of port {port_id} yet")
            checkpoint()
            self._connection.wait_changed(power.LOOK_S)
            waited += power.LOOK_S

    def _ready(self, domain: Any) -> DomainReady:
        mark = self._own(domain)
        state = power.read(domain)
        if state == Power.CRASHED:
            state = Power.SHUTOFF  # how it went off matters to observers, not to who wished for a state
        stale = False
        if domain.isActive():
            running = self._mark(domain, _LIVE)
            stale = running is not None and running.shape != mark.shape
        return DomainReady(server_id=mark.server_id, generation=mark.generation, power=state, needs_restart=stale)

    def _read_capabilities(self) -> Capabilities:
        connection = self._connection.get()
        info = connection.getInfo()
        model, features = virtualization.cpu_facts()
        firmware = {"bios"}
        offered = connection.getDomainCapabilities(None, "x86_64", "q35", self._virtualization)
        if any(value.text == "efi" for value in ET.fromstring(offered).iterfind("os/enum/value")):  # noqa: S314
            firmware.add("uefi")
        number = connection.getVersion()
        return Capabilities(
            virtualization=self._virtualization,
            version=f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}",
            vcpus=info[2],
            ram_mib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
            cpu_model=model or info[0],
            cpu_features=features,
            firmware=frozenset(firmware),
            consoles=frozenset({"vnc", "serial"}),
        )


def _observed(domain: Any, mark: marks.Mark) -> ObservedDomain:
    with translated():
        try:
            state = power.read(domain)
        except libvirt.libvirtError as error:
            if not is_gone(error):
                raise
            state = Power.MISSING
    return ObservedDomain(
        server_id=mark.server_id,
        generation=mark.generation,
        operation_id=mark.operation_id,
        power=state,
    )
