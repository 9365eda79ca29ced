"""Finds out whether guests run under KVM or under QEMU's emulation.

A /dev/kvm that opens proves little: under a paravirtualised machine (PVM) the API answers and yet Linux
guests hang. So the processor itself must offer virtualisation too.
"""

from __future__ import annotations

import fcntl
import os
import platform
from pathlib import Path

KVM_GET_API_VERSION = 0xAE00
KVM_API_VERSION = 12
CHOICES = ("auto", "kvm", "qemu")


def choose(setting: str = "auto", *, device: Path = Path("/dev/kvm"), cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """`kvm` or `qemu`: the setting where it is one of them, else what this machine can do."""
    if setting not in CHOICES:
        raise ValueError(f"virtualization {setting!r} is not one of {', '.join(CHOICES)}")
    if setting != "auto":
        return setting
    return "kvm" if _kvm_answers(device) and _cpu_virtualizes(cpuinfo) else "qemu"


def _kvm_answers(device: Path) -> bool:
    try:
        handle = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(handle, KVM_GET_API_VERSION) == KVM_API_VERSION
    except OSError:
        return False
    finally:
        os.close(handle)


def _cpu_virtualizes(cpuinfo: Path) -> bool:
    if platform.machine() != "x86_64":
        return True  # elsewhere the flag does not exist and the device's answer is what there is
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            return bool({"vmx", "svm"} & set(line.split(":", 1)[1].split()))
    return False


def cpu_facts(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, tuple[str, ...]]:
    """The processor's model name and its feature flags, sorted."""
    model = ""
    flags: tuple[str, ...] = ()
    for line in cpuinfo.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name" and not model:
            model = value.strip()
        elif key.strip() == "flags" and not flags:
            flags = tuple(sorted(value.split()))
    return model, flags
