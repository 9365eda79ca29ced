"""The list of servers, and the page of one with its tabs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from django import forms
from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views import View

from apps.compute import selectors, services
from apps.compute.models import Server
from apps.compute.resources import SERVER
from apps.compute.resources.expressions import progress, server_addresses, task
from apps.compute.states import ALLOWED, ServerState
from apps.compute.web import words
from apps.core.context import RequestContext
from apps.core.errors import KumoError
from apps.core.web import cells
from apps.core.web.forms import DescribedForm
from apps.core.web.pages import DetailPage, FormPage, ListPage, said
from apps.core.web.raw import document
from apps.core.web.tables import AGE, Action, Column, Empty, Filter, Table, name_column
from apps.network import selectors as network
from apps.operations import selectors as operations

RAW_VERSION = (2, 72)


def annotated(rows: QuerySet[Server]) -> QuerySet[Server]:
    """Servers with what they are busy with and their addresses, in the same query."""
    return rows.annotate(task=task(), percent=progress(), addresses_json=server_addresses())


def fits(action: str) -> Callable[[Any], bool]:
    """Is the action possible in the server's state, and is nothing else going on?"""
    states = ALLOWED.get(action, frozenset(ServerState))
    return lambda row: row.state in states and not row.task and not row.deleting_at


def losses(ctx: RequestContext, row: Any) -> Iterable[Any]:
    """What goes with a server."""
    yield gettext("Its disk of %(size)s GiB with everything on it") % {"size": row.disk_gib}
    fixed = [a["ip"] for a in words.addresses(row) if a["type"] == "fixed"]
    if fixed:
        yield gettext("Its addresses %(list)s") % {"list": ", ".join(fixed)}
    floating = [a["ip"] for a in words.addresses(row) if a["type"] == "floating"]
    if floating:
        yield gettext("The floating IP %(list)s stays with the project, leading nowhere") % {
            "list": ", ".join(floating)
        }


def _action(name: str, label: Any, icon: str, done: Any, call: Any, rule: str, state: str = "", **more: Any) -> Action:
    return Action(
        name=name,
        label=label,
        icon=icon,
        done=done,
        call=lambda ctx, row: call(ctx, server_id=str(row.pk)),
        when=fits(state or name),
        rule=f"os_compute_api:{rule}",
        **more,
    )


def _reboot(kind: str) -> Callable[..., Any]:
    return partial(services.server_reboot, type=kind)


ACTIONS = (
    _action("start", _("Start"), "play", _("Starting"), services.server_start, "servers:start"),
    _action("stop", _("Stop"), "power", _("Stopping"), services.server_stop, "servers:stop"),
    _action("reboot", _("Reboot"), "rotate-cw", _("Rebooting"), _reboot("SOFT"), "servers:reboot"),
    _action(
        "reboot-hard",
        _("Hard reboot"),
        "power",
        _("Rebooting"),
        _reboot("HARD"),
        "servers:reboot",
        state="reboot_hard",
        bulk=False,
        question=_("The machine is switched off and on; the guest is not asked, and what it has not written is lost."),
    ),
    _action("pause", _("Pause"), "pause", _("Pausing"), services.server_pause, "os-pause-server:pause", bulk=False),
    _action(
        "unpause", _("Resume"), "play", _("Resuming"), services.server_unpause, "os-pause-server:unpause", bulk=False
    ),
    _action(
        "suspend",
        _("Suspend"),
        "moon",
        _("Suspending"),
        services.server_suspend,
        "os-suspend-server:suspend",
        bulk=False,
    ),
    _action(
        "resume", _("Resume"), "play", _("Resuming"), services.server_resume, "os-suspend-server:resume", bulk=False
    ),
    Action(
        name="lock",
        label=_("Lock"),
        icon="lock",
        done=_("Locked"),
        call=lambda ctx, row: services.server_lock(ctx, server_id=str(row.pk)),
        when=lambda row: row.locked_at is None and not row.deleting_at,
        rule="os_compute_api:os-lock-server:lock",
        bulk=False,
    ),
    Action(
        name="unlock",
        label=_("Unlock"),
        icon="lock-open",
        done=_("Unlocked"),
        call=lambda ctx, row: services.server_unlock(ctx, server_id=str(row.pk)),
        when=lambda row: row.locked_at is not None,
        rule="os_compute_api:os-lock-server:unlock",
        bulk=False,
    ),
    Action(
        name="delete",
        label=_("Delete"),
        icon="trash",
        done=_("Deleting"),
        call=lambda ctx, row: services.server_delete(ctx, server_id=str(row.pk)),
        when=lambda row: not row.deleting_at,
        rule="os_compute_api:servers:delete",
        danger=True,
        question=_("This cannot be taken back. What will be lost:"),
        loses=losses,
    ),
)

TABLE = Table(
    columns=(
        name_column("compute:server"),
        Column(key="status", label=_("Status"), sort="state", cell=words.status),
        Column(key="addresses", label=_("Addresses"), cell=words.address_cell),
        Column(key="flavor", label=_("Flavor"), cell=words.flavor_cell),
        Column(
            key="image", label=_("Image"), minor=True, cell=lambda row, page: row.image.get("name") or cells.NOTHING
        ),
        Column(key="zone", label=_("Zone"), minor=True, cell=cells.text("zone")),
        AGE,
    ),
    sort="-created",
    search=("name__icontains", "id__startswith", "addresses_json__icontains"),
    filters=(
        Filter(
            name="status",
            label=_("Any status"),
            choices={s.value: (words.STATES[s][1], {"state": s}) for s in ServerState if s != ServerState.DELETED},
        ),
    ),
    actions=ACTIONS,
    live="server operation",
    empty=Empty(
        icon="server",
        title=_("No servers yet"),
        text=_(
            "A server is a machine of your own. Launching one takes a name and a click; a network is made on the way."
        ),
        link="compute:launch",
        label=_("Launch your first server"),
    ),
)


class Servers(ListPage):
    title = _("Servers")
    nav = "compute:servers"
    table = TABLE
    create: ClassVar[tuple[str, Any, str] | None] = ("compute:launch", _("Launch"), "os_compute_api:servers:create")

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Server]:
        return annotated(selectors.server_list(ctx))


class AllServers(Servers):
    """Servers of every project, for operators."""

    title = _("All servers")
    nav = "compute:all-servers"
    create = None

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Server]:
        return annotated(selectors.server_list(ctx, all_tenants=True))


class ServerPage(DetailPage):
    """A server: what all its tabs share."""

    template = "compute/server.html"
    list_page = Servers
    live = "server operation"
    tabs = (
        ("compute:server", _("Overview")),
        ("compute:server-console", _("Console")),
        ("compute:server-log", _("Log")),
        ("compute:server-network", _("Network")),
        ("compute:server-tasks", _("Tasks")),
        ("compute:server-raw", _("Raw")),
    )

    def row(self, ident: Any) -> Server:
        selectors.server_get(self.ctx, server_id=str(ident))  # says who may not
        return annotated(selectors.server_get_query(self.ctx, server_id=str(ident))).get()

    def state(self, row: Any) -> Any:
        return words.badge(row)

    def facts(self, row: Any) -> list[tuple[Any, Any]]:
        known = [
            (_("Addresses"), cells.lines(_address(a) for a in words.addresses(row))),
            (_("Flavor"), words.flavor_cell(row, self)),
            (_("Image"), row.image.get("name")),
            (_("Disk"), f"{row.disk_gib} GiB"),
            (_("Key pair"), row.key_name),
            (_("Zone"), row.zone or row.wanted_zone),
            (_("Created at"), cells.time_ago(row.created_at)),
            (_("Running since"), cells.time_ago(row.launched_at) if row.launched_at else None),
            (_("Id"), cells.copied(row.pk)),
        ]
        if row.description:
            known.insert(0, (_("Description"), row.description))
        if row.locked_at:
            known.append((_("Locked"), row.locked_reason or cells.time_ago(row.locked_at)))
        if self.allowed("os_compute_api:os-extended-server-attributes"):
            known.append((_("Host"), row.host_name or None))
        known.append((_("Tags"), cells.tags(row.tags)))
        known.append((_("Metadata"), cells.tags(f"{k}={v}" for k, v in sorted(row.metadata.items()))))
        return known

    def more(self, row: Any) -> dict[str, Any]:
        tasks = operations.operation_list(self.ctx, subject_type="server", subject_id=row.pk)
        return {
            "why": words.why(row) if row.state == ServerState.ERROR else "",
            "tasks": tasks.order_by("-created_at")[:5],
            "may_edit": self.allowed("os_compute_api:servers:update"),
            "ssh": next((f"ssh {a['ip']}" for a in words.addresses(row) if a["type"] == "floating"), ""),
        }


def _address(found: dict[str, Any]) -> Any:
    kind = cells.tags([_("floating") if found["type"] == "floating" else found["network_name"]])
    return format_html("{} {}", cells.copied(found["ip"]), kind)


class ServerEdit(FormPage):
    """Another name or description."""

    title = _("Edit the server")
    nav = "compute:servers"
    form = DescribedForm
    submit = _("Save")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        row = selectors.server_get(self.ctx, server_id=str(self.kwargs["ident"]))
        return DescribedForm(data, initial={"name": row.name, "description": row.description or ""})

    def save(self, form: forms.Form) -> tuple[str, str]:
        given = form.cleaned_data
        row = services.server_update(
            self.ctx,
            server_id=str(self.kwargs["ident"]),
            name=given["name"],
            description=given["description"] or None,
        )
        return self.url("compute:server", row.pk), said(_("Saved"), row.name)


class Console(ServerPage):
    """The guest's screen. Opening it needs a token, so it is a POST; the page's script does that."""

    template = "compute/server_console.html"

    def more(self, row: Any) -> dict[str, Any]:
        return {"can_open": row.state in ALLOWED["console"], "state_word": words.STATES[row.state][1]}

    def post(self, request: HttpRequest, ident: Any) -> HttpResponse:
        try:
            console = services.server_console_open(self.ctx, server_id=str(ident))
        except KumoError as error:
            return JsonResponse({"error": str(error)}, status=error.status)
        asked = parse_qs(urlsplit(console.url).query)
        return JsonResponse({"ws": "/" + asked["path"][0]})


class Log(ServerPage):
    """The end of the serial console's log, read from the host when asked."""

    template = "compute/server_log.html"
    LINES = 500

    def get(self, request: HttpRequest, ident: Any) -> HttpResponse:
        if self.fragment != "log":
            return super().get(request, ident)
        try:
            text = services.server_console_log(self.ctx, server_id=str(ident), length=self.LINES)
            error = ""
        except KumoError as refusal:
            text, error = "", str(refusal)
        return self.render("compute/server_log_text.html", text=text, error=error)


class Network(ServerPage):
    """Interfaces with their addresses and groups."""

    template = "compute/server_network.html"

    def more(self, row: Any) -> dict[str, Any]:
        ports = network.port_list(self.ctx).filter(device_id=str(row.pk)).select_related("network")
        ports = ports.prefetch_related("fixed_ips", "security_groups", "floating_ips")
        return {"ports": ports, "may_float": self.allowed("create_floatingip")}


class Tasks(ServerPage):
    """Everything that was ever done to it."""

    template = "compute/server_tasks.html"

    def more(self, row: Any) -> dict[str, Any]:
        rows = operations.operation_list(self.ctx, subject_type="server", subject_id=row.pk)
        return {"tasks": rows.order_by("-created_at")[:100]}


class Raw(ServerPage):
    """As the API shows it, and as a command."""

    template = "compute/server_raw.html"

    def more(self, row: Any) -> dict[str, Any]:
        rows = selectors.server_get_query(self.ctx, server_id=str(row.pk))
        text = document(SERVER, rows, self.ctx, RAW_VERSION)
        shown = json.loads(text)["server"]
        groups = [g["name"] for g in shown.get("security_groups", ())]
        version = ".".join(map(str, RAW_VERSION))
        headers = f'-H "X-Auth-Token: $OS_TOKEN" -H "OpenStack-API-Version: compute {version}"'
        url = f"{settings.CONFIG.public.url}/compute/v2.1/servers/{row.pk}"
        return {
            "json": text,
            "cli": words.as_command(row, list(shown.get("addresses", {})), groups),
            "curl": f"curl {headers} \\\n    {url}",
        }


class StandaloneConsole(View):
    """The page behind the address that the API hands out: a screen and nothing around it.

    It needs no session: the token in its address is the key, and only the WebSocket looks at it.
    """

    def get(self, request: HttpRequest) -> HttpResponse:
        response = render(request, "compute/console_page.html", {"title": _("Console")})
        response["Cache-Control"] = "no-store"
        return response
