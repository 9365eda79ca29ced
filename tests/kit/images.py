"""Small disk images for tests, and what a control plane would say about them."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from agents.contracts import ImageSource
from tests.kit.verbs import new_id

MIB = 2**20


def make_image(path: Path, disk_format: str = "qcow2", size: int = 8 * MIB, *options: str) -> Path:
    """An empty image made by qemu-img."""
    subprocess.run(["qemu-img", "create", "-q", "-f", disk_format, *options, str(path), str(size)], check=True)
    return path


def source_of(path: Path, disk_format: str = "qcow2", size: int = 8 * MIB, **changes: Any) -> ImageSource:
    """The truth about an image, unless changed."""
    content = path.read_bytes()
    given: dict[str, Any] = {
        "image_id": new_id(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "disk_format": disk_format,
        "virtual_size_bytes": size,
    }
    return ImageSource(**(given | changes))
