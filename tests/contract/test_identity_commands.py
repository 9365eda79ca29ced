"""Every identity command of the unmodified client, by its own list: none may be left out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import CommandFailed, openstack

pytestmark = pytest.mark.contract

# Federation's commands have tests of their own, with a provider of identities.
ELSEWHERE = ("federation ", "identity provider ", "mapping ", "service provider ")
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


class Client:
    """The administrator's client, which remembers what it was asked."""

    def __init__(self, clouds: Path) -> None:
        self.clouds = clouds
        self.said: list[str] = []

    def __call__(self, *words: str) -> Any:
        """A command that answers with something."""
        self.said.append(" ".join(words))
        found = openstack(self.clouds, "kumo-admin", *words)
        # Commands do not agree on how to write the names of what they show.
        return {name.lower(): value for name, value in found.items()} if isinstance(found, dict) else found

    def quiet(self, *words: str) -> None:
        """A command that answers with nothing."""
        self.said.append(" ".join(words))
        openstack(self.clouds, "kumo-admin", *words, "--quiet")

    def known(self) -> set[str]:
        """The commands that the client has."""
        (group,) = openstack(self.clouds, "kumo-admin", "command", "list", "--group", "openstack.identity.v3")
        commands = group["Commands"]
        return set(commands.split("\n") if isinstance(commands, str) else commands)


def new() -> str:
    return f"c-{uuid.uuid4().hex[:10]}"


def members(client: Client) -> None:
    """Domains, projects, users, groups, roles: made, shown, listed, set, deleted."""
    for noun in ("domain", "project", "user", "group", "role"):
        name = new()
        made = client(noun, "create", name)
        assert client(noun, "show", name)["id"] == made["id"]
        assert made["id"] in {row["ID"] for row in client(noun, "list")}
        client.quiet(noun, "set", *(["--disable"] if noun == "domain" else ["--description", "x"]), name)
        client.quiet(noun, "delete", name)
        with pytest.raises(CommandFailed):
            client(noun, "show", name)


def roles(client: Client, user: str, project: str) -> None:
    group, prior, implied = new(), new(), new()
    client("group", "create", group)
    client.quiet("group", "add", "user", group, user)
    client.quiet("group", "contains", "user", group, user)
    client.quiet("group", "remove", "user", group, user)
    client("role", "create", prior)
    client("role", "create", implied)
    client("implied", "role", "create", prior, "--implied-role", implied)
    assert any(row["Prior Role Name"] == prior for row in client("implied", "role", "list"))
    client.quiet("implied", "role", "delete", prior, "--implied-role", implied)
    client.quiet("role", "add", "--user", user, "--project", project, prior)
    assert len(client("role", "assignment", "list", "--user", user, "--role", prior)) == 1
    client.quiet("role", "remove", "--user", user, "--project", project, prior)
    client.quiet("role", "delete", prior, implied)
    client.quiet("group", "delete", group)


def catalogue(client: Client, project: str, files: Path) -> None:
    region = client("region", "create", new())["region"]
    client.quiet("region", "set", "--description", "x", region)
    assert client("region", "show", region)["description"] == "x"
    assert region in {row["Region"] for row in client("region", "list")}
    service = client("service", "create", "--name", new(), "test")["id"]
    client.quiet("service", "set", "--description", "x", service)
    assert client("service", "show", service)["description"] == "x"
    assert service in {row["ID"] for row in client("service", "list")}
    endpoint = client("endpoint", "create", "--region", region, service, "public", "http://test")["id"]
    client.quiet("endpoint", "set", "--url", "http://other", endpoint)
    assert client("endpoint", "show", endpoint)["url"] == "http://other"
    assert endpoint in {row["ID"] for row in client("endpoint", "list")}
    client.quiet("endpoint", "add", "project", endpoint, project)
    client.quiet("endpoint", "remove", "project", endpoint, project)
    filters = files / "filters.json"
    filters.write_text(json.dumps({"service_id": service}))
    group = client("endpoint", "group", "create", new(), str(filters))["id"]
    client.quiet("endpoint", "group", "set", "--description", "x", group)
    assert client("endpoint", "group", "show", group)["description"] == "x"
    assert group in {row["ID"] for row in client("endpoint", "group", "list")}
    client.quiet("endpoint", "group", "add", "project", group, project)
    client.quiet("endpoint", "group", "remove", "project", group, project)
    client.quiet("endpoint", "group", "delete", group)
    client.quiet("endpoint", "delete", endpoint)
    client.quiet("service", "delete", service)
    client.quiet("region", "delete", region)
    assert {"identity", "compute"} <= {row["Type"] for row in client("catalog", "list")}
    assert client("catalog", "show", "compute")["type"] == "compute"


def limits(client: Client, project: str) -> None:
    made = client("registered", "limit", "create", "--service", "compute", "--default-limit", "5", new())
    assert made["id"] in {row["ID"] for row in client("registered", "limit", "list")}
    client("registered", "limit", "set", "--default-limit", "6", made["id"])
    assert client("registered", "limit", "show", made["id"])["default_limit"] == 6
    words = ("--project", project, "--service", "compute", "--resource-limit", "3", made["resource_name"])
    own = client("limit", "create", *words)
    assert own["id"] in {row["ID"] for row in client("limit", "list")}
    client("limit", "set", "--resource-limit", "4", own["id"])
    assert client("limit", "show", own["id"])["resource_limit"] == 4
    client.quiet("limit", "delete", own["id"])
    client.quiet("registered", "limit", "delete", made["id"])


def policies(client: Client, files: Path) -> None:
    rules = files / "rules.json"
    rules.write_text("{}")
    policy = client("policy", "create", str(rules))["id"]
    client.quiet("policy", "set", "--type", "text/plain", policy)
    assert client("policy", "show", policy)["type"] == "text/plain"
    assert policy in {row["ID"] for row in client("policy", "list")}
    client.quiet("policy", "delete", policy)


def secrets(client: Client, user: str, project: str) -> None:
    credential = client("credential", "create", "--type", "totp", user, SECRET)["id"]
    client.quiet("credential", "set", "--type", "totp", "--user", user, "--data", SECRET, credential)
    assert client("credential", "show", credential)["type"] == "totp"
    assert credential in {row["ID"] for row in client("credential", "list")}
    client.quiet("credential", "delete", credential)
    key = client("ec2", "credentials", "create", "--user", user, "--project", project)["access"]
    assert client("ec2", "credentials", "show", "--user", user, key)["access"] == key
    assert key in {row["Access"] for row in client("ec2", "credentials", "list", "--user", user)}
    client.quiet("ec2", "credentials", "delete", "--user", user, key)
    robot = new()
    place = f"/v2.1/servers/{new()}"
    rules = json.dumps([{"service": "compute", "method": "GET", "path": place}])
    made = client("application", "credential", "create", "--access-rules", rules, robot)
    assert client("application", "credential", "show", robot)["id"] == made["id"]
    assert made["id"] in {row["ID"] for row in client("application", "credential", "list")}
    client.quiet("application", "credential", "delete", robot)
    rule = next(row["ID"] for row in client("access", "rule", "list") if row["Path"] == place)
    assert client("access", "rule", "show", rule)["service"] == "compute"
    client.quiet("access", "rule", "delete", rule)


def delegations(client: Client, user: str) -> None:
    trust = client("trust", "create", "--project", "admin", "--role", "member", "admin", user)["id"]
    assert client("trust", "show", trust)["id"] == trust
    assert trust in {row["ID"] for row in client("trust", "list")}
    client.quiet("trust", "delete", trust)
    consumer = client("consumer", "create", "--description", "x")
    client.quiet("consumer", "set", "--description", "y", consumer["id"])
    assert client("consumer", "show", consumer["id"])["description"] == "y"
    assert consumer["id"] in {row["ID"] for row in client("consumer", "list")}
    key = ("--consumer-key", consumer["id"], "--consumer-secret", consumer["secret"])
    asked = client("request", "token", "create", *key, "--project", "admin")
    verifier = client("request", "token", "authorize", "--request-key", asked["id"], "--role", "member")
    words = ("--request-key", asked["id"], "--request-secret", asked["secret"])
    access = client("access", "token", "create", *key, *words, "--verifier", verifier["oauth_verifier"])
    assert access["secret"]
    client.quiet("consumer", "delete", consumer["id"])


def tokens(client: Client, user: str) -> None:
    token = client("token", "issue")["id"]
    client.quiet("token", "revoke", token)
    client.quiet("user", "set", "--password", "Kumo-5678", user)


def own_password(client: Client, user: str, clouds: Path, files: Path) -> None:
    """Somebody's own change of password, by a client of theirs."""
    theirs = files / "clouds.yaml"
    text = clouds.read_text().splitlines()
    start = next(index for index, line in enumerate(text) if "kumo-admin:" in line)
    address = next(line.split(": ", 1)[1] for line in text[start:] if "auth_url" in line)
    auth = {"auth_url": address, "username": user, "password": "Kumo-5678", "user_domain_name": "Default"}
    theirs.write_text(json.dumps({"clouds": {"own": {"auth": auth, "identity_api_version": "3"}}}))
    words = ("user", "password", "set", "--password", "Kumo-9999", "--original-password", "Kumo-5678")
    client.said.append(" ".join(words))
    openstack(theirs, "own", *words, "--quiet")


def test_every_identity_command_of_the_client_works(real_cloud: Any, tmp_path: Path) -> None:
    client = Client(real_cloud.clouds)
    user, project = new(), new()
    client("user", "create", "--password", "Kumo-1234", user)
    client("project", "create", project)
    journeys: list[Callable[[], None]] = [
        lambda: members(client),
        lambda: roles(client, user, project),
        lambda: catalogue(client, project, tmp_path),
        lambda: limits(client, project),
        lambda: policies(client, tmp_path),
        lambda: secrets(client, user, project),
        lambda: delegations(client, user),
        lambda: tokens(client, user),
        lambda: own_password(client, user, real_cloud.clouds, tmp_path),
    ]
    try:
        for journey in journeys:
            journey()
    finally:
        client.quiet("user", "delete", user)
        client.quiet("project", "delete", project)
    wanted = {name for name in client.known() if not name.startswith(ELSEWHERE)}
    used = {name for name in wanted if any(f"{said} ".startswith(f"{name} ") for said in client.said)}
    print(f"{len(used)} of {len(wanted)} identity commands used")
    assert wanted - used == set()
