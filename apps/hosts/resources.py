"""Hosts in the words of placement: inventories, usages, allocations and traits of resource providers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from apps.hosts.models import Claim, Host
from apps.hosts.states import HostMode

# Resource class → our resource.
CLASSES: Mapping[str, str] = {"VCPU": "vcpus", "MEMORY_MB": "ram_mib", "DISK_GB": "disk_gib"}

# CPU feature, without its punctuation → trait.
_FEATURES: Mapping[str, str] = {
    "aes": "HW_CPU_X86_AESNI",
    "avx": "HW_CPU_X86_AVX",
    "avx2": "HW_CPU_X86_AVX2",
    "avx512f": "HW_CPU_X86_AVX512F",
    "bmi1": "HW_CPU_X86_BMI",
    "bmi2": "HW_CPU_X86_BMI2",
    "fma": "HW_CPU_X86_FMA3",
    "shani": "HW_CPU_X86_SHA",
    "sse": "HW_CPU_X86_SSE",
    "sse2": "HW_CPU_X86_SSE2",
    "sse41": "HW_CPU_X86_SSE41",
    "sse42": "HW_CPU_X86_SSE42",
    "ssse3": "HW_CPU_X86_SSSE3",
    "svm": "HW_CPU_X86_AMD_SVM",
    "vmx": "HW_CPU_X86_VMX",
}
_ARCHITECTURES: Mapping[str, str] = {"x86_64": "HW_ARCH_X86_64", "aarch64": "HW_ARCH_AARCH64"}
DISABLED = "COMPUTE_STATUS_DISABLED"
TRAITS = tuple(sorted({*_FEATURES.values(), *_ARCHITECTURES.values(), DISABLED}))


def inventory(host: Host, name: str) -> dict[str, Any]:
    """One inventory: capacity is `(total - reserved) * allocation_ratio`, as placement's clients reckon."""
    resource = CLASSES[name]
    total, capacity = getattr(host, resource), host.capacity[resource]
    config = settings.CONFIG.compute
    ratio = {"vcpus": config.cpu_overcommit, "ram_mib": config.ram_overcommit}.get(resource, 1.0)
    return {
        "total": total,
        "reserved": max(total - round(capacity / ratio), 0),
        "min_unit": 1,
        "max_unit": max(capacity, 1),
        "step_size": 1,
        "allocation_ratio": ratio,
    }


def inventories(host: Host) -> dict[str, dict[str, Any]]:
    """By resource class; empty for a host that never reported."""
    return {name: inventory(host, name) for name, resource in CLASSES.items() if getattr(host, resource)}


def usages(host: Host) -> dict[str, int]:
    """What is claimed, by resource class."""
    return {name: host.used[resource] for name, resource in CLASSES.items()}


def allocated(claim: Claim) -> dict[str, int]:
    """What one consumer holds, by resource class."""
    return {name: value for name, resource in CLASSES.items() if (value := getattr(claim, resource))}


def traits(host: Host) -> list[str]:
    """What the host is, as far as it told."""
    features = {re.sub(r"[._-]", "", feature) for feature in host.facts.get("cpu_features", ())}
    found = {_FEATURES[feature] for feature in features if feature in _FEATURES}
    if trait := _ARCHITECTURES.get(host.facts.get("architecture", "")):
        found.add(trait)
    if host.mode != HostMode.ENABLED:
        found.add(DISABLED)
    return sorted(found)
