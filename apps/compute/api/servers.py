"""Servers: the collection, its members, and what can be done to one."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import selectors, services
from apps.compute.api.base import ComputeResourceView, ComputeView, Query
from apps.compute.api.older import floating_ips
from apps.compute.resources import SERVER
from apps.compute.resources.servers import REBUILD, REBUILT, UPDATED
from apps.compute.selectors._common import server_for
from apps.compute.states import ConsoleKind
from apps.core.api import resource as r
from apps.core.api import types as t
from apps.core.api.listing import PAGING, Param
from apps.core.api.types import as_flag
from apps.core.api.views import Act, Crud
from apps.core.errors import Invalid, NotFound

REBOOT = {
    "type": "object",
    "properties": {"type": {"enum": ["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]}},
    "required": ["type"],
    "additionalProperties": False,
}
LOCK = {
    "type": ["object", "null"],
    "properties": {"locked_reason": {"type": "string", "minLength": 1, "maxLength": 255}},
    "required": ["locked_reason"],
    "additionalProperties": False,
}
RESET = {
    "type": "object",
    "properties": {"state": {"enum": ["active", "error"]}},
    "required": ["state"],
    "additionalProperties": False,
}
LENGTH = {
    "type": ["object", "null"],
    "properties": {
        "length": {"anyOf": [{"type": ["integer", "null"], "minimum": -1}, {"type": "string", "pattern": "^-?[0-9]+$"}]}
    },
    "additionalProperties": False,
}
GROUP = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 255}},
    "required": ["name"],
    "additionalProperties": True,
}

FLOATING = {
    "type": "object",
    "properties": {
        "address": {"type": "string", "minLength": 1, "maxLength": 45},
        "fixed_address": {"type": "string", "minLength": 1, "maxLength": 45},
    },
    "required": ["address"],
    "additionalProperties": False,
}


def _floating_ip_add(ctx: Any, *, server_id: str, address: str, fixed_address: str | None = None) -> None:
    server_for(ctx, server_id, "os_compute_api:os-floating-ips:add")
    floating_ips.floating_ip_add(ctx, server_id=server_id, address=address, fixed_address=fixed_address)


def _floating_ip_remove(ctx: Any, *, server_id: str, address: str) -> None:
    server_for(ctx, server_id, "os_compute_api:os-floating-ips:remove")
    floating_ips.floating_ip_remove(ctx, server_id=server_id, address=address)


def _console_body(*types: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"type": {"enum": list(types)}},
        "required": ["type"],
        "additionalProperties": False,
    }


def _console_log(ctx: Any, *, server_id: str, length: int | str | None = None) -> str:
    lines = None if length is None or int(length) < 0 else int(length)
    return services.server_console_log(ctx, server_id=server_id, length=lines)


def _vnc(ctx: Any, *, server_id: str, type: str) -> services.Console:
    return services.server_console_open(ctx, server_id=server_id, kind=ConsoleKind.VNC)


def _serial(ctx: Any, *, server_id: str, type: str) -> services.Console:
    return services.server_console_open(ctx, server_id=server_id, kind=ConsoleKind.SERIAL)


def _console(kind: str) -> Any:
    return lambda console, env: {"console": {"type": kind, "url": console.url}}


# Parameters of both lists. Everybody's first; the others are for administrators, and ignored from everybody else
# until 2.83 opened some.
EVERYBODY = (
    Param("all_tenants", t.Type({}, parse=lambda text: text == "" or t.parse_flag(text))),
    Param("name", t.text()),
    Param("status", t.text(), many=True),
    Param("image", t.text()),
    Param("flavor", t.text()),
    Param("ip", t.text()),
    Param("ip6", t.text(), since=(2, 5)),
    Param("reservation_id", t.text()),
    Param("changes-since", t.time, arg="changes_since"),
    Param("changes-before", t.time, arg="changes_before", since=(2, 66)),
    Param("tags", t.text(), since=(2, 26)),
    Param("tags-any", t.text(), arg="tags_any", since=(2, 26)),
    Param("not-tags", t.text(), arg="not_tags", since=(2, 26)),
    Param("not-tags-any", t.text(), arg="not_tags_any", since=(2, 26)),
    Param("locked", t.flag, since=(2, 73)),
)
SINCE_2_83 = (
    Param("availability_zone", t.text(), arg="zone"),
    Param("config_drive", t.flag),
    Param("key_name", t.text()),
    Param("created_at", t.time),
    Param("launched_at", t.time),
    Param("terminated_at", t.time),
    Param("power_state", t.text()),
    Param("task_state", t.text()),
    Param("vm_state", t.text()),
    Param("progress", t.integer()),
    Param("user_id", t.text()),
)
ADMINISTRATORS = (
    Param("deleted", t.flag),
    Param("host", t.text()),
    Param("node", t.text()),
    Param("tenant_id", t.text(), arg="project_id"),
    Param("project_id", t.text()),
    Param("uuid", t.text(), many=True),
    Param("hostname", t.text()),
    Param("description", t.text()),
    Param("launch_index", t.integer()),
    Param("access_ip_v4", t.text()),
    Param("access_ip_v6", t.text()),
)
LISTED = Query(
    dict.fromkeys(PAGING - {"page_reverse", "fields", "sort"}, r.FIRST)
    | {p.name: p.since for p in (*EVERYBODY, *SINCE_2_83, *ADMINISTRATORS)}
    # what Nova knows as a filter and nothing here is found by
    | dict.fromkeys(
        (
            "auto_disk_config", "block_device_mapping", "cell_name", "cleaned", "disable_terminate",
            "display_description", "display_name", "info_cache", "instance_type_id", "kernel_id", "launched_on",
            "locked_by", "metadata", "pci_devices", "ramdisk_id", "root_device_name", "security_groups", "services",
            "soft_deleted", "system_metadata",
        ),
        r.FIRST,
    )
)  # fmt: skip


class Servers(ComputeResourceView):
    """`/servers`, `/servers/detail`, `/servers/{id}` and `/servers/{id}/action`."""

    resource = SERVER
    brief = True
    update_methods = ("put",)
    create_status = 202
    calls = Crud(
        list=selectors.server_list,
        get=selectors.server_get_query,
        create=services.server_create,
        update=services.server_update,
        delete=services.server_delete,
    )
    actions = {
        "os-start": Act(services.server_start),
        "os-stop": Act(services.server_stop),
        "reboot": Act(services.server_reboot, body=REBOOT),
        "rebuild": Act(services.server_rebuild),
        "pause": Act(services.server_pause),
        "unpause": Act(services.server_unpause),
        "suspend": Act(services.server_suspend),
        "resume": Act(services.server_resume),
        "lock": Act(services.server_lock, body=LOCK),
        "unlock": Act(services.server_unlock),
        "forceDelete": Act(services.server_force_delete),
        "os-resetState": Act(services.server_reset_state, body=RESET),
        "addSecurityGroup": Act(services.server_group_add, body=GROUP),
        "removeSecurityGroup": Act(services.server_group_remove, body=GROUP),
        "addFloatingIp": Act(_floating_ip_add, body=FLOATING, until=(2, 43)),
        "removeFloatingIp": Act(_floating_ip_remove, body=FLOATING, until=(2, 43)),
        "os-getConsoleOutput": Act(_console_log, body=LENGTH, status=200, render=lambda text, env: {"output": text}),
        "os-getVNCConsole": Act(_vnc, body=_console_body("novnc"), status=200, until=(2, 5), render=_console("novnc")),
        "os-getSerialConsole": Act(
            _serial, body=_console_body("serial"), status=200, until=(2, 5), render=_console("serial")
        ),
    }

    params = EVERYBODY + SINCE_2_83 + ADMINISTRATORS

    def params_now(self) -> tuple[Param, ...]:
        """What this caller may filter by at this version."""
        found: tuple[Param, ...] = EVERYBODY
        if self.version >= (2, 83) or self.ctx.is_admin:
            found += SINCE_2_83
        return found + ADMINISTRATORS if self.ctx.is_admin else found

    def takes_now(self) -> Query | None:
        return LISTED if self.list_view in {r.LIST, r.DETAIL} else None

    @property
    def parents(self) -> dict[str, Any]:
        if "ident" in self.kwargs or self.request.method == "POST":
            return {}
        return {"detailed": self.list_view == r.DETAIL, "strict_status": self.version >= (2, 38)}

    def create(self, request: Request, **_: Any) -> Response:
        arguments = self._arguments(r.CREATE, request.data)
        if isinstance(arguments.get("networks"), list):
            arguments["networks"] = [_asked(one) for one in arguments["networks"]]
        launch = services.server_create(self.ctx, **arguments)
        if as_flag(arguments.get("return_reservation_id", False)):
            return Response({"reservation_id": launch.reservation_id}, status=202)
        first = launch.servers[0]
        body = self._render_one(selectors.server_get_query(self.ctx, server_id=str(first.pk)), r.CREATED)
        body["server"]["adminPass"] = launch.admin_pass
        location = body["server"]["links"][0]["href"]
        return Response(body, status=202, headers={"Location": location})

    def update(self, request: Request, **_: Any) -> Response:
        arguments = self._arguments(r.UPDATE, request.data)
        services.server_update(self.ctx, **self.target, **arguments)
        return Response(self._render_one(selectors.server_get_query(self.ctx, **self.target), UPDATED))

    def act(self, request: Request, **kwargs: Any) -> Response:
        body = request.data
        if isinstance(body, dict) and set(body) == {"rebuild"}:
            return self._rebuild(body["rebuild"])
        return super().act(request, **kwargs)

    def _rebuild(self, asked: Any) -> Response:
        """The only action whose body has versions, and that answers with the server."""
        selectors.server_get(self.ctx, **self.target)
        arguments = self._arguments(REBUILD, {"server": asked})
        made = services.server_rebuild(self.ctx, **self.target, **arguments)
        rows = selectors.server_get_query(self.ctx, **self.target)
        shown = self._render_one(rows, UPDATED)
        if self.version >= (2, 54):
            shown["server"] |= self._render_one(rows, REBUILT)["server"]
        shown["server"]["adminPass"] = made.admin_pass
        return Response(shown, status=202, headers={"Location": shown["server"]["links"][0]["href"]})

    def _action(self, body: Any) -> tuple[str, Any]:
        selectors.server_get(self.ctx, **self.target)  # a server that is not there has no actions either
        name, value = super()._action(body)
        if name == "lock" and self.version < (2, 73):
            return name, None  # what stood there was ignored
        if name in {"addSecurityGroup", "removeSecurityGroup"} and isinstance(value, dict):
            return name, {"name": value.get("name", "")}
        return name, value


def _asked(one: dict[str, Any]) -> dict[str, Any]:
    """One of `networks`, without empty members."""
    return {key: value for key, value in one.items() if value is not None}


class RemoteConsoles(ComputeView):
    """`POST /servers/{id}/remote-consoles`."""

    KINDS = {("vnc", "novnc"): ConsoleKind.VNC, ("serial", "serial"): ConsoleKind.SERIAL}
    BODY = {
        "type": "object",
        "properties": {
            "remote_console": {
                "type": "object",
                "properties": {
                    "protocol": {"enum": ["vnc", "spice", "rdp", "serial", "mks"]},
                    "type": {"enum": ["novnc", "xvpvnc", "spice-html5", "rdp-html5", "serial", "webmks"]},
                },
                "required": ["protocol", "type"],
                "additionalProperties": False,
            }
        },
        "required": ["remote_console"],
        "additionalProperties": False,
    }

    def post(self, request: Request, server_id: str) -> Response:
        if self.version < (2, 6):
            raise NotFound("The resource")
        asked = self.body(self.BODY)["remote_console"]
        kind = self.KINDS.get((asked["protocol"], asked["type"]))
        if kind is None:
            raise Invalid(f"Consoles of type {asked['type']} are not offered.", hint="Use vnc and novnc, or serial.")
        console = services.server_console_open(self.ctx, server_id=server_id, kind=kind)
        return Response({"remote_console": {**asked, "url": console.url}})
