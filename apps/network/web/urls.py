"""Addresses of the network pages, below `/p/<project>/`."""

from collections.abc import Iterable

from django.urls import path
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.web import navigation, palette
from apps.core.web.pages import list_paths
from apps.network.states import SERVER_PREFIX
from apps.network.web import floating, networks, security, topology

app_name = "network"

urlpatterns = [
    path("topology", topology.Topology.as_view(), name="topology"),
    *list_paths("networks", networks.Networks),
    path("networks/create", networks.NetworkCreate.as_view(), name="network-create"),
    path("networks/<uuid:ident>", networks.NetworkPage.as_view(), name="network"),
    path("networks/<uuid:ident>/subnets/create", networks.SubnetCreate.as_view(), name="subnet-create"),
    path("networks/<uuid:ident>/subnets/<uuid:subnet>", networks.SubnetDelete.as_view(), name="subnet"),
    *list_paths("routers", networks.Routers),
    path("routers/create", networks.RouterCreate.as_view(), name="router-create"),
    path("routers/<uuid:ident>", networks.RouterPage.as_view(), name="router"),
    path("routers/<uuid:ident>/join", networks.RouterJoin.as_view(), name="router-join"),
    *list_paths("floating-ips", floating.FloatingIps),
    path("floating-ips/create", floating.FloatingIpCreate.as_view(), name="floating-ip-create"),
    *list_paths("security-groups", security.SecurityGroups),
    path("security-groups/create", security.GroupCreate.as_view(), name="security-group-create"),
    path("security-groups/<uuid:ident>", security.GroupPage.as_view(), name="security-group"),
]

_links = (
    ("network:topology", _("Topology"), "waypoints", 5, "get_network", "g y"),
    ("network:networks", _("Networks"), "network", 10, "get_network", "g n"),
    ("network:routers", _("Routers"), "route", 20, "get_router", "g r"),
    ("network:floating-ips", _("Floating IPs"), "globe", 30, "get_floatingip", "g f"),
    ("network:security-groups", _("Security groups"), "shield", 40, "get_security_group", "g u"),
)
navigation.register(
    *(
        navigation.Link(name, label, icon, "network", order, rule, keys)
        for name, label, icon, order, rule, keys in _links
    )
)
palette.register(
    palette.Command(_("Create a network"), "network:network-create", "network", "create_network"),
    palette.Command(_("Create a router"), "network:router-create", "route", "create_router"),
    palette.Command(_("Get a floating IP"), "network:floating-ip-create", "globe", "create_floatingip"),
    palette.Command(_("Create a security group"), "network:security-group-create", "shield", "create_security_group"),
)
palette.searcher(
    "network",
    _("Networks"),
    lambda ctx, words: [
        palette.Hit(n, "network:network", (n.pk,), "network")
        for n in networks.Networks.rows(ctx).filter(name__icontains=words)[: palette.MOST]
    ],
)


def _floating_ips(ctx: RequestContext, typed: str) -> Iterable[palette.Hit]:
    found = floating.FloatingIps.rows(ctx).filter(floating_ip_address__startswith=typed)
    for row in found[: palette.MOST]:
        server = row.port.device_id if row.port and row.port.device_owner.startswith(SERVER_PREFIX) else ""
        page, args = ("compute:server", (server,)) if server else ("network:floating-ips", ())
        yield palette.Hit(row.floating_ip_address, page, args, "globe", row.fixed_ip_address or "")


palette.searcher("floatingip", _("Floating IPs"), _floating_ips)
