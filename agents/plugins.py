"""Finds the class behind a driver's name, for host drivers and for backends of the control plane alike.

A name is a built-in alias, an entry point in the group `kumo.drivers.<family>`, or a dotted path
(`package.module.Class`), tried in that order. Aliases exist because Kumo runs from its checkout and so has no
entry points of its own; third parties publish entry points.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, get_args, get_origin

import msgspec

HOST_ALIASES: Mapping[str, Mapping[str, str]] = {
    "hypervisor": {
        "libvirt": "agents.drivers.libvirt.driver.LibvirtHypervisor",
        "fake": "agents.drivers.fake.hypervisor.FakeHypervisor",
    },
}


class PluginError(Exception):
    """A driver cannot be loaded; the text names the setting and says why."""


class DriverSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the drivers' table, in the shape of Django's CACHES."""

    backend: str = msgspec.field(name="BACKEND")
    options: dict[str, Any] = msgspec.field(name="OPTIONS", default_factory=dict)


def load(family: str, name: str, aliases: Mapping[str, str] | None = None) -> type:
    """The class that `name` stands for in `family`. Raises PluginError."""
    known = HOST_ALIASES.get(family, {}) if aliases is None else aliases
    if name in known:
        return _import(family, known[name])
    for entry in entry_points(group=f"kumo.drivers.{family}", name=name):
        return _checked(family, name, entry.load())
    if "." not in name:
        raise PluginError(
            f"{family} driver {name!r} is unknown: use one of {', '.join(sorted(known))}, the name of an "
            f"installed entry point in kumo.drivers.{family}, or a dotted path"
        )
    return _import(family, name)


def build(
    family: str, spec: Mapping[str, Any], *args: Any, key: str = "", aliases: Mapping[str, str] | None = None
) -> Any:
    """An instance of the driver a table entry describes: `Class(*args, Class.Options(**OPTIONS))`.

    `key` is where the entry stands in the settings. Raises PluginError, also where an option is unknown or of the
    wrong type; it names the key and what is allowed.
    """
    where = key or f"{family} driver {spec.get('BACKEND')!r}"
    entry = _converted(spec, DriverSpec, where)
    try:
        cls = load(family, entry.backend, aliases)
    except PluginError as error:
        raise PluginError(f"{where}: {error}") from error
    options = _converted(entry.options, cls.Options, f"{where}.OPTIONS")  # type: ignore[attr-defined]
    return cls(*args, options)


def _converted(given: Mapping[str, Any], wanted: Any, where: str) -> Any:
    try:
        return msgspec.convert(given, wanted)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$")
        raise PluginError(f"{where}{path.rstrip('`')}: {said}; {_allowed(wanted, path.strip('.`'))}") from error


def _allowed(wanted: Any, name: str) -> str:
    """What the field `name` of a Struct may be; without a name, which fields there are."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(wanted)}
    kind = fields.get(name)
    if kind is None:
        return f"allowed: {', '.join(sorted(fields)) or 'nothing'}"
    words = get_args(kind) if get_origin(kind) is Literal else (getattr(kind, "__name__", str(kind)),)
    return f"allowed: {', '.join(map(str, words))}"


def _import(family: str, path: str) -> type:
    module, _, attribute = path.rpartition(".")
    try:
        return _checked(family, path, getattr(import_module(module), attribute))
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{family} driver {path!r} cannot be imported: {error}") from error


def _checked(family: str, name: str, found: Any) -> type:
    if not isinstance(found, type):
        raise PluginError(f"{family} driver {name!r} is not a class")
    return found
