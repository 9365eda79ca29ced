"""Writes `openstack_rules.yaml`: the default rules of OpenStack's services, read from their released packages.

`python -m tests.policy.generate` fetches the wheels named below from the package index into a directory of its own and
imports nothing of them but their tables of rules. What tests expect comes from this file, never from our own tables.
"""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import tempfile
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

TARGET = Path(__file__).with_name("openstack_rules.yaml")
LIBRARIES = ("neutron-lib==5.0.1",)
# service, released package, package of its tables
SERVICES = (
    ("identity", "keystone==30.0.0", "keystone.common.policies"),
    ("image", "glance==33.0.0", "glance.policies"),
    ("network", "neutron==29.0.0", "neutron.conf.policies"),
    ("compute", "nova==34.0.0", "nova.policies"),
    ("placement", "openstack-placement==16.0.0", "placement.policies"),
)
HEAD = """\
# The default rules of OpenStack's services, as {versions} have them (Apache-2.0, OpenStack
# Foundation). Written by `python -m tests.policy.generate`; the oracle of the tests in this directory.
# service: name: [check, scopes by their first letters (d s p; none: any), operations]
"""


def fetch(into: Path) -> None:
    """The packages' files below `into`; nothing of them is installed or run."""
    names = [*LIBRARIES, *(package for _, package, _ in SERVICES)]
    wheels = into / "wheels"
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", wheels, *names], check=True)
    for wheel in sorted(wheels.glob("*.whl")):
        zipfile.ZipFile(wheel).extractall(into)


def stand_in(name: str, where: Path) -> None:
    """A package whose modules can be imported while its own `__init__`, which starts the service, does not run."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        parent = ".".join(parts[:depth])
        if parent not in sys.modules:
            module = types.ModuleType(parent)
            module.__path__ = [str(where.joinpath(*parts[:depth]))]
            sys.modules[parent] = module


def tables(package: str, where: Path) -> Iterator[Any]:
    """The rules of every table in a package."""
    stand_in(package, where)
    for found in sorted(pkgutil.iter_modules([str(where.joinpath(*package.split(".")))]), key=lambda m: m.name):
        module = importlib.import_module(f"{package}.{found.name}")
        yield from module.list_rules() if hasattr(module, "list_rules") else ()


def line(rule: Any) -> list[Any]:
    """One rule as the file holds it."""
    scopes = "".join(sorted(scope[0] for scope in rule.scope_types or ()))
    operations = [
        f"{method} {operation['path']}"
        for operation in getattr(rule, "operations", ())
        for method in ([operation["method"]] if isinstance(operation["method"], str) else operation["method"])
    ]
    return [" ".join(rule.check_str.split()), scopes, ", ".join(sorted(set(operations)))]


def main() -> None:
    """Fetch, read and write."""
    with tempfile.TemporaryDirectory() as directory:
        where = Path(directory)
        fetch(where)
        stand_in("neutron_lib", where)
        found = {
            service: {rule.name: line(rule) for rule in tables(package, where)} for service, _, package in SERVICES
        }
    versions = ", ".join(package.replace("==", " ") for _, package, _ in SERVICES)
    body = "".join(
        f"{service}:\n" + "".join(f"  {yaml.safe_dump({name: rule}, **FLOW)}" for name, rule in sorted(rules.items()))
        for service, rules in found.items()
    )
    TARGET.write_text(HEAD.format(versions=versions) + body)


FLOW: dict[str, Any] = {"default_flow_style": None, "width": 100_000, "sort_keys": False}

if __name__ == "__main__":
    main()
