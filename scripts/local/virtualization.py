"""Whether guests may run under KVM on this machine."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

KVM_GET_API_VERSION = 0xAE00


def kvm_works() -> bool:
    """True only if /dev/kvm opens, speaks API 12 and the CPU has hardware virtualisation.

    A device without the CPU's flag exists on machines that are guests themselves; Linux guests hang on it.
    """
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if fcntl.ioctl(device, KVM_GET_API_VERSION) != 12:
            return False
    except OSError:
        return False
    finally:
        os.close(device)
    if os.uname().machine != "x86_64":
        return True
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    return bool({"vmx", "svm"} & set(flags.split()))
