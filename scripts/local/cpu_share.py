"""What all guests of a host together get of the processors.

libvirt puts guests below a control group `machine`, which then weighs as much as a few other programs: fifty guests
that boot do not starve the control plane beside them. Each host made of namespaces sees a group of its own as the
whole tree. Only version 1 of control groups can be handed on like this; elsewhere guests compete one by one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .namespaces import mounts_of, quoted
from .run import wait_until

TREE = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class CpuShare:
    """A control group of a name of its own; `place` is an empty directory where a host's namespaces hold it."""

    name: str
    place: Path

    @property
    def group(self) -> Path:
        return (TREE / "cpu").resolve() / self.name

    @property
    def is_possible(self) -> bool:
        return str(self.group.parent) in mounts_of("cgroup")

    def taken(self) -> list[str]:
        """Shell lines for new namespaces, before `/sys` is mounted anew: hold the group, let go of all others."""
        return [
            quoted("mkdir", "-p", self.group, self.place),
            f"echo {1024 * (os.cpu_count() or 1)} >{quoted(self.group / 'cpu.shares')}",  # a program for each processor
            quoted("mount", "--bind", self.group, self.place),
            quoted("umount", "--recursive", TREE),
        ]

    def shown(self) -> list[str]:
        """Shell lines for after that: the group is all there is."""
        tree, cpu = TREE, TREE / "cpu"
        return [
            quoted("mount", "-t", "tmpfs", "-o", "mode=755", "kumo", tree),
            quoted("mkdir", cpu),
            quoted("mount", "--bind", self.place, cpu),
            quoted("umount", self.place),
            quoted("mount", "-o", "remount,ro,bind", tree),
        ]

    def remove(self) -> None:
        """Remove the group and those that libvirt left below it, when no process is left in them. Raises Failure."""
        wait_until(self._is_removed, seconds=10, what=f"removing {self.group}")

    def _is_removed(self) -> bool:
        try:
            for group, _, _ in os.walk(self.group, topdown=False):
                os.rmdir(group)
        except OSError:  # what was ended is not reaped yet
            return False
        return True
