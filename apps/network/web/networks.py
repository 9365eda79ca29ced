"""Networks with their subnets, and routers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.web import cells
from apps.core.web.forms import NamedForm, named
from apps.core.web.pages import DetailPage, FormPage, ListPage, one, said
from apps.core.web.tables import AGE, Column, Empty, Table, deletes, name_column
from apps.network import selectors, services
from apps.network.models import Network, Router, Subnet
from apps.network.states import Owner

FREE_RANGE = "10.{}.0.0/24"


def subnets_cell(row: Network, page: Any) -> Any:
    """Ranges, one under the other."""
    return cells.lines(format_html('<span class="mono nowrap">{}</span>', s.cidr) for s in row.subnets.all())


def kind_cell(row: Network, page: Any) -> Any:
    """What is special about it."""
    words = [_("external")] if row.external else []
    words += [_("shared")] if row.shared else []
    return cells.tags(words)


def network_losses(ctx: RequestContext, row: Network) -> Iterable[Any]:
    """What goes with a network."""
    for subnet in row.subnets.all():
        yield gettext("Subnet %s") % subnet.cidr


NETWORKS = Table(
    columns=(
        name_column("network:network"),
        Column(key="subnets", label=_("Subnets"), cell=subnets_cell),
        Column(key="kind", label=_("Kind"), cell=kind_cell),
        Column(key="mtu", label=_("MTU"), number=True),
        AGE,
    ),
    sort="name",
    search=("name__icontains", "id__startswith"),
    actions=(
        deletes(
            lambda ctx, row: services.network_delete(ctx, network_id=str(row.pk)),
            rule="delete_network",
            loses=network_losses,
        ),
    ),
    live="network subnet",
    empty=Empty(
        icon="network",
        title=_("No networks yet"),
        text=_("A network of your own joins your servers, apart from everybody else's."),
        link="network:network-create",
        label=_("Create a network"),
    ),
)


class Networks(ListPage):
    title = _("Networks")
    nav = "network:networks"
    table = NETWORKS
    create = ("network:network-create", _("Create"), "create_network")

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Network]:
        mine = Q(project_id=ctx.project_id) | Q(shared=True) | Q(external=True)
        return selectors.network_list(ctx).filter(mine).prefetch_related("subnets")


def name_servers() -> forms.Field:
    """The field for addresses of name servers."""
    return forms.CharField(
        label=_("Name servers"), max_length=255, required=False, help_text=_("Addresses with blanks between.")
    )


class NetworkForm(NamedForm):
    """A network with its first subnet, joined to the outside if wished."""

    cidr = forms.CharField(
        label=_("Range of addresses"),
        max_length=64,
        required=False,
        help_text=_("Such as 10.0.0.0/24. Left empty, the network has no subnet yet."),
    )
    dns_nameservers = name_servers()
    router = forms.ChoiceField(label=_("Join to"), required=False)


def free_range(ctx: RequestContext) -> str:
    """A private range that the project does not use yet."""
    used = {s.cidr for s in selectors.subnet_list(ctx).filter(project_id=ctx.project_id)}
    return next((c for c in (FREE_RANGE.format(n) for n in range(256)) if c not in used), "")


def external_networks(ctx: RequestContext) -> QuerySet[Network]:
    """Networks that lead to the outside."""
    return selectors.network_list(ctx).filter(external=True).order_by("name")


class NetworkCreate(FormPage):
    title = _("Create a network")
    list_page = Networks
    form = NetworkForm
    submit = _("Create")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        routers = named(Routers.rows(self.ctx).order_by("name"))
        outside = external_networks(self.ctx).first()
        new = [("new", _("a new router to %s") % outside)] if outside else []
        first = routers[0][0] if routers else ("new" if outside else "")
        start = {"cidr": free_range(self.ctx), "router": first}
        return NetworkForm(data, initial=start, choices={"router": [("", _("nothing")), *routers, *new]})

    def save(self, form: forms.Form) -> tuple[str, str]:
        given = form.cleaned_data
        with transaction.atomic():
            made = network_with_subnet(self.ctx, given["name"], given["cidr"], given["dns_nameservers"].split())
            if made[1] is not None and given["router"]:
                join(self.ctx, given["router"], made[1], given["name"])
        return self.url("network:network", made[0].pk), said(_("Created"), made[0])


def network_with_subnet(ctx: RequestContext, name: str, cidr: str, dns: list[str]) -> tuple[Network, Subnet | None]:
    """A network, and its subnet where a range is given."""
    network = services.network_create(ctx, name=name)
    if not cidr:
        return network, None
    subnet = services.subnet_create(
        ctx, network_id=str(network.pk), cidr=cidr, name=name, dns_nameservers=dns, ip_version=6 if ":" in cidr else 4
    )
    return network, subnet


def join(ctx: RequestContext, router: str, subnet: Subnet, name: str) -> None:
    """Join the subnet to the router of that id, or for `new` to one made for it that leads outside."""
    if router == "new":
        outside = external_networks(ctx).first()
        gateway = {"network_id": str(outside.pk)} if outside else None
        router = str(services.router_create(ctx, name=name, external_gateway_info=gateway).pk)
    services.router_add_interface(ctx, router_id=router, subnet_id=str(subnet.pk))


class NetworkPage(DetailPage):
    template = "network/network.html"
    list_page = Networks
    live = "network subnet port"

    def row(self, ident: Any) -> Network:
        return one(selectors.network_list(self.ctx), _("network"), ident)

    def state(self, row: Network) -> Any:
        return kind_cell(row, self) if row.external or row.shared else ""

    def facts(self, row: Network) -> list[tuple[Any, Any]]:
        return [
            (_("Description"), row.description),
            (_("MTU"), row.mtu),
            (_("Port security"), _("on") if row.port_security_enabled else _("off")),
            (_("Created at"), cells.time_ago(row.created_at)),
            (_("Tags"), cells.tags(row.tags)),
            (_("Id"), cells.copied(row.pk)),
        ]

    def more(self, row: Network) -> dict[str, Any]:
        ports = selectors.port_list(self.ctx).filter(network=row).exclude(device_owner=Owner.METADATA)
        return {
            "subnets": row.subnets.order_by("cidr").prefetch_related("pools"),
            "ports": ports.prefetch_related("fixed_ips").order_by("created_at")[:200],
            "may_add": self.allowed("create_subnet"),
        }


class SubnetForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=255, required=False)
    cidr = forms.CharField(
        label=_("Range of addresses"), max_length=64, widget=forms.TextInput(attrs={"autofocus": True})
    )
    enable_dhcp = forms.BooleanField(label=_("Hand out addresses by DHCP"), required=False, initial=True)
    dns_nameservers = name_servers()


class SubnetCreate(FormPage):
    title = _("Add a subnet")
    nav = "network:networks"
    form = SubnetForm
    submit = _("Add")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        return SubnetForm(data, initial={"cidr": free_range(self.ctx)})

    def save(self, form: forms.Form) -> tuple[str, str]:
        given, network = form.cleaned_data, str(self.kwargs["ident"])
        services.subnet_create(
            self.ctx,
            network_id=network,
            name=given["name"],
            cidr=given["cidr"],
            ip_version=6 if ":" in given["cidr"] else 4,
            enable_dhcp=given["enable_dhcp"],
            dns_nameservers=given["dns_nameservers"].split(),
        )
        return self.url("network:network", network), said(_("Added"), given["cidr"])


class SubnetDelete(NetworkPage):
    """Removes one subnet of a network."""

    def post(self, request: HttpRequest, ident: Any, subnet: Any) -> HttpResponse:
        services.subnet_delete(self.ctx, subnet_id=str(subnet))
        return self.answer(self.url("network:network", ident), ("success", gettext("Deleted")))


# --- routers ---------------------------------------------------------------------------------------


def router_subnets(row: Router, page: Any) -> Any:
    """Ranges that it joins."""
    found = {
        ip.subnet.cidr for p in row.ports.all() if p.device_owner == Owner.ROUTER_INTERFACE for ip in p.fixed_ips.all()
    }
    return cells.lines(format_html('<span class="mono nowrap">{}</span>', cidr) for cidr in sorted(found))


ROUTERS = Table(
    columns=(
        name_column("network:router"),
        Column(key="gateway", label=_("Outside"), cell=cells.text("gateway_network.name")),
        Column(key="subnets", label=_("Joins"), cell=router_subnets),
        AGE,
    ),
    sort="name",
    search=("name__icontains", "id__startswith"),
    actions=(
        deletes(
            lambda ctx, row: services.router_delete(ctx, router_id=str(row.pk)),
            rule="delete_router",
            question=_("Its networks lose their way to each other and to the outside."),
        ),
    ),
    live="router port",
    empty=Empty(
        icon="route",
        title=_("No routers yet"),
        text=_("A router joins networks to each other and to the outside."),
        link="network:router-create",
        label=_("Create a router"),
    ),
)


class Routers(ListPage):
    title = _("Routers")
    nav = "network:routers"
    table = ROUTERS
    create = ("network:router-create", _("Create"), "create_router")

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Router]:
        mine = selectors.router_list(ctx).filter(project_id=ctx.project_id)
        return mine.select_related("gateway_network").prefetch_related("ports__fixed_ips__subnet")


class RouterForm(NamedForm):
    outside = forms.ChoiceField(label=_("Outside"), required=False)


class RouterCreate(FormPage):
    title = _("Create a router")
    list_page = Routers
    form = RouterForm
    submit = _("Create")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        outside = named(external_networks(self.ctx))
        return RouterForm(data, choices={"outside": [*outside, ("", _("no way out"))]})

    def save(self, form: forms.Form) -> tuple[str, str]:
        given = form.cleaned_data
        gateway = {"network_id": given["outside"]} if given["outside"] else None
        made = services.router_create(self.ctx, name=given["name"], external_gateway_info=gateway)
        return self.url("network:router", made.pk), said(_("Created"), made)


class RouterPage(DetailPage):
    template = "network/router.html"
    list_page = Routers
    live = "router port"

    def row(self, ident: Any) -> Router:
        return one(selectors.router_list(self.ctx), _("router"), ident)

    def facts(self, row: Router) -> list[tuple[Any, Any]]:
        gateways = [
            ip.address for p in row.ports.all() if p.device_owner == Owner.ROUTER_GATEWAY for ip in p.fixed_ips.all()
        ]
        return [
            (_("Description"), row.description),
            (_("Outside"), row.gateway_network),
            (_("Address outside"), cells.lines(cells.copied(a) for a in gateways)),
            (_("Translates addresses"), _("yes") if row.gateway_network_id and row.enable_snat else _("no")),
            (_("Created at"), cells.time_ago(row.created_at)),
            (_("Id"), cells.copied(row.pk)),
        ]

    def more(self, row: Router) -> dict[str, Any]:
        joined = row.ports.filter(device_owner=Owner.ROUTER_INTERFACE).select_related("network")
        ids = [ip.subnet_id for p in joined for ip in p.fixed_ips.all()]
        free = selectors.subnet_list(self.ctx).filter(project_id=self.ctx.project_id).exclude(pk__in=ids)
        return {
            "interfaces": joined.prefetch_related("fixed_ips__subnet"),
            "free": free.select_related("network").order_by("cidr"),
        }


class RouterJoin(RouterPage):
    """Joins a subnet to the router, or parts one from it."""

    def post(self, request: HttpRequest, ident: Any) -> HttpResponse:
        subnet = request.POST.get("subnet", "")
        if request.POST.get("part"):
            services.router_remove_interface(self.ctx, router_id=str(ident), subnet_id=request.POST["part"])
            words = gettext("Parted")
        else:
            services.router_add_interface(self.ctx, router_id=str(ident), subnet_id=subnet)
            words = gettext("Joined")
        return self.answer(self.url("network:router", ident), ("success", words))
