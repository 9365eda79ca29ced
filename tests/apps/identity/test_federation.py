"""OS-FEDERATION's resources, and what a mapping makes of somebody; no provider is asked here."""

from __future__ import annotations

from typing import Any

import pytest

from apps.core.errors import Unauthorized
from apps.identity.models import (
    Assignment,
    FederatedMembership,
    FederatedUser,
    FederationProtocol,
    Group,
    IdentityProvider,
    Membership,
    Project,
    User,
)
from apps.identity.services.federated import federated_memberships_expire, federated_user
from tests.apps.identity.conftest import Api

ROOT = "/OS-FEDERATION"
OIDC = {"issuer": "https://id.example.org", "client_id": "kumo"}
RULES = [
    {
        "local": [{"user": {"id": "{0}", "name": "{1}", "email": "{2}"}}],
        "remote": [{"type": "OIDC-sub"}, {"type": "OIDC-name"}, {"type": "OIDC-email"}],
    }
]
CLAIMS = {"iss": OIDC["issuer"], "sub": "s-1", "name": "Alice", "email": "alice@example.org", "groups": ["devs"]}


def with_groups(**condition: Any) -> list[dict[str, Any]]:
    local = {"groups": "{0}", "domain": {"id": "default"}}
    return [*RULES, {"local": [local], "remote": [{"type": "OIDC-groups", **condition}]}]


@pytest.fixture
def idp(admin: Api) -> str:
    made = admin(
        "PUT",
        f"{ROOT}/identity_providers/acme",
        {"identity_provider": {"enabled": True, "remote_ids": [OIDC["issuer"]]}},
    )
    assert made.status_code == 201, made.content
    assert admin("PUT", f"{ROOT}/mappings/people", {"mapping": {"rules": RULES}}).status_code == 201
    body = {"protocol": {"mapping_id": "people", "oidc": {**OIDC, "client_secret": "sesame-canary"}}}
    made = admin("PUT", f"{ROOT}/identity_providers/acme/protocols/openid", body)
    assert made.status_code == 201, made.content
    return "acme"


def arrive(rules: list[dict[str, Any]] | None = None, **claims: Any) -> User:
    protocol = FederationProtocol.objects.select_related("provider", "mapping").get()
    if rules is not None:
        protocol.mapping.rules = rules
        protocol.mapping.save()
    return federated_user(protocol=protocol, claims={**CLAIMS, **claims})


# --- resources ----------------------------------------------------------------------------------------


def test_an_identity_provider_lives_from_put_to_delete(admin: Api, idp: str) -> None:
    path = f"{ROOT}/identity_providers/{idp}"
    shown = admin("GET", path).json()["identity_provider"]
    assert (shown["id"], shown["enabled"], shown["remote_ids"]) == (idp, True, [OIDC["issuer"]])
    assert shown["links"]["protocols"].endswith(f"{path}/protocols")
    assert Project.objects.get(pk=shown["domain_id"]).is_domain
    assert [p["id"] for p in admin("GET", f"{ROOT}/identity_providers").json()["identity_providers"]] == [idp]
    again = admin("PUT", path, {"identity_provider": {}})
    assert again.status_code == 409
    changed = admin("PATCH", path, {"identity_provider": {"remote_ids": ["a", "b"], "description": "x"}})
    assert changed.json()["identity_provider"]["remote_ids"] == ["a", "b"]
    assert admin("DELETE", path).status_code == 204
    assert admin("GET", path).status_code == 404
    assert admin("DELETE", path).status_code == 404


def test_a_remote_id_belongs_to_one_provider(admin: Api, idp: str) -> None:
    body = {"identity_provider": {"remote_ids": [OIDC["issuer"]]}}
    assert admin("PUT", f"{ROOT}/identity_providers/other", body).status_code == 409
    assert not IdentityProvider.objects.filter(pk="other").exists()


def test_a_mapping_in_use_stays(admin: Api, idp: str) -> None:
    assert admin("DELETE", f"{ROOT}/mappings/people").status_code == 409
    assert admin("GET", f"{ROOT}/mappings/people").json()["mapping"]["rules"] == RULES
    bad = [{"local": [{"user": {"name": "{7}"}}], "remote": [{"type": "x"}]}]
    assert admin("PATCH", f"{ROOT}/mappings/people", {"mapping": {"rules": bad}}).status_code == 400
    assert admin("GET", f"{ROOT}/mappings/people").json()["mapping"]["rules"] == RULES
    assert admin("DELETE", f"{ROOT}/identity_providers/{idp}/protocols/openid").status_code == 204
    assert admin("DELETE", f"{ROOT}/mappings/people").status_code == 204


def test_a_protocol_shows_how_it_is_reached_but_not_the_secret(admin: Api, idp: str) -> None:
    path = f"{ROOT}/identity_providers/{idp}/protocols/openid"
    answer = admin("GET", path)
    shown = answer.json()["protocol"]
    assert (shown["id"], shown["mapping_id"], shown["oidc"]) == ("openid", "people", OIDC)
    assert shown["links"]["identity_provider"].endswith(f"/identity_providers/{idp}")
    assert b"sesame-canary" not in answer.content
    assert b"sesame-canary" not in bytes(FederationProtocol.objects.get().oidc_secret or b"")
    assert [p["id"] for p in admin("GET", f"{ROOT}/identity_providers/{idp}/protocols").json()["protocols"]] == [
        "openid"
    ]
    kept = FederationProtocol.objects.get().oidc_secret
    admin("PATCH", path, {"protocol": {"oidc": {**OIDC, "scopes": ["openid"]}}})
    assert bytes(FederationProtocol.objects.get().oidc_secret or b"") == bytes(kept or b"")
    admin("PATCH", path, {"protocol": {"oidc": {**OIDC, "issuer": "https://elsewhere.example.org"}}})
    assert FederationProtocol.objects.get().oidc_secret is None  # a secret is not handed to another issuer


@pytest.mark.parametrize(
    "oidc",
    [
        {"issuer": "http://id.example.org", "client_id": "x"},
        {"issuer": "https://", "client_id": "x"},
        {"issuer": "file:///etc/passwd", "client_id": "x"},
        {"issuer": "https://id.example.org"},
        {"issuer": "https://id.example.org", "client_id": ""},
        {"issuer": "https://id.example.org", "client_id": "x", "verify": False},
    ],
)
def test_a_provider_that_cannot_be_trusted_is_refused(admin: Api, idp: str, oidc: dict[str, Any]) -> None:
    path = f"{ROOT}/identity_providers/{idp}/protocols/other"
    assert admin("PUT", path, {"protocol": {"mapping_id": "people", "oidc": oidc}}).status_code == 400
    assert FederationProtocol.objects.count() == 1


def test_a_protocol_needs_a_mapping_that_is_there(admin: Api, idp: str) -> None:
    path = f"{ROOT}/identity_providers/{idp}/protocols/other"
    assert admin("PUT", path, {"protocol": {"mapping_id": "nothing"}}).status_code == 400
    assert admin("PUT", path, {"protocol": {}}).status_code == 400
    missing = f"{ROOT}/identity_providers/nobody/protocols/openid"
    assert admin("PUT", missing, {"protocol": {"mapping_id": "people"}}).status_code == 404


def test_service_providers(admin: Api) -> None:
    path = f"{ROOT}/service_providers/beta"
    urls = {"auth_url": "https://beta.example.org/auth", "sp_url": "https://beta.example.org/sp"}
    assert admin("PUT", path, {"service_provider": {"auth_url": "x"}}).status_code == 400
    made = admin("PUT", path, {"service_provider": {**urls, "enabled": True}})
    assert made.status_code == 201
    assert made.json()["service_provider"]["relay_state_prefix"] == "ss:mem:"
    assert admin("PATCH", path, {"service_provider": {"enabled": False}}).json()["service_provider"]["enabled"] is False
    assert len(admin("GET", f"{ROOT}/service_providers").json()["service_providers"]) == 1
    assert admin("DELETE", path).status_code == 204


def test_only_administrators_configure(demo: Api, idp: str) -> None:
    for path in ("identity_providers/acme", "mappings/people", "identity_providers/acme/protocols/openid"):
        assert demo("GET", f"{ROOT}/{path}").status_code == 403
        assert demo("DELETE", f"{ROOT}/{path}").status_code == 403
    assert demo("PUT", f"{ROOT}/mappings/mine", {"mapping": {"rules": RULES}}).status_code == 403


# --- who somebody is ----------------------------------------------------------------------------------


def test_somebody_is_the_same_user_each_time(idp: str) -> None:
    first = arrive()
    assert (first.name, first.extra, first.password_hash) == ("Alice", {"email": "alice@example.org"}, "")
    assert first.domain_id == IdentityProvider.objects.get().domain_id
    again = arrive(name="Alice Smith")
    assert (again.pk, again.name) == (first.pk, "Alice Smith")
    assert FederatedUser.objects.get().unique_id == "s-1"


def test_two_people_of_one_name_are_two_users(idp: str) -> None:
    one, other = arrive(), arrive(sub="s-2")
    assert one.pk != other.pk
    assert other.name.startswith("Alice#")
    assert arrive(sub="s-2").name == other.name


def test_the_issuer_must_be_the_providers(idp: str) -> None:
    with pytest.raises(Unauthorized):
        arrive(iss="https://evil.example.org")
    assert not FederatedUser.objects.exists()


def test_a_mapping_that_matches_nothing_is_a_401(idp: str) -> None:
    with pytest.raises(Unauthorized, match="Could not map"):
        arrive(name=None)
    assert not User.objects.filter(extra__email="alice@example.org").exists()


def test_a_disabled_user_stays_out(idp: str) -> None:
    User.objects.filter(pk=arrive().pk).update(enabled=False)
    with pytest.raises(Unauthorized):
        arrive()


def test_groups_come_and_go_with_what_the_provider_says(idp: str) -> None:
    devs, ops = (Group.objects.create(name=name, domain_id="default") for name in ("devs", "ops"))
    by_hand = Group.objects.create(name="by hand", domain_id="default")
    user = arrive(with_groups(), groups=["devs", "unknown"])
    Membership.objects.create(user=user, group=by_hand)
    assert set(user.groups.all()) == {devs, by_hand}
    arrive(groups=["ops"])
    assert set(user.groups.all()) == {ops, by_hand}
    arrive(groups=[])
    assert set(user.groups.all()) == {by_hand}


def test_a_membership_that_nobody_confirmed_ends(idp: str) -> None:
    Group.objects.create(name="devs", domain_id="default")
    user = arrive(with_groups())
    assert federated_memberships_expire() == 0
    FederatedMembership.objects.update(expires_at="2020-01-01T00:00:00Z")
    assert federated_memberships_expire() == 1
    assert not user.groups.exists()


def test_with_a_provider_goes_what_its_word_gave(admin: Api, idp: str) -> None:
    group = Group.objects.create(name="devs", domain_id="default")
    user = arrive(with_groups())
    generation = user.token_generation
    assert admin("DELETE", f"{ROOT}/identity_providers/{idp}").status_code == 204
    assert not Membership.objects.filter(group=group).exists()
    user.refresh_from_db()
    assert user.token_generation > generation


def test_projects_are_made_with_roles(idp: str) -> None:
    local = {"projects": [{"name": "Home of {0}", "roles": [{"name": "member"}, {"name": "no such role"}]}]}
    rules = [*RULES, {"local": [local], "remote": [{"type": "OIDC-sub"}]}]
    user = arrive(rules)
    arrive()
    project = Project.objects.get(name="Home of s-1")
    assert project.domain_id == user.domain_id
    assert [a.role.name for a in Assignment.objects.filter(user=user, target=project)] == ["member"]


def test_a_local_user_must_be_there(idp: str, admin: Api) -> None:
    local = {"user": {"name": "{0}", "type": "local", "domain": {"id": "default"}}}
    rules = [{"local": [local], "remote": [{"type": "OIDC-preferred_username"}]}]
    assert arrive(rules, preferred_username="demo").name == "demo"
    with pytest.raises(Unauthorized):
        arrive(preferred_username="somebody else")
    assert not FederatedUser.objects.exists()


def test_keystones_names_of_claims_work_too(idp: str) -> None:
    rules = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "HTTP_OIDC_EMAIL"}, {"type": "HTTP_OIDC_ISS"}]}]
    assert arrive(rules).name == "alice@example.org"


def test_disabling_a_provider_closes_the_door(admin: Api, nobody: Api, idp: str) -> None:
    path = f"{ROOT}/identity_providers/{idp}"
    assert nobody("GET", f"{path}/protocols/openid/auth").status_code == 401  # no bearer token
    admin("PATCH", path, {"identity_provider": {"enabled": False}})
    answer = nobody("GET", f"{path}/protocols/openid/auth", Authorization="Bearer x")
    assert answer.status_code == 404


def test_browsers_are_sent_only_to_trusted_dashboards(nobody: Api, idp: str) -> None:
    for origin in ("", "https://evil.example.org/"):
        answer = nobody("GET", f"/auth/OS-FEDERATION/websso/openid?origin={origin}")
        assert answer.status_code == 403
    assert nobody("GET", "/auth/OS-FEDERATION/websso/callback?state=x&code=y").status_code == 401
