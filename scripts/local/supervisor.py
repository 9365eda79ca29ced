"""Services of a site under runit: each is watched by its own `runsv`, restarted about a second after it ends.

A service directory is written whole from a `Service`; `runsvdir` watches them all. Logs go through `svlogd`,
which rotates them. What a killed service leaves behind (an nginx worker, a thread pool's process) is killed
before the next start, since it would still hold the address.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import systemd
from .namespaces import Namespaces, is_zombie, quoted
from .run import Failure, run, succeeds, wait_until, write
from .site import CHECKOUT, Site

LOG_CONFIG = "s5000000\nn4\n"  # 5 MB a file, four old ones


@dataclass(frozen=True)
class Service:
    """One supervised program: it must stay in the foreground and keep its process id."""

    name: str
    argv: tuple[str | Path, ...]
    user: str = ""  # empty: root
    groups: tuple[str, ...] = ()  # the first is the primary one; empty: the user's own
    environment: Mapping[str, str] = field(default_factory=dict)
    within: Namespaces | None = None
    before: tuple[str, ...] = ()  # shell lines run as root first, outside `within`
    stop_signal: str = ""  # instead of TERM
    stop_s: int = 10  # how long it may take to end before it is killed
    memory_counts: bool = False  # part of the control plane's idle memory

    def command(self) -> str:
        """The one line the service turns into."""
        words: list[str | Path] = ["chpst", "-P"]
        if self.user:
            words += ["-u", ":".join((self.user, *self.groups))]
        argv = list(self.argv)
        if self.within:
            return quoted(*self.within.enter([*words, *argv], CHECKOUT))
        return quoted(*words, *argv)

    def run_script(self, directory: Path) -> str:
        exports = "".join(f"export {k}={quoted(v)}\n" for k, v in sorted(self.environment.items()))
        before = "".join(f"{line}\n" for line in self.before)
        return (
            "#!/bin/sh\nexec 2>&1\n"
            f"cd {quoted(CHECKOUT)} || exit 1\n{exports}{before}"
            f"echo $$ >{quoted(directory / 'group')}\nexec {self.command()}\n"
        )


class Supervisor:
    """The runit tree of one site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.tree = site.supervised
        self.pid_file = site.run / "runsvdir.pid"

    # --- the tree ---

    def ensure_running(self) -> None:
        """Start `runsvdir` over the tree unless it runs."""
        if self.pid():
            return
        self.tree.mkdir(parents=True, exist_ok=True)
        self.site.run.mkdir(parents=True, exist_ok=True)
        command = ["runsvdir", "-P", str(self.tree)]
        if systemd.is_running():
            systemd.supervise(self.site, command)
            pid = systemd.supervisor_pid(self.site)
        else:
            pid = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            ).pid
        write(self.pid_file, f"{pid}\n")

    def pid(self) -> int:
        """The process id of this tree's `runsvdir`, 0 when it does not run."""
        try:
            pid = systemd.supervisor_pid(self.site) if systemd.is_running() else int(self.pid_file.read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return 0
        return pid if str(self.tree).encode() in words and not is_zombie(pid) else 0

    def shut_down(self) -> None:
        """Stop every service, then the supervisors themselves."""
        pid = self.pid()
        self.stop(sorted(path.name for path in self.directories()))
        if pid:
            if systemd.is_running():
                systemd.end_supervisor(self.site)  # else it would be started again
            else:
                os.kill(pid, signal.SIGHUP)
            wait_until(lambda: not self.pid(), seconds=15, what="ending the supervisor")
        for directory in self.directories():
            run(["sv", "exit", directory], check=False)
        wait_until(
            lambda: not any(self.is_supervised(d.name) for d in self.directories()),
            seconds=15,
            what="ending the services' supervisors",
        )
        self.pid_file.unlink(missing_ok=True)

    # --- its services ---

    def directories(self) -> Iterable[Path]:
        return (path for path in self.tree.glob("*") if (path / "run").exists())

    def ensure(self, services: Iterable[Service]) -> None:
        """Write these services, start those that do not run and restart those whose definition changed."""
        wanted = list(services)
        changed = {service.name for service in wanted if self.define(service)}
        self.ensure_running()
        for service in wanted:
            self.wait_supervised(service.name)
        stale = [service for service in wanted if service.name in changed and self.is_up(service.name)]
        if stale:
            self.sv("-w", str(max(service.stop_s for service in stale)), "force-stop", names=[s.name for s in stale])
        self.sv("up", names=[service.name for service in wanted])
        for service in wanted:
            (self.tree / service.name / "down").unlink(missing_ok=True)

    def define(self, service: Service) -> bool:
        """Write a service's directory; say whether anything changed."""
        directory = self.tree / service.name
        logs = self.site.logs / service.name
        logs.mkdir(parents=True, exist_ok=True)
        group = quoted(directory / "group")
        write(directory / "down", "")  # started one by one here; removed once it has been
        changes = [
            write(directory / "run", service.run_script(directory), 0o755),
            write(
                directory / "finish",
                f'#!/bin/sh\nkill -9 "-$(cat {group})" 2>/dev/null\nexit 0\n',
                0o755,
            ),
            write(directory / "log/run", f"#!/bin/sh\nexec svlogd -tt {quoted(logs)}\n", 0o755),
        ]
        write(logs / "config", LOG_CONFIG)
        control = directory / "control/t"
        if service.stop_signal:
            pid = quoted(directory / "supervise/pid")
            script = f'#!/bin/sh\nexec kill -{service.stop_signal} "$(cat {pid})"\n'
            changes.append(write(control, script, 0o755))
        else:
            control.unlink(missing_ok=True)
        return any(changes)

    def wait_supervised(self, name: str) -> None:
        wait_until(
            lambda: self.is_supervised(name),
            seconds=15,
            what=f"the supervisor of {name}",
            next_step=f"look whether runsvdir runs over {self.tree}",
        )

    def is_supervised(self, name: str) -> bool:
        return succeeds(["sv", "status", self.tree / name])

    def is_up(self, name: str) -> bool:
        return self.status(name).startswith("run:")

    def status(self, name: str) -> str:
        """runit's own words: `run: …: (pid 7) 3s; …`, or `down: …`."""
        return run(["sv", "status", self.tree / name], check=False).stdout.strip()

    def pid_of(self, name: str) -> int:
        """The process id of a running service, 0 when it does not run."""
        try:
            return int((self.tree / name / "supervise/pid").read_text() or 0)
        except (OSError, ValueError):
            return 0

    def sv(self, *words: str, names: Iterable[str]) -> None:
        """One order to several services at once; `sv` waits for all of them."""
        run(["sv", *words, *(self.tree / name for name in names)], check=False, timeout_s=180)

    def stop(self, names: Iterable[str], seconds: int = 15) -> None:
        """Stop services together; what does not end in time is killed."""
        there = [name for name in names if self.is_supervised(name)]
        for name in there:
            write(self.tree / name / "down", "")
        if there:
            self.sv("-w", str(seconds), "force-stop", names=there)

    def tail(self, name: str, lines: int = 8) -> str:
        """The end of a service's log."""
        try:
            text = (self.site.logs / name / "current").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def wait_ready(self, name: str, argv: list[str], seconds: float = 30) -> None:
        """Wait until a check program succeeds. Raises Failure with the end of the service's log."""
        try:
            wait_until(lambda: succeeds(argv), seconds=seconds, what=f"{name} did not become ready", pause_s=0.1)
        except Failure as failure:
            raise Failure(f"{failure.reason}\n{self.tail(name)}", f"read {self.site.logs / name}/current") from failure
