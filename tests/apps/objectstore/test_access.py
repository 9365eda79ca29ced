"""Who gets in: roles, access lists, referrers, and signed addresses."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import time
from typing import Any

import pytest

from apps.audit.models import Event
from apps.objectstore.models import Account, Container, Object
from tests.apps.objectstore.conftest import Swift, content
from tests.kit.http import context

READS = [("GET", ""), ("HEAD", ""), ("GET", "/box"), ("HEAD", "/box"), ("GET", "/box/a"), ("HEAD", "/box/a")]
WRITES = [("POST", ""), ("PUT", "/box"), ("POST", "/box"), ("DELETE", "/box"), ("PUT", "/box/a"), ("POST", "/box/a"),
          ("DELETE", "/box/a"), ("COPY", "/box/a"), ("PUT", "/new"), ("PUT", "/new/a")]  # fmt: skip


@pytest.fixture(autouse=True)
def one(alice: Swift, box: str) -> None:
    alice.put("/box/a", b"secret")


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), READS + WRITES)
def test_another_projects_account_is_closed(alice, bob, stranger, method, path):
    headers = {"Destination": "box/b"} if method == "COPY" else {}
    assert bob(method, path, **headers).status_code == 403
    assert stranger(method, path, **headers).status_code == 401
    assert alice.bytes("/box/a") == b"secret"
    assert (Container.objects.count(), Object.objects.count()) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_reader_only_reads(alice, method, path):
    reader = Swift(context("alice", "reader"))
    assert reader.bytes("/box/a") == b"secret"
    assert reader(method, path, Destination="box/b").status_code == 403
    assert alice.names("/box") == ["a"]


def test_the_older_name_of_the_token_and_wishes_that_are_always_granted(alice, stranger):
    assert stranger.bytes("/box/a", X_Storage_Token=alice.token, X_Newest="true") == b"secret"
    assert stranger("GET", "/box/a", X_Storage_Token="nonsense").status_code == 401


def test_an_administrator_gets_in(admin):
    assert admin.bytes("/box/a") == b"secret"
    assert admin.put("/box/b", b"1").status_code == 201


def test_a_token_that_does_not_hold_is_refused_even_where_all_may_read(alice, settings):
    alice("POST", "/box", X_Container_Read=".r:*")
    settings.KUMO_AUTHENTICATION = "apps.identity.api.authentication.TokenAuthentication"
    broken = Swift(None, "alice")
    assert broken("GET", "/box/a", X_Auth_Token="nonsense").status_code == 401
    assert broken("GET", "/box/a").status_code == 200


@pytest.mark.parametrize(
    ("acl", "gets_in"),
    [
        ("bob:user-of-bob", True),
        ("bob:*", True),
        ("*:user-of-bob", True),
        ("*:*", True),
        ("bob-name:bob-user", True),
        ("member", True),
        ("alice:user-of-bob", False),
        ("bob:user-of-alice", False),
        ("bob", False),
        ("", False),
    ],
)
def test_lists_of_projects_and_users(alice, acl, gets_in):
    named = {"project_name": "bob-name", "user_name": "bob-user"}
    bob = Swift(context("bob", project_domain_id="default", user_domain_id="default", **named), "alice")
    alice("POST", "/box", X_Container_Read=acl)
    assert bob("GET", "/box/a").status_code == (200 if gets_in else 403)
    assert bob("GET", "/box").status_code == (200 if gets_in else 403)
    assert bob.put("/box/b", b"1").status_code == 403
    alice("POST", "/box", X_Container_Write=acl, X_Remove_Container_Read="x")
    assert bob.put("/box/b", b"1").status_code == (201 if gets_in else 403)
    assert bob("GET", "/box/a").status_code == 403
    assert bob("DELETE", "/box").status_code == 403


def test_names_count_in_the_default_domain_only(alice):
    alice("POST", "/box", X_Container_Read="bob-name:bob-user")
    elsewhere = {"project_domain_id": "other", "user_domain_id": "default"}
    bob = Swift(context("bob", project_name="bob-name", user_name="bob-user", **elsewhere), "alice")
    assert bob("GET", "/box/a").status_code == 403


@pytest.mark.parametrize(
    ("acl", "referrer", "reads", "lists"),
    [
        (".r:*", "", True, False),
        (".r:*,.rlistings", "", True, True),
        (".rlistings", "", False, False),
        (".r:.example.com", "http://www.example.com/x", True, False),
        (".r:.example.com", "http://example.org/", False, False),
        (".r:.example.com", "", False, False),
        (".referrer:*,.r:-bad.com", "http://bad.com/", False, False),
        (".ref: *, .r: - bad.com", "http://good.com/", True, False),
        (".r:*.example.com", "http://a.example.com/", True, False),
    ],
)
def test_referrers(alice, stranger, acl, referrer, reads, lists):
    assert alice("POST", "/box", X_Container_Read=acl).status_code == 204
    assert stranger("GET", "/box/a", Referer=referrer).status_code == (200 if reads else 401)
    assert stranger("GET", "/box", Referer=referrer).status_code == (200 if lists else 401)
    assert stranger("HEAD", "/box", Referer=referrer).status_code == (204 if lists else 401)
    assert stranger.put("/box/b", b"1", Referer=referrer).status_code == 401


@pytest.mark.parametrize(
    "header", [{"X_Container_Read": ".x:*"}, {"X_Container_Read": ".r:"}, {"X_Container_Write": ".r:*"}]
)
def test_lists_that_mean_nothing_are_refused(alice, header):
    assert alice("POST", "/box", **header).status_code == 400
    assert Container.objects.get().read_acl == Container.objects.get().write_acl == ""


def test_lists_are_shown_to_owners_only(alice, bob):
    alice("POST", "/box", X_Container_Read="bob:*", X_Container_Meta_Temp_URL_Key="k")
    assert alice("HEAD", "/box")["X-Container-Read"] == "bob:*"
    assert alice("HEAD", "/box")["X-Container-Meta-Temp-Url-Key"] == "k"
    assert not {"X-Container-Read", "X-Container-Meta-Temp-Url-Key"} & set(bob("HEAD", "/box").headers)


def test_the_audit_log_has_containers_and_no_keys(alice):
    alice("POST", "/box", X_Container_Meta_Temp_URL_Key="hush", X_Container_Meta_Temp_URL_Key_2="hush2")
    alice("POST", "", X_Account_Meta_Temp_URL_Key="hush3")
    alice.put("/box/b", b"1")
    mine = Event.objects.filter(at=Event.objects.latest("at").at)  # of this transaction; the log keeps others' too
    events = list(mine.order_by("pk").values())
    words = ["container.put", "container.post", "account.post"]
    assert [e["action"] for e in events] == [f"objectstore.{word}" for word in words]
    assert "hush" not in str(events)


def test_copies_between_accounts_need_both_lists(alice, bob):
    mine = Swift(bob.ctx)
    mine.put("/own")
    mine.put("/own/x", b"of bob")
    from_alice: dict[str, Any] = {"X_Copy_From": "box/a", "X_Copy_From_Account": "AUTH_alice"}
    assert mine.put("/own/a", **from_alice).status_code == 403
    alice("POST", "/box", X_Container_Read="bob:*")
    answer = mine.put("/own/a", **from_alice)
    assert (answer.status_code, answer["X-Copied-From-Account"]) == (201, "AUTH_alice")
    assert mine.bytes("/own/a") == b"secret"
    to_alice: dict[str, Any] = {"Destination": "box/x", "Destination_Account": "AUTH_alice"}
    assert mine("COPY", "/own/x", **to_alice).status_code == 403
    assert alice.names("/box") == ["a"]
    alice("POST", "/box", X_Container_Write="bob:*")
    assert mine("COPY", "/own/x", **to_alice).status_code == 201
    assert alice.bytes("/box/x") == b"of bob"


# --- an account's own list -------------------------------------------------------------------------

LEVELS = {"read-only": 1, "read-write": 2, "admin": 3}
MAY = [  # what a level is enough for
    (1, "GET", ""), (1, "HEAD", "/box"), (1, "GET", "/box"), (1, "GET", "/box/a"), (2, "PUT", "/new"),
    (2, "POST", "/box"), (2, "PUT", "/box/b"), (2, "POST", "/box/a"), (2, "DELETE", "/box/a"), (3, "POST", ""),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("level", "rank"), LEVELS.items())
@pytest.mark.parametrize(("least", "method", "path"), MAY)
def test_levels_of_an_accounts_list(alice, bob, level, rank, least, method, path):
    alice("POST", "", X_Account_Access_Control=json.dumps({level: ["bob:user-of-bob"]}))
    answer = bob(method, path)
    assert answer.status_code == 403 if rank < least else answer.status_code < 300
    assert Swift(context("carol"), "alice")(method, path).status_code == 403


def test_keys_and_lists_are_the_owners_to_set_and_see(alice, bob):
    acl = {"read-write": ["bob:*"]}
    alice("POST", "", X_Account_Access_Control=json.dumps(acl), X_Account_Meta_Temp_URL_Key="k")
    for header in ({"X_Container_Read": ".r:*"}, {"X_Container_Write": "*:*"}, {"X_Container_Meta_Temp_URL_Key": "x"}):
        assert bob("POST", "/box", **header).status_code == 403
        assert bob.put("/own", **header).status_code == 403
    assert Container.objects.get().read_acl == Container.objects.get().write_acl == ""
    hidden = {"X-Account-Access-Control", "X-Account-Meta-Temp-Url-Key"}
    assert not hidden & set(bob("HEAD", "").headers)
    shown = alice("HEAD", "")
    assert hidden <= set(shown.headers)
    assert json.loads(shown["X-Account-Access-Control"]) == acl
    alice("POST", "", X_Account_Access_Control="")
    assert bob("GET", "").status_code == 403
    assert "X-Account-Access-Control" not in alice("HEAD", "").headers


NONSENSE = ("{", "[]", "3", '{"owner": ["a:b"]}', '{"admin": "a:b"}', '{"admin": ["member"]}', '{"admin": [":b"]}',
            '{"admin": [1]}', '{"admin": ["a:\\u0000"]}', '{"admin": ["a:\\ud800"]}',
            json.dumps({"read-only": ["a:" + "x" * 9000]}))  # fmt: skip


@pytest.mark.parametrize("acl", NONSENSE)
def test_account_lists_that_mean_nothing_are_refused(alice, acl):
    assert alice("POST", "", X_Account_Access_Control=acl).status_code == 400
    assert not Account.objects.get().access


# --- signed addresses ------------------------------------------------------------------------------

PATH = "/v1/AUTH_alice/box/a"


def signed(method: str = "GET", path: str = PATH, key: str = "key", digest: str = "sha256", **query: Any) -> str:
    end = query.pop("end", int(time.time()) + 60)
    text = f"{method}\n{end}\n{path}"
    if "ip" in query:
        text = f"ip={query['ip']}\n{text}"
        query["temp_url_ip_range"] = query.pop("ip")
    signature = hmac.new(key.encode(), text.encode(), digest).hexdigest()
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return f"?temp_url_sig={signature}&temp_url_expires={end}{more}"


@pytest.fixture
def keyed(alice: Swift) -> None:
    alice("POST", "", X_Account_Meta_Temp_URL_Key="key", X_Account_Meta_Temp_URL_Key_2="key2")
    alice("POST", "/box", X_Container_Meta_Temp_URL_Key="boxkey")


@pytest.mark.slow
@pytest.mark.parametrize("key", ["key", "key2", "boxkey"])
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
@pytest.mark.parametrize("path", [PATH, f"/object-store{PATH}"])
def test_a_signed_address_reads(keyed, stranger, key, digest, path):
    answer = stranger("GET", "/box/a" + signed(key=key, digest=digest, path=path))
    assert content(answer) == b"secret"
    assert answer["Content-Disposition"] == "attachment; filename=\"a\"; filename*=UTF-8''a"
    assert "Expires" in answer
    assert stranger("HEAD", "/box/a" + signed(key=key, digest=digest, path=path)).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        signed(end=1),
        signed(key="other"),
        signed(digest="sha1"),
        signed("PUT"),
        signed(path="/v1/AUTH_alice/box/b"),
        signed(ip="10.0.0.0/8"),
        signed(ip="nonsense"),
        signed(temp_url_prefix="b"),
        signed()[:-1],
        "?temp_url_expires=99999999999",
        "?temp_url_sig=" + "0" * 64,
        "?temp_url_sig=sha256:!!!&temp_url_expires=99999999999",
    ],
    ids=itertools.count(),  # the addresses hold the time, and every process must find the same names
)
def test_a_signature_that_does_not_hold_is_refused(keyed, stranger, alice, query):
    assert stranger("GET", "/box/a" + query).status_code == 401
    assert alice("GET", "/box/a" + query).status_code == 401


def test_a_containers_key_opens_that_container_only(keyed, stranger, alice):
    alice.put("/other")
    alice.put("/other/a", b"x")
    assert stranger("GET", "/other/a" + signed(key="boxkey", path="/v1/AUTH_alice/other/a")).status_code == 401


def test_a_signed_address_tells_public_metadata_only(keyed, stranger, alice):
    alice("POST", "/box/a", X_Object_Meta_Price="5", X_Object_Meta_Public_Name="n")
    for method in ("GET", "HEAD"):
        told = stranger(method, "/box/a" + signed()).headers
        assert {n for n in told if n.startswith("X-Object-Meta-")} == {"X-Object-Meta-Public-Name"}
    unchanged = stranger("GET", "/box/a" + signed(), If_None_Match="*")
    assert unchanged.status_code == 304
    assert {n for n in unchanged.headers if n.startswith("X-Object-Meta-")} == {"X-Object-Meta-Public-Name"}


def test_a_large_object_is_read_with_the_rights_of_the_key_that_signed(keyed, stranger, alice):
    alice.put("/other")
    alice.put("/other/1", b"hidden")
    alice.put("/box/dlo", X_Object_Manifest="other/1")
    alice.put("/box/slo?multipart-manifest=put", b'[{"path": "/other/1"}]')
    for name in ("dlo", "slo"):
        path = f"/v1/AUTH_alice/box/{name}"
        assert content(stranger("GET", f"/box/{name}" + signed(path=path))) == b"hidden"
        assert stranger("GET", f"/box/{name}" + signed(path=path, key="boxkey")).status_code == 401


def test_a_large_object_is_deleted_with_the_rights_of_the_key_that_signed(keyed, stranger, alice):
    alice.put("/other")
    alice.put("/other/1", b"hidden")
    alice.put("/box/slo?multipart-manifest=put", b'[{"path": "/other/1"}]')
    path = "/v1/AUTH_alice/box/slo"
    query = signed("DELETE", path, key="boxkey") + "&multipart-manifest=delete"
    assert stranger("DELETE", f"/box/slo{query}&async=on").status_code == 401
    assert alice.bytes("/box/slo") == b"hidden"
    report = stranger("DELETE", f"/box/slo{query}", Accept="application/json").json()
    assert (report["Number Deleted"], report["Errors"]) == (1, [["/other/1", "403 Forbidden"]])
    assert alice.bytes("/other/1") == b"hidden"
    alice.put("/box/slo?multipart-manifest=put", b'[{"path": "/other/1"}]')
    query = signed("DELETE", path) + "&multipart-manifest=delete"
    assert stranger("DELETE", f"/box/slo{query}", Accept="application/json").json()["Number Deleted"] == 2


def test_signed_addresses_write_what_they_name(keyed, stranger, alice):
    put = signed("PUT", "/v1/AUTH_alice/box/new")
    assert stranger.put("/box/new" + put, b"1").status_code == 201
    assert stranger.put("/box/new" + put, X_Copy_From="box/a").status_code == 400
    assert stranger("HEAD", "/box/new" + put).status_code == 200
    assert stranger("GET", "/box/new" + put).status_code == 401
    assert stranger("DELETE", "/box/new" + put).status_code == 401
    assert stranger("DELETE", "/box/new" + signed("DELETE", "/v1/AUTH_alice/box/new")).status_code == 204
    assert stranger("DELETE", "/box" + signed("DELETE", "/v1/AUTH_alice/box")).status_code == 401
    assert alice.bytes("/box/a") == b"secret"


def test_prefixes_addresses_times_and_forms(keyed, stranger, alice):
    alice.put("/box/d/x", b"x")
    query = signed(path="prefix:/v1/AUTH_alice/box/d/", temp_url_prefix="d/")
    assert stranger("GET", "/box/d/x" + query).status_code == 200
    assert stranger("GET", "/box/a" + query).status_code == 401
    assert stranger("GET", "/box/a" + signed(ip="127.0.0.0/8")).status_code == 200
    end = int(time.time()) + 60
    raw = hmac.new(b"key", f"GET\n{end}\n{PATH}".encode(), hashlib.sha256).digest()
    words = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))
    form = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert stranger("GET", f"/box/a?temp_url_sig=sha256:{form}&temp_url_expires={words}").status_code == 200
    assert stranger("GET", "/box/a" + signed(filename="a%0D%0ASet-Cookie:x")).status_code == 200
    shown = stranger("GET", "/box/a" + signed(filename="%22q%22", inline=""))
    assert shown["Content-Disposition"] == "inline; filename=\"%22q%22\"; filename*=UTF-8''%22q%22"
