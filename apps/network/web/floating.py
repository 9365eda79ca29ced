"""Floating IPs: addresses of the outside that lead to a server."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.web import cells
from apps.core.web.forms import ChoiceForm
from apps.core.web.pages import FormPage, ListPage, said
from apps.core.web.tables import AGE, Action, Column, Empty, Table, deletes
from apps.network import selectors, services
from apps.network.models import FloatingIp, Port
from apps.network.states import SERVER_PREFIX
from apps.network.web.networks import external_networks


def leads_to(row: FloatingIp, page: Any) -> Any:
    """The port's address, and the server behind it."""
    if row.port is None:
        return cells.NOTHING
    inside = format_html('<span class="mono">{}</span>', row.fixed_ip_address)
    if not row.port.device_owner.startswith(SERVER_PREFIX):
        return inside
    return format_html('{} · <a href="{}">{}</a>', inside, page.url("compute:server", row.port.device_id), _("server"))


def state(row: FloatingIp, page: Any) -> Any:
    return cells.badge("ok", _("In use")) if row.port_id else cells.badge("idle", _("Free"))


TABLE = Table(
    columns=(
        Column(
            key="address",
            label=_("Address"),
            lead=True,
            sort="floating_ip_address",
            cell=cells.mono("floating_ip_address"),
        ),
        Column(key="state", label=_("Status"), cell=state),
        Column(key="to", label=_("Leads to"), cell=leads_to),
        Column(key="from", label=_("Of"), cell=cells.text("floating_network.name")),
        AGE,
    ),
    sort="created",
    search=("floating_ip_address__startswith", "fixed_ip_address__startswith", "id__startswith"),
    actions=(
        Action(
            name="part",
            label=_("Disassociate"),
            icon="unplug",
            rule="update_floatingip",
            done=_("Disassociated"),
            when=lambda row: row.port_id is not None,
            call=lambda ctx, row: services.floatingip_update(ctx, floatingip_id=str(row.pk), port_id=None),
        ),
        deletes(
            lambda ctx, row: services.floatingip_delete(ctx, floatingip_id=str(row.pk)),
            label=_("Release"),
            rule="delete_floatingip",
            done=_("Released"),
            loses=lambda ctx, row: [gettext("The address goes back to the pool; somebody else may get it.")],
        ),
    ),
    live="floatingip port",
    empty=Empty(
        icon="globe",
        title=_("No floating IPs yet"),
        text=_("A floating IP makes a server reachable from outside. It can be moved from one server to another."),
        link="network:floating-ip-create",
        label=_("Get a floating IP"),
    ),
)


class FloatingIps(ListPage):
    title = _("Floating IPs")
    nav = "network:floating-ips"
    table = TABLE
    create = ("network:floating-ip-create", _("Get one"), "create_floatingip")

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[FloatingIp]:
        mine = selectors.floatingip_list(ctx).filter(project_id=ctx.project_id)
        return mine.select_related("floating_network", "port")


class FloatingIpForm(ChoiceForm):
    address = forms.ChoiceField(label=_("Address"))
    port = forms.ChoiceField(label=_("Leads to"), required=False)


def server_ports(ctx: RequestContext) -> QuerySet[Port]:
    """Ports of the project's servers, which a floating IP may lead to."""
    mine = selectors.port_list(ctx).filter(project_id=ctx.project_id, device_owner__startswith=SERVER_PREFIX)
    return mine.prefetch_related("fixed_ips").select_related("network").order_by("-created_at")[:200]


class FloatingIpCreate(FormPage):
    """A new address, or a free one of the project's, and where it leads."""

    title = _("Get a floating IP")
    list_page = FloatingIps
    form = FloatingIpForm
    submit = _("Get it")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        free = [(str(f.pk), f.floating_ip_address) for f in FloatingIps.rows(self.ctx).filter(port=None)]
        new = [(f"new:{n.pk}", _("a new one of %s") % n) for n in external_networks(self.ctx)]
        ports = [
            (str(p.pk), f"{ip.address} · {p.network}") for p in server_ports(self.ctx) for ip in p.fixed_ips.all()[:1]
        ]
        return FloatingIpForm(
            data,
            initial={"port": self.request.GET.get("port", "")},
            choices={"address": free + new, "port": [*ports, ("", _("nothing yet"))]},
        )

    def save(self, form: forms.Form) -> tuple[str, str]:
        chosen, port = form.cleaned_data["address"], form.cleaned_data["port"] or None
        if chosen.startswith("new:"):
            made = services.floatingip_create(self.ctx, floating_network_id=chosen.removeprefix("new:"), port_id=port)
        else:
            made = services.floatingip_update(self.ctx, floatingip_id=chosen, port_id=port)
        return self.url("network:floating-ips"), said(_("Yours"), made.floating_ip_address)
