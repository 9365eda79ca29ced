"""Downloads that nginx sends from a copy's file: by the quickstart's nginx, header for header what streaming gives."""

from __future__ import annotations

import grp
import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from hmac import new as hmac
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from django.db import connection

from apps.identity.selectors import forget
from apps.objectstore import backends, services
from apps.objectstore.backends.packs import SMALL_BYTES
from apps.objectstore.models import Blob
from apps.objectstore.states import CHUNK
from tests.apps.objectstore.conftest import SYSTEM
from tests.kit.front import Front
from tests.kit.s3 import boto, key_in_rows
from tests.kit.served import Server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.contract]

BOX = "/object-store/v1/AUTH_alice/box"
NGINX = grp.getgrnam("www-data").gr_gid
BODY = os.urandom(CHUNK + 4321)
# A condition that always holds: such requests are streamed.
STREAMED = {"If-Match": "*"}
VARYING = ("date", "x-trans-id", "x-openstack-request-id", "x-amz-request-id", "x-test-sent")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]  # as they came, of lower-case names, without those that differ each time
    body: bytes
    is_sent: bool  # by nginx, from a file

    def __getitem__(self, name: str) -> str:
        return dict(self.headers)[name]


class Cloud:
    """nginx and the server behind it, over three disks that nginx's group may read."""

    def __init__(self, front: Front, server: Server, disks: list[Path]) -> None:
        self.front, self.server, self.disks = front, server, disks

    def get(self, path: str, *, at: str = "", token: str = "alice", method: str = "GET", **headers: str) -> Answer:
        host, _, port = (at or self.front.site.listen).rpartition(":")
        line = http.client.HTTPConnection(host, int(port), timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        line.request(method, path, headers=named | ({"X-Auth-Token": token} if token else {}))
        found = line.getresponse()
        told = [(name.lower(), value) for name, value in found.getheaders()]
        body = found.read()
        line.close()
        kept = sorted((name, value) for name, value in told if name not in VARYING)
        return Answer(found.status, kept, body, "x-test-sent" in dict(told))

    def same(self, path: str, **headers: str) -> Answer:
        """What nginx sends, which must be what is streamed, once more."""
        sent, streamed = self.get(path, **headers), self.get(path, **headers, **STREAMED)
        assert (sent.is_sent, streamed.is_sent) == (True, False), sent
        assert (sent.status, sent.headers, sent.body) == (streamed.status, streamed.headers, streamed.body)
        return sent

    def put(self, name: str, body: bytes = BODY, **headers: str) -> None:
        sent = {key: value.encode().decode("latin-1") for key, value in headers.items()}
        status, _, said = self.server("PUT", f"{BOX}/{name}", body, **sent)
        assert status == 201, said

    def copies(self) -> list[Path]:
        """Files of the newest blob, that on the first disk first."""
        blob = Blob.objects.latest("id").pk.hex
        return [disk / "blobs" / blob[-3:] / blob for disk in self.disks]


@pytest.fixture
def cloud(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("KUMO_TEST_CONFIG", '[objectstore]\nverify_reads = false\ns3_website_domains = ["site.test"]\n')
    backends.store.cache_clear()
    forget()
    front = Front()
    home = front.site.path("nginx", "copies.conf")
    home.write_text(home.read_text().replace("js_header_filter", "add_header X-Test-Sent yes; js_header_filter"))
    front.socket.with_name("web.sock").symlink_to(front.socket)
    disks = [front.site.path(f"disk{n}") for n in (1, 2, 3)]
    for disk in disks:
        disk.mkdir()
        os.chown(disk, -1, NGINX)
        disk.chmod(0o2710)
        services.disk_add(SYSTEM, path=str(disk))
    server = Server(connection.settings_dict["NAME"], front.site.state, front=front)
    try:
        front.start()
        server.start()
        made = Cloud(front, server, disks)
        assert server("PUT", BOX)[0] == 201
        yield made
    finally:
        server.kill()
        front.close()
        backends.store.cache_clear()


SWIFT: list[tuple[str, dict[str, str], bytes]] = [
    ("plain", {}, BODY),
    ("least", {}, bytes(SMALL_BYTES + 1)),  # what is smaller has no file of its own
    ("日本 +%?;&", {"X_Object_Meta_Wort": "Grüße 日本 😀"}, BODY),
    (
        "page.html",
        {"Content_Type": "text/html; charset=utf-8", "X_Object_Meta_A_B": "1", "X_Object_Meta_Ab": "2"},
        BODY,
    ),
    ("type", {"Content_Type": "application/vnd.käse"}, BODY),
    ("named", {"Content_Disposition": "attachment; filename*=UTF-8''%E6%97%A5.txt", "Content_Encoding": "gzip"}, BODY),
    ("odd", {"X_Object_Meta_Quotes": '\\"{}",\t: \\u0041', "Content_Language": "ja", "X_Delete_After": "9000"}, BODY),
    ("cached", {"Cache_Control": "max-age=5, public", "Expires": "Thu, 01 Jan 2037 00:00:00 GMT"}, BODY),
    ("much", {f"X_Object_Meta_{n:02}": '"' * 100 for n in range(39)}, BODY),
]
RANGES = ["bytes=0-0", "bytes=5-", "bytes=-7", "bytes=0-99999999", "bytes=-99999999", f"bytes={len(BODY) - 1}-"]
# What nginx might answer otherwise: several ranges, none, what is no range, and conditions.
ASIDE: list[dict[str, str]] = [
    {"Range": "bytes=0-0,5-9"},
    {"Range": "bytes=9-5"},
    {"Range": "bytes= 5-9"},
    {"Range": "BYTES=5-9"},
    {"Range": "lines=5-9"},
    {"Range": f"bytes=5-{'9' * 30}"},
    {"Range": "bytes=5-9", "If_Range": "Thu, 01 Jan 2037 00:00:00 GMT"},
    {"Range": "bytes=5-9", "If_Range": '"other"'},
    {"If_None_Match": "other"},
    {"If_Modified_Since": "Thu, 01 Jan 1998 00:00:00 GMT"},
    {"If_Unmodified_Since": "Thu, 01 Jan 2037 00:00:00 GMT"},
]


def test_what_nginx_sends_is_what_is_streamed(cloud):
    box = {"X_Container_Meta_Access_Control_Allow_Origin": "https://a.example"}
    assert cloud.server("POST", BOX, **box)[0] == 204
    for name, headers, body in SWIFT:
        cloud.put(quote(name), body, **headers)
        path = f"{BOX}/{quote(name)}"
        assert cloud.same(path).body == body
        assert cloud.same(path, Origin="https://a.example")["access-control-allow-origin"] == "https://a.example"
        assert cloud.same(path, Range="bytes=0-0").body == body[:1]
    assert cloud.same(f"{BOX}/{quote('日本 +%?;&')}")["x-object-meta-wort"] == "Grüße 日本 😀".encode().decode(
        "latin-1"
    )
    cloud.put("small", b"x")
    small = cloud.get(f"{BOX}/small")
    assert (small.status, small.body, small.is_sent) == (200, b"x", False)
    plain = f"{BOX}/plain"
    for text in RANGES:
        assert cloud.same(plain, Range=text).status == 206
    for headers in ASIDE:
        found = cloud.get(plain, **headers)
        assert (found.status in {200, 206}, found.is_sent) == (True, False)
    assert cloud.get(plain, Range=f"bytes={len(BODY)}-").status == 416
    assert cloud.get(plain, If_None_Match="*").status == 304
    assert cloud.get(plain, method="HEAD").headers == cloud.get(plain, method="HEAD", **STREAMED).headers


def test_s3_and_signed_addresses(cloud):
    alice = boto(f"http://{cloud.front.site.listen}/s3", key_in_rows("alice"))
    alice.create_bucket(Bucket="photos")
    rules = [{"AllowedOrigins": ["https://a.example"], "AllowedMethods": ["GET"], "ExposeHeaders": ["ETag"]}]
    alice.put_bucket_cors(Bucket="photos", CORSConfiguration={"CORSRules": rules})
    kept = {"ContentType": "image/png", "CacheControl": "no-store", "ContentDisposition": "inline", "Tagging": "a=b"}
    alice.put_object(Bucket="photos", Key="日本/a", Body=BODY, Metadata={"color": "blue"}, **kept)
    place = {"Bucket": "photos", "Key": "日本/a"}
    said = {"ResponseContentType": "text/plain", "ResponseContentDisposition": "attachment; filename=x"}
    for client in (alice, boto(f"http://{cloud.front.site.s3_listen}", key_in_rows("alice"))):
        for more in ({}, said, {"ChecksumMode": "ENABLED"}):
            url = urlsplit(client.generate_presigned_url("get_object", place | more))
            asked = {"at": url.netloc, "token": ""}
            asked |= {"X_Amz_Checksum_Mode": "ENABLED"} if "ChecksumMode" in more else {}
            whole = cloud.same(f"{url.path}?{url.query}", **asked, Origin="https://a.example")
            assert whole.body == BODY
            assert cloud.same(f"{url.path}?{url.query}", **asked, Range="bytes=-9").body == BODY[-9:]
            assert (whole["x-amz-meta-color"], whole["access-control-expose-headers"]) == ("blue", "ETag")
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}
    alice.put_bucket_policy(Bucket="photos", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    pages = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "日本/a"}}
    alice.put_bucket_website(Bucket="photos", WebsiteConfiguration=pages)
    site: dict[str, str] = {"at": cloud.front.site.s3_listen, "token": "", "Host": "photos.site.test"}
    assert cloud.same(quote("/日本/a"), **site)["content-type"] == "image/png"
    assert not cloud.get(quote("/日本/a"), **site, Range="bytes=0-0").is_sent  # it knows no ranges
    missing = cloud.get("/none", **site)
    assert (missing.status, missing.body, missing.is_sent) == (404, BODY, False)


def page(name: str) -> bytes:
    return f"this is {name} ".encode() * 9999


def test_temporary_urls_and_web_sites(cloud):
    headers = {"X_Container_Meta_Temp_Url_Key": "k", "X_Container_Meta_Web_Index": "index", "X_Container_Read": ".r:*"}
    assert cloud.server("POST", BOX, **headers, X_Container_Meta_Web_Error="error")[0] == 204
    for name in ("dir/index", "404error", "a"):
        cloud.put(name, page(name), Content_Type="text/html")
    until = int(time.time()) + 3600
    path = BOX.removeprefix("/object-store") + "/a"
    signature = hmac(b"k", f"GET\n{until}\n{path}".encode(), sha256).hexdigest()
    signed = cloud.same(f"{BOX}/a?temp_url_sig={signature}&temp_url_expires={until}&filename=b", token="")
    assert signed["content-disposition"] == "attachment; filename=\"b\"; filename*=UTF-8''b"
    assert cloud.same(f"{BOX}/dir/", token="").body == page("dir/index")
    missing = cloud.get(f"{BOX}/none", token="")
    assert (missing.status, missing.body, missing.is_sent) == (404, page("404error"), False)


def test_copies_that_are_not_what_they_were(cloud):
    path = f"{BOX}/a"

    def asked(is_sent: bool, until: Callable[[], bool] = lambda: True) -> None:
        for _ in range(200):  # copies are taken in random order
            found = cloud.get(path)
            assert (found.status, found.body, found.is_sent) == (200, BODY, is_sent)
            if until():
                return
        raise AssertionError("that does not become true")

    def opened() -> bool:
        return {(copy.stat().st_mode & 0o777, copy.stat().st_gid) for copy in cloud.copies()} == {(0o640, NGINX)}

    cloud.put("a")
    first, second, third = cloud.copies()
    assert [copy.stat().st_mode & 0o077 for copy in (first, second, third)] == [0] * 3
    asked(True, opened)
    first.unlink()
    os.truncate(second, 5)
    asked(True, lambda: Blob.objects.latest("id").missing == 2)
    assert len(Blob.objects.latest("id").places) == 1
    # A link in a copy's place leads nowhere, whoever put it there.
    elsewhere = third.rename(third.with_name("elsewhere"))
    third.symlink_to(elsewhere)
    asked(False)
    elsewhere.replace(third)
    asked(True)
    shelf, away = third.parent, third.parent.with_name("away")
    shelf.rename(away)
    shelf.symlink_to(away)
    asked(False)
    shelf.unlink()
    away.rename(shelf)
    asked(True)
    # A directory that nginx may not enter, and a disk that is not its group's.
    cloud.front.site.path("copies").chmod(0o700)
    asked(False)
    cloud.front.site.path("copies").chmod(0o755)
    cloud.disks[2].chmod(0o700)
    asked(False)
    third.unlink()
    assert cloud.get(path).status == 503


def test_nobody_reaches_a_copy_by_an_address(cloud):
    cloud.put("a")
    assert cloud.get(f"{BOX}/a").is_sent
    number = next(link.name for link in cloud.front.site.path("copies").iterdir())
    copy = cloud.copies()[0]
    where = f"{number}/{copy.parent.name}/{copy.name}"
    for at in (cloud.front.site.listen, cloud.front.site.s3_listen):
        for path in (f"/{where}", "/@copy", f"/copies/{where}"):
            found = cloud.get(path, at=at, X_Kumo_Copy=where, X_Accel_Redirect="@copy")
            assert (found.status >= 400, found.is_sent) == (True, False)
    # The server itself names no file to those who did not come through nginx, nor to nginx for what it did not ask.
    forged = cloud.get(f"{BOX}/a", X_Kumo_Sendfile="1", If_Match="*")
    assert (forged.status, forged.is_sent) == (200, False)
