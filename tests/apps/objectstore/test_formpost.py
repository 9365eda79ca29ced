"""Forms of web pages that put files into a container."""

from __future__ import annotations

import hmac
import time
from typing import Any

import pytest

from apps.objectstore.models import Blob, Object
from tests.apps.objectstore.conftest import Swift

BOUNDARY = "----WebKitFormBoundaryX"
MEDIA = f"multipart/form-data; boundary={BOUNDARY}"
PATH = "/v1/AUTH_alice/box/up-"


def part(name: str, value: bytes, filename: str | None = None, more: str = "") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{more}\r\n'.encode() + value + b"\r\n"
    )


def form(
    *files: tuple[str, bytes],
    key: str = "key",
    path: str = PATH,
    digest: str = "sha256",
    signed: Any = None,
    **fields: Any,
) -> bytes:
    """A signed form with these files; `signed` are the fields as the signer saw them, where they differ."""
    wanted = {"redirect": "", "max_file_size": 100, "max_file_count": 2, "expires": int(time.time()) + 60}
    seen = wanted | fields | (signed or {})
    text = "\n".join([path, *(str(seen[name]) for name in wanted)])
    values = wanted | fields | {"signature": hmac.new(key.encode(), text.encode(), digest).hexdigest()}
    made = [part(name, str(value).encode()) for name, value in values.items()]
    made += [part("file", body, name, "Content-Type: text/x-own\r\n") for name, body in files]
    return b"".join(made) + f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture
def page(alice: Swift, box: str, stranger: Swift) -> Any:
    """Posts a form as a browser does, without a token."""
    alice("POST", "", X_Account_Meta_Temp_URL_Key="key")
    alice("POST", "/box", X_Container_Meta_Temp_URL_Key="boxkey")
    return lambda body, path="/box/up-", **more: stranger("POST", path, body, media=MEDIA, **more)


@pytest.mark.parametrize("key", ["key", "boxkey"])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_files_become_objects(page, alice, key, digest):
    assert page(form(("a", b"one"), ("日.txt", b""), key=key, digest=digest)).status_code == 201
    assert alice.names("/box") == ["up-a", "up-日.txt"]
    assert alice.bytes("/box/up-a") == b"one"
    assert alice("HEAD", "/box/up-a")["Content-Type"] == "text/x-own"


@pytest.mark.slow
def test_bytes_that_look_like_boundaries_and_large_files_come_through(page, alice):
    body = f"--{BOUNDARY}\r\n--\r\n\r\n-".encode() * 9000 + bytes(700_000)
    assert page(form(("a", body), max_file_size=len(body))).status_code == 201
    assert alice.bytes("/box/up-a") == body


@pytest.mark.parametrize("path", ["/box", "/box/"])
def test_the_path_may_be_a_container(page, alice, path):
    for prefix in ("", "/object-store"):
        answer = page(form(("dir/a", b"1"), path=f"{prefix}/v1/AUTH_alice{path}"), path)
        assert answer.status_code == 201
    assert alice.names("/box") == ["dir/a"]


def test_fields_say_what_the_objects_are(page, alice):
    fields: dict[str, Any] = {"content-type": "text/css", "Content-Encoding": "gzip", "x_delete_after": 100}
    page(form(("a", b"1"), **fields))
    head = alice("HEAD", "/box/up-a")
    assert (head["Content-Type"], head["Content-Encoding"]) == ("text/css", "gzip")
    assert 0 < int(head["X-Delete-At"]) - time.time() <= 100


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (401, {"key": "other"}),
        (401, {"path": "/v1/AUTH_alice/box/"}),
        (401, {"digest": "md5"}),
        (401, {"expires": 1}),
        (401, {"signed": {"expires": 0}}),
        (401, {"signed": {"max_file_size": 1000}}),
        (401, {"signed": {"max_file_count": 100}}),
        (401, {"signed": {"redirect": "http://x/"}}),
        (400, {"expires": "soon"}),
        (400, {"max_file_size": "-1"}),
        (400, {"max_file_count": 0}),
        (413, {"max_file_size": 2}),
        (400, {"x_delete_at": "never"}),
        (400, {"x_delete_at": 1}),
        (400, {"redirect": "http://x/\r\nSet-Cookie: a=b"}),
        (400, {"content-type": "text/html\r\nX-Evil: 1"}),
        (400, {"content-encoding": "gzip\nX-Evil: 1"}),
        (400, {"content-type": "a\0b"}),
    ],
)
def test_forms_that_do_not_hold_keep_nothing(page, status, fields):
    assert page(form(("a", b"123"), **fields)).status_code == status
    assert not Object.objects.exists()
    assert not Blob.objects.exists()


def test_more_files_than_signed_are_refused_and_one_too_large_is_not_kept(page, alice):
    assert page(form(("a", b"1"), ("b", b"2"), max_file_count=1)).status_code == 400
    assert alice.names("/box") == ["up-a"]
    assert page(form(("c", b"1"), ("d", b"22"), max_file_size=1)).status_code == 413
    assert alice.names("/box") == ["up-a", "up-c"]


def test_a_containers_key_is_not_good_elsewhere(page, alice):
    alice.put("/other")
    assert page(form(("a", b"1"), key="boxkey", path="/v1/AUTH_alice/other/"), "/other/").status_code == 401
    assert page(form(("a", b"1"), path="/v1/AUTH_alice/none/"), "/none/").status_code == 404
    assert alice.names("") == ["box", "other"]
    assert not Object.objects.exists()


def test_browsers_are_led_on(page):
    where = "https://shop.example/done?x=1"
    answer = page(form(("a", b"1"), redirect=where))
    assert (answer.status_code, answer["Location"]) == (303, f"{where}&status=201&message=")
    answer = page(form(("a", b"1"), redirect="https://shop.example/", max_file_size=0))
    assert answer["Location"] == "https://shop.example/?status=413&message=FormPost%3A%20max_file_size%20exceeded"
    refused = page(form(("a", b"1"), redirect=where, key="other"))
    assert refused.status_code == 401
    assert "Location" not in refused.headers


@pytest.mark.parametrize("cut", [10, 200, 700, -5, -60])
def test_a_form_that_was_cut_off_keeps_nothing(page, cut):
    assert page(form(("a", b"x" * 90))[:cut]).status_code in {400, 401}
    assert not Object.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--" + BOUNDARY.encode() + b"--\r\n",
        b"--" + BOUNDARY.encode() + b"x\r\n\r\n",
        b"--" + BOUNDARY.encode() + b"\r\n" + b"A: b\r\n" * 5000,
        b"--" + BOUNDARY.encode() + b"\r\nnonsense\r\n\r\n",
        part("file", b"1", "a"),
        part("x", b"1" * 70_000),
        part("x", b"\xff"),
    ],
    ids=[
        "nothing",
        "no fields",
        "no boundary",
        "endless headers",
        "no header",
        "no signature",
        "long field",
        "no text",
    ],
)
def test_what_is_no_form_is_refused(page, body):
    assert page(body).status_code in {400, 401}
    assert not Object.objects.exists()


@pytest.mark.parametrize("name", ["a\0b", "a\nb"])
def test_names_of_files_are_text_and_the_type_of_a_file_is_a_line(page, alice, name):
    body = form((name, b"1"))
    assert page(body).status_code == (400 if "\0" in name else 201)
    assert page(body.replace(b"text/x-own", b"text/x\nX-Evil: 1")).status_code == 400
    assert [row["name"] for row in alice("GET", "/box?format=json").json()] == [f"up-{name}"] * ("\0" not in name)


def test_fields_that_nobody_signed_have_a_bound(page):
    """Before a file comes nobody knows who sends them."""
    for many, size in ((2, 60_000), (200, 1)):
        body = b"".join(part(f"x{n}", b"y" * size) for n in range(many)) + form(("a", b"1"))
        answer = page(body)
        assert (answer.status_code, b"too long" in answer.content) == (400, True)
    assert not Object.objects.exists()


def test_a_form_without_a_file_is_refused(page):
    assert page(form(("", b""))).status_code == 400
    assert not Object.objects.exists()
