"""The mapping language of federation: from what an identity provider says of somebody to who they are here.

Source: "Mapping Combinations" of Keystone's administrator guide. A rule's `remote` part must hold for the assertion;
then its `local` part applies, with `{0}`, `{1}`, … standing for the values that the remote part let through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.core.api import types as t
from apps.core.errors import Invalid, Unauthorized

Assertion = Mapping[str, Sequence[str]]
NOT_MAPPED = "Could not map any federated user properties to identity values."
VERSIONS = ("1.0", "2.0")
_MOST_VALUE = 4096  # characters that a regular expression of a rule looks at
_PLACE = re.compile(r"\{(\d+)\}")

_TEXT = t.text(1024, least=1)
_TEXTS = t.array(t.text(1024), most=1000)
_DOMAIN = t.Type(
    {
        "type": "object",
        "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
)
_GROUP = t.Type(
    {
        "type": "object",
        "oneOf": [
            t.shape({"id": _TEXT}, required=("id",)).schema,
            t.shape({"name": _TEXT, "domain": _DOMAIN}, required=("name", "domain")).schema,
        ],
    }
)
_PROJECT = t.shape(
    {
        "name": _TEXT,
        "domain": _DOMAIN,
        "roles": t.Type({**t.array(t.shape({"name": _TEXT}, required=("name",)), most=100).schema, "minItems": 1}),
    },
    required=("name", "roles"),
)
_USER = t.shape(
    {
        "id": _TEXT,
        "name": _TEXT,
        "email": _TEXT,
        "domain": _DOMAIN,
        "type": t.enum(("ephemeral", "local")),
    }
)
_LOCAL = t.shape(
    {
        "user": _USER,
        "group": _GROUP,
        "groups": _TEXT,
        "group_ids": _TEXT,
        "domain": _DOMAIN,
        "projects": t.array(_PROJECT, most=100),
    }
)
_CONDITIONS = ("any_one_of", "not_any_of", "whitelist", "blacklist")


def _remote(condition: str) -> dict[str, Any]:
    known = {"type": _TEXT, "regex": t.flag} | ({condition: _TEXTS} if condition else {})
    if not condition:
        known.pop("regex")
    return dict(t.shape(known, required=("type", condition) if condition else ("type",)).schema)


RULES = t.Type(
    {
        "type": "array",
        "minItems": 1,
        "maxItems": 100,
        "items": {
            "type": "object",
            "required": ["local", "remote"],
            "additionalProperties": False,
            "properties": {
                "local": {"type": "array", "minItems": 1, "maxItems": 100, "items": _LOCAL.schema},
                "remote": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 100,
                    "items": {"oneOf": [_remote(condition) for condition in ("", *_CONDITIONS)]},
                },
            },
        },
    }
)


@dataclass(frozen=True, slots=True)
class GroupRef:
    """A group by id, or by name and domain (`id` or `name` → value)."""

    id: str = ""
    name: str = ""
    domain: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class ProjectRef:
    """A project that the user shall have, and the names of the roles there. Without a domain: the provider's."""

    name: str
    roles: tuple[str, ...]
    domain: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Mapped:
    """Who somebody is here. `local`: a user of ours who must exist."""

    id: str
    name: str
    email: str = ""
    domain: tuple[str, str] = ("", "")
    local: bool = False
    groups: tuple[GroupRef, ...] = ()
    projects: tuple[ProjectRef, ...] = ()


def check(rules: Sequence[Mapping[str, Any]]) -> None:
    """What the schema cannot see: regular expressions compile, and `{N}` names a value. Raises Invalid."""
    for number, rule in enumerate(rules):
        direct = sum(1 for one in rule["remote"] if not {"any_one_of", "not_any_of"} & set(one))
        for one in rule["remote"]:
            if one.get("regex"):
                _compiled([v for name in _CONDITIONS for v in one.get(name, ())])
        asked = [int(place) for text in _texts(rule["local"]) for place in _PLACE.findall(text)]
        if asked and max(asked) >= direct:
            raise Invalid(
                f"Rule {number}: {{{max(asked)}}} has no value, for its remote part lets {direct} through.",
                field="rules",
            )


def mapped(rules: Sequence[Mapping[str, Any]], assertion: Assertion) -> Mapped:
    """Apply every rule that holds. Raises Unauthorized where none does or nobody is named."""
    locals_: list[Mapping[str, Any]] = []
    for rule in rules:
        values = _values(rule["remote"], assertion)
        if values is not None:
            locals_ += [_filled(local, values) for local in rule["local"]]
    if not locals_:
        raise Unauthorized(NOT_MAPPED)
    return _together(locals_, next(iter(assertion.get("REMOTE_USER", ())), ""))


def _values(remote: Sequence[Mapping[str, Any]], assertion: Assertion) -> list[list[str]] | None:
    """What each requirement lets through, in order; None if one does not hold."""
    found: list[list[str]] = []
    for one in remote:
        given = [value[:_MOST_VALUE] for value in assertion.get(one["type"], ())]
        if not given:
            return None
        regex = bool(one.get("regex"))
        if "any_one_of" in one:
            if not _matching(given, one["any_one_of"], regex):
                return None
        elif "not_any_of" in one:
            if _matching(given, one["not_any_of"], regex):
                return None
        elif "blacklist" in one:
            barred = set(_matching(given, one["blacklist"], regex))
            found.append([value for value in given if value not in barred])
        elif "whitelist" in one:
            found.append(_matching(given, one["whitelist"], regex))
        else:
            found.append(given)
    return found


def _matching(given: Iterable[str], wanted: Sequence[str], regex: bool) -> list[str]:
    if not regex:
        return [value for value in given if value in wanted]
    patterns = _compiled(wanted)
    return [value for value in given if any(pattern.search(value) for pattern in patterns)]


def _compiled(patterns: Iterable[str]) -> list[re.Pattern[str]]:
    try:
        return [re.compile(pattern) for pattern in patterns]
    except re.error as error:
        raise Invalid(f"`{error.pattern!s}` is no regular expression: {error.msg}.", field="rules") from error


class _Many(list[str]):
    """Several values that stood where one text was written."""


def _filled(local: Any, values: list[list[str]]) -> Any:
    """The local part with its places filled; a text that is only `{N}` may become several values."""
    if isinstance(local, Mapping):
        return {name: _filled(value, values) for name, value in local.items()}
    if isinstance(local, list):
        return [_filled(value, values) for value in local]
    if not isinstance(local, str):
        return local
    alone = _PLACE.fullmatch(local)
    if alone and len(values[int(alone[1])]) != 1:
        return _Many(values[int(alone[1])])
    return _PLACE.sub(lambda place: ";".join(values[int(place[1])]), local)


def _together(locals_: Sequence[Mapping[str, Any]], remote_user: str) -> Mapped:
    user: Mapping[str, Any] = next((one["user"] for one in locals_ if "user" in one), {})
    groups: list[GroupRef] = []
    projects: list[ProjectRef] = []
    for one in locals_:
        if group := one.get("group"):
            groups.append(GroupRef(_one(group.get("id")), _one(group.get("name")), _domain(group)))
        groups += [GroupRef(id=ident) for ident in _all(one.get("group_ids"))]
        groups += [GroupRef(name=name, domain=_domain(one)) for name in _all(one.get("groups"))]
        projects += [
            ProjectRef(_one(project["name"]), tuple(_one(role["name"]) for role in project["roles"]), _domain(project))
            for project in one.get("projects", ())
        ]
    ident, name = _one(user.get("id")), _one(user.get("name")) or remote_user
    if not (ident or name):
        raise Unauthorized(NOT_MAPPED)
    return Mapped(
        id=ident or name,
        name=name or ident,
        email=_one(user.get("email")),
        domain=_domain(user),
        local=user.get("type") == "local",
        groups=tuple(dict.fromkeys(groups)),
        projects=tuple(project for project in projects if project.name),
    )


def _domain(ref: Mapping[str, Any]) -> tuple[str, str]:
    given = ref.get("domain") or {}
    return next(((key, _one(value)) for key, value in given.items()), ("", ""))


def _one(value: Any) -> str:
    """A single text; several values where one is needed name nobody."""
    return value if isinstance(value, str) else ""


def _all(value: Any) -> list[str]:
    """Several texts: values that came as such, or one text with `;` between them."""
    if isinstance(value, _Many):
        return list(value)
    return [part for part in str(value).split(";") if part] if value else []


def _texts(local: Any) -> Iterable[str]:
    if isinstance(local, str):
        yield local
    elif isinstance(local, Mapping | list):
        for value in local.values() if isinstance(local, Mapping) else local:
            yield from _texts(value)
