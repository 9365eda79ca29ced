"""Every federation command of the unmodified `openstack` client, in one session of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apps.identity.models import FederationMapping, FederationProtocol, IdentityProvider, Project, ServiceProvider
from tests.apps.identity.conftest import PASSWORDS, Api
from tests.apps.identity.test_federation import RULES

pytestmark = [pytest.mark.contract, pytest.mark.django_db(transaction=True)]

# Command → what it must show. They stand in this order, each on what those before it made.
COMMANDS = (
    ("identity provider create acme --remote-id https://id.example.org --description Acme -f json", '"id": "acme"'),
    ("identity provider list -f value", "acme"),
    ("identity provider set acme --remote-id https://other.example.org", ""),
    ("identity provider show acme -f json", "https://other.example.org"),
    ("mapping create people --rules {rules} -f json", '"id": "people"'),
    ("mapping set people --rules {rules}", ""),
    ("mapping list -f value", "people"),
    ("mapping show people -f json", "OIDC-sub"),
    ("federation protocol create openid --identity-provider acme --mapping people -f json", '"id": "openid"'),
    ("federation protocol set openid --identity-provider acme --mapping people", ""),
    ("federation protocol list --identity-provider acme -f value", "openid people"),
    ("federation protocol show openid --identity-provider acme -f json", '"mapping": "people"'),
    ("federation domain list -f value", "default"),
    ("federation project list -f value", "admin"),
    ("service provider create beta --auth-url https://b/auth --service-provider-url https://b/sp -f json", '"beta"'),
    ("service provider set beta --description there", ""),
    ("service provider list -f value", "beta"),
    ("service provider show beta -f json", "there"),
    ("federation protocol delete openid --identity-provider acme", ""),
    ("mapping delete people", ""),
    ("identity provider delete acme", ""),
    ("service provider delete beta", ""),
)


def test_every_federation_command(admin: Api, live_server: Any, settings: Any, tmp_path: Path) -> None:
    public = msgspec.structs.replace(settings.CONFIG.public, url=live_server.url)
    settings.CONFIG = msgspec.structs.replace(settings.CONFIG, public=public)
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(RULES))
    own = {
        "OS_AUTH_URL": f"{live_server.url}/identity/v3",
        "OS_USERNAME": "admin",
        "OS_PASSWORD": PASSWORDS["admin"],
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
    }
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "openstack")],
        input="".join(f"{command.format(rules=rules)}\n" for command, _ in COMMANDS),
        env={name: value for name, value in os.environ.items() if not name.startswith("OS_")} | own,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert [
        line for line in ended.stderr.splitlines() if "HTTP" in line or "xception" in line or "o such" in line
    ] == []
    at = 0
    missing: list[str] = []
    for command, shows in COMMANDS:
        found = ended.stdout.find(shows, at)
        at, missing = (found + len(shows), missing) if found >= 0 else (at, [*missing, command])
    assert missing == [], ended.stdout + ended.stderr
    left = (FederationProtocol, FederationMapping, IdentityProvider, ServiceProvider)
    assert [model.__name__ for model in left if model.objects.exists()] == []
    assert Project.objects.filter(is_domain=True, description__contains="acme").exists()  # the users' domain stays
