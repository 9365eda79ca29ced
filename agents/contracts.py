"""What the control plane and the hosts say to each other: every verb's request and reply.

The only module of `agents` (with `plugins` and `envelope`) that apps may import. Requests are whole
descriptions of what is wanted, never deltas; replies are what the host then saw. Types are checked when a
message is decoded, unknown fields are refused, and secrets have no field: a body carries a reference and
the host fetches what is behind it over its own mutually authenticated connection.

Sizes carry their unit in the name. Ids are UUIDs in their dashed form.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec

UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Uuid = Annotated[str, msgspec.Meta(pattern=UUID_PATTERN)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Mac = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]
Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all bodies: immutable, keyword-only, closed."""


class Nothing(Message, frozen=True, kw_only=True):
    """A reply that has nothing to say beyond "done"."""


# --- guests ----------------------------------------------------------------------------------------


class Power(StrEnum):
    """Wanted or observed state of a guest's machine."""

    RUNNING = "running"
    PAUSED = "paused"  # in memory, not scheduled
    SUSPENDED = "suspended"  # memory saved to disk, machine off
    SHUTOFF = "shutoff"
    CRASHED = "crashed"  # observed only
    MISSING = "missing"  # observed only: no such domain here


class ImageSource(Message, frozen=True, kw_only=True):
    """An image a host may fetch from the control plane, and what it must turn out to be."""

    image_id: Uuid
    sha256: Sha256
    size_bytes: Positive
    disk_format: str  # as inspected at upload: qcow2, raw, iso, …
    virtual_size_bytes: Positive


class EnsureDisks(Message, frozen=True, kw_only=True):
    """`compute.ensure_disks`: the image cached read-only, and the guest's own disks over it."""

    server_id: Uuid
    generation: Positive
    image: ImageSource | None  # None: the guest boots from volumes
    root_gib: NotNegative  # 0: as large as the image
    ephemeral_gib: tuple[Positive, ...] = ()
    swap_mib: NotNegative = 0
    config_drive: bool = False


class RebuildDisks(EnsureDisks, frozen=True, kw_only=True):
    """`compute.rebuild_disks`: the same disks made anew, once for each generation; the guest is off.

    Disks of an older generation are thrown away, `keep_ephemeral` leaves those that are not the root disk.
    """

    keep_ephemeral: bool = False


class DisksReady(Message, frozen=True, kw_only=True):
    """Reply of `compute.ensure_disks`."""

    root_bytes: NotNegative
    image_was_cached: bool


class RemoveDisks(Message, frozen=True, kw_only=True):
    """`compute.remove_disks`; absent is success."""

    server_id: Uuid


class MetadataEndpoint(Message, frozen=True, kw_only=True):
    """Where guests of one network find 169.254.169.254 on this host (an OVN localport)."""

    port_id: Uuid
    mac: Mac
    cidrs: tuple[str, ...]  # the localport's own addresses, with prefix length


class Nic(Message, frozen=True, kw_only=True):
    """One network interface of a guest."""

    port_id: Uuid  # libvirt's interfaceid and OVN's logical port name
    network_id: Uuid
    mac: Mac
    mtu: Positive
    metadata: MetadataEndpoint | None = None


class Domain(Message, frozen=True, kw_only=True):
    """`compute.ensure_domain`: the whole wanted guest. The host makes libvirt match it.

    Disks are not listed: they follow from `EnsureDisks` of the same server.
    """

    server_id: Uuid
    generation: Positive
    operation_id: Uuid
    request_id: str
    project_id: str
    name: str  # the user's name for it; shown to operators in the domain's title
    vcpus: Positive
    ram_mib: Positive
    power: Power
    nics: tuple[Nic, ...] = ()
    config_drive: bool = False
    firmware: str = "bios"  # bios | uefi
    has_root_disk: bool = True
    ephemeral_disks: NotNegative = 0
    has_swap: bool = False
    hard_stop_after_s: NotNegative = 60  # how long an ACPI shutdown may take before power is cut


class DomainReady(Message, frozen=True, kw_only=True):
    """Reply of verbs on domains: what libvirt shows now."""

    server_id: Uuid
    generation: NotNegative
    power: Power
    needs_restart: bool = False  # something wanted takes effect at the next start only


class RemoveDomain(Message, frozen=True, kw_only=True):
    """`compute.remove_domain`; absent is success."""

    server_id: Uuid


class RebootDomain(Message, frozen=True, kw_only=True):
    """`compute.reboot_domain`: one-shot, answered from the journal when repeated."""

    server_id: Uuid
    hard: bool = False
    hard_stop_after_s: NotNegative = 60


class ReadConsoleLog(Message, frozen=True, kw_only=True):
    """`compute.read_console_log`: the end of the serial console's log."""

    server_id: Uuid
    lines: Annotated[int, msgspec.Meta(ge=1)] | None = None  # None: all that is kept
    max_bytes: Positive = 100_000


class ConsoleLog(Message, frozen=True, kw_only=True):
    """Reply of `compute.read_console_log`."""

    text: str


class ReadDiagnostics(Message, frozen=True, kw_only=True):
    """`compute.read_diagnostics`: what a running guest used of its machine so far."""

    server_id: Uuid


class VcpuUse(Message, frozen=True, kw_only=True):
    """One virtual processor."""

    number: NotNegative
    time_ns: NotNegative


class DiskUse(Message, frozen=True, kw_only=True):
    """One disk, by the guest's name for it, since the guest started."""

    name: str
    read_bytes: NotNegative
    read_requests: NotNegative
    write_bytes: NotNegative
    write_requests: NotNegative
    errors: NotNegative | None = None  # None: not counted here


class NicUse(Message, frozen=True, kw_only=True):
    """One interface, by the host's name for it, as the guest sees the directions."""

    name: str
    mac: Mac
    rx_bytes: NotNegative
    rx_packets: NotNegative
    rx_errors: NotNegative
    rx_drop: NotNegative
    tx_bytes: NotNegative
    tx_packets: NotNegative
    tx_errors: NotNegative
    tx_drop: NotNegative


class Diagnostics(Message, frozen=True, kw_only=True):
    """Reply of `compute.read_diagnostics`."""

    driver: str
    virtualization: str  # kvm | qemu
    power: Power
    memory_kib: NotNegative
    memory_stats_kib: dict[str, int] = {}  # the hypervisor's own names, such as actual, rss, unused
    vcpus: tuple[VcpuUse, ...] = ()
    disks: tuple[DiskUse, ...] = ()
    nics: tuple[NicUse, ...] = ()


class OpenConsole(Message, frozen=True, kw_only=True):
    """`compute.open_console`: dial out one WebSocket and join it to the guest's screen or serial line."""

    server_id: Uuid
    session_id: Uuid  # names the waiting session; the host authenticates with its certificate
    kind: str  # vnc | serial


# --- the host itself -------------------------------------------------------------------------------


class ObservedDomain(Message, frozen=True, kw_only=True):
    """One guest that carries our mark."""

    server_id: Uuid
    generation: NotNegative
    operation_id: str
    power: Power


class Capacity(Message, frozen=True, kw_only=True):
    """What a host has, not what is used of it."""

    vcpus: NotNegative
    ram_mib: NotNegative
    disk_gib: NotNegative
    disk_free_gib: NotNegative


class HostFacts(Message, frozen=True, kw_only=True):
    """What a host is."""

    hostname: str
    architecture: str
    cpu_model: str
    cpu_features: tuple[str, ...] = ()
    virtualization: str  # kvm | qemu
    hypervisor_version: str
    agent_version: str
    chassis: str  # OVN's name of this host
    kernel: str
    uptime_s: NotNegative = 0


class Inventory(Message, frozen=True, kw_only=True):
    """`inventory.report`, and the heartbeat: everything on the host that carries our mark."""

    asked_at: str  # the control plane's own database time, echoed
    host_clock: float  # seconds since the epoch; shown as skew, never used to decide
    facts: HostFacts
    capacity: Capacity
    domains: tuple[ObservedDomain, ...] = ()
    disks: tuple[Uuid, ...] = ()  # servers that have a directory here
    metadata_networks: tuple[Uuid, ...] = ()


class ReportInventory(Message, frozen=True, kw_only=True):
    """`inventory.report` request."""

    asked_at: str


class DomainEvent(Message, frozen=True, kw_only=True):
    """Sent by a host on its own when libvirt says that a guest changed."""

    observed: ObservedDomain
    reason: str


Body = dict[str, Any]


def pack(message: Message) -> Body:
    """A message as plain JSON values."""
    return msgspec.to_builtins(message)
