"""The one validator of request bodies: JSON Schema, compiled once for each distinct schema."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from apps.core.errors import Invalid

_SHOWN = 100  # characters of an offending value that a message repeats


@functools.lru_cache(maxsize=4096)
def _compiled(text: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(text), validate_formats=True)


_by_identity: dict[int, tuple[Mapping[str, Any], jsonschema_rs.Draft202012Validator]] = {}


def _validator(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """Schemas are module constants or cached by their resource: found by identity, without hashing them."""
    held = _by_identity.get(id(schema))
    if held is None or held[0] is not schema:
        held = (schema, _compiled(json.dumps(schema, sort_keys=True)))
        _by_identity[id(schema)] = held
    return held[1]


def validate(schema: Mapping[str, Any], body: Any) -> None:
    """Raise Invalid, naming the attribute and what is wrong with it, unless the body fits."""
    validator = _validator(schema)
    if validator.is_valid(body):
        return
    error = next(iter(validator.iter_errors(body)))
    path = "/".join(str(part) for part in error.instance_path)
    field = str(error.instance_path[-1]) if error.instance_path else ""
    value = _short(error.instance)
    place = f"Invalid input for field/attribute {path}. Value: {value}. " if path else "Invalid input: "
    raise Invalid(f"{place}{_words(error.message)}", field=field)


def _short(value: Any) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, default=str)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _words(message: str) -> str:
    return message if len(message) <= 4 * _SHOWN else f"{message[: 4 * _SHOWN]}…"
