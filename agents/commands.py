"""Runs the few external programs a host needs, with a time-out, and turns their failures into verb errors."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from agents.errors import Refused, Transient

# An image that makes qemu-img eat memory or spin must not take the host along.
_QEMU_IMG_LIMITS = ("prlimit", "--as=2147483648", "--cpu=600", "--")


def run(argv: Sequence[str], *, timeout_s: float = 30) -> str:
    """Standard output of a program that must succeed. Raises Transient with the last line it complained."""
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},  # so that complaints can be recognised
        )
    except FileNotFoundError as error:
        raise Refused(f"the program {argv[0]} is not installed on this host") from error
    except subprocess.TimeoutExpired as error:
        raise Transient(f"{argv[0]} did not finish within {timeout_s:g} s") from error
    if done.returncode:
        complaint = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise CommandFailed(f"{argv[0]}: {complaint[-1]}")
    return done.stdout


class CommandFailed(Transient):
    """A program said no."""


def qemu_img(*arguments: str, timeout_s: float = 120) -> str:
    """Run qemu-img under limits of memory and processor time."""
    return run((*_QEMU_IMG_LIMITS, "qemu-img", *arguments), timeout_s=timeout_s)
