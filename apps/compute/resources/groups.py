"""What the API shows and takes of server groups."""

from __future__ import annotations

from typing import Any

from apps.compute.states import GroupPolicy
from apps.core.api import types as t
from apps.core.api.resource import CREATE, Env, F, Resource, Row

_HARD = (GroupPolicy.AFFINITY.value, GroupPolicy.ANTI_AFFINITY.value)


def _one_policy(values: Any) -> t.Type:
    return t.Type({"type": "array", "items": {"type": "string", "enum": list(values)}, "minItems": 1, "maxItems": 1})


def _members(row: Row, env: Env) -> list[str]:
    return [str(member) for member in row["members"] or ()]


SERVER_GROUP = Resource(
    "server_group",
    "server_groups",
    (
        F("id", t.uuid),
        F("name"),
        F("policies", value=lambda row, env: [row["policy"]], needs=("policy",), until=(2, 63)),
        F("metadata", value=lambda row, env: {}, until=(2, 63)),
        F("members", value=_members, needs=("members",)),
        F("project_id", since=(2, 13)),
        F("user_id", since=(2, 13)),
        F("policy", since=(2, 64)),
        F("rules", since=(2, 64)),
        F("name", t.text(255, least=1, pattern=r"^\S(.*\S)?$"), on=(CREATE,), required=True),
        F("policies", _one_policy(_HARD), on=(CREATE,), required=True, until=(2, 14)),
        F(
            "policies",
            _one_policy(p.value for p in GroupPolicy),
            on=(CREATE,),
            required=True,
            since=(2, 15),
            until=(2, 63),
        ),
        F("policy", t.enum(GroupPolicy), on=(CREATE,), required=True, since=(2, 64)),
        F(
            "rules",
            t.shape(
                {
                    "max_server_per_host": t.Type(
                        {"anyOf": [t.integer(1, 1000).schema, {"type": "string", "pattern": "^[1-9][0-9]*$"}]}
                    )
                }
            ),
            on=(CREATE,),
            since=(2, 64),
        ),
    ),
    noun="server group",
    default_sort=("created_at", "id"),
    small="a project has few (its quota)",
)
