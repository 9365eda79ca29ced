from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.test import Client
from oauthlib.oauth1 import Client as Signer

from apps.identity.models import AccessToken, Consumer, Project, RequestToken, Role, User

from .conftest import Api, project_scope

BASE = "http://testserver/identity/v3"


def post_signed(path: str, signer: Signer, body: Any = None, **headers: str) -> Any:
    _, signed, _ = signer.sign(f"{BASE}{path}", "POST")
    sent = {**signed, **{name.replace("_", "-"): value for name, value in headers.items()}}
    kind = {"data": body, "content_type": "application/json"} if body is not None else {}
    return Client().post(f"/identity/v3{path}", headers=sent, **kind)


def fields(answer: Any) -> dict[str, str]:
    assert answer.status_code == 201, answer.content
    return {name: values[0] for name, values in parse_qs(answer.content.decode()).items()}


@pytest.fixture
def consumer(admin: Api) -> dict[str, Any]:
    answer = admin("POST", "/OS-OAUTH1/consumers", {"consumer": {"description": "a robot"}})
    assert answer.status_code == 201, answer.content
    return dict(answer.json()["consumer"])


@pytest.fixture
def signer(consumer: dict[str, Any]) -> Callable[..., Signer]:
    def make(**more: Any) -> Signer:
        return Signer(consumer["id"], client_secret=consumer["secret"], **more)

    return make


def wish(signer: Callable[..., Signer]) -> dict[str, str]:
    project = Project.objects.get(name="admin").pk
    made = signer(callback_uri="oob")
    return fields(post_signed("/OS-OAUTH1/request_token", made, Requested_Project_Id=project))


def authorized(admin: Api, token: str, role: str = "member") -> str:
    answer = admin("PUT", f"/OS-OAUTH1/authorize/{token}", {"roles": [{"id": Role.objects.get(name=role).pk}]})
    assert answer.status_code == 200, answer.content
    return str(answer.json()["token"]["oauth_verifier"])


@pytest.fixture
def access(admin: Api, signer: Callable[..., Signer]) -> dict[str, str]:
    asked = wish(signer)
    owner = {"resource_owner_key": asked["oauth_token"], "resource_owner_secret": asked["oauth_token_secret"]}
    verifier = authorized(admin, asked["oauth_token"])
    return fields(post_signed("/OS-OAUTH1/access_token", signer(**owner, verifier=verifier)))


def sign_in(signer: Callable[..., Signer], access: dict[str, str], **more: Any) -> Any:
    owner = {"resource_owner_key": access["oauth_token"], "resource_owner_secret": access["oauth_token_secret"]}
    body = '{"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}}'
    return post_signed("/auth/tokens", signer(**{**owner, **more}), body)


def test_consumer_is_shown_without_its_secret(admin: Api, demo: Api, consumer: dict[str, Any]) -> None:
    path = f"/OS-OAUTH1/consumers/{consumer['id']}"
    shown = admin("GET", path).json()["consumer"]
    assert shown == {name: value for name, value in consumer.items() if name != "secret"}
    changed = admin("PATCH", path, {"consumer": {"description": "other"}}).json()["consumer"]
    assert changed == shown | {"description": "other"}
    assert admin("PATCH", path, {"consumer": {"secret": "mine"}}).status_code == 400
    assert admin("GET", "/OS-OAUTH1/consumers").json()["consumers"] == [changed]
    assert demo("GET", path).status_code == 403
    assert consumer["secret"].encode() not in bytes(Consumer.objects.get().sealed_secret)
    assert admin("DELETE", path).status_code == 204
    assert admin("GET", path).status_code == 404


def test_consumer_acts_with_the_roles_that_a_user_authorized(
    signer: Callable[..., Signer], access: dict[str, str], consumer: dict[str, Any]
) -> None:
    assert "oauth_expires_at" in access
    answer = sign_in(signer, access)
    assert answer.status_code == 201, answer.content
    token = answer.json()["token"]
    assert token["methods"] == ["oauth1"]
    assert token["OS-OAUTH1"] == {"access_token_id": access["oauth_token"], "consumer_id": consumer["id"]}
    assert token["user"]["name"] == "admin"
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    assert Api(answer["X-Subject-Token"])("GET", "/users").status_code == 403


def test_access_tokens_are_listed_shown_and_taken_back(
    admin: Api, signer: Callable[..., Signer], access: dict[str, str], consumer: dict[str, Any]
) -> None:
    token = Api(sign_in(signer, access)["X-Subject-Token"])
    root = f"/users/{User.objects.get(name='admin').pk}/OS-OAUTH1/access_tokens"
    (listed,) = admin("GET", root).json()["access_tokens"]
    assert (listed["id"], listed["consumer_id"]) == (access["oauth_token"], consumer["id"])
    path = f"{root}/{listed['id']}"
    assert admin("GET", path).json()["access_token"] == listed
    (role,) = admin("GET", f"{path}/roles").json()["roles"]
    assert admin("GET", f"{path}/roles/{role['id']}").json()["role"]["name"] == "member"
    assert admin("GET", f"{path}/roles/unknown").status_code == 404
    assert admin("GET", f"/users/{User.objects.get(name='demo').pk}/OS-OAUTH1/access_tokens/x").status_code == 404
    assert token("GET", "/auth/projects").status_code == 200
    assert admin("DELETE", path).status_code == 204
    assert token("GET", "/auth/projects").status_code == 401
    assert sign_in(signer, access).status_code == 401


def test_request_token_is_traded_in_once_and_by_its_verifier_only(admin: Api, signer: Callable[..., Signer]) -> None:
    asked = wish(signer)
    owner = {"resource_owner_key": asked["oauth_token"], "resource_owner_secret": asked["oauth_token_secret"]}
    path = "/OS-OAUTH1/access_token"
    assert post_signed(path, signer(**owner, verifier="x")).status_code == 401  # not authorized yet
    verifier = authorized(admin, asked["oauth_token"])
    assert post_signed(path, signer(**owner, verifier="wrong")).status_code == 401
    assert post_signed(path, signer(**owner)).status_code == 400
    wrong = {**owner, "resource_owner_secret": "wrong"}
    assert post_signed(path, signer(**wrong, verifier=verifier)).status_code == 401
    assert not AccessToken.objects.exists()
    assert post_signed(path, signer(**owner, verifier=verifier)).status_code == 201
    assert post_signed(path, signer(**owner, verifier=verifier)).status_code == 404
    assert AccessToken.objects.count() == 1


def test_bad_requests_for_a_token_make_none(consumer: dict[str, Any], signer: Callable[..., Signer]) -> None:
    project = {"Requested_Project_Id": Project.objects.get(name="admin").pk}
    path = "/OS-OAUTH1/request_token"
    bad = Signer(consumer["id"], client_secret="wrong", callback_uri="oob")
    stranger = Signer("0" * 32, client_secret="x", callback_uri="oob")
    old = signer(callback_uri="oob", timestamp=str(int(time.time()) - 3600))
    assert post_signed(path, bad, **project).status_code == 401
    assert post_signed(path, stranger, **project).status_code == 401
    assert post_signed(path, old, **project).status_code == 401
    assert post_signed(path, signer(callback_uri="oob")).status_code == 400
    assert post_signed(path, signer(callback_uri="oob"), Requested_Project_Id="none").status_code == 404
    assert Api()("POST", path).status_code == 400
    assert Api()("POST", path, Authorization='OAuth oauth_consumer_key="x"').status_code == 400
    assert not RequestToken.objects.exists()


def test_signed_request_is_taken_once(signer: Callable[..., Signer], access: dict[str, str]) -> None:
    same = {"nonce": "n" * 20, "timestamp": str(int(time.time()))}
    assert sign_in(signer, access, **same).status_code == 201
    assert sign_in(signer, access, **same).status_code == 401


def test_roles_that_the_user_has_not_cannot_be_authorized(admin: Api, signer: Callable[..., Signer]) -> None:
    token = wish(signer)["oauth_token"]
    roles = {"roles": [{"name": "creator"}]}
    assert admin("PUT", f"/OS-OAUTH1/authorize/{token}", roles).status_code == 401
    assert admin("PUT", f"/OS-OAUTH1/authorize/{token}", {"roles": []}).status_code == 400
    assert admin("PUT", "/OS-OAUTH1/authorize/unknown", roles).status_code == 404
    assert RequestToken.objects.get().authorized_by_id is None


# --- OAuth 2.0 -------------------------------------------------------------------------------------


@pytest.fixture
def robot(demo: Api) -> dict[str, str]:
    path = f"/users/{User.objects.get(name='demo').pk}/application_credentials"
    return dict(demo("POST", path, {"application_credential": {"name": "robot"}}).json()["application_credential"])


def bearer(form: dict[str, str], basic: str = "") -> Any:
    headers = {"Authorization": f"Basic {base64.b64encode(basic.encode()).decode()}"} if basic else {}
    return Client().post("/identity/v3/OS-OAUTH2/token", form_text(form), FORM, headers=headers)


FORM = "application/x-www-form-urlencoded"


def form_text(form: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in form.items())


def test_application_credential_is_an_oauth2_client(robot: dict[str, str]) -> None:
    answer = bearer({"grant_type": "client_credentials"}, f"{robot['id']}:{robot['secret']}")
    assert answer.status_code == 200, answer.content
    assert answer["Cache-Control"] == "no-store"
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert 12 * 3600 - 60 < body["expires_in"] <= 12 * 3600
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    assert Client().get("/identity/v3/auth/projects", headers=headers).status_code == 200
    in_form = {"grant_type": "client_credentials", "client_id": robot["id"], "client_secret": robot["secret"]}
    assert bearer(in_form).status_code == 200


@pytest.mark.parametrize(
    ("form", "basic", "status", "error"),
    [
        ({}, "a:b", 400, "invalid_request"),
        ({"grant_type": "password"}, "a:b", 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "", 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, "unknown:secret", 401, "invalid_client"),
    ],
)
def test_bad_clients_get_oauth2s_errors(cloud: None, form: Any, basic: str, status: int, error: str) -> None:
    answer = bearer(form, basic)
    assert answer.status_code == status, answer.content
    assert answer.json()["error"] == error
    assert ("WWW-Authenticate" in answer) is (status == 401)


def test_wrong_bearer_is_a_401(cloud: None) -> None:
    headers = {"Authorization": "Bearer rubbish"}
    assert Client().get("/identity/v3/auth/projects", headers=headers).status_code == 401


def test_project_scope_is_the_credentials_own(robot: dict[str, str], nobody: Api) -> None:
    proof = {"id": robot["id"], "secret": robot["secret"]}
    auth: dict[str, Any] = {"identity": {"methods": ["application_credential"], "application_credential": proof}}
    scoped = {"auth": auth | {"scope": project_scope("admin")}}
    assert nobody("POST", "/auth/tokens", scoped).status_code == 401
