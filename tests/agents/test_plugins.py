"""Drivers are found by alias, entry point or dotted path, and what is wrong is said by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Literal

import msgspec
import pytest

from agents import plugins


class DriverOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int = 1
    mode: Literal["fast", "safe"] = "safe"


class Driver:
    Options = DriverOptions

    def __init__(self, where: str, options: DriverOptions) -> None:
        self.where, self.options = where, options


HERE = f"{__name__}.Driver"


def test_alias_comes_first() -> None:
    assert plugins.load("hypervisor", "mine", {"mine": HERE}) is Driver


def test_dotted_path_is_imported() -> None:
    assert plugins.load("hypervisor", HERE) is Driver


def test_entry_point_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def published(group: str, name: str) -> list[EntryPoint]:
        assert group == "kumo.drivers.volume"
        return [EntryPoint(name, f"{__name__}:Driver", group)] if name == "acme" else []

    monkeypatch.setattr(plugins, "entry_points", published)
    assert plugins.load("volume", "acme") is Driver


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "unknown: use one of fake, libvirt"),
        ("no.such.module", "cannot be imported"),
        (f"{__name__}.Absent", "cannot be imported"),
        (f"{__name__}.HERE", "not a class"),
    ],
)
def test_driver_that_cannot_be_loaded_is_named(name: str, words: str) -> None:
    with pytest.raises(plugins.PluginError, match=words):
        plugins.load("hypervisor", name)


def test_driver_is_built_with_its_options() -> None:
    made = plugins.build("hypervisor", {"BACKEND": HERE, "OPTIONS": {"size": 3}}, "here")
    assert (made.where, made.options.size) == ("here", 3)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"BACKEND": HERE, "OPTIONS": {"sise": 3}}, r"^drivers\.one\.OPTIONS: .*sise.*; allowed: mode, size$"),
        ({"BACKEND": HERE, "OPTIONS": {"size": "three"}}, r"^drivers\.one\.OPTIONS\.size: .*; allowed: int$"),
        ({"BACKEND": HERE, "OPTIONS": {"mode": "x"}}, r"^drivers\.one\.OPTIONS\.mode: .*'x'; allowed: fast, safe$"),
        ({"BACKEND": HERE, "OPTION": {}}, r"^drivers\.one: .*OPTION.*; allowed: BACKEND, OPTIONS$"),
        ({"BACKEND": "x"}, r"^drivers\.one: .*unknown: use one of fake, libvirt"),
        ({}, r"^drivers\.one: .*BACKEND"),
    ],
)
def test_wrong_option_is_named(spec: dict[str, object], words: str) -> None:
    with pytest.raises(plugins.PluginError, match=words):
        plugins.build("hypervisor", spec, "here", key="drivers.one")


@pytest.mark.parametrize("alias", sorted(plugins.HOST_ALIASES["hypervisor"]))
def test_built_in_drivers_load(alias: str) -> None:
    assert plugins.load("hypervisor", alias).api == 1  # type: ignore[attr-defined]
