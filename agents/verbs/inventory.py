"""What is on this host and carries our mark. The report is also the heartbeat."""

from __future__ import annotations

import os
import platform
import shutil
import time

from agents import wiring
from agents.contracts import Capacity, HostFacts, Inventory, ReportInventory
from agents.verbs.registry import Job, verb

AGENT_VERSION = "0.1.0"
GIB = 2**30


@verb("inventory.report", ReportInventory, Inventory, resource=lambda request: "inventory")
def report(request: ReportInventory, job: Job) -> Inventory:
    host = job.host
    host.tend()
    return Inventory(
        asked_at=request.asked_at,
        host_clock=time.time(),
        facts=_facts(job),
        capacity=_capacity(job),
        domains=tuple(host.hypervisor.list()),
        disks=tuple(host.layout.guests()),
        metadata_networks=tuple(host.metadata.networks()),
    )


def _facts(job: Job) -> HostFacts:
    able = job.host.hypervisor.capabilities()
    kernel = os.uname()
    return HostFacts(
        hostname=kernel.nodename,
        architecture=platform.machine(),
        cpu_model=able.cpu_model,
        cpu_features=able.cpu_features,
        virtualization=able.virtualization,
        hypervisor_version=able.version,
        agent_version=AGENT_VERSION,
        chassis=wiring.chassis_name() if job.host.hypervisor.wiring is not None else "",
        kernel=kernel.release,
        uptime_s=int(time.clock_gettime(time.CLOCK_BOOTTIME)),
    )


def _capacity(job: Job) -> Capacity:
    able = job.host.hypervisor.capabilities()
    disk = shutil.disk_usage(job.host.layout.servers)
    return Capacity(
        vcpus=able.vcpus,
        ram_mib=able.ram_mib,
        disk_gib=disk.total // GIB,
        disk_free_gib=disk.free // GIB,
    )
