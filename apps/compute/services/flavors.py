"""Writing flavors, who may use them, and their extra specs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models.functions import Now

from apps.compute.models import Flavor, FlavorAccess
from apps.compute.selectors._common import access_rows
from apps.core import live
from apps.core.api.types import as_flag
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.transactions import on_violation, service
from apps.identity.models import Project

on_violation("compute_flavor_pkey", lambda detail: Conflict("A flavor with this id exists already."))
on_violation("compute_flavor_name", lambda detail: Conflict("A flavor with this name exists already."))
on_violation("compute_flavor_access_once", lambda detail: Conflict("The project has access to this flavor already."))
MAX_FLOAT = 3.40282e38

# Namespaces whose keys mean something; a key in one of them that is not listed is a mistake (Nova, 2.86).
KNOWN_SPECS: dict[str, frozenset[str]] = {
    "hw": frozenset(
        {
            "cpu_policy", "cpu_thread_policy", "cpu_realtime", "cpu_realtime_mask", "cpu_sockets", "cpu_cores",
            "cpu_threads", "cpu_max_sockets", "cpu_max_cores", "cpu_max_threads", "mem_page_size", "numa_nodes",
            "numa_cpus", "numa_mem", "hide_hypervisor_id", "boot_menu", "vif_multiqueue_enabled", "watchdog_action",
            "mem_encryption", "pmu", "locked_memory", "viommu_model", "tpm_version", "tpm_model",
            "emulator_threads_policy", "cpu_dedicated_mask", "pmem", "pci_numa_affinity_policy",
            "serial_port_count", "maxphysaddr_mode", "maxphysaddr_bits",
        }
    ),
    "hw_rng": frozenset({"allowed", "rate_bytes", "rate_period"}),
    "hw_video": frozenset({"ram_max_mb"}),
    "os": frozenset({"secure_boot"}),
    "quota": frozenset(
        {
            "cpu_shares", "cpu_period", "cpu_quota", "disk_read_bytes_sec", "disk_read_iops_sec",
            "disk_write_bytes_sec", "disk_write_iops_sec", "disk_total_bytes_sec", "disk_total_iops_sec",
            "vif_inbound_average", "vif_inbound_peak", "vif_inbound_burst", "vif_outbound_average",
            "vif_outbound_peak", "vif_outbound_burst",
        }
    ),
}  # fmt: skip


@service("os_compute_api:os-flavor-manage:create")
def flavor_create(
    ctx: RequestContext,
    *,
    name: str,
    ram_mib: int | str,
    vcpus: int | str,
    root_gib: int | str,
    flavor_id: str | int | None = None,
    ephemeral_gib: int | str = 0,
    swap_mib: int | str = 0,
    rxtx_factor: float | str = 1.0,
    is_public: bool | str = True,
    description: str | None = None,
) -> Flavor:
    """Make a flavor; without an id, or with `auto`, it gets a UUID. Raises Conflict for a taken id or name."""
    factor = float(rxtx_factor)
    if not 0 < factor <= MAX_FLOAT:
        raise Invalid("rxtx_factor must be a positive number.", field="rxtx_factor")
    flavor = Flavor(
        id=str(uuid.uuid4()) if flavor_id in (None, "", "auto") else str(flavor_id),
        name=name,
        ram_mib=int(ram_mib),
        vcpus=int(vcpus),
        root_gib=int(root_gib),
        ephemeral_gib=int(ephemeral_gib),
        swap_mib=int(swap_mib),
        rxtx_factor=factor,
        is_public=as_flag(is_public),
        description=description,
    )
    flavor.save(force_insert=True)
    _changed(flavor)
    return flavor


def _changed(flavor: Flavor) -> None:
    """Tell open pages; a flavor that is not for all is told to operators, whose pages show it."""
    live.notify(live.EVERYBODY if flavor.is_public else "", "flavor", flavor.pk)


def _flavor(flavor_id: str) -> Flavor:
    found = Flavor.objects.select_for_update(no_key=True).filter(pk=flavor_id).first()
    if found is None:
        raise NotFound("flavor", flavor_id)
    return found


@service("os_compute_api:os-flavor-manage:update")
def flavor_update(ctx: RequestContext, *, flavor_id: str, description: str | None) -> Flavor:
    """Change the description, which is all that may change. Raises NotFound."""
    flavor = _flavor(flavor_id)
    flavor.description = description
    Flavor.objects.filter(pk=flavor_id).update(description=description, updated_at=Now())
    _changed(flavor)
    return flavor


@service("os_compute_api:os-flavor-manage:delete")
def flavor_delete(ctx: RequestContext, *, flavor_id: str) -> None:
    """Delete a flavor; servers made from it keep its facts. Raises NotFound."""
    flavor = _flavor(flavor_id)
    _changed(flavor)
    flavor.delete()


def _project(project_id: str) -> None:
    if not Project.objects.filter(pk=project_id, is_domain=False).exists():
        raise Invalid(f"Project ID {project_id} is not a valid project.", field="tenant")


@service("os_compute_api:os-flavor-access:add_tenant_access")
def flavor_access_add(ctx: RequestContext, *, flavor_id: str, tenant: str) -> list[Mapping[str, str]]:
    """Let a project use a flavor that is not public. Raises Conflict for a public one or where it may already."""
    flavor = _flavor(flavor_id)
    if flavor.is_public:
        raise Conflict("Can not add access to a public flavor.")
    _project(tenant)
    FlavorAccess.objects.create(flavor=flavor, project_id=tenant)
    live.notify(tenant, "flavor", flavor.pk)
    return access_rows(flavor)


@service("os_compute_api:os-flavor-access:remove_tenant_access")
def flavor_access_remove(ctx: RequestContext, *, flavor_id: str, tenant: str) -> list[Mapping[str, str]]:
    """Take it back. Raises NotFound where the project has none."""
    flavor = _flavor(flavor_id)
    _project(tenant)
    gone, _ = FlavorAccess.objects.filter(flavor=flavor, project_id=tenant).delete()
    if not gone:
        raise NotFound(f"Access of project {tenant} to flavor", flavor_id)
    live.notify(tenant, "flavor", flavor.pk)
    return access_rows(flavor)


# --- extra specs -----------------------------------------------------------------------------------


@service("os_compute_api:os-flavor-extra-specs:create")
def flavor_extra_specs_add(
    ctx: RequestContext, *, flavor_id: str, extra_specs: Mapping[str, Any], checked: bool = False
) -> dict[str, str]:
    """Add or replace extra specs. `checked`: keys of known namespaces must exist. Raises Invalid."""
    return _put_specs(flavor_id, extra_specs, checked)


@service("os_compute_api:os-flavor-extra-specs:update")
def flavor_extra_spec_update(
    ctx: RequestContext, *, flavor_id: str, key: str, extra_specs: Mapping[str, Any], checked: bool = False
) -> dict[str, str]:
    """Set one extra spec. Raises Invalid where the body holds another key."""
    if set(extra_specs) != {key}:
        raise Invalid("The key in the body must be that of the address, and the only one.", field=key)
    return _put_specs(flavor_id, extra_specs, checked)


def _put_specs(flavor_id: str, extra_specs: Mapping[str, Any], checked: bool) -> dict[str, str]:
    texts = {key: str(value) for key, value in extra_specs.items()}
    if checked:
        _check_specs(texts)
    flavor = _flavor(flavor_id)
    Flavor.objects.filter(pk=flavor_id).update(extra_specs=flavor.extra_specs | texts, updated_at=Now())
    return texts


def _check_specs(extra_specs: Mapping[str, str]) -> None:
    for key in extra_specs:
        namespace, colon, rest = key.partition(":")
        known = KNOWN_SPECS.get(namespace) if colon else None
        if known is not None and rest.split(".", 1)[0] not in known:
            raise Invalid(f"Validation failed; extra spec '{key}' does not appear to be a valid extra spec.", field=key)


@service("os_compute_api:os-flavor-extra-specs:delete")
def flavor_extra_spec_delete(ctx: RequestContext, *, flavor_id: str, key: str) -> None:
    """Remove one extra spec. Raises NotFound."""
    flavor = _flavor(flavor_id)
    if key not in flavor.extra_specs:
        raise NotFound("extra spec", key)
    del flavor.extra_specs[key]
    Flavor.objects.filter(pk=flavor_id).update(extra_specs=flavor.extra_specs, updated_at=Now())
