"""What callers send by mistake or by malice: it is answered as Swift answers it, and nothing has changed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from apps.objectstore.models import Account, Blob, Container, Object, Version
from tests.apps.objectstore.conftest import Swift, content

TEN = b"0123456789"
LONG = "9" * 5000


@pytest.fixture(autouse=True)
def one(alice: Swift, box: str) -> None:
    alice.put("/box/a", TEN, X_Object_Meta_Color="blue")


def everything() -> list[Any]:
    """All rows that a call could have changed."""
    kinds = (Account, Container, Object, Version, Blob)
    return [list(kind._default_manager.order_by("pk").values()) for kind in kinds]


def raw(alice: Swift, method: str, path: bytes, body: bytes = b"", **headers: str) -> Any:
    """A call whose path is these bytes, as WSGI hands them on."""
    length = {"CONTENT_LENGTH": str(len(body))} if method in {"PUT", "POST"} else {}
    where = b"/object-store/v1/AUTH_alice" + path
    environ: dict[str, Any] = {"kumo.path": where.decode("latin-1"), "HTTP_X_AUTH_TOKEN": alice.token}
    environ |= length | headers
    return alice.client.generic(method, "/object-store/v1/x", body, content_type="", **environ)


NAMES = [
    "..",
    "../../b",
    "/",
    "//a//",
    "./a",
    "a/",
    "%2525",
    "a\nb",
    "a\r\nX-Evil: 1",
    "\t",
    "\x7f",
    " ",
    "a?b#c",
    "'; DROP TABLE",
    "<script>",
    "日本",
    "e\u0301",
    "\u202ea",
    "\ufeff",
    "\uffff",
    "😀" * 10,
    "\U0010ffff",
    "a" * 1024,
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES, ids=itertools.count())
def test_names_that_are_text_are_names(alice, name):
    path = b"/box/" + name.encode()
    assert raw(alice, "PUT", path, b"1").status_code == 201
    assert content(raw(alice, "GET", path)) == b"1"
    assert name in [row["name"] for row in alice("GET", "/box?format=json").json()]
    assert alice("GET", "/box?format=xml").status_code == 200
    assert raw(alice, "DELETE", path).status_code == 204
    assert alice.names("/box") == ["a"]


PATHS = [
    (412, b"/box/\xff"),
    (412, b"/box/\xed\xa0\x80"),  # half a surrogate pair
    (412, b"/box/\xc0\xaf"),  # more bytes than needed
    (412, b"/\xff"),
    (412, b"/box/a\x00b"),
    (412, b"/\x00"),
    (400, b"/box/" + b"a" * 1025),
    (400, b"/box/" + "日".encode() * 342),
    (400, b"/" + b"c" * 257),
    (400, b"/" + b"c" * 257 + b"/a"),
    (404, b"//a"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("status", "path"), PATHS, ids=itertools.count())
@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD", "POST", "DELETE"])
def test_names_that_are_none_are_refused(alice, method, status, path):
    before = everything()
    assert raw(alice, method, path, b"1" if method == "PUT" else b"").status_code == status
    assert everything() == before


ELSEWHERE = (
    b"/v1",
    b"/v1/",
    b"/v2/AUTH_alice",
    b"/v1/alice",
    b"/v1/AUTH",
    b"",
    b"/",
    b"//v1/AUTH_alice",
    b"/V1/AUTH_a",
)


@pytest.mark.parametrize("path", ELSEWHERE)
def test_other_addresses_are_not_there(alice, path):
    where = (b"/object-store" + path).decode()
    answer = alice.client.get("/object-store/x", **{"kumo.path": where, "HTTP_X_AUTH_TOKEN": alice.token})
    assert answer.status_code == 404


META = {f"X_Object_Meta_{n}": "1" for n in range(91)}
CALLS: list[tuple[int, str, str, bytes, dict[str, str]]] = [
    (411, "PUT", "/box/b", b"", {"Content_Length": ""}),
    (400, "PUT", "/box/b", b"1", {"Content_Length": "-1"}),
    (400, "PUT", "/box/b", b"1", {"Content_Length": "1e3"}),
    (400, "PUT", "/box/b", b"1", {"Content_Length": "٣"}),
    (413, "PUT", "/box/b", b"1", {"Content_Length": LONG}),
    (413, "PUT", "/box/b", b"1", {"Content_Length": str(5 * 2**30 + 1)}),
    (422, "PUT", "/box/a", b"1", {"Etag": "0" * 32}),
    (422, "PUT", "/box/a", b"", {"Etag": "0" * 32}),
    (422, "PUT", "/box/a", b"1", {"Etag": "nonsense"}),
    (404, "PUT", "/none/a", b"1", {}),
    (412, "PUT", "/box/a", b"1", {"If_None_Match": "*"}),
    (400, "PUT", "/box/b", b"1", {"If_None_Match": "abc"}),
    (400, "PUT", "/box/b", b"1", {"X_Delete_At": "1"}),
    (400, "PUT", "/box/b", b"1", {"X_Delete_At": "soon"}),
    (400, "PUT", "/box/b", b"1", {"X_Delete_At": "9" * 15}),
    (400, "PUT", "/box/b", b"1", {"X_Delete_At": LONG}),
    (400, "PUT", "/box/b", b"1", {"X_Delete_After": "-5"}),
    (400, "PUT", "/box/b", b"1", {"X_Object_Meta_": "1"}),
    (400, "PUT", "/box/b", b"1", {"X_Object_Meta_" + "a" * 129: "1"}),
    (400, "PUT", "/box/b", b"1", {"X_Object_Meta_A": "1" * 257}),
    (400, "PUT", "/box/b", b"1", META),
    (400, "PUT", "/box/b", b"1", {f"X_Object_Meta_{n}": "1" * 250 for n in range(20)}),
    (412, "PUT", "/box/b", b"1", {"X_Object_Meta_A": "a\xff"}),
    (412, "PUT", "/box/b", b"1", {"X_Object_Meta_A": "\ufffd".encode().decode("latin-1")}),
    (412, "PUT", "/box/b", b"1", {"Content_Disposition": "\xff"}),
    (400, "PUT", "/box/b", b"", {"X_Object_Manifest": "box"}),
    (400, "PUT", "/box/b", b"", {"X_Object_Manifest": "box/"}),
    (400, "PUT", "/box/b", b"", {"X_Object_Manifest": "box/a?x"}),
    (400, "POST", "/box/a", b"", {"X_Object_Meta_A": "1" * 257}),
    (400, "POST", "/box/a", b"", {"X_Delete_At": "1"}),
    (404, "POST", "/box/none", b"", {"X_Object_Meta_A": "1"}),
    (412, "COPY", "/box/a", b"", {}),
    (412, "COPY", "/box/a", b"", {"Destination": "box"}),
    (412, "COPY", "/box/a", b"", {"Destination": "box/"}),
    (412, "COPY", "/box/a", b"", {"Destination": "/"}),
    (412, "COPY", "/box/a", b"", {"Destination": "box/%00"}),
    (412, "COPY", "/box/a", b"", {"Destination": "box/%FF"}),
    (400, "COPY", "/box/a", b"", {"Destination": "box/" + "b" * 1025}),
    (400, "COPY", "/box/a", b"", {"Destination": "b" * 257 + "/b"}),
    (412, "COPY", "/box/a", b"", {"Destination": "box/b", "Destination_Account": "AUTH_x/y"}),
    (412, "COPY", "/box/a", b"", {"Destination": "box/b", "Destination_Account": "x"}),
    (404, "COPY", "/box/a", b"", {"Destination": "none/b"}),
    (404, "COPY", "/box/none", b"", {"Destination": "box/b"}),
    (403, "COPY", "/box/a", b"", {"Destination": "box/b", "Destination_Account": "AUTH_bob"}),
    (400, "PUT", "/box/b", b"1", {"X_Copy_From": "box/a"}),
    (412, "PUT", "/box/b", b"", {"X_Copy_From": "a"}),
    (404, "PUT", "/box/b", b"", {"X_Copy_From": "box/none"}),
    (412, "PUT", "/box/b", b"", {"X_Copy_From": "box/a", "If_Match": "x"}),
    (400, "PUT", "/new", b"", {"X_Container_Meta_A": "1" * 257}),
    (400, "PUT", "/new", b"", {"X_Container_Meta_Quota_Bytes": "-1"}),
    (400, "PUT", "/new", b"", {"X_Storage_Policy": "none"}),
    (400, "PUT", "/new", b"", {"X_Container_Read": ".x:*"}),
    (400, "PUT", "/new", b"", {"X_Container_Read": "a:" + "b" * 9000}),
    (409, "DELETE", "/box", b"", {}),
    (404, "DELETE", "/none", b"", {}),
    (404, "DELETE", "/box/none", b"", {}),
    (405, "PATCH", "/box/a", b"", {}),
    (405, "BREW", "/box", b"", {}),
    (405, "COPY", "/box", b"", {}),
    (405, "TRACE", "", b"", {}),
    (400, "PUT", "/new", b"", {"X_Container_Sync_To": "http://x", "X_Container_Sync_Key": "k"}),
    (400, "PUT", "/box/b?multipart-manifest=put", b"{", {}),
    (400, "PUT", "/box/b?multipart-manifest=put", b"[]", {}),
    (400, "PUT", "/box/b?multipart-manifest=put", b'[{"path": "/box/none"}]', {}),
    (400, "PUT", "/box/b?multipart-manifest=put", b'[{"path": "/box/a", "size_bytes": 11}]', {}),
    (400, "PUT", "/box/b?multipart-manifest=put", b'[{"path": "/box/a", "range": "%s-"}]' % LONG.encode(), {}),
    (400, "PUT", "/box/b?multipart-manifest=put", b'[{"path": "/box/a", "range": "3-1"}]', {}),
    (400, "PUT", "/box/b?multipart-manifest=put", b'[{"data": "!"}, {"path": "/box/a"}]', {}),
    (400, "PUT", "/box/b?multipart-manifest=put", b"[" * 200_000, {}),
    (200, "DELETE", "/box/a?multipart-manifest=delete", b"", {}),  # its report says 400
]


@pytest.mark.slow
@pytest.mark.parametrize(("status", "method", "path", "body", "headers"), CALLS, ids=itertools.count())
def test_calls_that_make_no_sense_change_nothing(alice, status, method, path, body, headers):
    before = everything()
    assert alice(method, path, body, **headers).status_code == status
    assert everything() == before


QUERIES = [
    (412, "limit=10001"),
    (412, f"limit={LONG}"),
    (200, "limit=-1"),
    (200, "limit=many"),
    (412, "marker=%00"),
    (412, "prefix=%FF"),
    (412, "delimiter=%F4%8F%BF%BF"),
    (200, "prefix=%27"),
    (200, "format=nonsense"),
    (200, "delimiter=%E6%97%A5&prefix=%25"),
    (200, "limit=%D9%A3"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("status", "query"), QUERIES)
@pytest.mark.parametrize("path", ["", "/box"])
def test_listings_that_are_asked_for_wrongly(alice, path, status, query):
    answer = alice("GET", f"{path}?{query}")
    assert answer.status_code in ({200, 204} if status == 200 else {status})


@pytest.mark.parametrize(
    ("accept", "status"),
    [("*/*", 200), ("", 200), ("text/*;q=0.1,application/json;q=nonsense", 200), ("image/png", 406), (";;,", 406)],
)
def test_forms_of_listings(alice, accept, status):
    assert alice("GET", "/box", Accept=accept).status_code == status


RANGES = [
    ("bytes=0-0", 206, b"0"),
    ("bytes=0-", 206, TEN),
    ("bytes=9-", 206, b"9"),
    ("bytes=-1", 206, b"9"),
    ("bytes=-99", 206, TEN),
    ("bytes=5-99", 206, b"56789"),
    ("bytes=0-0,-0", 206, b"0"),
    ("bytes=20-30,2-3", 206, b"23"),
    (f"bytes=0-{LONG}", 206, TEN),
    (f"bytes=-{LONG}", 206, TEN),
    ("bytes=-0", 416, None),
    ("bytes=10-", 416, None),
    (f"bytes={LONG}-", 416, None),
    ("bytes=" + ",".join(["0-0"] * 51), 416, None),
    ("bytes=0-5,1-6,2-7,3-8", 416, None),
    ("bytes=5-3", 200, TEN),
    ("bytes=a-b", 200, TEN),
    ("bytes=-", 200, TEN),
    ("bytes=", 200, TEN),
    ("bytes=0-1,x", 200, TEN),
    ("bytes=+0-1", 200, TEN),
    ("bytes=٣-", 200, TEN),
    ("bytes:0-1", 200, TEN),
    ("items=0-1", 200, TEN),
    ("nonsense", 200, TEN),
]


@pytest.mark.slow
@pytest.mark.parametrize(("header", "status", "body"), RANGES, ids=itertools.count())
def test_ranges(alice, header, status, body):
    answer = alice("GET", "/box/a", Range=header.encode().decode("latin-1"))
    assert answer.status_code == status
    if status == 416:
        assert answer["Content-Range"] == "bytes */10"
    else:
        assert content(answer) == body


def test_many_ranges_are_not_compared_with_each_other(alice, monkeypatch):
    monkeypatch.setattr("itertools.pairwise", lambda found: pytest.fail("they are compared"))
    few = ",".join(f"{n}-{n}" for n in range(0, 102, 2))
    alice.put("/box/long", bytes(200))
    assert alice("GET", "/box/long", Range=f"bytes={few}").status_code == 416


def test_a_query_of_too_many_parameters_is_a_bad_request(alice):
    assert alice("GET", "/box?" + "&".join(f"a{n}=1" for n in range(1100))).status_code == 400


def test_heads_are_gets_without_a_body(alice):
    alice.put("/box/slo?multipart-manifest=put", b'[{"path": "/box/a"}]')
    alice.put("/box/dlo", X_Object_Manifest="box/a")
    mine = {"X-Trans-Id", "X-Openstack-Request-Id", "Date"}
    for path in ("", "/box", "/box/a", "/box/slo", "/box/dlo", "/box/slo?multipart-manifest=get", "/box/none"):
        got, head = alice("GET", path), alice("HEAD", path)
        assert (head.status_code, content(head)) == (204 if path in {"", "/box"} else got.status_code, b"")
        skipped = mine | ({"Content-Length", "Content-Type"} if path in {"", "/box", "/box/none"} else set())
        assert {k: v for k, v in got.headers.items() if k not in skipped} == {
            k: v for k, v in head.headers.items() if k not in skipped
        }, path
