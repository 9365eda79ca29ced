"""Real web processes on one database: what one of them ends, the other refuses; and the library that clients use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings
from django.db import connection
from keystoneauth1 import exceptions, session
from keystoneauth1.identity import v3

from apps.core.context import system
from apps.identity import services
from apps.identity.backends import totp
from apps.identity.models import Assignment, Credential, Project, User

from .conftest import PASSWORDS, password_auth, project_scope

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[3]
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
START_S = 60
CONFIG = """
[public]
url = "{urls[0]}"
[paths]
state = "{state}"
secrets = "{secrets}"
[database]
host = "{host}"
port = {port}
user = "{user}"
name = "{name}"
"""


@pytest.fixture(scope="module")
def servers(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The addresses of two web processes that use the tests' database."""
    ports = [_free_port() for _ in range(2)]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    state = tmp_path_factory.mktemp("web")
    database = connection.settings_dict
    values = {"host": database["HOST"], "port": database["PORT"], "user": database["USER"], "name": database["NAME"]}
    secrets = settings.CONFIG.secrets
    (state / "kumo.toml").write_text(CONFIG.format(urls=urls, state=state, secrets=secrets, **values))
    environment = os.environ | {"KUMO_TEST_STATE": str(state), "DJANGO_SETTINGS_MODULE": "cloud.settings.test"}
    granian = [str(Path(sys.executable).parent / "granian"), "--interface", "wsgi", "--no-ws", "--log-level", "error"]
    processes = [
        subprocess.Popen([*granian, "--port", str(port), "cloud.wsgi:application"], cwd=CHECKOUT, env=environment)
        for port in ports
    ]
    try:
        for url, process in zip(urls, processes, strict=True):
            _answering(url, process)
        yield urls
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answering(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{url}/identity/v3", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    pytest.fail("the web process does not answer")


@pytest.fixture
def cloud(transactional_db: None) -> None:
    services.bootstrap(system(), passwords=PASSWORDS)


@pytest.fixture
def auth_url(servers: list[str], cloud: None) -> str:
    return f"{servers[0]}/identity/v3"


def token_from(url: str, name: str = "demo") -> str:
    body = password_auth(name, PASSWORDS[name], project_scope(name))
    answer = requests.post(f"{url}/identity/v3/auth/tokens", json=body, timeout=30)
    assert answer.status_code == 201, answer.text
    return answer.headers["X-Subject-Token"]


def by_revoking(url: str, token: str, admin: str) -> requests.Response:
    return requests.delete(
        f"{url}/identity/v3/auth/tokens", headers={"X-Auth-Token": admin, "X-Subject-Token": token}, timeout=30
    )


def by_password(url: str, token: str, admin: str) -> requests.Response:
    path = f"{url}/identity/v3/users/{User.objects.get(name='demo').pk}"
    body = {"user": {"password": "another"}}
    return requests.patch(path, json=body, headers={"X-Auth-Token": admin}, timeout=30)


def by_project(url: str, token: str, admin: str) -> requests.Response:
    path = f"{url}/identity/v3/projects/{Project.objects.get(name='demo').pk}"
    body = {"project": {"enabled": False}}
    return requests.patch(path, json=body, headers={"X-Auth-Token": admin}, timeout=30)


def by_user(url: str, token: str, admin: str) -> requests.Response:
    path = f"{url}/identity/v3/users/{User.objects.get(name='demo').pk}"
    return requests.patch(path, json={"user": {"enabled": False}}, headers={"X-Auth-Token": admin}, timeout=30)


def by_role(url: str, token: str, admin: str) -> requests.Response:
    given = Assignment.objects.get(user__name="demo", target__name="demo")
    path = f"{url}/identity/v3/projects/{given.target_id}/users/{given.user_id}/roles/{given.role_id}"
    return requests.delete(path, headers={"X-Auth-Token": admin}, timeout=30)


@pytest.mark.parametrize("end", [by_revoking, by_password, by_project, by_user, by_role])
def test_token_that_one_process_ends_is_refused_by_the_other_at_once(
    servers: list[str], cloud: None, end: Callable[..., requests.Response]
) -> None:
    first, second = servers
    token, admin = token_from(first), token_from(second, "admin")
    path, mine = f"{second}/identity/v3/auth/catalog", {"X-Auth-Token": token}
    for _ in range(2):  # the second time from what the process keeps
        assert requests.get(path, headers=mine, timeout=30).status_code == 200
    assert end(first, token, admin).ok
    assert requests.get(path, headers=mine, timeout=30).status_code == 401


def test_token_of_a_credential_ends_with_it_in_the_other_process_at_once(servers: list[str], cloud: None) -> None:
    first, second = servers
    mine = {"X-Auth-Token": token_from(first)}
    path = f"{first}/identity/v3/users/{User.objects.get(name='demo').pk}/application_credentials"
    body = {"application_credential": {"name": "robot", "unrestricted": False}}
    made = requests.post(path, json=body, headers=mine, timeout=30).json()["application_credential"]
    proof = {"methods": ["application_credential"], "application_credential": {k: made[k] for k in ("id", "secret")}}
    answer = requests.post(f"{second}/identity/v3/auth/tokens", json={"auth": {"identity": proof}}, timeout=30)
    robot = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    for _ in range(2):
        assert requests.get(f"{second}/identity/v3/auth/catalog", headers=robot, timeout=30).status_code == 200
    assert requests.delete(f"{path}/{made['id']}", headers=mine, timeout=30).ok
    assert requests.get(f"{second}/identity/v3/auth/catalog", headers=robot, timeout=30).status_code == 401


# --- keystoneauth ----------------------------------------------------------------------------------


WHO: dict[str, Any] = {"username": "demo", "user_domain_name": "Default"}
WHERE: dict[str, Any] = {"project_name": "demo", "project_domain_name": "Default"}


def projects(auth: Any) -> set[str]:
    """The projects that the plug-in's token may choose."""
    found = session.Session(auth=auth).get("/auth/projects", endpoint_override=auth.auth_url).json()
    return {project["name"] for project in found["projects"]}


def test_password_and_token_plugins_sign_in(auth_url: str) -> None:
    by_name = v3.Password(auth_url, password=PASSWORDS["demo"], **WHO, **WHERE)
    assert projects(by_name) == {"demo"}
    token = session.Session(auth=by_name).get_token() or ""
    assert projects(v3.Token(auth_url, token=token, **WHERE)) == {"demo"}
    with pytest.raises(exceptions.Unauthorized):
        projects(v3.Password(auth_url, password="wrong", **WHO, **WHERE))


def test_application_credential_and_oauth2_plugins_sign_in(auth_url: str) -> None:
    auth = v3.Password(auth_url, password=PASSWORDS["demo"], **WHO, **WHERE)
    caller = session.Session(auth=auth)
    path = f"/users/{caller.get_user_id()}/application_credentials"
    body = {"application_credential": {"name": "robot"}}
    made = caller.post(path, endpoint_override=auth_url, json=body).json()["application_credential"]
    robot = v3.ApplicationCredential(
        auth_url, application_credential_id=made["id"], application_credential_secret=made["secret"]
    )
    assert projects(robot) == {"demo"}
    client = v3.OAuth2ClientCredential(
        auth_url, f"{auth_url}/OS-OAUTH2/token", oauth2_client_id=made["id"], oauth2_client_secret=made["secret"]
    )
    assert projects(client) == {"demo"}


def test_totp_and_multifactor_plugins_sign_in(auth_url: str) -> None:
    auth = v3.Password(auth_url, password=PASSWORDS["demo"], **WHO, **WHERE)
    caller = session.Session(auth=auth)
    body = {"credential": {"type": "totp", "blob": SECRET, "user_id": caller.get_user_id()}}
    assert caller.post("/credentials", endpoint_override=auth_url, json=body).status_code == 201

    def code() -> str:
        Credential.objects.update(last_step=None)  # each is taken once, and the next is half a minute away
        return totp.code(SECRET, totp.step_at(time.time()))

    assert projects(v3.TOTP(auth_url, passcode=code(), **WHO, **WHERE)) == {"demo"}
    options = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    User.objects.filter(name="demo").update(options=options)
    with pytest.raises(exceptions.auth.MissingAuthMethods) as missing:
        session.Session(auth=v3.Password(auth_url, password=PASSWORDS["demo"], **WHO, **WHERE)).get_token()
    assert missing.value.required_auth_methods == [["password", "totp"]]
    both = v3.MultiFactor(
        auth_url, auth_methods=["v3password", "v3totp"], password=PASSWORDS["demo"], passcode=code(), **WHO, **WHERE
    )
    assert projects(both) == {"demo"}
