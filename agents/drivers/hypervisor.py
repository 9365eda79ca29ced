"""What a hypervisor driver is: verbs with whole descriptions, never deltas.

A driver touches only guests that carry its mark. Errors are those of `agents.errors`. Abilities that not
every driver has are declared by `capabilities()`, never found out by trying.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from agents.contracts import Diagnostics, Domain, DomainEvent, DomainReady, MetadataEndpoint, ObservedDomain
from agents.wiring import Wiring

Checkpoint = Callable[[], None]
"""Raises `Cancelled` when the running verb should stop; called between pieces of long work."""

EventSink = Callable[[DomainEvent], None]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this host's hypervisor is and can do."""

    virtualization: str  # kvm | qemu
    version: str
    vcpus: int
    ram_mib: int
    cpu_model: str
    cpu_features: tuple[str, ...]
    firmware: frozenset[str]  # of bios, uefi
    consoles: frozenset[str]  # of vnc, serial


@dataclass(frozen=True, slots=True)
class GuestNetwork:
    """One network a guest of this host is plugged into, with its metadata endpoint there."""

    server_id: str
    network_id: str
    endpoint: MetadataEndpoint


class Hypervisor(Protocol):
    """The hypervisor family. Constructed with the host's `Layout` and an instance of its `Options`."""

    api: int
    wiring: Wiring | None  # the switch guests are plugged into; None where their networks are not real

    def capabilities(self) -> Capabilities:
        """Facts of this host; may be cached."""

    def list(self) -> list[ObservedDomain]:
        """Every guest that carries our mark, and no other."""

    def observe(self, server_id: str) -> ObservedDomain | None:
        """One guest, or None where there is none with our mark."""

    def networks(self) -> Iterable[GuestNetwork]:
        """Networks of the guests that are here, from their marks: what metadata is adopted from at start."""

    def ensure(self, wanted: Domain, checkpoint: Checkpoint) -> DomainReady:
        """Create, adjust or leave alone, until the guest is as wanted. An older generation is refused."""

    def remove(self, server_id: str) -> None:
        """Stop at once and forget; absent is success. Files are not touched."""

    def reboot(self, server_id: str, *, hard: bool, hard_stop_after_s: int, checkpoint: Checkpoint) -> DomainReady:
        """Restart a guest that runs: asked first unless `hard`."""

    def console(self, server_id: str, kind: str) -> socket.socket:
        """A connected stream to the screen (`vnc`: RFB) or to the serial line (`serial`)."""

    def diagnostics(self, server_id: str) -> Diagnostics:
        """What a guest that runs has used so far. Raises Refused for one that does not."""

    def listen(self, sink: EventSink, opened: Callable[[], None]) -> None:
        """Report what happens to marked guests from now on, from a thread of the driver's own.

        `opened` runs first, whenever the hypervisor has been reached (again); every guest is reported then,
        because changes may have been missed.
        """

    def close(self) -> None:
        """Let go of connections and threads; guests keep running."""
