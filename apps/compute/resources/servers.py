"""What the API shows of a server and takes for one. Source of names and versions: Nova's API reference."""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
from contextvars import ContextVar
from typing import Any

from apps.compute.resources.expressions import SERVER_ANNOTATIONS
from apps.compute.states import (
    FAULT_STATUSES,
    POWER_NUMBERS,
    PROGRESS_STATUSES,
    VM_STATES,
    status_of,
)
from apps.core import policy, sealing
from apps.core.api import types as t
from apps.core.api.links import nova_member_links
from apps.core.api.resource import (
    ABSENT,
    CREATE,
    CREATED,
    DETAIL,
    FIRST,
    LIST,
    SHOW,
    UPDATE,
    Env,
    F,
    Resource,
    Row,
    Version,
)
from apps.core.context import RequestContext
from apps.operations.registry import task_state

PREFIX = "/compute/v2.1"
ATTRIBUTES = "os_compute_api:os-extended-server-attributes"
EXTRA_SPECS = "os_compute_api:servers:show:flavor-extra-specs"
REBUILD = "rebuild"  # the body of that action
REBUILT = "rebuilt"  # and what its answer shows besides that of PUT
UPDATED = "updated"  # the answer to PUT, which shows less than GET before 2.75
FULL = (DETAIL, SHOW)
ALL = (DETAIL, SHOW, UPDATED)


# --- values ----------------------------------------------------------------------------------------


def task_of(row: Row, env: Env) -> str | None:
    """The API's word for what the server is busy with."""
    found = row["task"]
    if not found:
        return None
    kind, _, step = found.partition("/")
    return task_state(kind, step)


def _status(row: Row, env: Env) -> str:
    return status_of(row["state"], task_of(row, env))


def _progress(row: Row, env: Env) -> Any:
    status = _status(row, env)
    if status not in PROGRESS_STATUSES:
        return ABSENT
    return row["percent"] or 0 if status == "BUILD" else 0


def _fault(row: Row, env: Env) -> Any:
    fault = row["fault"]
    if not fault or _status(row, env) not in FAULT_STATUSES:
        return ABSENT
    if env.ctx.is_admin or fault.get("code") != 500:
        return fault
    return {name: value for name, value in fault.items() if name != "details"}


def _host_id(row: Row, env: Env) -> str:
    return _hidden_host(row["project_id"], row["host_name"]) if row["host_name"] else ""


@functools.lru_cache(4096)
def _hidden_host(project_id: str, host_name: str) -> str:
    return hashlib.sha224(f"{project_id}{host_name}".encode()).hexdigest()


def _image(row: Row, env: Env) -> Any:
    if row["image_id"] is None:
        return ""
    ident = str(row["image_id"])
    shown: dict[str, Any] = {
        "id": ident,
        "links": [{"rel": "bookmark", "href": f"{env.base}/compute/images/{ident}"}],
    }
    if env.version >= (2, 98):
        shown["properties"] = row["image"].get("properties", {})
    return shown


def _flavor_link(row: Row, env: Env) -> dict[str, Any]:
    ident = row["flavor_id"]
    return {"id": ident, "links": [{"rel": "bookmark", "href": f"{env.base}/compute/flavors/{ident}"}]}


_specs: ContextVar[tuple[RequestContext | None, bool]] = ContextVar("shows_specs", default=(None, False))


def _shows_specs(ctx: RequestContext) -> bool:
    """May this caller see extra specs? Asked once for a list, not for each of its rows."""
    asked, answer = _specs.get()
    if asked is not ctx:
        answer = policy.allowed(ctx, EXTRA_SPECS)
        _specs.set((ctx, answer))
    return answer


def _flavor_facts(row: Row, env: Env) -> dict[str, Any]:
    facts = row["flavor"]
    shown = {
        "original_name": facts["name"],
        "vcpus": facts["vcpus"],
        "ram": facts["ram"],
        "disk": facts["disk"],
        "ephemeral": facts["ephemeral"],
        "swap": facts["swap"],
    }
    if _shows_specs(env.ctx):
        shown["extra_specs"] = facts["extra_specs"]
    return shown


def render_addresses(found: list[dict[str, Any]] | None) -> dict[str, list[dict[str, Any]]]:
    """The API's `addresses`: by network name."""
    shown: dict[str, list[dict[str, Any]]] = {}
    for one in found or ():
        shown.setdefault(one["network_name"], []).append(
            {
                "version": one["version"],
                "addr": one["ip"],
                "OS-EXT-IPS:type": one["type"],
                "OS-EXT-IPS-MAC:mac_addr": one["mac"],
            }
        )
    return shown


def _addresses(row: Row, env: Env) -> dict[str, Any]:
    return render_addresses(row["addresses_json"])


def _plain_addresses(row: Row, env: Env) -> dict[str, Any]:
    """As answers to PUT and to a rebuild have them before 2.75."""
    return {
        name: [{"version": one["version"], "addr": one["addr"]} for one in found]
        for name, found in _addresses(row, env).items()
    }


def _groups(row: Row, env: Env) -> Any:
    found = row["group_names"]
    return [{"name": name} for name in found] if found else ABSENT


def _created_groups(row: Row, env: Env) -> list[dict[str, Any]]:
    return [{"name": name} for name in row["group_names"] or ["default"]]


def _user_data(row: Row, env: Env) -> str | None:
    sealed = row["user_data_sealed"]
    return base64.b64encode(sealing.unseal(sealed)).decode() if sealed else None


def _host_status(row: Row, env: Env) -> str:
    return {"up": "UP", "down": "DOWN", "maintenance": "MAINTENANCE"}.get(row["host_state"] or "", "") or (
        "UNKNOWN" if row["host_name"] else ""
    )


def _updated(row: Row, env: Env) -> Any:
    return _iso(row["updated_at"] or row["created_at"])


def _iso(moment: datetime.datetime) -> str:
    return f"{moment.astimezone(datetime.UTC).isoformat()[:19]}Z"


def _bare_time(moment: datetime.datetime | None) -> str | None:
    """Without a zone, as these two attributes have it."""
    return moment.astimezone(datetime.UTC).isoformat(timespec="microseconds")[:26] if moment else None


# --- what is taken ---------------------------------------------------------------------------------

NAME = t.text(255, least=1, pattern=r"^\S(.*\S)?$")
HOSTNAME = t.text(63, least=2, pattern=r"^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$")
HOSTNAME_FQDN = t.text(255, least=2, pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9\-_.]*[a-zA-Z0-9])$")
ITEM_KEY = r"^[a-zA-Z0-9\-_:. ]{1,255}$"
METADATA = t.dictionary(t.text(255), key_pattern=ITEM_KEY)
TAG = t.text(60, least=1, pattern=r"^[^,/]*$")
TAGS = t.array(TAG, most=50)
DISK_CONFIG = t.enum(("AUTO", "MANUAL"))
ADDRESS_4 = t.Type({"anyOf": [{"type": "string", "format": "ipv4"}, {"const": ""}]})
ADDRESS_6 = t.Type({"anyOf": [{"type": "string", "format": "ipv6"}, {"const": ""}]})
COUNT = t.Type(
    {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]*[1-9][0-9]*$", "maxLength": 4}]}
)
IDENT = t.Type({"anyOf": [t.text(255, least=1).schema, {"type": "integer", "minimum": 0}]})
_NETWORK = t.shape(
    {
        "uuid": t.uuid,
        "port": t.uuid.nullable(),
        "fixed_ip": t.Type({"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}),
    }
)
_TAGGED_NETWORK = t.Type({**_NETWORK.schema, "properties": {**_NETWORK.schema["properties"], "tag": TAG.schema}})
NETWORKS = t.array(_NETWORK)
NETWORKS_TAGGED = t.array(_TAGGED_NETWORK)
NETWORKS_OR_WORD = t.Type({"anyOf": [NETWORKS.schema, {"enum": ["none", "auto"]}]})
NETWORKS_TAGGED_OR_WORD = t.Type({"anyOf": [NETWORKS_TAGGED.schema, {"enum": ["none", "auto"]}]})
GROUPS = t.array(t.shape({"name": t.text(255, least=1)}))
FILES = t.array(t.shape({"path": t.text(255, least=1), "contents": t.text(87_400)}, required=("path", "contents")))
USER_DATA = t.text(65_535, null=True, pattern=r"^[A-Za-z0-9+/=\s]*$")
ZONE = t.text(255, least=1, pattern=r"^\S(.*\S)?$")
FLAG_WORD = t.loose_flag
OLD_BLOCK_DEVICES = t.array(t.mapping)


def _block_devices(**more: t.Type) -> t.Type:
    number = t.Type({"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$"})
    ident = t.text(255, least=1, pattern="^[a-zA-Z0-9._-]*$")
    known = {
        "source_type": t.enum(("volume", "image", "snapshot", "blank")),
        "destination_type": t.enum(("local", "volume")),
        "uuid": ident,
        "image_id": ident,
        "volume_id": ident,
        "snapshot_id": ident,
        "boot_index": number,
        "volume_size": number,
        "delete_on_termination": t.loose_flag,
        "no_device": t.Type({}),
        "connection_info": t.text(),
    }
    known |= {name: t.text(255) for name in ("guest_format", "device_type", "disk_bus", "device_name", "virtual_name")}
    return t.array(t.shape(known | more))


BLOCK_DEVICES = _block_devices()
BLOCK_DEVICES_TAGGED = _block_devices(tag=TAG)
BLOCK_DEVICES_TYPED = _block_devices(tag=TAG, volume_type=t.text(255, null=True))
HINTS = t.shape(
    {
        "group": t.uuid,
        "different_host": t.Type({"anyOf": [t.uuid.schema, t.array(t.uuid, unique=True).schema]}),
        "same_host": t.Type({"anyOf": [t.uuid.schema, t.array(t.uuid, unique=True).schema]}),
    },
    closed=False,
)


def _fuller(name: str, since: Version = FIRST, **given: Any) -> tuple[F, F]:
    """A field of GET that PUT shows from 2.75 on."""
    return F(name, on=FULL, since=since, **given), F(name, on=(UPDATED,), since=max(since, (2, 75)), **given)


def _attribute(name: str, **given: Any) -> tuple[F, F]:
    return _fuller(f"OS-EXT-SRV-ATTR:{name}", rule=ATTRIBUTES, **given)


def _fixed(value: Any) -> Any:
    return lambda row, env: value


SERVER = Resource(
    "server",
    "servers",
    (
        F("id", t.uuid, on=(LIST, *ALL, CREATED), sort="id"),
        F("links", on=(LIST, *ALL, CREATED), value=nova_member_links(PREFIX, "servers")),
        F("name", NAME, on=(LIST, *ALL), sort="name"),
        F("name", NAME, on=(CREATE,), required=True),
        F("name", NAME, on=(UPDATE, REBUILD)),
        F("status", value=_status, on=ALL, needs=("state", "task")),
        F("tenant_id", source="project_id", on=ALL),
        F("user_id", on=ALL, sort="user_id"),
        F("metadata", on=ALL),
        F("metadata", METADATA, on=(CREATE, REBUILD)),
        F("hostId", value=_host_id, on=ALL, needs=("project_id", "host_name")),
        F("image", value=_image, on=ALL, needs=("image_id",), until=(2, 97)),
        F("image", value=_image, on=ALL, needs=("image_id", "image"), since=(2, 98)),
        F("flavor", value=_flavor_link, on=ALL, needs=("flavor_id",), until=(2, 46)),
        F("flavor", value=_flavor_facts, on=ALL, needs=("flavor",), since=(2, 47)),
        F("created", value=lambda row, env: _iso(row["created_at"]), on=ALL, needs=("created_at",)),
        F("updated", value=_updated, on=ALL, needs=("created_at", "updated_at")),
        F("addresses", value=_addresses, on=FULL, needs=("addresses_json",)),
        F("addresses", value=_plain_addresses, on=(UPDATED,), needs=("addresses_json",), until=(2, 74)),
        F("addresses", value=_addresses, on=(UPDATED,), needs=("addresses_json",), since=(2, 75)),
        F("accessIPv4", source="access_ipv4", on=ALL),
        F("accessIPv6", source="access_ipv6", on=ALL),
        F("accessIPv4", ADDRESS_4, arg="access_ipv4", on=(CREATE, UPDATE, REBUILD)),
        F("accessIPv6", ADDRESS_6, arg="access_ipv6", on=(CREATE, UPDATE, REBUILD)),
        F("OS-DCF:diskConfig", source="disk_config", on=(*ALL, CREATED)),
        F("OS-DCF:diskConfig", DISK_CONFIG, arg="disk_config", on=(CREATE, UPDATE, REBUILD)),
        F("progress", value=_progress, on=ALL, needs=("state", "task", "percent"), maybe=True),
        F("fault", value=_fault, on=ALL, needs=("state", "task", "fault"), maybe=True),
        F("description", on=ALL, since=(2, 19)),
        F(
            "description",
            t.text(255, null=True, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$"),
            on=(CREATE, UPDATE, REBUILD),
            since=(2, 19),
        ),
        F("locked", value=lambda row, env: row["locked_at"] is not None, on=ALL, needs=("locked_at",), since=(2, 9)),
        F("locked_reason", on=ALL, since=(2, 73)),
        F("tags", on=ALL, since=(2, 26)),
        F("tags", TAGS, on=(CREATE,), since=(2, 52)),
        F("trusted_image_certificates", value=_fixed(None), on=ALL, since=(2, 63)),
        F(
            "trusted_image_certificates",
            t.Type(
                {
                    "type": ["array", "null"],
                    "items": t.text(255, least=1).schema,
                    "minItems": 1,
                    "maxItems": 50,
                    "uniqueItems": True,
                }
            ),
            on=(CREATE, REBUILD),
            since=(2, 63),
        ),
        F(
            "server_groups",
            value=lambda row, env: [str(row["group_id"])] if row["group_id"] else [],
            on=(SHOW, UPDATED),
            needs=("group_id",),
            since=(2, 71),
        ),
        F(
            "pinned_availability_zone",
            value=lambda row, env: row["wanted_zone"] or None,
            on=ALL,
            needs=("wanted_zone",),
            since=(2, 96),
        ),
        F("scheduler_hints", on=ALL, since=(2, 100)),
        *_fuller("key_name"),
        *_fuller("config_drive", value=lambda row, env: "True" if row["config_drive"] else "", needs=("config_drive",)),
        *_fuller("security_groups", value=_groups, needs=("group_names",), maybe=True),
        *_fuller("OS-EXT-AZ:availability_zone", source="zone_shown"),
        *_fuller(
            "OS-SRV-USG:launched_at", value=lambda row, env: _bare_time(row["launched_at"]), needs=("launched_at",)
        ),
        *_fuller(
            "OS-SRV-USG:terminated_at", value=lambda row, env: _bare_time(row["terminated"]), needs=("terminated",)
        ),
        *_fuller("OS-EXT-STS:task_state", value=task_of, needs=("task",)),
        *_fuller("OS-EXT-STS:vm_state", value=lambda row, env: VM_STATES[row["state"]], needs=("state",)),
        *_fuller("OS-EXT-STS:power_state", value=lambda row, env: POWER_NUMBERS[row["power"]], needs=("power",)),
        *_fuller("os-extended-volumes:volumes_attached", value=_fixed([])),
        *_attribute("host", value=lambda row, env: row["host_name"] or None, needs=("host_name",)),
        *_attribute("hypervisor_hostname", value=lambda row, env: row["host_name"] or None, needs=("host_name",)),
        *_attribute("instance_name", value=lambda row, env: f"kumo-{row['id']}", needs=("id",)),
        *_attribute("reservation_id", source="reservation_id", since=(2, 3)),
        *_attribute("launch_index", source="launch_index", since=(2, 3)),
        *_attribute("kernel_id", value=_fixed(""), since=(2, 3)),
        *_attribute("ramdisk_id", value=_fixed(""), since=(2, 3)),
        *_attribute("root_device_name", value=_fixed("/dev/vda"), since=(2, 3)),
        *_attribute("user_data", value=_user_data, needs=("user_data_sealed",), since=(2, 3)),
        F("OS-EXT-SRV-ATTR:hostname", source="hostname", on=FULL, rule=ATTRIBUTES, since=(2, 3), until=(2, 89)),
        F("OS-EXT-SRV-ATTR:hostname", source="hostname", on=(UPDATED,), rule=ATTRIBUTES, since=(2, 75), until=(2, 89)),
        F("OS-EXT-SRV-ATTR:hostname", source="hostname", on=ALL, since=(2, 90)),
        *_fuller(
            "host_status",
            value=_host_status,
            needs=("host_state", "host_name"),
            rule="os_compute_api:servers:show:host_status",
            since=(2, 16),
        ),
        # only in the answer to a create
        F("security_groups", value=_created_groups, needs=("group_names",), on=(CREATED,)),
        # only in the answer to a rebuild, which shows what PUT does and these
        F("key_name", on=(REBUILT,), since=(2, 54)),
        F("user_data", value=_user_data, needs=("user_data_sealed",), on=(REBUILT,), since=(2, 57)),
        # only taken
        F("imageRef", t.text(255), on=(CREATE,), arg="image_ref"),
        F("imageRef", t.uuid, on=(REBUILD,), arg="image_ref", required=True),
        F("flavorRef", IDENT, on=(CREATE,), arg="flavor_ref", required=True),
        F("adminPass", t.text(255), on=(CREATE, REBUILD), arg="admin_pass"),
        F("networks", NETWORKS, on=(CREATE,), until=(2, 31)),
        F("networks", NETWORKS_TAGGED, on=(CREATE,), since=(2, 32), until=(2, 36)),
        F("networks", NETWORKS_OR_WORD, on=(CREATE,), since=(2, 37), until=(2, 41), required=True),
        F("networks", NETWORKS_TAGGED_OR_WORD, on=(CREATE,), since=(2, 42), required=True),
        F("security_groups", GROUPS, on=(CREATE,)),
        F("key_name", t.text(255, least=1), on=(CREATE,)),
        F("key_name", t.text(255, least=1, null=True), on=(REBUILD,), since=(2, 54)),
        F("user_data", USER_DATA, on=(CREATE,)),
        F("user_data", USER_DATA, on=(REBUILD,), since=(2, 57)),
        F("preserve_ephemeral", FLAG_WORD, on=(REBUILD,)),
        F("config_drive", FLAG_WORD, on=(CREATE,)),
        F("availability_zone", ZONE, on=(CREATE,)),
        F("min_count", COUNT, on=(CREATE,)),
        F("max_count", COUNT, on=(CREATE,)),
        F("return_reservation_id", FLAG_WORD, on=(CREATE,)),
        F("personality", FILES, on=(CREATE, REBUILD), until=(2, 56)),
        F("block_device_mapping", OLD_BLOCK_DEVICES, on=(CREATE,)),
        F("block_device_mapping_v2", BLOCK_DEVICES, on=(CREATE,), until=(2, 31)),
        F("block_device_mapping_v2", BLOCK_DEVICES_TAGGED, on=(CREATE,), since=(2, 32), until=(2, 32)),
        F("block_device_mapping_v2", BLOCK_DEVICES, on=(CREATE,), since=(2, 33), until=(2, 41)),
        F("block_device_mapping_v2", BLOCK_DEVICES_TAGGED, on=(CREATE,), since=(2, 42), until=(2, 66)),
        F("block_device_mapping_v2", BLOCK_DEVICES_TYPED, on=(CREATE,), since=(2, 67)),
        F("host", t.text(255, least=1), on=(CREATE,), since=(2, 74)),
        F("hypervisor_hostname", t.text(255, least=1), on=(CREATE,), since=(2, 74)),
        F("hostname", HOSTNAME, on=(CREATE, UPDATE, REBUILD), since=(2, 90), until=(2, 93)),
        F("hostname", HOSTNAME_FQDN, on=(CREATE, UPDATE, REBUILD), since=(2, 94)),
    ),
    annotations=SERVER_ANNOTATIONS,
    siblings={
        "os:scheduler_hints": (HINTS, "scheduler_hints"),
        "OS-SCH-HNT:scheduler_hints": (HINTS, "scheduler_hints"),
    },
    noun="Instance",
    sorts={
        "created_at": "created_at",
        "updated_at": "updated_at",
        "launched_at": "launched_at",
        "display_name": "name",
        "display_description": "description",
        "uuid": "id",
        "project_id": "project_id",
        "host": "host_name",
        "node": "host_name",
        "hostname": "hostname",
        "vm_state": "state",
        "power_state": "power",
        "image_ref": "image_id",
        "instance_type_id": "flavor_id",
        "key_name": "key_name",
        "launch_index": "launch_index",
        "availability_zone": "wanted_zone",
        "config_drive": "config_drive",
        "access_ip_v4": "access_ipv4",
        "access_ip_v6": "access_ipv6",
        "root_device_name": "launch_index",
        "locked": "locked_at",
        "locked_reason": "locked_reason",
    },
)
