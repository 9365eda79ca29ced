"""Where systemd runs: the supervisor gets a unit of its own, and the cloud comes back after a reboot.

Elsewhere nothing here does anything.
"""

from __future__ import annotations

import os
from pathlib import Path

from .run import run, write
from .site import CHECKOUT, Site

RUNNING = Path("/run/systemd/system")
UNITS = Path("/etc/systemd/system")


BY_UNIT = "KUMO_BY_UNIT"  # set where the unit, and no person, calls quickstart.sh


def is_running() -> bool:
    return RUNNING.is_dir()


def is_called_by_unit() -> bool:
    """Does the machine go up or down, rather than somebody start or stop the cloud?"""
    return bool(os.environ.get(BY_UNIT))


def unit(site: Site) -> str:
    """Name of the unit that starts and stops the cloud with the machine."""
    return f"{site.tag}.service"


def text(site: Site) -> str:
    settings = "".join(f'Environment="{name}={value}"\n' for name, value in site.environment().items() if value)
    return (
        f"# Written by quickstart.sh for {site.state}; removed by its destroy.\n"
        "[Unit]\nDescription=Kumo cloud\nWants=network-online.target\nAfter=network-online.target\n\n"
        f"[Service]\nType=oneshot\nRemainAfterExit=yes\n{settings}"
        f"Environment={BY_UNIT}=yes\n"
        f"ExecStart={CHECKOUT}/quickstart.sh start --no-demo\nExecStop={CHECKOUT}/quickstart.sh stop\n"
        "TimeoutStartSec=600\nTimeoutStopSec=120\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )


def supervise(site: Site, command: list[str]) -> None:
    """Run the supervisor in a unit beside the session; killing it leaves the services and guests alone."""
    properties = ("--property=KillMode=process", "--property=Restart=always", "--property=RestartSec=1")
    run(["systemd-run", f"--unit={site.tag}-supervisor", "--collect", "--quiet", *properties, "--", *command])


def supervisor_pid(site: Site) -> int:
    shown = run(["systemctl", "show", "--property=MainPID", "--value", f"{site.tag}-supervisor"], check=False)
    return int(shown.stdout.strip() or 0)


def end_supervisor(site: Site) -> None:
    run(["systemctl", "stop", f"{site.tag}-supervisor"], check=False)


def come_back(site: Site) -> None:
    """Have the cloud started with the machine, and stopped in order when the machine goes down.

    The latter happens to active units only, so the unit is started too: behind this start, which it finds done.
    """
    if not is_running() or is_called_by_unit():
        return
    if write(UNITS / unit(site), text(site)):
        run(["systemctl", "daemon-reload"])
    run(["systemctl", "enable", "--quiet", unit(site)])
    run(["systemctl", "start", "--no-block", unit(site)])


def stay_away(site: Site) -> None:
    """The cloud is stopped by hand: it stays so over a reboot."""
    if is_running() and not is_called_by_unit() and (UNITS / unit(site)).exists():
        run(["systemctl", "disable", "--quiet", unit(site)], check=False)


def forget(site: Site) -> None:
    """Remove the unit."""
    path = UNITS / unit(site)
    if is_running() and path.exists() and str(site.state) in path.read_text():
        stay_away(site)
        path.unlink()
        run(["systemctl", "daemon-reload"])
        run(["systemctl", "stop", unit(site)], check=False)  # has nothing to do any more
