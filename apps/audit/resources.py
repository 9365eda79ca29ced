"""An event on the wire, in Kumo's own form and in that of CADF (DMTF DSP0262 1.0.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.audit.states import Outcome
from apps.core.api import types as t
from apps.core.api.resource import Env, F, Resource, Row

CADF_VERSION = "http://schemas.dmtf.org/cloud/audit/1.0/event"
CADF_MEDIA = "application/cadf+json"
# CADF's taxonomy of actions has few words; ours that are none of them stand below `update`.
_CADF_ACTIONS = {
    "create", "delete", "update", "start", "stop", "enable", "disable", "attach", "detach", "authenticate", "revoke",
    "backup", "restore", "suspend", "resume", "allow", "deny", "read", "undeploy", "deploy", "evaluate", "notify",
}  # fmt: skip


def _user(row: Row, env: Env) -> dict[str, Any]:
    return {
        "id": row["user_id"] or None,
        "name": row["user_name"] or None,
        "domain_id": row["user_domain_id"] or None,
        "roles": row["roles"],
        "credential": row["credential"] or None,
        "token_id": row["token_id"] or None,
    }


def _target(row: Row, env: Env) -> dict[str, Any]:
    return {"type": row["target_type"], "id": row["target_id"] or None, "name": row["target_name"] or None}


def _scope(row: Row, env: Env) -> dict[str, Any] | None:
    if row["scope"] == "system":
        return {"system": "all"}
    return {f"{row['scope']}_id": row["scope_id"]} if row["scope"] else None


EVENT = Resource(
    "event",
    "events",
    (
        F("id", t.uuid),
        F("at", t.time_micros_z, sort="at"),
        F("action", t.text(128), filter="action"),
        F("outcome", t.enum(Outcome), filter="outcome"),
        F("code", t.integer()),
        F("reason", t.text(1000)),
        F("rule", t.text(128)),
        F(
            "user",
            t.mapping,
            value=_user,
            needs=("user_id", "user_name", "user_domain_id", "roles", "credential", "token_id"),
        ),
        F("scope", t.mapping, value=_scope, needs=("scope", "scope_id")),
        F("target", t.mapping, value=_target, needs=("target_type", "target_id", "target_name")),
        F("project_id", t.text(64), filter="project_id"),
        F("address", t.text(64)),
        F("agent", t.text(256)),
        F("request_id", t.text(64), filter="request_id"),
        F("global_request_id", t.text(64), filter="global_request_id"),
        F("before", t.mapping),
        F("after", t.mapping),
        F("arguments", t.mapping),
        # Filters that are parts of members.
        F("user_id", t.text(255), filter="user_id", value=lambda row, env: row["user_id"], needs=("user_id",)),
    ),
    default_sort=("-at", "-id"),
    ident="id",
)


def cadf(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event, as rendered from EVENT, in CADF's terms."""
    user, target = event["user"], event["target"]
    scope = event["scope"] or {}
    verb = event["action"].rsplit(".", 1)[-1]
    word = verb.split("_", 1)[0]
    host = {k: v for k, v in (("address", event["address"]), ("agent", event["agent"])) if v}
    found: dict[str, Any] = {
        "typeURI": CADF_VERSION,
        "eventType": "activity",
        "id": event["id"],
        "eventTime": event["at"],
        "action": word if word in _CADF_ACTIONS else f"update/{verb}",
        "name": event["action"],
        "outcome": event["outcome"],
        "initiator": {
            "typeURI": "service/security/account/user",
            "id": user["id"] or user["name"] or "unknown",
            "name": user["name"] or "",
            "credential": {"type": user["credential"] or "", "token": user["token_id"] or ""},
            "host": host,
            **scope,
        },
        "target": {
            "typeURI": f"service/{target['type'].replace('.', '/')}",
            "id": target["id"] or "unknown",
            "name": target["name"] or "",
            "project_id": event["project_id"],
        },
        "observer": {"typeURI": f"service/{target['type'].split('.')[0]}", "id": "kumo", "name": "kumo"},
        "tags": [event["request_id"]] if event["request_id"] else [],
        "attachments": [
            {"name": name, "typeURI": "mime:application/json", "content": event[name]}
            for name in ("before", "after", "arguments")
            if event[name]
        ],
    }
    if event["outcome"] == Outcome.FAILURE:
        found["reason"] = {
            "reasonType": "HTTP",
            "reasonCode": str(event["code"]),
            "policyType": "rule",
            "policyId": event["rule"],
            "reasonText": event["reason"],
        }
    return found
