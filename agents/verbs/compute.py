"""Verbs on guests. Each can be repeated: what is there already is left alone, what is gone stays gone."""

from __future__ import annotations

from agents import console_log, disks
from agents.contracts import (
    ConsoleLog,
    Diagnostics,
    DisksReady,
    Domain,
    DomainReady,
    EnsureDisks,
    Nothing,
    OpenConsole,
    Power,
    ReadConsoleLog,
    ReadDiagnostics,
    RebootDomain,
    RebuildDisks,
    RemoveDisks,
    RemoveDomain,
)
from agents.errors import Refused, Unsupported
from agents.verbs.registry import Job, verb


def _server(request: EnsureDisks | RemoveDisks | Domain | RemoveDomain | RebootDomain) -> str:
    return f"server/{request.server_id}"


@verb("compute.ensure_disks", EnsureDisks, DisksReady, resource=_server, long=True)
def ensure_disks(request: EnsureDisks, job: Job) -> DisksReady:
    host = job.host
    return disks.ensure(request, host.layout, host.images, host.control.config_drive, job)


@verb("compute.rebuild_disks", RebuildDisks, DisksReady, resource=_server, long=True)
def rebuild_disks(request: RebuildDisks, job: Job) -> DisksReady:
    host = job.host
    _refuse_running(request.server_id, job)
    return disks.rebuild(request, host.layout, host.images, host.control.config_drive, job)


@verb("compute.remove_disks", RemoveDisks, Nothing, resource=_server)
def remove_disks(request: RemoveDisks, job: Job) -> Nothing:
    _refuse_running(request.server_id, job)
    disks.remove(request.server_id, job.host.layout)
    return Nothing()


def _asks_to_stop(request: Domain) -> bool:
    return request.power == Power.SHUTOFF and request.hard_stop_after_s > 0


def _asks_to_reboot(request: RebootDomain) -> bool:
    return not request.hard and request.hard_stop_after_s > 0


@verb("compute.ensure_domain", Domain, DomainReady, resource=_server, waits=_asks_to_stop)
def ensure_domain(request: Domain, job: Job) -> DomainReady:
    host = job.host
    _check_abilities(request, job)
    for nic in request.nics:  # before the guest starts, since asking for metadata is among its first acts
        if nic.metadata is not None:
            host.metadata.ensure(request.server_id, nic.network_id, nic.metadata)
    ready = host.hypervisor.ensure(request, job.checkpoint)
    host.metadata.release(request.server_id, keep=[nic.network_id for nic in request.nics if nic.metadata])
    return ready


@verb("compute.remove_domain", RemoveDomain, Nothing, resource=_server)
def remove_domain(request: RemoveDomain, job: Job) -> Nothing:
    job.host.hypervisor.remove(request.server_id)
    job.host.metadata.release(request.server_id)
    return Nothing()


@verb("compute.reboot_domain", RebootDomain, DomainReady, resource=_server, once=True, waits=_asks_to_reboot)
def reboot_domain(request: RebootDomain, job: Job) -> DomainReady:
    return job.host.hypervisor.reboot(
        request.server_id,
        hard=request.hard,
        hard_stop_after_s=request.hard_stop_after_s,
        checkpoint=job.checkpoint,
    )


@verb(
    "compute.read_console_log",
    ReadConsoleLog,
    ConsoleLog,
    resource=lambda request: f"console-log/{request.server_id}",
)
def read_console_log(request: ReadConsoleLog, job: Job) -> ConsoleLog:
    files = job.host.layout.guest(request.server_id)
    return ConsoleLog(text=console_log.tail(files.console_log, request.lines, request.max_bytes))


@verb(
    "compute.read_diagnostics",
    ReadDiagnostics,
    Diagnostics,
    resource=lambda request: f"diagnostics/{request.server_id}",
)
def read_diagnostics(request: ReadDiagnostics, job: Job) -> Diagnostics:
    return job.host.hypervisor.diagnostics(request.server_id)


@verb(
    "compute.open_console",
    OpenConsole,
    Nothing,
    resource=lambda request: f"console/{request.session_id}",
    once=True,
)
def open_console(request: OpenConsole, job: Job) -> Nothing:
    host = job.host
    if request.kind not in host.hypervisor.capabilities().consoles:
        raise Unsupported(f"this host offers no {request.kind} console")
    host.consoles.open(request.session_id, host.hypervisor.console(request.server_id, request.kind))
    return Nothing()


def _refuse_running(server_id: str, job: Job) -> None:
    observed = job.host.hypervisor.observe(server_id)
    if observed is not None and observed.power in (Power.RUNNING, Power.PAUSED):
        raise Refused(f"server {server_id} runs from these disks; stop it or remove the domain first")


def _check_abilities(request: Domain, job: Job) -> None:
    """Only what is not everywhere is asked about, since asking costs libvirt time once."""
    if request.firmware != "bios" and request.firmware not in job.host.hypervisor.capabilities().firmware:
        raise Unsupported(f"this host has no {request.firmware} firmware for guests")
