"""What libvirt counts of a running domain: processor time, disk and network traffic, memory."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

from agents.contracts import Diagnostics, DiskUse, NicUse, VcpuUse
from agents.drivers.libvirt import power


def read(domain: Any, virtualization: str) -> Diagnostics:
    """Everything libvirt tells of an active domain. Raises libvirtError."""
    devices = ET.fromstring(domain.XMLDesc(0))  # noqa: S314 - from libvirt
    return Diagnostics(
        driver="libvirt",
        virtualization=virtualization,
        power=power.read(domain),
        memory_kib=domain.maxMemory(),
        memory_stats_kib={name: int(value) for name, value in domain.memoryStats().items()},
        vcpus=tuple(VcpuUse(number=vcpu[0], time_ns=vcpu[2]) for vcpu in domain.vcpus()[0]),
        disks=tuple(_disks(domain, devices)),
        nics=tuple(_nics(domain, devices)),
    )


def _disks(domain: Any, devices: ET.Element) -> Iterator[DiskUse]:
    for target in devices.iterfind("devices/disk/target"):
        name = target.get("dev", "")
        read_requests, read_bytes, write_requests, write_bytes, errors = domain.blockStats(name)
        yield DiskUse(
            name=name,
            read_bytes=read_bytes,
            read_requests=read_requests,
            write_bytes=write_bytes,
            write_requests=write_requests,
            errors=errors if errors >= 0 else None,
        )


def _nics(domain: Any, devices: ET.Element) -> Iterator[NicUse]:
    for interface in devices.iterfind("devices/interface"):
        target, mac = interface.find("target"), interface.find("mac")
        if target is None or mac is None:
            continue
        name = target.get("dev", "")
        counted = [max(number, 0) for number in domain.interfaceStats(name)]
        yield NicUse(
            name=name,
            mac=mac.get("address", ""),
            rx_bytes=counted[0],
            rx_packets=counted[1],
            rx_errors=counted[2],
            rx_drop=counted[3],
            tx_bytes=counted[4],
            tx_packets=counted[5],
            tx_errors=counted[6],
            tx_drop=counted[7],
        )
