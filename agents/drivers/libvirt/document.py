"""The libvirt document of a wanted guest. Pure: no libvirt, no files, no questions to the host.

q35 with free PCI Express root ports, so that disks and interfaces can be plugged in later; virtio for
everything; the serial line logged by virtlogd; the screen on a unix socket only.
"""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from agents.contracts import Domain, Nic
from agents.drivers.libvirt import marks
from agents.layout import Base, GuestFiles

FREE_ROOT_PORTS = 8  # for what is plugged in while the guest runs
TCG_CACHE_MIB = 32  # else the code cache of an emulated guest grows far beyond the guest's own memory
BALLOON_PERIOD_S = 10

# The userspace datapath does not complete checksums that a guest leaves to the "hardware".
_NO_OFFLOAD = {"csum": "off", "tso4": "off", "tso6": "off", "ecn": "off", "ufo": "off"}

Element = ET.Element


@dataclass(frozen=True, slots=True)
class Traits:
    """What of the host shapes a document."""

    virtualization: str  # kvm | qemu
    userspace_datapath: bool
    integration_bridge: str
    direct_io: bool  # whether the file system of the disks can go around the page cache
    emulator: str | None = None  # None: libvirt's own choice


def build(wanted: Domain, files: GuestFiles, base: Base | None, traits: Traits) -> tuple[str, str]:
    """The document as text, and the fingerprint of its hardware (but for interfaces, which are plugged)."""
    domain = Element("domain", type=traits.virtualization)
    _text(domain, "name", domain_name(wanted.server_id))
    _text(domain, "uuid", wanted.server_id)
    _memory(domain, wanted)
    _system(domain, wanted, traits)
    devices = _add(domain, "devices")
    if traits.emulator:
        _text(devices, "emulator", traits.emulator)
    _disks(devices, wanted, files, base, "none" if traits.direct_io else "writeback")
    _controllers(devices, wanted)
    _others(devices, files)
    shape = hashlib.sha256(ET.tostring(domain)).hexdigest()[:16]
    for nic in wanted.nics:
        devices.append(interface(nic, traits))
    # The schema wants these after the name; libvirt does not mind the order, people reading it do.
    domain.insert(2, _named("title", wanted.name))
    domain.insert(3, _metadata(marks.mark_of(wanted, shape)))
    return ET.tostring(domain, encoding="unicode"), shape


def domain_name(server_id: str) -> str:
    return f"kumo-{server_id}"


def tap_name(port_id: str) -> str:
    """The host's end of an interface; 14 characters, Linux allows 15."""
    return f"tap{port_id[:11]}"


def interface(nic: Nic, traits: Traits) -> Element:
    """One network interface, bound to OVN's logical port of the same id."""
    made = Element("interface", type="bridge")
    _add(made, "mac", address=nic.mac)
    _add(made, "source", bridge=traits.integration_bridge)
    _add(_add(made, "virtualport", type="openvswitch"), "parameters", interfaceid=nic.port_id)
    _add(made, "target", dev=tap_name(nic.port_id))
    _add(made, "model", type="virtio")
    _add(made, "mtu", size=str(nic.mtu))
    if traits.userspace_datapath:
        driver = _add(made, "driver", name="qemu")
        _add(driver, "host", gso="off", **_NO_OFFLOAD)
        _add(driver, "guest", **_NO_OFFLOAD)
    return made


def interface_ports(document: str) -> dict[str, Element]:
    """The interfaces in a document that libvirt returned, by port id."""
    found = {}
    for made in ET.fromstring(document).iterfind("devices/interface"):  # noqa: S314 - from libvirt
        parameters = made.find("virtualport/parameters")
        if parameters is not None and (port := parameters.get("interfaceid")):
            found[port] = made
    return found


def _memory(domain: Element, wanted: Domain) -> None:
    _text(domain, "memory", str(wanted.ram_mib), unit="MiB")
    _text(domain, "vcpu", str(wanted.vcpus))


def _system(domain: Element, wanted: Domain, traits: Traits) -> None:
    # cloud-init recognises an OpenStack guest by this product name.
    system = _add(_add(domain, "sysinfo", type="smbios"), "system")
    for name, value in (
        ("manufacturer", "Kumo"),
        ("product", "OpenStack Compute"),
        ("serial", wanted.server_id),
        ("uuid", wanted.server_id),
        ("family", "Virtual Machine"),
    ):
        _text(system, "entry", value, name=name)

    os = Element("os", {"firmware": "efi"} if wanted.firmware == "uefi" else {})
    domain.append(os)
    _text(os, "type", "hvm", arch="x86_64", machine="q35")
    if wanted.firmware == "uefi":
        _add(_add(os, "firmware"), "feature", enabled="no", name="secure-boot")
    _add(os, "boot", dev="hd")
    _add(os, "smbios", mode="sysinfo")

    features = _add(domain, "features")
    _add(features, "acpi")
    _add(features, "apic")
    if traits.virtualization == "qemu":
        _text(_add(features, "tcg"), "tb-cache", str(TCG_CACHE_MIB), unit="MiB")
    _cpu(domain, traits)

    clock = _add(domain, "clock", offset="utc")
    _add(clock, "timer", name="rtc", tickpolicy="catchup")
    _add(clock, "timer", name="pit", tickpolicy="delay")
    _add(clock, "timer", name="hpet", present="no")
    _text(domain, "on_poweroff", "destroy")
    _text(domain, "on_reboot", "restart")
    _text(domain, "on_crash", "destroy")


def _cpu(domain: Element, traits: Traits) -> None:
    if traits.virtualization == "kvm":
        _add(domain, "cpu", mode="host-model", check="partial")
        return
    # x86-64-v2, which present distributions need and QEMU's own default lacks; all of it is emulated.
    cpu = _add(domain, "cpu", mode="custom", match="exact", check="none")
    _text(cpu, "model", "Nehalem", fallback="allow")


def _disks(devices: Element, wanted: Domain, files: GuestFiles, base: Base | None, cache: str) -> None:
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    if wanted.has_root_disk:
        root = _disk(devices, str(files.root_disk), "qcow2", f"vd{next(letters)}", cache)
        if base is not None:
            _backing(root, base)
    for number in range(wanted.ephemeral_disks):
        _disk(devices, str(files.ephemeral(number)), "raw", f"vd{next(letters)}", cache)
    if wanted.has_swap:
        _disk(devices, str(files.swap), "raw", f"vd{next(letters)}", cache)
    if wanted.config_drive:
        drive = _add(devices, "disk", type="file", device="cdrom")
        _add(drive, "driver", name="qemu", type="raw")
        _add(drive, "source", file=str(files.config_drive))
        _add(drive, "target", dev="sda", bus="sata")
        _add(drive, "readonly")


def _disk(devices: Element, path: str, form: str, target: str, cache: str) -> Element:
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type=form, cache=cache, discard="unmap")
    _add(disk, "source", file=path)
    _add(disk, "target", dev=target, bus="virtio")
    return disk


def _backing(disk: Element, base: Base) -> None:
    # Said explicitly, so that libvirt neither probes the image nor gives it to the account QEMU runs under:
    # the base is shared by guests of different owners and stays root's and read-only.
    store = _add(disk, "backingStore", type="file")
    _add(store, "format", type=base.format)
    source = _add(store, "source", file=str(base.path))
    _add(source, "seclabel", model="dac", relabel="no")
    _add(store, "backingStore")


def _controllers(devices: Element, wanted: Domain) -> None:
    used = len(wanted.nics) + wanted.has_root_disk + wanted.ephemeral_disks + wanted.has_swap
    used += 3  # balloon, random numbers, agent channel
    _add(devices, "controller", type="pci", model="pcie-root")
    for _ in range(used + FREE_ROOT_PORTS):
        _add(devices, "controller", type="pci", model="pcie-root-port")
    _add(devices, "controller", type="usb", model="none")


def _others(devices: Element, files: GuestFiles) -> None:
    serial = _add(devices, "serial", type="pty")
    _add(serial, "log", file=str(files.console_log), append="on")
    _add(serial, "target", type="isa-serial", port="0")
    _add(_add(devices, "graphics", type="vnc"), "listen", type="socket")
    _add(_add(devices, "video"), "model", type="vga")
    _add(_add(devices, "memballoon", model="virtio"), "stats", period=str(BALLOON_PERIOD_S))
    _text(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    _add(_add(devices, "channel", type="unix"), "target", type="virtio", name="org.qemu.guest_agent.0")


def _metadata(mark: marks.Mark) -> Element:
    made = Element("metadata")
    ours = marks.element(mark, name=f"{marks.PREFIX}:guest")
    ours.set(f"xmlns:{marks.PREFIX}", marks.NAMESPACE)
    made.append(ours)
    return made


def _add(parent: Element, tag: str, /, **attributes: str) -> Element:
    return ET.SubElement(parent, tag, attributes)


def _text(parent: Element, tag: str, text: str, /, **attributes: str) -> Element:
    made = ET.SubElement(parent, tag, attributes)
    made.text = text
    return made


def _named(tag: str, text: str) -> Element:
    made = Element(tag)
    made.text = text
    return made
