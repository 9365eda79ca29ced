"""Brings a libvirt domain to a wanted power state, and reads the one it has.

Stopping asks the guest first (ACPI) and asks again every few seconds, because a guest that is still booting does
not hear it; power is cut when the time given has passed. The wait ends early when the verb is cancelled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import libvirt

from agents.contracts import Power
from agents.drivers.hypervisor import Checkpoint
from agents.drivers.libvirt.errors import is_gone
from agents.errors import Refused

ASK_AGAIN_S = 3.0
LOOK_S = 0.5

Wait = Callable[[float], None]
"""Sleeps until some guest changed, at most that many seconds."""

_STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: Power.RUNNING,
    libvirt.VIR_DOMAIN_RUNNING: Power.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: Power.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.RUNNING,  # on its way down, not there yet
    libvirt.VIR_DOMAIN_SHUTOFF: Power.SHUTOFF,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.PAUSED,
}


def read(domain: Any) -> Power:
    """The state a domain is in."""
    state, reason = domain.state()
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        if domain.hasManagedSaveImage():
            return Power.SUSPENDED
        return Power.CRASHED if reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED else Power.SHUTOFF
    if state == libvirt.VIR_DOMAIN_PAUSED and reason == libvirt.VIR_DOMAIN_PAUSED_STARTING_UP:
        return Power.RUNNING
    return _STATES.get(state, Power.RUNNING)


def reach(domain: Any, wanted: Power, *, grace_s: int, checkpoint: Checkpoint, wait: Wait) -> None:
    """Do what brings `domain` to `wanted`; nothing where it is there already. Raises Refused."""
    now = read(domain)
    if now == wanted or (now, wanted) == (Power.CRASHED, Power.SHUTOFF):
        return
    if wanted == Power.RUNNING:
        _run(domain)
    elif wanted == Power.PAUSED:
        _pause(domain, now)
    elif wanted == Power.SUSPENDED:
        _save(domain, now)
    elif wanted == Power.SHUTOFF:
        stop(domain, grace_s=grace_s, checkpoint=checkpoint, wait=wait)
    else:
        raise Refused(f"{wanted} is not a state a guest can be brought to")


def stop(domain: Any, *, grace_s: int, checkpoint: Checkpoint, wait: Wait) -> None:
    """Switch off: asked first where the guest can hear it, and without keeping saved memory."""
    if read(domain) == Power.SUSPENDED:
        domain.managedSaveRemove(0)
        return
    if read(domain) == Power.RUNNING and grace_s:
        _ask_to_stop(domain, grace_s, checkpoint, wait)
    cut(domain)


def cut(domain: Any) -> None:
    """Cut the power; a guest that is off already stays off."""
    try:
        if domain.isActive():
            domain.destroy()  # asks QEMU to end, kills it after some seconds
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID and not is_gone(error):
            raise


def _ask_to_stop(domain: Any, grace_s: int, checkpoint: Checkpoint, wait: Wait) -> None:
    start = asked = time.monotonic()
    _ask(domain)
    while domain.isActive() and (now := time.monotonic()) - start < grace_s:
        checkpoint()
        if now - asked >= ASK_AGAIN_S:
            _ask(domain)
            asked = now
        wait(LOOK_S)


def _ask(domain: Any) -> None:
    try:
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:  # it went off meanwhile
            raise


def _run(domain: Any) -> None:
    state, _ = domain.state()
    if state == libvirt.VIR_DOMAIN_PMSUSPENDED:
        domain.pMWakeup(0)
    elif state == libvirt.VIR_DOMAIN_PAUSED:
        domain.resume()
    else:
        if state == libvirt.VIR_DOMAIN_CRASHED:
            cut(domain)
        domain.create()  # goes on from saved memory where there is some


def _pause(domain: Any, now: Power) -> None:
    if now == Power.RUNNING:
        domain.suspend()
    else:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)


def _save(domain: Any, now: Power) -> None:
    if now not in (Power.RUNNING, Power.PAUSED):
        raise Refused("a guest that is switched off has no memory to save")
    domain.managedSave(libvirt.VIR_DOMAIN_SAVE_RUNNING)
