"""The config drive of a guest: a small ISO with the label `config-2`, as OpenStack's guests look for it.

Its files come from the control plane when the drive is made, because they hold user data, which counts as
secret; the drive is readable by nobody but root and the guest's own QEMU.
"""

from __future__ import annotations

import base64
import binascii
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from agents.commands import run
from agents.errors import Refused

LABEL = "config-2"


def write(path: Path, files: Mapping[str, str]) -> None:
    """Make the drive at `path` from file names and their Base64 contents. Raises Refused, Transient."""
    staging, made = path.with_suffix(".tree"), path.with_suffix(".part")
    try:
        _fill(staging, files)
        made.unlink(missing_ok=True)
        os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        run(
            ("genisoimage", "-quiet", "-J", "-r", "-l", "-ldots", "-allow-lowercase", "-allow-multidot",
             "-V", LABEL, "-o", str(made), str(staging))
        )  # fmt: skip
        made.rename(path)
    finally:
        made.unlink(missing_ok=True)
        shutil.rmtree(staging, ignore_errors=True)


def _fill(staging: Path, files: Mapping[str, str]) -> None:
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    for name, content in files.items():
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise Refused(f"the config drive cannot hold a file called {name!r}")
        target = staging / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.write_bytes(base64.b64decode(content, validate=True))
        except (binascii.Error, ValueError) as error:
            raise Refused(f"the config drive's file {name!r} is not Base64") from error
