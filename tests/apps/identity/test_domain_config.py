"""Configuring a domain's directory by the API; nothing here speaks to one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from apps.core.errors import KumoError, Unavailable
from apps.identity.backends.ldap.options import Ldap
from apps.identity.models import DomainOption
from apps.identity.selectors import directories
from tests.apps.identity.conftest import Api

CONFIG = {
    "identity": {"driver": "ldap"},
    "ldap": {"url": "ldap://127.0.0.1:1", "user_tree_dn": "ou=Users,dc=x,dc=org", "password": "sesame-canary"},
}
SHOWN = {"identity": CONFIG["identity"], "ldap": {k: v for k, v in CONFIG["ldap"].items() if k != "password"}}


@pytest.fixture
def domain(admin: Api) -> str:
    return str(admin("POST", "/domains", {"domain": {"name": "corp"}}).json()["domain"]["id"])


def test_a_configuration_lives_from_put_to_delete(admin: Api, domain: str) -> None:
    path = f"/domains/{domain}/config"
    assert admin("GET", path).status_code == 404
    made = admin("PUT", path, {"config": CONFIG})
    assert (made.status_code, made.json()) == (201, {"config": SHOWN})
    assert admin("PUT", path, {"config": CONFIG}).status_code == 200
    assert admin("GET", f"{path}/ldap").json() == {"config": {"ldap": SHOWN["ldap"]}}
    assert admin("GET", f"{path}/ldap/url").json() == {"config": {"url": "ldap://127.0.0.1:1"}}
    one = admin("PATCH", f"{path}/ldap/url", {"config": {"url": "ldap://127.0.0.1:2"}})
    assert one.json()["config"]["ldap"]["url"] == "ldap://127.0.0.1:2"
    group = admin("PATCH", f"{path}/ldap", {"config": {"ldap": {"page_size": "7"}}})
    assert group.json()["config"]["ldap"] == SHOWN["ldap"] | {"url": "ldap://127.0.0.1:2", "page_size": "7"}
    found = directories.directory_of(domain)
    assert found is not None
    assert (found.options.page_size, found.options.password) == (7, "sesame-canary")
    assert admin("DELETE", f"{path}/ldap/url").status_code == 204
    assert admin("GET", f"{path}/ldap/url").status_code == 404
    assert admin("DELETE", f"{path}/identity").status_code == 204
    assert directories.directory_of(domain) is None
    assert admin("DELETE", path).status_code == 204
    assert admin("DELETE", path).status_code == 404


def test_a_secret_is_sealed_and_never_shown(admin: Api, domain: str) -> None:
    path = f"/domains/{domain}/config"
    admin("PUT", path, {"config": CONFIG})
    assert b"sesame-canary" not in admin("GET", path).content
    assert admin("GET", f"{path}/ldap/password").status_code == 404
    row = DomainOption.objects.get(option="password")
    assert row.value is None
    assert b"sesame-canary" not in bytes(row.sealed or b"")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"ldap": {}},
        {"ldap": "text"},
        {"compute": {"x": 1}},
        {"ldap": {"no_such_option": 1}},
        {"ldap": {"page_size": -1}},
        {"ldap": {"query_scope": "everywhere"}},
        {"ldap": {"user_id_attribute": "uid)(objectClass=*"}},
        {"ldap": {"user_additional_attribute_mapping": ["only-one"]}},
    ],
)
def test_what_cannot_be_configured_is_refused(admin: Api, domain: str, config: object) -> None:
    answer = admin("PUT", f"/domains/{domain}/config", {"config": config})
    assert answer.status_code == 403, answer.content
    assert "Invalid domain specific configuration" in answer.json()["error"]["message"]
    assert not DomainOption.objects.exists()


@pytest.mark.parametrize(
    "config",
    [{"identity": {"driver": "kvs"}}, {"identity": {"driver": "ldap"}, "ldap": {"url": "http://127.0.0.1"}}],
)
def test_driver_and_address_are_looked_at_when_they_are_used(admin: Api, domain: str, config: object) -> None:
    assert admin("PUT", f"/domains/{domain}/config", {"config": config}).status_code == 201
    with pytest.raises(Unavailable):
        directories.directory_of(domain)


def test_an_update_needs_what_it_changes(admin: Api, domain: str) -> None:
    path = f"/domains/{domain}/config"
    assert admin("PATCH", path, {"config": CONFIG}).status_code == 404
    admin("PUT", path, {"config": {"identity": {"driver": "sql"}}})
    assert admin("PATCH", f"{path}/ldap", {"config": {"ldap": {"url": "ldap://x"}}}).status_code == 404
    assert admin("PATCH", f"{path}/identity", {"config": {"ldap": {"url": "ldap://x"}}}).status_code == 403
    assert admin("GET", path).json() == {"config": {"identity": {"driver": "sql"}}}


def test_users_of_ours_are_not_locked_out(admin: Api) -> None:
    answer = admin("PUT", "/domains/default/config", {"config": CONFIG})
    assert answer.status_code == 409
    assert not DomainOption.objects.exists()


def test_defaults_are_shown_without_secrets(admin: Api) -> None:
    everything = admin("GET", "/domains/config/default").json()["config"]
    assert everything["identity"]["driver"] == "sql"
    assert "password" not in everything["ldap"]
    assert admin("GET", "/domains/config/ldap/default").json() == {"config": {"ldap": everything["ldap"]}}
    assert admin("GET", "/domains/config/ldap/page_size/default").json() == {"config": {"page_size": 500}}
    assert admin("GET", "/domains/config/ldap/nothing/default").status_code == 403


def test_only_administrators_configure(demo: Api, domain: str) -> None:
    for method, body in (("PUT", {"config": CONFIG}), ("GET", None), ("DELETE", None)):
        assert demo(method, f"/domains/{domain}/config", body).status_code == 403
    assert not DomainOption.objects.exists()


def test_an_unreachable_directory_hinders_nobody_else(admin: Api, domain: str) -> None:
    admin("PUT", f"/domains/{domain}/config", {"config": CONFIG})
    with pytest.raises(KumoError, match="does not answer"):
        directories.see_all("user", domain)
    assert admin("GET", "/users").status_code == 200
    admin("PATCH", f"/domains/{domain}", {"domain": {"enabled": False}})
    assert admin("DELETE", f"/domains/{domain}").status_code == 204


def test_the_file_configures_a_domain_by_its_name(domain: str, settings: Any) -> None:
    given = {"corp": Ldap(url="ldap://127.0.0.1:9")}
    identity = msgspec.structs.replace(settings.CONFIG.identity, directories=given)
    settings.CONFIG = msgspec.structs.replace(settings.CONFIG, identity=identity)
    found = directories.directory_of(domain)
    assert found is not None
    assert found.options.urls == ("ldap://127.0.0.1:9",)
    assert directories.directory_of("default") is None


def test_a_configuration_that_became_wrong_says_so(admin: Api, domain: str) -> None:
    DomainOption.objects.create(domain_id=domain, group="identity", option="driver", value="gone")
    with pytest.raises(Unavailable, match="driver"):
        directories.directory_of(domain)
