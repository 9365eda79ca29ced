"""What servers keep of their flavor, image and name, for all three may change or go."""

from __future__ import annotations

import re
from typing import Any

from apps.compute.models import Flavor
from apps.image.models import Image

GIB = 1 << 30
HOSTNAME_LENGTH = 63


def flavor_facts(flavor: Flavor) -> dict[str, Any]:
    """The flavor as servers carry it, in the API's words."""
    return {
        "name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.ram_mib,
        "disk": flavor.root_gib,
        "ephemeral": flavor.ephemeral_gib,
        "swap": flavor.swap_mib,
        "extra_specs": flavor.extra_specs,
    }


def image_properties(image: Image) -> dict[str, str]:
    """Image properties that servers carry; only texts that fit the API's bounds."""
    shown = {
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "min_disk": str(image.min_disk_gib),
        "min_ram": str(image.min_ram_mib),
    }
    kept = {**image.properties, **{key: value for key, value in shown.items() if value}}
    pattern = re.compile(r"^[a-zA-Z0-9_:. ]{1,255}$")
    return {key: str(value)[:255] for key, value in kept.items() if pattern.match(key)}


def disk_gib(flavor: Flavor, image: Image) -> int:
    """All local disks together, rounded up."""
    root = flavor.root_gib or -(-(image.virtual_size or 0) // GIB)
    return root + flavor.ephemeral_gib + -(-flavor.swap_mib // 1024)


def name_of(name: str, index: int, count: int) -> str:
    return name if count == 1 else f"{name}-{index + 1}"


def hostname_of(wanted: str, name: str, index: int, count: int) -> str:
    if wanted:
        return name_of(wanted, index, count)
    return default_hostname(name_of(name, index, count))


def default_hostname(name: str) -> str:
    """A host name made of a server's name as Nova makes it; empty where nothing is left."""
    text = name.encode("ascii", "ignore").decode().lower()
    text = re.sub(r"[ _.]", "-", text)
    text = re.sub(r"[^a-z0-9-]+", "", text).strip("-")
    return text[:HOSTNAME_LENGTH].rstrip("-")
