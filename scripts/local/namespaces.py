"""Namespaces that outlive their processes: pinned as bind mounts, entered by `nsenter`, gone when unpinned.

No process holds them, so none can be killed to lose them.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .run import Failure, run, succeeds, wait_until

NSFS_MAGIC = "nsfs"


@dataclass(frozen=True)
class Namespaces:
    """A set of pinned namespaces of the given kinds (`mount`, `net`, `uts`), as files in one directory."""

    directory: Path
    kinds: tuple[str, ...]

    def file(self, kind: str) -> Path:
        return self.directory / kind

    @property
    def exist(self) -> bool:
        pinned = mounts_of(NSFS_MAGIC)
        return all(str(self.file(kind)) in pinned for kind in self.kinds)

    def make(self, setup: str) -> None:
        """Create and pin them; `setup` is shell text that runs first inside. Raises Failure."""
        self.remove()
        self.directory.mkdir(parents=True, exist_ok=True)
        # A mount namespace can be pinned only below a private mount.
        run(["mount", "--bind", self.directory, self.directory])
        run(["mount", "--make-private", self.directory])
        for kind in self.kinds:
            self.file(kind).touch()
        try:
            self.unshare()
            run(self.enter(["sh", "-euc", setup]))
        except Failure:
            self.remove()
            raise

    def unshare(self) -> None:
        """Create and pin them, bare.

        A mount namespace can be pinned only by an older one, and age is told by an id that recent kernels (6.18)
        hand out in blocks per CPU. One that was itself made just now (a container's) may thus look younger
        than its child; on one of the CPUs it does not.
        """
        pins = [f"--{kind}={self.file(kind)}" for kind in self.kinds]
        *others, last = sorted(os.sched_getaffinity(0))
        for cpu in others:
            if succeeds(["taskset", "--cpu-list", str(cpu), "unshare", *pins, "true"]):
                return
        run(["taskset", "--cpu-list", str(last), "unshare", *pins, "true"])

    def enter(self, argv: Sequence[str | Path], directory: Path = Path("/")) -> list[str]:
        """The command that runs `argv` inside, in a directory; it replaces itself, so the process id stays."""
        pins = [f"--{kind}={self.file(kind)}" for kind in self.kinds]
        return ["nsenter", *pins, f"--wdns={directory}", "--", *(str(word) for word in argv)]

    def processes(self) -> list[int]:
        """Ids of the processes that live inside."""
        try:
            marks = {kind: self.file(kind).stat().st_ino for kind in self.kinds}
        except OSError:
            return []
        links = {"mount": "mnt"}
        inside = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if any((entry / "ns" / links.get(k, k)).stat().st_ino == ino for k, ino in marks.items()):
                    inside.append(int(entry.name))
            except OSError:  # it has ended
                continue
        return inside

    def kill_processes(self) -> None:
        """End whatever is left inside. Raises Failure when something does not die."""
        if not self.exist:
            return

        def empty() -> bool:
            left = [pid for pid in self.processes() if not is_zombie(pid)]
            for pid in left:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    continue
            return not left

        wait_until(empty, seconds=10, what=f"ending the processes in {self.directory}")

    def remove(self) -> None:
        """Unpin them; the kernel frees what no process uses."""
        for path in [*(self.file(kind) for kind in self.kinds), self.directory]:
            while str(path) in mounts_of():
                run(["umount", "--lazy", path])


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def mounts_of(kind: str = "") -> set[str]:
    """Mount points of this process's view, of one file system type or of all."""
    points = set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if not kind or right.split()[0] == kind:
            points.add(left.split()[4].encode().decode("unicode_escape"))
    return points


def quoted(*words: str | Path) -> str:
    """Words as one shell command."""
    return shlex.join(str(word) for word in words)
