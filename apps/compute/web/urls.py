"""Addresses of the compute pages: `urlpatterns` below `/p/<project>/`, and the screen that the API's addresses open."""

from collections.abc import Iterable

from django.urls import path
from django.utils.translation import gettext_lazy as _

from apps.compute.models import Server
from apps.compute.web import flavors, keypairs, launch, servers, words
from apps.core.context import RequestContext
from apps.core.web import navigation, palette, subjects
from apps.core.web.pages import list_paths

app_name = "compute"

site = [path("console", servers.StandaloneConsole.as_view(), name="console")]

urlpatterns = [
    *list_paths("servers", servers.Servers),
    path("servers/launch", launch.Launch.as_view(), name="launch"),
    path("servers/<uuid:ident>", servers.ServerPage.as_view(), name="server"),
    path("servers/<uuid:ident>/edit", servers.ServerEdit.as_view(), name="server-edit"),
    path("servers/<uuid:ident>/console", servers.Console.as_view(), name="server-console"),
    path("servers/<uuid:ident>/log", servers.Log.as_view(), name="server-log"),
    path("servers/<uuid:ident>/network", servers.Network.as_view(), name="server-network"),
    path("servers/<uuid:ident>/tasks", servers.Tasks.as_view(), name="server-tasks"),
    path("servers/<uuid:ident>/raw", servers.Raw.as_view(), name="server-raw"),
    *list_paths("key-pairs", keypairs.KeyPairs),
    path("key-pairs/create", keypairs.KeyPairCreate.as_view(), name="key-pair-create"),
    *list_paths("flavors", flavors.Flavors),
    path("flavors/create", flavors.FlavorCreate.as_view(), name="flavor-create"),
    *list_paths("admin/servers", servers.AllServers),
]

_PREFIX = "os_compute_api:"
navigation.register(
    navigation.Link("compute:servers", _("Servers"), "server", "compute", 10, f"{_PREFIX}servers:index", "g s"),
    navigation.Link("compute:key-pairs", _("Key pairs"), "key-round", "compute", 30, keys="g k"),
    navigation.Link("compute:flavors", _("Flavors"), "layers", "compute", 40, f"{_PREFIX}flavors"),
    navigation.Link(
        "compute:all-servers", _("All servers"), "server", "admin", 20, f"{_PREFIX}servers:index:get_all_tenants"
    ),
)
palette.register(
    palette.Command(_("Launch a server"), "compute:launch", "rocket", f"{_PREFIX}servers:create"),
    palette.Command(_("Add a key pair"), "compute:key-pair-create", "key-round", f"{_PREFIX}os-keypairs:create"),
)


def _servers(ctx: RequestContext, typed: str) -> Iterable[palette.Hit]:
    page = servers.Servers()
    found = servers.Servers.rows(ctx)
    for word in typed.split():
        found = found.filter(page.matching(word))
    for row in found.order_by("name")[: palette.MOST]:
        ips = ", ".join(a["ip"] for a in words.addresses(row)[:2])
        yield palette.Hit(row.name, "compute:server", (row.pk,), "server", ips)


def _names(idents: Iterable[str]) -> dict[str, str]:
    return {str(pk): name for pk, name in Server.objects.filter(pk__in=list(idents)).values_list("pk", "name")}


subjects.register("server", subjects.Subject(_("server"), "compute:server", _names))
palette.searcher("server", _("Servers"), _servers)
