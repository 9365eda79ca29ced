"""The cloud that is measured: its files, a keep-alive client, its processes, its database."""

from __future__ import annotations

import http.client
import json
import os
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import yaml

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Api:
    """One keep-alive connection with a token."""

    base: str
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @cached_property
    def connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.base)
        return http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=60)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Status, decoded body, headers."""
        sent = {"X-Auth-Token": self.token, "Content-Type": "application/json", **self.headers, **headers}
        self.connection.request(method, path, json.dumps(body) if body is not None else None, sent)
        answer = self.connection.getresponse()
        raw = answer.read()
        is_json = raw and "json" in (answer.getheader("Content-Type") or "")
        return answer.status, json.loads(raw) if is_json else raw, answer.headers

    def need(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The decoded body; stops the bench if the call is refused."""
        status, decoded, _ = self.call(method, path, body, **headers)
        if status >= 400:
            raise SystemExit(f"{method} {path}: {status} {decoded}")
        return decoded


@dataclass
class Cloud:
    """A cloud started by quickstart, named by its state directory."""

    state: Path

    @cached_property
    def clouds(self) -> dict[str, Any]:
        return dict(yaml.safe_load((self.state / "clouds.yaml").read_text())["clouds"])

    @cached_property
    def config(self) -> dict[str, Any]:
        return tomllib.loads((self.state / "kumo.toml").read_text())

    @property
    def base(self) -> str:
        return str(self.config["public"]["url"])

    def sign_in(self, name: str) -> Api:
        """A client for one of the entries of clouds.yaml."""
        auth = self.clouds[name]["auth"]
        user = {
            "name": auth["username"],
            "password": auth["password"],
            "domain": {"name": auth.get("user_domain_name", "Default")},
        }
        project = {"name": auth["project_name"], "domain": {"name": auth.get("project_domain_name", "Default")}}
        body = {
            "auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project}}
        }
        api = Api(self.base)
        status, answer, headers = api.call("POST", "/identity/v3/auth/tokens", body)
        if status != 201:
            raise SystemExit(f"sign-in as {name}: {status} {answer}")
        api.token = headers["X-Subject-Token"]
        return api

    @cached_property
    def database_password(self) -> str | None:
        secret = self.state / "secrets/database_password"
        return secret.read_text().strip() if secret.exists() else None

    @cached_property
    def database(self) -> Any:
        """A direct connection, for baselines and for making rows."""
        found = self.config["database"]
        connection = psycopg2.connect(
            host=found.get("host", "127.0.0.1"),
            port=found.get("port", 5432),
            dbname=found.get("name", "kumo"),
            user=found.get("user", "kumo"),
            password=self.database_password,
        )
        connection.autocommit = True
        return connection

    def processes(self) -> Iterator[tuple[int, str, str]]:
        """(pid, part, command line) of everything this cloud runs, found by its state directory's supervisor tree."""
        parents, commands = {}, {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                stat = (entry / "stat").read_text()
                commands[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ").strip()
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
            except OSError:
                continue
        roots = [pid for pid, line in commands.items() if "runsvdir" in line and str(self.state) in line]
        for pid in commands:
            chain, at = [pid], pid
            while at in parents and at not in roots:
                at = parents[at]
                chain.append(at)
            if at in roots and len(chain) > 1:
                yield pid, part(chain, commands), commands[pid]


def part(chain: list[int], commands: dict[int, str]) -> str:
    """Name of the supervised service that a process belongs to: `runsv NAME` is its ancestor."""
    for pid in reversed(chain):
        words = commands.get(pid, "").split()
        if words and words[0].endswith("runsv") and len(words) > 1:
            return words[1]
    return "supervisor"


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes that are alive now, and of their dead children."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(fields[i]) for i in (11, 12, 13, 14))
    return total / TICKS


def pss_mib(pid: int) -> float:
    """Proportional set size of a process in MiB; 0 once it is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def wait_for(ready: Any, timeout_s: float, pause_s: float = 0.02) -> Any:
    """Call `ready` until it returns something true. Stops the bench when the time is over."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = ready()
        if found:
            return found
        time.sleep(pause_s)
    raise SystemExit("timed out")
