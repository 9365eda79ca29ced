"""Signing in by a real OpenID Connect provider: keystoneauth's plugins, dashboards, and the web admin."""

from __future__ import annotations

import base64
import hmac
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import requests
from django.test import Client
from joserfc import jwt
from joserfc.jwk import RSAKey
from keystoneauth1 import exceptions
from keystoneauth1 import session as ks
from keystoneauth1.identity import v3

from apps.identity.backends import relying_party
from apps.identity.backends.oidc import Oidc
from apps.identity.models import FederatedUser, User
from tests.apps.identity.conftest import Api
from tests.apps.identity.test_federation import RULES
from tests.kit.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider

pytestmark = [pytest.mark.contract, pytest.mark.django_db]

ROOT = "/OS-FEDERATION/identity_providers/acme"
WEB_BACK = "http://testserver/sign-in/federated/callback"
SSO_BACK = "http://testserver/identity/v3/auth/OS-FEDERATION/websso/callback"
HORIZON = "https://horizon.example.org/auth/websso/"
SCOPE = "openid profile email groups"
GROUPS = {"local": [{"groups": "{0}", "domain": {"id": "default"}}], "remote": [{"type": "OIDC-groups"}]}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    made.add_user("alice", "alice-pw", formatted_name="Alice Doe", groups=["devs", "ops"])
    made.add_client(CLIENT_ID, CLIENT_SECRET, [WEB_BACK, SSO_BACK])
    made.add_client("other", "other-secret", ["http://testserver/other"])
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(autouse=True)
def fresh(provider: Provider) -> Iterator[None]:
    relying_party.forget()
    yield
    provider.forget()
    relying_party.forget()


def federate(admin: Api, provider: Provider, **more: Any) -> str:
    """Trust the provider; members of its group `devs` are members of the project demo. The project's id."""
    idp = {"enabled": True, "remote_ids": [provider.issuer], "description": "Acme"}
    assert admin("PUT", ROOT, {"identity_provider": idp}).status_code == 201
    mapping = {"mapping": {"rules": [*RULES, GROUPS]}}
    assert admin("PUT", "/OS-FEDERATION/mappings/people", mapping).status_code == 201
    reached = {
        "issuer": provider.issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "scopes": SCOPE.split(),
    } | more
    body = {"protocol": {"mapping_id": "people", "oidc": reached}}
    made = admin("PUT", f"{ROOT}/protocols/openid", body)
    assert made.status_code == 201, made.content
    group = admin("POST", "/groups", {"group": {"name": "devs", "domain_id": "default"}}).json()["group"]["id"]
    (project,) = admin("GET", "/projects?name=demo").json()["projects"]
    (role,) = admin("GET", "/roles?name=member").json()["roles"]
    assert admin("PUT", f"/projects/{project['id']}/groups/{group}/roles/{role['id']}").status_code == 204
    return str(project["id"])


@pytest.fixture
def project(admin: Api, provider: Provider) -> str:
    return federate(admin, provider)


def access_token(provider: Provider, client: str = CLIENT_ID, secret: str = CLIENT_SECRET) -> str:
    answer = requests.post(
        f"{provider.issuer}/oauth/token",
        data={
            "grant_type": "password",
            "username": "alice",
            "password": "alice-pw",
            "scope": SCOPE,
        },
        auth=(client, secret),
        timeout=60,
    )
    return str(answer.json()["access_token"])


def arrive(token: str) -> Any:
    return Api()("POST", f"{ROOT}/protocols/openid/auth", Authorization=f"Bearer {token}")


# --- access tokens ------------------------------------------------------------------------------------


def test_an_access_token_becomes_an_unscoped_token_and_that_a_scoped_one(project: str, provider: Provider) -> None:
    answer = arrive(access_token(provider))
    assert answer.status_code == 201, answer.content
    token = answer.json()["token"]
    assert (token["methods"], token["user"]["name"]) == (["openid"], "Alice Doe")
    assert token["user"]["OS-FEDERATION"]["identity_provider"] == {"id": "acme"}
    assert "project" not in token
    caller = Api(answer["X-Subject-Token"])
    assert [p["id"] for p in caller("GET", "/OS-FEDERATION/projects").json()["projects"]] == [project]
    again = {"methods": ["token"], "token": {"id": answer["X-Subject-Token"]}}
    scoped = Api()("POST", "/auth/tokens", {"auth": {"identity": again, "scope": {"project": {"id": project}}}})
    assert scoped.status_code == 201, scoped.content
    body = scoped.json()["token"]
    assert body["methods"] == ["token", "openid"]
    assert {r["name"] for r in body["roles"]} == {"member", "reader"}
    assert body["user"]["OS-FEDERATION"]["protocol"] == {"id": "openid"}


def test_a_token_made_for_another_application_is_refused(project: str, provider: Provider) -> None:
    assert arrive(access_token(provider, "other", "other-secret")).status_code == 401
    assert not FederatedUser.objects.exists()


def test_a_token_for_a_named_audience_is_taken(admin: Api, provider: Provider) -> None:
    federate(admin, provider, audiences=["other"])
    assert arrive(access_token(provider, "other", "other-secret")).status_code == 201


def _part(value: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def _forged(provider: Provider, case: str) -> str:
    now = int(time.time())
    claims = {"iss": provider.issuer, "aud": [CLIENT_ID], "sub": "alice", "iat": now, "exp": now + 60, "name": "A"}
    header = {"alg": "RS256", "kid": "first"}
    changes: dict[str, dict[str, Any]] = {
        "expired": {"exp": now - 3600},
        "endless": {"exp": None},
        "other issuer": {"iss": "https://evil.example.org"},
        "other audience": {"aud": ["x"]},
    }
    claims = {k: v for k, v in (claims | changes.get(case, {})).items() if v is not None}
    if case == "other key":
        return jwt.encode(header, claims, RSAKey.generate_key(2048, {"kid": "first"}))
    if case == "public key as secret":  # RS256's public key used for HS256
        signed = b".".join(_part(part) for part in ({"alg": "HS256", "kid": "first"}, claims))
        mac = hmac.digest(provider.key.as_pem(private=False), signed, "sha256")
        return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()
    text = jwt.encode(header, claims, provider.key)
    if case == "no signature":
        head = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
        return f"{head}.{text.split('.')[1]}."
    if case == "changed":
        return f"{text[:-8]}AAAAAAAA"
    return text


def test_what_the_forgeries_are_made_of_is_good(project: str, provider: Provider) -> None:
    """The claims besides: userinfo does not know this token, so the name stays the token's."""
    claims = relying_party.bearer(Oidc(issuer=provider.issuer, client_id=CLIENT_ID), _forged(provider, "good"))
    assert (claims["sub"], claims["name"]) == ("alice", "A")


@pytest.mark.parametrize(
    "case",
    [
        "expired",
        "endless",
        "other issuer",
        "other audience",
        "other key",
        "public key as secret",
        "no signature",
        "changed",
    ],
)
def test_a_forged_token_is_refused(project: str, provider: Provider, case: str) -> None:
    answer = arrive(_forged(provider, case))
    assert answer.status_code == 401, answer.content
    assert not FederatedUser.objects.exists()


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "x" * 20_000])
def test_a_token_that_is_none_is_refused(project: str, token: str) -> None:
    assert arrive(token).status_code == 401


def test_a_provider_that_is_away_is_a_503(admin: Api, project: str) -> None:
    path = f"{ROOT}/protocols/openid"
    admin("PATCH", path, {"protocol": {"oidc": {"issuer": "http://127.0.0.1:1", "client_id": CLIENT_ID}}})
    answer = arrive("a.b.c")
    assert answer.status_code == 503
    assert "identity provider does not answer" in answer.json()["error"]["message"]


class _Broken(BaseHTTPRequestHandler):
    """A provider whose other documents are not what they should be."""

    def do_GET(self) -> None:
        _, port = self.connection.getsockname()
        issuer = f"http://127.0.0.1:{port}"
        kind = self.path.split("/")[1]
        document = {"issuer": f"{issuer}/{kind}", "jwks_uri": f"{issuer}/{kind}/keys"}
        bodies = {"unreadable": b'{"keys": [{"kty": "RSA"}]}', "text": b"hello", "list": b"[1]", "cut": b'{"keys": ['}
        known = self.path.endswith("openid-configuration")
        body = json.dumps(document).encode() if known else bodies[kind]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + (0 if known or kind != "cut" else 100)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.mark.parametrize("kind", ["unreadable", "text", "list", "cut"])
def test_a_provider_that_talks_nonsense_is_a_503(admin: Api, project: str, kind: str) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Broken)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        issuer = f"http://127.0.0.1:{server.server_address[1]}/{kind}"
        admin("PATCH", f"{ROOT}/protocols/openid", {"protocol": {"oidc": {"issuer": issuer, "client_id": CLIENT_ID}}})
        answer = arrive("a.b.c")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert answer.status_code == 503, answer.content
    assert not FederatedUser.objects.exists()


def test_a_protocol_without_a_provider_says_what_is_missing(admin: Api, project: str) -> None:
    admin("PATCH", f"{ROOT}/protocols/openid", {"protocol": {"oidc": None}})
    answer = arrive("a.b.c")
    assert answer.status_code == 503
    assert "issuer and client_id" in answer.json()["error"]["message"]


# --- keystoneauth -------------------------------------------------------------------------------------


@pytest.fixture
def address(live_server: Any) -> str:
    return f"{live_server.url}/identity/v3"


def plugin(address: str, provider: Provider, password: str) -> v3.OidcPassword:
    return v3.OidcPassword(
        auth_url=address,
        identity_provider="acme",
        protocol="openid",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        discovery_endpoint=f"{provider.issuer}/.well-known/openid-configuration",
        scope=SCOPE,
        username="alice",
        password=password,
        project_name="demo",
        project_domain_name="Default",
    )


@pytest.mark.django_db(transaction=True)
def test_keystoneauths_plugins_sign_in(address: str, admin: Api, provider: Provider) -> None:
    project = federate(admin, provider)
    auth = plugin(address, provider, "alice-pw")
    session = ks.Session(auth=auth)
    assert session.get_project_id() == project
    assert "member" in (auth.get_access(session).role_names or ())
    brought = v3.OidcAccessToken(
        auth_url=address,
        identity_provider="acme",
        protocol="openid",
        access_token=access_token(provider),
        project_name="demo",
        project_domain_name="Default",
    )
    other = ks.Session(auth=brought)
    assert other.get_user_id() == session.get_user_id()
    with pytest.raises(exceptions.HttpError):
        ks.Session(auth=plugin(address, provider, "wrong")).get_token()


# --- browsers -----------------------------------------------------------------------------------------


def through(provider: Provider, url: str) -> str:
    """Follow a browser through the provider, where alice is signed in; the address it is sent back to."""
    provider.browser_of = provider.people["alice"]
    answer = requests.get(url, allow_redirects=False, timeout=60)
    assert answer.status_code == 302, answer.text
    return str(answer.headers["Location"])


def test_the_web_admin_signs_in(project: str, provider: Provider) -> None:
    browser = Client()
    page = browser.get("/sign-in")
    (link,) = re.findall(r'href="(/sign-in/federated/[^"]+)"', page.content.decode())
    assert "Sign in with Acme" in page.content.decode()
    away = browser.get(link)
    asked = parse_qs(urlsplit(away["Location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [WEB_BACK]
    assert {"state", "nonce", "code_challenge"} <= set(asked)
    back = through(provider, away["Location"]).removeprefix("http://testserver")
    stranger = Client()
    assert stranger.get(back)["Location"] == "/sign-in"  # a code is worth nothing in another browser
    assert "user_id" not in stranger.session
    arrived = browser.get(back)
    assert (arrived.status_code, arrived["Location"]) == (302, "/")
    assert User.objects.get(pk=browser.session["user_id"]).name == "Alice Doe"
    assert browser.get("/")["Location"] == "/p/demo/"
    again = browser.get(back)
    assert again["Location"] == "/sign-in"


@pytest.mark.parametrize("case", ["another state", "no code", "a code that is void"])
def test_a_changed_answer_signs_nobody_in(project: str, provider: Provider, case: str) -> None:
    browser = Client()
    back = through(provider, browser.get("/sign-in/federated/acme/openid")["Location"])
    answer = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    answer |= {"another state": {"state": "x"}, "no code": {"code": ""}}.get(case, {})
    if case == "a code that is void":
        provider.forget()
    assert browser.get("/sign-in/federated/callback", answer)["Location"] == "/sign-in"
    assert "user_id" not in browser.session
    assert not FederatedUser.objects.exists()


def test_a_dashboard_gets_a_token_by_websso(project: str, provider: Provider, settings: Any) -> None:
    identity = msgspec.structs.replace(settings.CONFIG.identity, trusted_dashboards=(HORIZON,))
    settings.CONFIG = msgspec.structs.replace(settings.CONFIG, identity=identity)
    browser = Client()
    away = browser.get(f"/identity/v3/auth/OS-FEDERATION/websso/openid?origin={HORIZON}")
    assert away.status_code == 302, away.content
    back = through(provider, away["Location"]).removeprefix("http://testserver")
    page = browser.get(back)
    assert page.status_code == 200, page.content
    text = page.content.decode()
    assert f'action="{HORIZON}"' in text
    (token,) = re.findall(r'name="token" value="([^"]+)"', text)
    assert [p["id"] for p in Api(token)("GET", "/auth/projects").json()["projects"]] == [project]
    assert page["Cache-Control"] == "no-store"
    assert browser.get(back).status_code == 401  # the browser's part of it is gone
