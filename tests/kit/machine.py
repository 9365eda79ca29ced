"""A machine of its own whose power can be cut: Debian's kernel in QEMU, with this machine's files, and disks.

The host's root is its root, read-only below a file system in memory, so that the checkout and its environment are
there as they are here. Its disks are files that QEMU writes past the host's page cache: when QEMU is killed, what the
guest had not written yet is lost, as with a real loss of power.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CACHE = Path("/var/cache/kumo-tests")
HERE = Path(__file__).parent
MEMORY_MIB = 1024


def make_disk(path: Path, size: str, content: Path | None = None) -> Path:
    """A file with an ext4 file system, sparse, with a directory's content."""
    filled = ["-d", str(content)] if content else []
    subprocess.run(["mkfs.ext4", "-q", "-F", *filled, str(path), size], check=True, timeout=60)
    return path


class Machine:
    """One machine; it can be started again after its power was cut. `output` has what its job printed, ever."""

    def __init__(self, home: Path, disks: Sequence[Path]) -> None:
        self.home, self.disks = home, disks
        self.output = home / "output"
        self.output.touch()
        self._console = home / "console"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, job: str, environment: Mapping[str, str]) -> None:
        """Boot it and run a shell script in it, as root."""
        kernel = subprocess.run(
            [HERE / "machine-kernel", CACHE], check=True, stdout=subprocess.PIPE, text=True, timeout=300
        ).stdout.strip()
        script = self.home / "job"
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
        script.write_text(f"{exports}cd {shlex.quote(os.getcwd())}\n{job}\n")
        socket = self.home / "files"
        socket.unlink(missing_ok=True)
        with (self.home / "virtiofsd").open("ab") as log:
            files = ["/usr/lib/qemu/virtiofsd", f"--socket-path={socket}", "-o", "source=/,cache=always,sandbox=chroot"]
            self._processes.append(subprocess.Popen(files, stdout=log, stderr=log))
            self._until(socket.exists)
            words = [*_hardware(self.home, self.output, self.disks), "-kernel", f"{kernel}/vmlinuz"]
            words += ["-initrd", f"{kernel}/initrd", "-append", f"console=ttyS0 quiet panic=-1 kumo.job={script}"]
            self._processes.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def wait_for(self, found: str, count: int, timeout_s: float) -> None:
        """Wait until that many lines of the output begin with a word. Fails when the machine ends, or it takes long."""
        self._until(lambda: sum(line.startswith(found) for line in self.lines()) >= count, timeout_s)

    def _until(self, ready: Callable[[], bool], timeout_s: float = 20.0) -> None:
        end = time.monotonic() + timeout_s
        while not ready():
            if any(process.poll() is not None for process in self._processes) or time.monotonic() > end:
                raise AssertionError(f"the machine did not get there:\n{self._story()}")
            time.sleep(0.05)

    def _story(self) -> str:
        found = []
        for path in (self._console, self.home / "virtiofsd", self.output):
            with contextlib.suppress(FileNotFoundError):
                found.append(path.read_text(errors="replace")[-2000:])
        return "\n".join(found)

    def lines(self) -> list[str]:
        """Whole lines that the job printed."""
        return self.output.read_text(errors="replace").split("\n")[:-1]

    def cut_power(self) -> None:
        """End it without a word."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        self._processes.clear()


def _hardware(home: Path, output: Path, disks: Sequence[Path]) -> list[str]:
    words = ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
    words += ["-m", str(MEMORY_MIB), "-object", f"memory-backend-memfd,id=mem,size={MEMORY_MIB}M,share=on"]
    words += ["-numa", "node,memdev=mem", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-serial", f"file:{home}/console", "-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
    words += ["-chardev", f"socket,id=files,path={home}/files", "-device", "vhost-user-fs-pci,chardev=files,tag=host"]
    words += ["-chardev", f"file,id=out,path={output},append=on", "-device", "virtserialport,chardev=out,name=out"]
    for disk in disks:
        words += ["-drive", f"file={disk},format=raw,if=virtio,cache=none"]
    return words
