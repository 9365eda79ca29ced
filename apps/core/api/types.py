"""Types of attributes on the wire: a JSON-Schema fragment for what comes in, a renderer for what goes out,
and a reader for what stands in a query string."""

from __future__ import annotations

import datetime
import uuid as uuids
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from apps.core.errors import Invalid

Schema = Mapping[str, Any]
UUID_PATTERN = r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$"
TRUE_WORDS = frozenset({"1", "t", "true", "on", "y", "yes"})
FALSE_WORDS = frozenset({"0", "f", "false", "off", "n", "no"})


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """`schema` validates input; `render` turns a column's value into JSON (None: as it is); `parse` reads the
    text of a query parameter and raises ValueError where it cannot."""

    schema: Schema
    render: Callable[[Any], Any] | None = None
    parse: Callable[[str], Any] = field(default=str)

    def nullable(self) -> Type:
        """The same type, taking null as well."""
        kinds = self.schema.get("type")
        if kinds is None:
            return Type({"anyOf": [self.schema, {"type": "null"}]}, self.render, self.parse)
        listed = [kinds] if isinstance(kinds, str) else list(kinds)
        schema = {**self.schema, "type": [*listed, "null"]}
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        return Type(schema, self.render, self.parse)


def _iso_seconds(value: datetime.datetime | None) -> str | None:
    return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value else None


def _iso_micros(value: datetime.datetime | None) -> str | None:
    return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") if value else None


def _iso_micros_z(value: datetime.datetime | None) -> str | None:
    return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if value else None


def parse_flag(text: str) -> bool:
    """`true`, `1`, `yes`, … Raises ValueError for other words."""
    word = text.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def parse_time(value: str) -> datetime.datetime:
    """ISO 8601, UTC where no zone is given. Raises ValueError."""
    moment = datetime.datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def text(most: int = 255, *, least: int = 0, null: bool = False, pattern: str = "") -> Type:
    """Text of bounded length."""
    schema: dict[str, Any] = {"type": "string", "maxLength": most}
    if least:
        schema["minLength"] = least
    if pattern:
        schema["pattern"] = pattern
    made = Type(schema)
    return made.nullable() if null else made


def integer(least: int | None = None, most: int | None = None, *, null: bool = False) -> Type:
    """A whole number within bounds; text is not taken for one."""
    schema: dict[str, Any] = {"type": "integer"}
    if least is not None:
        schema["minimum"] = least
    if most is not None:
        schema["maximum"] = most
    made = Type(schema, parse=int)
    return made.nullable() if null else made


def enum(values: type[StrEnum] | tuple[str, ...], render: Callable[[Any], Any] | None = None) -> Type:
    """One of a fixed set of words. `render` maps the stored word to the API's spelling."""
    return Type({"type": "string", "enum": [str(v) for v in values]}, render)


def array(items: Type, *, unique: bool = False, most: int | None = None) -> Type:
    """A list of one type."""
    schema: dict[str, Any] = {"type": "array", "items": items.schema}
    if unique:
        schema["uniqueItems"] = True
    if most is not None:
        schema["maxItems"] = most
    return Type(schema)


def shape(properties: Mapping[str, Type], *, required: tuple[str, ...] = (), closed: bool = True) -> Type:
    """An object with known members."""
    return Type(
        {
            "type": "object",
            "properties": {name: kind.schema for name, kind in properties.items()},
            "required": list(required),
            "additionalProperties": not closed,
        }
    )


def dictionary(values: Type, *, key_pattern: str = "^.{1,255}$", most: int | None = None) -> Type:
    """An object whose keys are the user's own."""
    schema: dict[str, Any] = {
        "type": "object",
        "patternProperties": {key_pattern: values.schema},
        "additionalProperties": False,
    }
    if most is not None:
        schema["maxProperties"] = most
    return Type(schema)


def _render_uuid(value: Any) -> str | None:
    return None if value is None else str(value)


uuid = Type({"type": "string", "pattern": UUID_PATTERN}, _render_uuid, uuids.UUID)
flag = Type({"type": "boolean"}, parse=parse_flag)
loose_flag = Type(
    {
        "anyOf": [
            {"type": "boolean"},
            {
                "type": "string",
                "enum": sorted({f(w) for w in TRUE_WORDS | FALSE_WORDS for f in (str, str.title, str.upper)}),
            },
        ]
    },
    parse=parse_flag,
)
number = Type({"type": "number"}, parse=float)
time = Type({"type": "string", "format": "date-time"}, _iso_seconds, parse_time)
time_micros = Type({"type": "string", "format": "date-time"}, _iso_micros, parse_time)
time_micros_z = Type({"type": "string", "format": "date-time"}, _iso_micros_z, parse_time)
mapping = Type({"type": "object"})
anything = Type({})
null = Type({"type": "null"})


def as_flag(value: Any) -> bool:
    """A body's boolean that may have come as a word. Raises Invalid."""
    if isinstance(value, bool):
        return value
    try:
        return parse_flag(str(value))
    except ValueError as error:
        raise Invalid(str(error)) from error
