"""What writes leave in the log: of whom, on what, before and after, and when they were refused."""

from __future__ import annotations

import contextlib
import inspect
import json
import uuid
from typing import Any

import msgspec
import pytest
from django.db import DatabaseError, connection, transaction
from django.test import RequestFactory, override_settings

from apps.audit.models import Event
from apps.audit.services import Journal
from apps.core import audit, transactions
from apps.core.api.middleware import client_address
from apps.core.context import Origin, RequestContext, operator, origin, system
from apps.core.errors import Forbidden, KumoError
from apps.identity import services
from apps.identity.models import Project, User
from tests.apps.identity.conftest import PASSWORDS, Api, password_auth, project_scope

CANARY = "cAnArY-c4fe-7e11-7a1e"


def events(**where: Any) -> list[Event]:
    return list(Event.objects.filter(**where).order_by("at", "id"))


def last(**where: Any) -> Event:
    return events(**where)[-1]


def test_a_create_is_one_event_with_who_from_where_what_and_after(admin):
    answer = admin("POST", "/projects", {"project": {"name": "p1", "description": "x"}}, User_Agent="curl/8")
    project = answer.json()["project"]
    (event,) = events(action="identity.project.create")
    assert (event.outcome, event.code, event.reason) == ("success", 0, "")
    assert (event.target_type, event.target_id, event.target_name) == ("identity.project", project["id"], "p1")
    assert (event.user_name, event.credential, event.scope) == ("admin", "password", "project")
    assert "admin" in event.roles
    assert event.request_id == answer["X-Openstack-Request-Id"]
    assert (event.address, event.agent) == ("127.0.0.1", "curl/8")
    assert event.before is None
    assert (event.after or {})["description"] == "x"


def test_an_update_says_what_changed_and_no_more(admin):
    ident = admin("POST", "/projects", {"project": {"name": "p1", "description": "x"}}).json()["project"]["id"]
    admin("PATCH", f"/projects/{ident}", {"project": {"description": "y"}})
    (event,) = events(action="identity.project.update")
    assert (event.before, event.after) == ({"description": "x"}, {"description": "y"})
    assert event.target_name == "p1"


def test_a_delete_keeps_what_was_there(admin):
    ident = admin("POST", "/projects", {"project": {"name": "p1", "description": "x"}}).json()["project"]["id"]
    assert admin("DELETE", f"/projects/{ident}").status_code == 204
    (event,) = events(action="identity.project.delete")
    assert ((event.before or {})["description"], event.after, event.target_name) == ("x", None, "p1")


def test_a_refused_write_is_an_event_though_nothing_else_was_written(demo):
    answer = demo("POST", "/projects", {"project": {"name": "mine"}})
    assert answer.status_code == 403
    (event,) = events(action="identity.project.create")
    assert (event.outcome, event.code, event.rule) == ("failure", 403, "identity:create_project")
    assert "identity:create_project" in event.reason
    assert (event.user_name, event.request_id) == ("demo", answer["X-Openstack-Request-Id"])


def test_a_refusal_of_the_database_is_an_event_too(admin):
    admin("POST", "/projects", {"project": {"name": "twice"}})
    assert admin("POST", "/projects", {"project": {"name": "twice"}}).status_code == 409
    assert [(e.outcome, e.code) for e in events(action="identity.project.create")] == [("success", 0), ("failure", 409)]


def test_reading_leaves_nothing(admin):
    before = Event.objects.count()
    assert admin("GET", "/projects").status_code == 200
    assert admin("GET", "/projects/no-such").status_code == 404
    assert Event.objects.count() == before


def test_services_inside_a_service_and_kumos_own_work_are_no_events_of_their_own(cloud):
    services.project_create(system(), name="own", domain_id="default")
    assert events(action="identity.project.create") == []


def test_an_operators_command_is_named(cloud):
    services.project_create(operator(), name="shell", domain_id="default")
    (event,) = events(action="identity.project.create")
    assert (event.credential, event.scope, event.user_id) == ("command", "system", "")
    assert event.user_name != ""


def test_the_event_and_the_change_are_one_transaction(cloud, monkeypatch):
    def broken(self: Journal, event: audit.Event) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(Journal, "write", broken)
    with pytest.raises(RuntimeError):
        services.project_create(operator(), name="never", domain_id="default")
    assert not Project.objects.filter(name="never").exists()


@pytest.mark.parametrize("statement", ["UPDATE audit_event SET reason = 'x'", "DELETE FROM audit_event"])
def test_events_can_be_neither_changed_nor_removed(admin, statement):
    before = Event.objects.count()
    assert before > 0
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert Event.objects.count() == before
    assert not Event.objects.filter(reason="x").exists()


@pytest.mark.parametrize("table", ["audit_event", "audit_event_default"])
def test_the_log_cannot_be_emptied(db, table):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {table}")


def test_signing_in_and_failing_to_are_events(nobody, cloud):
    nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"], project_scope("demo")))
    nobody("POST", "/auth/tokens", password_auth("demo", CANARY))
    nobody("POST", "/auth/tokens", password_auth("nobody-here", CANARY))
    good, wrong, unknown = events(action="identity.user.authenticate")
    user = User.objects.get(name="demo")
    assert (good.outcome, good.user_id, good.credential, good.scope) == ("success", user.pk, "password", "project")
    assert (wrong.outcome, wrong.code, wrong.target_id, wrong.user_id) == ("failure", 401, user.pk, user.pk)
    assert (unknown.outcome, unknown.target_name, unknown.user_id) == ("failure", "nobody-here", "")
    assert wrong.reason == unknown.reason
    assert holding(CANARY) == []


def test_locking_a_user_is_an_event(nobody, cloud, settings):
    strict = msgspec.structs.replace(settings.CONFIG.identity, lockout_failures=2)
    with override_settings(CONFIG=msgspec.structs.replace(settings.CONFIG, identity=strict)):
        for _ in range(4):
            nobody("POST", "/auth/tokens", password_auth("demo", "wrong"))
    (event,) = events(action="identity.user.lock")
    assert event.target_name == "demo"


def test_ending_a_token_is_an_event_without_the_token(admin, token_of):
    token = token_of("demo", scope=project_scope("demo"))
    assert admin("DELETE", "/auth/tokens", X_Subject_Token=token).status_code == 204
    (event,) = events(action="identity.token.revoke")
    assert event.arguments == {"token": audit.HIDDEN}
    assert holding(token) == []


def test_where_from_is_believed_from_the_proxy_only(cloud):
    def seen(near: str, forwarded: str) -> str:
        return client_address(RequestFactory().get("/", REMOTE_ADDR=near, HTTP_X_FORWARDED_FOR=forwarded))

    assert seen("", "192.0.2.7") == "192.0.2.7"
    assert seen("127.0.0.1", "6.6.6.6, 192.0.2.7") == "192.0.2.7"
    assert seen("198.51.100.1", "192.0.2.7") == "198.51.100.1"
    assert seen("127.0.0.1", "nonsense") == "127.0.0.1"
    assert seen("/run/web.sock", "") == ""


# --- secrets ----------------------------------------------------------------------------------------


def holding(text: str) -> list[Event]:
    """The events in which this text stands anywhere."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM audit_event e WHERE strpos(e::text, %s) > 0", [text])
        return [row[0] for row in cursor.fetchall()]


def test_passwords_never_reach_the_log(admin):
    user = admin("POST", "/users", {"user": {"name": "u1", "password": CANARY, "domain_id": "default"}}).json()["user"]
    admin("PATCH", f"/users/{user['id']}", {"user": {"password": f"{CANARY}2"}})
    own = Api(services.token_issue(identity=_password(user["id"], f"{CANARY}2"), scope=None)[0])
    changed = own(
        "POST",
        f"/users/{user['id']}/password",
        {"user": {"original_password": f"{CANARY}2", "password": f"{CANARY}3"}},
    )
    assert changed.status_code == 204
    update = last(action="identity.user.update")
    assert update.arguments["password"] == audit.HIDDEN
    assert (update.after or {})["password_hash"] == audit.HIDDEN
    assert User.objects.get(pk=user["id"]).password_hash not in str(update.after)
    assert holding(CANARY) == []


def _password(user_id: str, password: str) -> dict[str, Any]:
    return {"methods": ["password"], "password": {"user": {"id": user_id, "password": password}}}


def test_secrets_of_application_credentials_never_reach_the_log(demo, cloud):
    user = User.objects.get(name="demo")
    answer = demo(
        "POST",
        f"/users/{user.pk}/application_credentials",
        {"application_credential": {"name": "a", "secret": CANARY}},
    )
    assert answer.status_code == 201
    assert last(action="identity.application_credential.create").arguments["secret"] == audit.HIDDEN
    assert holding(CANARY) == []


def _wrap(name: str, depth: int) -> Any:
    return {name: CANARY, "inner": [{name: CANARY, "deeper": {name: CANARY}}]} if depth else CANARY


SECRET_ARGUMENTS = (
    "password",
    "secret",
    "admin_pass",
    "adminPass",
    "user_data",
    "token",
    "private_key",
    "blob",
    "seed",
)


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("key", sorted(transactions.AUDITED), ids=".".join)
def test_no_service_lets_a_secret_reach_the_log(key):
    """Each service is called with a canary in every argument that may hold a secret; whatever comes of it, the log
    has an event and not the canary."""
    module, name = key
    service = getattr(__import__(module, fromlist=[name]), name)
    naming = audit.naming_of(transactions.AUDITED[key])
    given: dict[str, Any] = {}
    for parameter in list(inspect.signature(service).parameters.values())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            given |= {secret: CANARY for secret in SECRET_ARGUMENTS}
        elif audit.is_secret(parameter.name, naming.shown):
            given[parameter.name] = CANARY
        elif "dict" in str(parameter.annotation) or "Mapping" in str(parameter.annotation):
            given[parameter.name] = {n: CANARY for n in SECRET_ARGUMENTS} | {"inner": [{"password": CANARY}]}
        elif parameter.default is parameter.empty:
            given[parameter.name] = str(uuid.uuid4())
    ctx = RequestContext(
        user_id="u", project_id="p", roles=frozenset({"admin", "member", "reader"}), credential="password"
    )
    with contextlib.suppress(Exception):  # most refuse what they are given
        service(ctx, **given)
    assert len(events(action=naming.action)) == 1
    assert holding(CANARY) == []
    with audit.change_of(naming, ctx, "rule", given) as change:
        assert change is not None
        change.done()
        change.refused(KumoError(f"{CANARY if CANARY in str(given) else name} is not allowed"))
    assert holding(CANARY) == []
    assert {e.outcome for e in events(action=naming.action)} == {"success", "failure"}


@pytest.mark.parametrize("name", ["resource_name", "hotplug", "key_name", "key", "passive", "metadata", "description"])
def test_plain_names_are_no_secrets(name):
    assert not audit.is_secret(name)


NAMES = (
    "adminPass",
    "admin_pass",
    "password",
    "original_password",
    "api_key",
    "private_key",
    "secret_hash",
    "totp_seed",
)


@pytest.mark.parametrize(
    "name", [*NAMES, "user_data", "blob", "trust_token", "ssh_key", "bind_password", "passcode", "otp"]
)
def test_names_that_look_like_secrets_are_hidden(name):
    assert audit.kept({"x": [{name: CANARY}]}) == {"x": [{name: audit.HIDDEN}]}


def test_an_id_that_is_a_secret_names_no_target():
    signature = audit.Signature("apps.identity.services.x", "token_end", frozenset({"ctx", "token_id"}))
    change = audit.Change(audit.naming_of(signature), RequestContext(), "", {"token_id": CANARY})
    assert change.asked_id == ""


def test_values_are_bounded_and_plain():
    deep: Any = "end"
    for _ in range(20):
        deep = {"in": deep}
    kept = audit.kept({"nul": "a\0b", "half": "\ud800", "long": "x" * 5000, "deep": deep, "many": list(range(1000))})
    assert kept["nul"] == "ab"
    assert kept["half"] == "?"
    assert len(kept["long"]) == audit.MOST_TEXT + 1
    assert len(kept["many"]) == audit.MOST_ITEMS
    assert json.dumps(kept).count('"in"') < 10
    assert audit.kept({"x": object(), "n": 2**70}) == {"x": audit.HIDDEN, "n": str(2**70)}


def test_an_origin_that_is_no_request_is_empty(cloud):
    assert origin.get() == Origin()
    with pytest.raises(Forbidden):
        services.project_create(RequestContext(user_id="x", credential="password"), name="n")
    (event,) = events(action="identity.project.create")
    assert (event.address, event.agent) == (None, "")
