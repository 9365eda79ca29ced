"""Hosts for operators: who answers, who takes servers, and how full they are."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.web import cells
from apps.core.web.pages import DetailPage, ListPage, Page
from apps.core.web.tables import Action, Column, Empty, Filter, Table, name_column
from apps.core.web.tags import quota_bar
from apps.hosts import selectors, services
from apps.hosts.models import Host
from apps.hosts.states import HostMode, HostState

STATES = {
    HostState.UP: ("ok", _("Up")),
    HostState.DOWN: ("bad", _("Down")),
    HostState.ENROLLED: ("idle", _("Enrolled, not yet seen")),
}
MODES = {
    HostMode.ENABLED: _("takes servers"),
    HostMode.DISABLED: _("takes no servers"),
    HostMode.DRAINING: _("is being emptied"),
}


def show_state(row: Host, page: Page) -> Any:
    """Whether it answers, and what it may be given."""
    mode = HostMode(row.mode)
    warn = (
        "" if mode == HostMode.ENABLED else format_html('<span class="sub">{} {}</span>', MODES[mode], row.mode_reason)
    )
    return format_html("{}{}", cells.badge(*STATES[HostState(row.state)]), warn)


def _room(resource: str, label: Any, unit: str = "", divide: int = 1) -> Column:
    def cell(row: Host, page: Page) -> Any:
        used, most = getattr(row, f"used_{resource}"), getattr(row, f"capacity_{resource}")
        return quota_bar("", round(used / divide, 1), round(most / divide, 1), 0, unit)

    return Column(key=resource, label=label, cell=cell)


TABLE = Table(
    columns=(
        name_column("hosts:host"),
        Column(key="state", label=_("Status"), cell=show_state),
        _room("vcpus", _("vCPUs")),
        _room("ram_mib", _("Memory"), "GiB", 1024),
        _room("disk_gib", _("Disk"), "GiB"),
        Column(key="zone", label=_("Zone"), sort="zone"),
        Column(key="seen", label=_("Seen"), cell=cells.ago("last_seen_at")),
    ),
    sort="name",
    search=("name__icontains", "zone__icontains"),
    filters=(
        Filter(
            name="state",
            label=_("Any status"),
            choices={s.value: (STATES[s][1], {"state": s}) for s in HostState},
        ),
    ),
    actions=(
        Action(
            name="enable",
            label=_("Enable"),
            icon="play",
            rule="hosts:manage",
            done=_("Takes servers again"),
            when=lambda row: row.mode != HostMode.ENABLED,
            call=lambda ctx, row: services.host_enable(ctx, host_id=row.pk),
        ),
        Action(
            name="disable",
            label=_("Disable"),
            icon="pause",
            rule="hosts:manage",
            done=_("Takes no new servers"),
            when=lambda row: row.mode == HostMode.ENABLED,
            call=lambda ctx, row: services.host_disable(ctx, host_id=row.pk),
            question=_("No new servers are placed there. What runs there, runs on."),
        ),
        Action(
            name="drain",
            label=_("Drain"),
            icon="log-out",
            rule="hosts:manage",
            done=_("Draining"),
            when=lambda row: row.mode != HostMode.DRAINING,
            call=lambda ctx, row: services.host_drain(ctx, host_id=row.pk),
            question=_("No new servers are placed there, and the ones there are to leave."),
        ),
    ),
    live="host",
    empty=Empty(
        icon="hard-drive",
        title=_("No hosts yet"),
        text=_("Enrol one with “manage.py host enroll NAME” and run the command that it prints on the machine."),
    ),
)


class Hosts(ListPage):
    title = _("Hosts")
    nav = "hosts:hosts"
    table = TABLE

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Host]:
        return selectors.host_list(ctx)


class HostPage(DetailPage):
    """One host: what it is, how full, who has it."""

    template = "hosts/host.html"
    list_page = Hosts
    live = "host"

    def row(self, ident: Any) -> Host:
        return selectors.host_get(self.ctx, host_id=ident)

    def state(self, row: Host) -> Any:
        return show_state(row, self)

    def facts(self, row: Host) -> list[tuple[Any, Any]]:
        facts = row.facts
        return [
            (_("Zone"), row.zone),
            (_("Last seen"), cells.time_ago(row.last_seen_at)),
            (_("Virtualisation"), facts.get("virtualization")),
            (_("Processor"), facts.get("cpu_model")),
            (_("Hypervisor"), facts.get("hypervisor_version")),
            (_("Kernel"), facts.get("kernel")),
            (_("Agent"), facts.get("agent_version")),
            (_("Clock skew"), f"{row.clock_skew_s:+.3f} s"),
            (_("Free disk space"), f"{row.disk_free_gib} GiB"),
            (_("Certificate ends"), f"{row.certificate_expires_at:%Y-%m-%d}"),
            (_("Id"), cells.copied(row.pk)),
        ]

    def more(self, row: Host) -> dict[str, Any]:
        bars = [
            (_("vCPUs"), row.used_vcpus, row.capacity_vcpus, ""),
            (_("Memory"), round(row.used_ram_mib / 1024, 1), round(row.capacity_ram_mib / 1024, 1), "GiB"),
            (_("Disk"), row.used_disk_gib, row.capacity_disk_gib, "GiB"),
        ]
        return {"bars": bars, "claims": selectors.claim_list(self.ctx, host_id=row.pk)[:200]}
