"""The object store's pages: what they show, what they change, and what they refuse."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from apps.core.context import RequestContext
from apps.core.errors import Conflict, PreconditionFailed
from apps.dashboard import sessions
from apps.identity import selectors as identity
from apps.identity import services as identity_services
from apps.identity.models import Project, User
from apps.objectstore import selectors, services
from apps.objectstore.models import Audit, Blob, Bucket, Container, Disk, Object, Upload, Version
from apps.objectstore.selectors import browsing
from apps.objectstore.selectors.bucket_policy import policy_document
from apps.objectstore.selectors.grants import Grant, document_of
from apps.objectstore.selectors.links import link_key
from apps.objectstore.services import New, Place, copies
from apps.objectstore.services.encryption import AES256, Wish
from apps.objectstore.states import DiskState, Versioning
from apps.objectstore.web import browse
from apps.objectstore.web import versions as versions_page
from tests.apps.dashboard.conftest import people, sign_in
from tests.apps.objectstore.conftest import SYSTEM, content
from tests.kit import operations as ops

__all__ = ["people", "sign_in"]

Door = Callable[..., Client]
ACT = {"X-Kumo-Act": "1"}


@pytest.fixture
def ctx(people: None) -> RequestContext:
    """What the user demo may do in their project."""
    user, project = User.objects.get(name="demo"), Project.objects.get(name="demo", is_domain=False)
    found = identity.web_context(user.pk, project.pk, "req-1")
    assert found is not None
    return found


@pytest.fixture
def box(ctx: RequestContext, disks: list[Path]) -> Container:
    """A container of theirs."""
    services.container_put(ctx, account=ctx.project_id, container="box", changes={})
    return Container.objects.get(name="box")


@pytest.fixture
def keep(ctx: RequestContext, box: Container) -> Callable[..., Object]:
    """Puts an object into it."""

    def kept(name: str, body: bytes = b"body", **new: Any) -> Object:
        return services.object_put(
            ctx,
            account=ctx.project_id,
            container="box",
            name=name,
            source=BytesIO(body),
            size=len(body),
            new=New(**new),
        )

    return kept


def page(row: Container, rest: str = "", **query: str) -> str:
    return f"/p/demo/objects/{row.pk}{rest}" + (f"?{urlencode(query)}" if query else "")


def names(html: str) -> list[str]:
    return re.findall(r'class="name" href="[^"]*"[^>]*>([^<]*)</a>', html)


def stored() -> set[str]:
    return set(Object.objects.values_list("name", flat=True))


# --- containers --------------------------------------------------------------------------------------


def test_a_container_is_made_and_listed_with_what_is_in_it(
    sign_in: Door, box: Container, keep: Callable[..., Object]
) -> None:
    client = sign_in()
    keep("a", b"x" * 2048)
    answer = client.post("/p/demo/objects/create", {"name": "logs", "policy": "default"})
    assert answer["Location"] == page(Container.objects.get(name="logs"))
    shown = client.get("/p/demo/objects").content.decode()
    assert names(shown) == ["box", "logs"]
    assert "2.0 KiB" in shown


def test_a_name_with_a_slash_is_refused_at_its_field(sign_in: Door, ctx: RequestContext) -> None:
    answer = sign_in().post("/p/demo/objects/create", {"name": "a/b", "policy": "default"})
    assert (answer.status_code, "A slash cannot be part of it." in answer.content.decode()) == (422, True)
    assert not Container.objects.exists()


def test_quotas_stand_above_the_list(sign_in: Door, ctx: RequestContext, keep: Callable[..., Object]) -> None:
    keep("a", b"x" * 2**20)
    Container.objects.get().account.__class__.objects.update(metadata={"Quota-Bytes": str(4 * 2**20)})
    assert "Size: 1 of 4 MiB" in sign_in().get("/p/demo/objects").content.decode()


def test_a_container_with_objects_stays(sign_in: Door, box: Container, keep: Callable[..., Object]) -> None:
    keep("a")
    client = sign_in()
    asked = client.get("/p/demo/objects/act/delete", {"id": str(box.pk)}).content.decode()
    assert "1 object: only an empty container can be deleted" in asked
    client.post("/p/demo/objects/act/delete", {"id": str(box.pk), "sure": "1"}, headers=ACT)
    assert Container.objects.filter(pk=box.pk).exists()


@pytest.mark.slow
@pytest.mark.parametrize("rest", ["", "/access", "/settings", "/object?name=a", "/file?name=a", "/object/share?name=a"])
def test_another_projects_container_is_not_there(
    sign_in: Door, box: Container, keep: Callable[..., Object], rest: str
) -> None:
    keep("a")
    answer = sign_in("admin").get(f"/p/admin/objects/{box.pk}{rest}")
    assert answer.status_code == 404


# --- what is in one ----------------------------------------------------------------------------------


def test_folders_are_what_names_have_in_common(sign_in: Door, box: Container, keep: Callable[..., Object]) -> None:
    for name in ("2026/may/1.jpg", "2026/may/2.jpg", "2026/x", "read me", "2026/"):
        keep(name)
    client = sign_in()
    assert names(client.get(page(box)).content.decode()) == ["2026", "read me"]
    inside = client.get(page(box, folder="2026/")).content.decode()
    assert names(inside) == ["may", "x"]
    assert f'href="{page(box, folder="2026/")}" aria-current="page">2026</a>' in inside


def test_strange_names_have_pages_of_their_own(sign_in: Door, box: Container, keep: Callable[..., Object]) -> None:
    for name in ("../up", "a//b", "/root", "q?x=1&y=2#z", "日本/メモ", "<b>"):
        keep(name)
    client = sign_in()
    for name in stored():
        assert client.get(page(box, "/object", name=name)).status_code == 200, name
    assert names(client.get(page(box, folder="日本/")).content.decode()) == ["メモ"]
    assert names(client.get(page(box, folder="a//")).content.decode()) == ["b"]
    assert "&lt;b&gt;" in client.get(page(box)).content.decode()


def test_pages_go_on_and_back_by_names(
    sign_in: Door, box: Container, keep: Callable[..., Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browse, "PAGE_SIZE", 2)
    for name in ("a", "b/1", "b/2", "c", "d"):
        keep(name)
    client = sign_in()

    def turned(html: str, way: str) -> str:
        found = re.search(rf'rel="{way}" href="([^"]*)"', html)
        return client.get(found[1].replace("&amp;", "&")).content.decode() if found else ""

    first = client.get(page(box)).content.decode()
    second = turned(first, "next")
    assert (names(first), names(second)) == (["a", "b"], ["c", "d"])
    assert turned(second, "next") == ""
    assert names(turned(second, "prev")) == ["a", "b"]
    assert names(client.get(page(box, sort="-name")).content.decode()) == ["d", "c"]
    assert names(client.get(page(box, q="b")).content.decode()) == ["b"]


def test_a_made_up_cursor_is_refused(sign_in: Door, box: Container) -> None:
    assert sign_in().get(page(box, at="W1tdXQ")).status_code == 400


def test_a_folder_is_made_and_deleted_with_what_is_in_it(
    sign_in: Door, box: Container, keep: Callable[..., Object]
) -> None:
    keep("docs-2", b"stays")
    client = sign_in()
    client.post(page(box, "/folder"), {"name": "docs"})
    keep("docs/a", b"x" * 100)
    keep("docs/b/c", b"y" * 100)
    asked = client.get(page(box, "/act/delete", id="docs/")).content.decode()
    assert "3 objects · 200 B" in asked
    with ops.committed():
        answer = client.post(page(box, "/act/delete"), {"id": "docs/", "sure": "1"}, headers=ACT)
    assert "Being%20deleted" in answer["X-Kumo-Toasts"]
    ops.settle()
    assert stored() == {"docs-2"}


def test_of_a_large_folder_only_the_first_are_counted(
    sign_in: Door, box: Container, keep: Callable[..., Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsing, "MOST_COUNTED", 2)
    for name in ("f/1", "f/2", "f/3", "g/1", "g/2"):
        keep(name)
    client = sign_in()
    assert "more than 2 objects · 8 B" in client.get(page(box, "/act/delete", id="f/")).content.decode()
    assert "more than" not in client.get(page(box, "/act/delete", id="g/")).content.decode()
    assert len(stored()) == 5


def test_a_container_is_emptied_for_good_after_a_look_at_what_goes(sign_in: Door, history: Container) -> None:
    client = sign_in()
    asked = client.get("/p/demo/objects/act/empty", {"id": str(history.pk)}).content.decode()
    assert "1 object ·" in asked
    assert "all earlier versions, too" in asked
    with ops.committed():
        client.post("/p/demo/objects/act/empty", {"id": str(history.pk), "sure": "1"}, headers=ACT)
    assert (stored(), Version.objects.count()) == ({"a"}, 3)
    ops.settle()
    assert (stored(), Version.objects.count()) == (set(), 0)


def test_readers_see_and_change_nothing(
    sign_in: Door, box: Container, keep: Callable[..., Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("a")
    client = sign_in()
    as_reader(monkeypatch)
    shown = client.get(page(box)).content.decode()
    assert names(shown) == ["a"]
    assert "choose-files" not in shown
    assert client.get(page(box, "/file", name="a")).status_code == 302
    refusals = [
        client.put(page(box, "/file", name="b"), b"x"),
        client.post(page(box, "/object/share", name="a"), {"lasts": "3600"}),
        client.post(page(box, "/object/edit", name="a"), {"content_type": "a/b", "metadata": "", "expires": ""}),
        client.post(page(box, "/object/copy", name="a"), {"container": "box", "name": "b", "keep": ""}),
        client.post(page(box, "/links/revoke")),
        client.post(page(box, "/access"), {"everybody": "list", "readers": "", "writers": ""}),
    ]
    assert [answer.status_code for answer in refusals] == [403, 403, 422, 422, 403, 422]
    client.post(page(box, "/act/delete"), {"id": "a", "sure": "1"}, headers=ACT)
    assert stored() == {"a"}
    box.refresh_from_db()
    assert (box.read_acl, box.link_series) == ("", 0)


def as_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user has the role reader alone from now on."""
    real = sessions.context_in

    def reading(*args: Any) -> RequestContext | None:
        found = real(*args)
        return replace(found, roles=frozenset({"reader"})) if found else None

    monkeypatch.setattr(sessions, "context_in", reading)


# --- bytes -------------------------------------------------------------------------------------------


def test_a_file_is_kept_and_replaced_only_when_asked(sign_in: Door, box: Container) -> None:
    client = sign_in()
    assert client.put(page(box, "/file", name="a/b.txt"), b"one", content_type="text/plain").status_code == 200
    second = client.put(page(box, "/file", name="a/b.txt"), b"two", content_type="text/plain")
    assert (second.status_code, "already" in second.json()["error"]) == (412, True)
    assert Object.objects.get().bytes == 3
    third = client.put(page(box, "/file", name="a/b.txt", replace="1"), b"three", content_type="text/html")
    assert third.status_code == 200
    found = Object.objects.get()
    assert (found.name, found.bytes, found.content_type) == ("a/b.txt", 5, "text/html")


@pytest.mark.parametrize("name", ["", "x" * 1025, "nul\0"])
def test_a_name_that_cannot_be_is_refused(sign_in: Door, box: Container, name: str) -> None:
    assert sign_in().put(page(box, "/file", name=name), b"x").status_code == 400
    assert stored() == set()


def test_a_page_of_another_site_cannot_send_bytes(sign_in: Door, box: Container) -> None:
    client = sign_in()
    client.handler.enforce_csrf_checks = True
    assert client.put(page(box, "/file", name="a"), b"x").status_code == 403
    assert stored() == set()


def test_a_download_is_a_sandboxed_file_for_this_browser_alone(
    sign_in: Door, box: Container, keep: Callable[..., Object]
) -> None:
    keep("page.html", b"<script>", content_type="text/html")
    client = sign_in()
    to = client.get(page(box, "/file", name="page.html"))["Location"]
    answer = Client().get(to)
    assert content(answer) == b"<script>"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Content-Security-Policy"] == "sandbox"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert Client().get(to, REMOTE_ADDR="203.0.113.9").status_code == 401


@pytest.mark.parametrize("name", ["plain.txt", "a//b", "../../up", "日本 語?&#%.txt", "/lead"])
def test_any_name_is_downloaded(sign_in: Door, box: Container, keep: Callable[..., Object], name: str) -> None:
    keep(name, name.encode())
    to = sign_in().get(page(box, "/file", name=name))["Location"]
    assert content(Client().get(to)) == name.encode()


def test_texts_are_shown_escaped_and_pictures_by_their_address(
    sign_in: Door, box: Container, keep: Callable[..., Object]
) -> None:
    keep("a.html", b"<script>alert(1)</script>", content_type="text/html")
    keep("a.png", b"\x89PNG", content_type="image/png")
    keep("a.svg", b"<svg onload='x()'/>", content_type="image/svg+xml")
    keep("a.bin", b"\0\1", content_type="text/plain")
    client = sign_in()
    assert "&lt;script&gt;alert(1)" in client.get(page(box, "/object", name="a.html")).content.decode()
    assert (
        f'<img src="{page(box, "/file", name="a.png")}"'
        in client.get(page(box, "/object", name="a.png")).content.decode()
    )
    assert "<svg onload" not in client.get(page(box, "/object", name="a.svg")).content.decode()
    assert "Pictures and texts are shown here" in client.get(page(box, "/object", name="a.bin")).content.decode()


# --- uploads in parts --------------------------------------------------------------------------------

PART = 5 * 2**20  # the least that a part has which is not the last


def begin(client: Client, box: Container, name: str = "big", **query: str) -> str:
    answer = client.post(page(box, "/uploads", name=name, **query), CONTENT_TYPE="video/mp4")
    assert answer.status_code == 200
    return str(answer.json()["upload"])


def part(client: Client, box: Container, upload: str, number: int, body: bytes, name: str = "big") -> None:
    answer = client.put(page(box, f"/uploads/{upload}/{number}", name=name), body)
    assert answer.status_code == 200


def test_a_large_file_comes_in_parts_and_goes_on_after_a_break(sign_in: Door, box: Container) -> None:
    client = sign_in()
    upload = begin(client, box)
    part(client, box, upload, 1, b"a" * PART)
    there = page(box, f"/uploads/{upload}", name="big")
    assert sign_in().get(there).json() == {"parts": {"1": PART}}
    early = client.post(there, {"size": PART + 3})
    assert (early.status_code, stored()) == (400, set())
    part(client, box, upload, 2, b"end")
    assert client.post(there, {"size": PART + 3}).status_code == 200
    found = Object.objects.get()
    assert (found.name, found.bytes, found.content_type) == ("big", PART + 3, "video/mp4")
    assert client.get(there).status_code == 404


def test_an_upload_that_would_replace_is_refused_before_its_bytes(
    sign_in: Door, box: Container, keep: Callable[..., Object]
) -> None:
    keep("big", b"first")
    client = sign_in()
    assert client.post(page(box, "/uploads", name="big"), "", content_type="a/b").status_code == 412
    upload = begin(client, box, replace="1")
    part(client, box, upload, 1, b"second")
    there = page(box, f"/uploads/{upload}", name="big")
    assert client.post(there, {"size": 6}).status_code == 412
    assert Object.objects.get().bytes == 5
    assert client.post(page(box, f"/uploads/{upload}", name="big", replace="1"), {"size": 6}).status_code == 200
    assert Object.objects.get().bytes == 6


def test_unfinished_uploads_are_shown_and_discarded(sign_in: Door, box: Container) -> None:
    client = sign_in()
    upload = begin(client, box, "films/big")
    part(client, box, upload, 1, b"x" * 2048, "films/big")
    shown = client.get(page(box, folder="films/")).content.decode()
    assert "Unfinished uploads" in shown
    assert "2.0 KiB" in shown
    assert "Unfinished uploads" not in client.get(page(box, folder="other/")).content.decode()
    client.post(page(box, f"/uploads/{upload}", name="films/big"), {"discard": "1"})
    assert not Upload.objects.exists()
    assert client.put(page(box, f"/uploads/{upload}/2", name="films/big"), b"x").status_code == 404


def test_another_project_reaches_no_upload(sign_in: Door, box: Container) -> None:
    upload = begin(sign_in(), box)
    stranger = sign_in("admin")
    there = f"/p/admin/objects/{box.pk}/uploads/{upload}"
    answers = [
        stranger.get(f"{there}?name=big"),
        stranger.put(f"{there}/1?name=big", b"x"),
        stranger.post(f"{there}?name=big", {"discard": "1"}),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert Upload.objects.exists()


# --- versions ----------------------------------------------------------------------------------------


@pytest.fixture
def history(ctx: RequestContext, box: Container, keep: Callable[..., Object]) -> Container:
    """The container keeps versions: `a` was written twice, `gone` was deleted."""
    services.container_versioning(ctx, account=ctx.project_id, container="box", versioning=Versioning.ENABLED)
    for body in (b"first", b"second one"):
        keep("a", body)
    keep("gone", b"old")
    services.object_delete(ctx, account=ctx.project_id, container="box", name="gone")
    return box


def versions(client: Client, box: Container, **query: str) -> list[tuple[str, str]]:
    """Name and state of each line, as the page shows them."""
    html = client.get(page(box, "/versions", **query)).content.decode()
    rows = re.findall(r'<tr id="row-.*?</tr>', html, re.DOTALL)
    return [(names(row)[0], re.findall(r'class="state \w+">([^<]*)<', row)[0]) for row in rows]


def test_versions_are_listed_from_the_latest_back(sign_in: Door, history: Container) -> None:
    client = sign_in()
    assert versions(client, history) == [
        ("a", "Current"),
        ("a", "Earlier"),
        ("gone", "Deleted"),
        ("gone", "Earlier"),
    ]
    assert versions(client, history, q="gone") == [("gone", "Deleted"), ("gone", "Earlier")]
    assert "/versions" in client.get(page(history, "/object", name="a")).content.decode()


def test_versions_have_pages(sign_in: Door, history: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions_page, "PAGE_SIZE", 3)
    client = sign_in()
    first = client.get(page(history, "/versions")).content.decode()
    found = re.search(r'rel="next" href="[^?]*\?at=([^"]*)"', first)
    assert found
    assert versions(client, history, at=found[1]) == [("gone", "Earlier")]
    second = client.get(page(history, "/versions", at=found[1])).content.decode()
    before = re.search(r'rel="prev" href="[^?]*\?at=([^"]*)"', second)
    assert before
    assert versions(client, history, at=before[1]) == [("a", "Current"), ("a", "Earlier"), ("gone", "Deleted")]


def test_what_was_replaced_or_deleted_is_brought_back(sign_in: Door, history: Container) -> None:
    client = sign_in()
    for name in ("a", "gone"):
        row = Version.objects.get(name=name, is_marker=False)
        answer = client.post(page(history, "/versions/act/restore"), {"only": f"{row.version_id}/{name}"}, headers=ACT)
        assert answer.status_code == 204
        assert Object.objects.get(name=name).version_id == row.version_id
    assert Object.objects.get(name="a").bytes == 5
    assert stored() == {"a", "gone"}


def test_a_version_is_downloaded_and_deleted_for_good(sign_in: Door, history: Container) -> None:
    client = sign_in()
    row = Version.objects.get(name="a")
    answer = client.get(page(history, "/versions/file", name="a", version=str(row.version_id)))
    assert (content(answer), answer["Content-Security-Policy"]) == (b"first", "sandbox")
    assert answer["Content-Disposition"] == "attachment; filename*=UTF-8''a"
    ident = f"{row.version_id}/a"
    assert "5 B" in client.get(page(history, "/versions/act/delete", id=ident)).content.decode()
    client.post(page(history, "/versions/act/delete"), {"id": ident, "sure": "1"}, headers=ACT)
    assert not Version.objects.filter(name="a").exists()
    assert Object.objects.get(name="a").bytes == 10


def test_where_a_marker_goes_the_object_comes_back(sign_in: Door, history: Container) -> None:
    client = sign_in()
    ident = f"{Version.objects.get(name='gone', is_marker=True).version_id}/gone"
    asked = client.get(page(history, "/versions/act/delete", id=ident)).content.decode()
    assert "the version before it is current again" in asked
    client.post(page(history, "/versions/act/delete"), {"id": ident, "sure": "1"}, headers=ACT)
    assert stored() == {"a", "gone"}


@pytest.mark.parametrize("version", ["", "no-uuid", "00000000-0000-0000-0000-000000000001"])
def test_a_version_that_is_not_there_is_404(sign_in: Door, history: Container, version: str) -> None:
    client = sign_in()
    assert client.get(page(history, "/versions/file", name="a", version=version)).status_code == 404


# --- links -------------------------------------------------------------------------------------------


def link(client: Client, box: Container, name: str = "a") -> str:
    shown = client.post(page(box, "/object/share", name=name), {"lasts": "3600"})
    assert (shown.status_code, shown["Cache-Control"]) == (200, "no-store")
    found = re.search(r'<pre id="link" tabindex="0">https?://[^/]*([^<]*)</pre>', shown.content.decode())
    assert found
    return found[1].replace("&amp;", "&")


def test_a_link_opens_one_object_for_reading_until_all_are_revoked(
    sign_in: Door, box: Container, keep: Callable[..., Object]
) -> None:
    keep("a", b"shared")
    keep("b")
    client, stranger = sign_in(), Client()
    to = link(client, box)
    assert content(stranger.get(to)) == b"shared"
    assert stranger.get(to.replace("/box/a?", "/box/b?")).status_code == 401
    assert stranger.put(to, b"x").status_code == 401
    client.post(page(box, "/links/revoke"))
    assert stranger.get(to).status_code == 401
    assert content(stranger.get(link(client, box))) == b"shared"
    assert Object.objects.get(name="a").bytes == 6


def test_a_link_ends(
    sign_in: Door, box: Container, keep: Callable[..., Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("a")
    to = link(sign_in(), box)
    now = time.time()
    monkeypatch.setattr("apps.objectstore.api.swift.tempurl.time.time", lambda: now + 3601)
    assert Client().get(to).status_code == 401


def test_the_key_of_links_is_nobodys_to_see(sign_in: Door, ctx: RequestContext, box: Container) -> None:
    key = link_key(box, ctx.user_id)
    assert key != link_key(box, "somebody-else")
    assert key not in str(selectors.signing_keys(ctx, account=ctx.project_id, container="box"))
    assert key not in str(Container.objects.values().get())


@pytest.fixture
def apart(ctx: RequestContext, keep: Callable[..., Object]) -> None:
    """`large` in the container is what lies in another one, `cellar`."""
    services.container_put(ctx, account=ctx.project_id, container="cellar", changes={})
    place = {"account": ctx.project_id, "container": "cellar", "name": "s/1"}
    services.object_put(ctx, **place, source=BytesIO(b"below"), size=5, new=New())
    keep("large", b"", metadata={"X-Object-Manifest": "cellar/s/"})


def denied(ctx: RequestContext, bucket: str, action: str = "s3:GetObject") -> None:
    """A policy that keeps the user from reading the objects of a bucket, whatever roles say."""
    statement = {
        "Effect": "Deny",
        "Principal": {"AWS": f"arn:aws:iam::{ctx.project_id}:user/{ctx.user_id}"},
        "Action": action,
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    services.bucket_document_put(ctx, bucket=bucket, kind="policy", document=policy_document(text, bucket))


def test_a_link_gives_what_its_maker_could_read(
    sign_in: Door, ctx: RequestContext, box: Container, apart: None
) -> None:
    client = sign_in()
    links = [link(client, box, "large"), client.get(page(box, "/file", name="large"))["Location"]]
    assert [content(Client().get(to)) for to in links] == [b"below", b"below"]
    denied(ctx, "cellar")
    assert [Client().get(to).status_code for to in links] == [401, 401]


def test_a_link_is_worth_nothing_once_its_maker_may_not_read(
    sign_in: Door, ctx: RequestContext, box: Container, keep: Callable[..., Object]
) -> None:
    keep("a", b"shared")
    to = link(sign_in(), box)
    identity_services.user_update(SYSTEM, user_id=ctx.user_id, enabled=False)
    assert Client().get(to).status_code == 401
    identity_services.user_update(SYSTEM, user_id=ctx.user_id, enabled=True)
    assert content(Client().get(to)) == b"shared"


def test_a_link_is_its_makers_and_opens_one_object(
    sign_in: Door, box: Container, keep: Callable[..., Object], people: None
) -> None:
    keep("a", b"shared")
    keep("site/index.html", b"page")
    keep("site/", b"")
    services.container_post(SYSTEM, account=box.account_id, container="box", changes={"Web-Index": "index.html"})
    client, admin = sign_in(), User.objects.get(name="admin")
    to, folder = link(client, box), link(client, box, "site/")
    assert Client().get(re.sub("temp_url_maker=[^&]*", f"temp_url_maker={admin.pk}", to)).status_code == 401
    assert Client().get(to.replace("temp_url_maker", "unknown")).status_code == 401
    assert Client().get(f"{to}&temp_url_prefix=").status_code == 401
    assert content(Client().get(folder)) == b""
    assert content(Client().get(folder, headers={"X-Web-Mode": "true"})) == b""


# --- details, copies ---------------------------------------------------------------------------------


def test_details_are_changed_and_what_is_not_shown_stays(
    sign_in: Door, box: Container, keep: Callable[..., Object]
) -> None:
    keep("a", metadata={"X-Object-Meta-Old": "1", "X-Robots-Tag": "none"})
    form = {
        "content_type": "text/css",
        "metadata": "colour: red\nmade-by: me",
        "expires": "7",
        "Cache-Control": "no-cache",
    }
    assert sign_in().post(page(box, "/object/edit", name="a"), form).status_code == 302
    found = Object.objects.get()
    assert found.content_type == "text/css"
    assert found.metadata == {
        "X-Object-Meta-Colour": "red",
        "X-Object-Meta-Made-By": "me",
        "X-Robots-Tag": "none",
        "Cache-Control": "no-cache",
    }
    assert found.delete_at is not None


@pytest.mark.parametrize("line", ["no colon", ": empty", "bad name: x", "a: \x07"])
def test_metadata_that_no_header_can_be_is_refused(
    sign_in: Door, box: Container, keep: Callable[..., Object], line: str
) -> None:
    keep("a", metadata={"X-Object-Meta-Old": "1"})
    form = {"content_type": "text/css", "metadata": line, "expires": "keep"}
    assert sign_in().post(page(box, "/object/edit", name="a"), form).status_code == 422
    assert Object.objects.get().metadata == {"X-Object-Meta-Old": "1"}


@pytest.mark.parametrize("header", ["content_type", "Cache-Control"])
def test_headers_of_several_lines_are_refused(
    sign_in: Door, box: Container, keep: Callable[..., Object], header: str
) -> None:
    keep("a", content_type="text/plain")
    form = {"content_type": "text/css", "metadata": "", "expires": "keep", header: "a/b\r\nX-Evil: 1"}
    assert sign_in().post(page(box, "/object/edit", name="a"), form).status_code == 422
    assert Object.objects.get().content_type == "text/plain"


def test_an_object_is_renamed_and_copied_but_replaces_nothing_unasked(
    sign_in: Door, box: Container, keep: Callable[..., Object]
) -> None:
    keep("a", b"bytes", content_type="text/css", metadata={"X-Object-Meta-K": "v"})
    keep("there", b"other")
    client = sign_in()
    form = {"container": "box", "name": "there", "keep": ""}
    refused = client.post(page(box, "/object/copy", name="a"), form)
    assert refused.status_code == 422
    assert stored() == {"a", "there"}
    client.post(page(box, "/object/copy", name="a"), {**form, "name": "b", "keep": "1"})
    assert stored() == {"a", "b", "there"}
    client.post(page(box, "/object/copy", name="a"), {**form, "replace": "on"})
    assert stored() == {"b", "there"}
    found = Object.objects.get(name="there")
    assert (found.bytes, found.content_type, found.metadata) == (5, "text/css", {"X-Object-Meta-K": "v"})


def test_a_symbolic_link_is_moved_as_a_link(
    sign_in: Door, ctx: RequestContext, box: Container, keep: Callable[..., Object]
) -> None:
    keep("a", b"bytes")
    target = services.Target("box", "a")
    services.symlink_put(ctx, account=ctx.project_id, container="box", name="link", target=target, new=New(""))
    client = sign_in()
    assert "box/a</dd>" in client.get(page(box, "/object", name="link")).content.decode()
    client.post(page(box, "/object/copy", name="link"), {"container": "box", "name": "other", "keep": ""})
    assert stored() == {"a", "other"}
    to = client.get(page(box, "/file", name="other"))["Location"]
    assert content(Client().get(to)) == b"bytes"


def test_an_object_that_was_replaced_meanwhile_is_not_lost_by_a_move(
    ctx: RequestContext, keep: Callable[..., Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("a", b"first")
    put = copies.object_put

    def putting(*args: Any, **kwargs: Any) -> Object:
        made = put(*args, **kwargs)
        keep("a", b"second")
        return made

    monkeypatch.setattr(copies, "object_put", putting)
    with pytest.raises(PreconditionFailed):
        services.object_move(ctx, account=ctx.project_id, source=Place("box", "a"), to=Place("box", "b"))
    assert {(found.name, found.bytes) for found in Object.objects.all()} == {("a", 6), ("b", 5)}


def test_an_object_is_not_moved_onto_itself(ctx: RequestContext, keep: Callable[..., Object]) -> None:
    keep("a")
    with pytest.raises(Conflict):
        services.object_move(ctx, account=ctx.project_id, source=Place("box", "a"), to=Place("box", "a"))
    assert stored() == {"a"}


# --- access and settings -----------------------------------------------------------------------------


def test_access_lists_are_told_in_words_and_changed(sign_in: Door, box: Container, keep: Callable[..., Object]) -> None:
    keep("a", b"open")
    client = sign_in()
    form = {"everybody": "list", "readers": "p1:*\nauditor", "writers": "p2:u2"}
    assert client.post(page(box, "/access"), form).status_code == 302
    box.refresh_from_db()
    assert (box.read_acl, box.write_acl) == (".r:*,.rlistings,p1:*,auditor", "p2:u2")
    shown = client.get(page(box, "/access")).content.decode()
    for words in (
        "Everybody, without signing in, and they see the list of all objects.",
        "Everybody in the project p1.",
        "Who has the role “auditor” in any project.",
        "The user u2, from the project p2.",
    ):
        assert words in shown
    anybody = Client().get(f"/object-store/v1/AUTH_{box.account_id}/box/a")
    assert content(anybody) == b"open"
    client.post(page(box, "/access"), {"everybody": "private", "readers": "", "writers": ""})
    assert Client().get(f"/object-store/v1/AUTH_{box.account_id}/box/a").status_code == 401


def test_a_policy_is_read_strictly_kept_and_told_in_words(
    sign_in: Door, box: Container, keep: Callable[..., Object]
) -> None:
    keep("a", b"open")
    client = sign_in()
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::box/*",
        "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    assert client.post(page(box, "/policy"), {"policy": text.replace("box/*", "other/*")}).status_code == 422
    assert client.post(page(box, "/policy"), {"policy": "{"}).status_code == 422
    assert Bucket.objects.get().documents == {}
    assert client.post(page(box, "/policy"), {"policy": text}).status_code == 302
    shown = client.get(page(box, "/access")).content.decode()
    assert "s3:GetObject" in shown
    assert "IpAddress aws:sourceip: 127.0.0.0/8" in shown
    anybody = f"/object-store/v1/AUTH_{box.account_id}/box/a"
    assert content(Client().get(anybody)) == b"open"
    assert Client().get(anybody, REMOTE_ADDR="203.0.113.9").status_code == 401
    client.post(page(box, "/policy"), {"policy": ""})
    assert Bucket.objects.get().documents == {}


def test_access_of_everybody_is_blocked_whatever_lists_say(
    sign_in: Door, box: Container, keep: Callable[..., Object]
) -> None:
    keep("a", b"open")
    client = sign_in()
    client.post(page(box, "/access"), {"everybody": "list", "readers": "", "writers": ""})
    assert "Everybody" in client.get("/p/demo/objects").content.decode()
    assert client.post(page(box, "/policy"), {"policy": "", "block": "on"}).status_code == 302
    assert Client().get(f"/object-store/v1/AUTH_{box.account_id}/box/a").status_code == 401
    assert "Everybody" not in client.get("/p/demo/objects").content.decode()
    assert "but blocked" in client.get(page(box, "/access")).content.decode()
    client.post(page(box, "/policy"), {"policy": ""})
    assert content(Client().get(f"/object-store/v1/AUTH_{box.account_id}/box/a")) == b"open"


def test_grants_of_s3_are_told_in_words(sign_in: Door, ctx: RequestContext, box: Container) -> None:
    given = (Grant("all", "READ"), Grant("project:p9", "FULL_CONTROL"))
    services.bucket_document_put(ctx, bucket="box", kind="acl", document=document_of(given))
    shown = sign_in().get(page(box, "/access")).content.decode()
    assert "Everybody, without signing in, may list what is there" in shown
    assert "The project p9 may do everything" in shown


def test_a_container_that_is_no_bucket_has_no_policy(sign_in: Door, ctx: RequestContext, box: Container) -> None:
    services.container_put(ctx, account=ctx.project_id, container="No Bucket", changes={})
    row = Container.objects.get(name="No Bucket")
    client = sign_in()
    assert client.get(page(row, "/policy")).status_code == 404
    assert "Bucket policy" not in client.get(page(row, "/access")).content.decode()
    assert "Not by S3" in client.get("/p/demo/objects").content.decode()


def test_an_encrypted_object_stays_so_where_it_is_moved(
    sign_in: Door, box: Container, keep: Callable[..., Object]
) -> None:
    keep("a", b"secret", encryption=Wish(AES256), tags={"k": "v"})
    form = {"container": "box", "name": "b", "keep": ""}
    assert sign_in().post(page(box, "/object/copy", name="a"), form).status_code == 302
    found = Object.objects.get()
    assert (found.name, found.tags, (found.encryption or {})["mode"]) == ("b", {"k": "v"}, AES256)


def test_quotas_and_other_sites_are_set(sign_in: Door, box: Container) -> None:
    client = sign_in()
    form = {
        "versioning": "ENABLED",
        "quota_gib": "0.5",
        "quota_count": "10",
        "origin": "https://www.example.com",
        "expose": "",
        "age": "60",
    }
    assert client.post(page(box, "/settings"), form).status_code == 302
    box.refresh_from_db()
    assert box.metadata == {
        "Quota-Bytes": str(2**29),
        "Quota-Count": "10",
        "Access-Control-Allow-Origin": "https://www.example.com",
        "Access-Control-Max-Age": "60",
    }
    shown = client.get(page(box, "/settings")).content.decode()
    assert 'value="0.5"' in shown
    client.post(page(box, "/settings"), {**dict.fromkeys(form, ""), "versioning": "SUSPENDED"})
    box.refresh_from_db()
    assert (box.metadata, box.versioning) == ({}, "suspended")


# --- for operators -----------------------------------------------------------------------------------


def test_operators_see_disks_and_policies_and_empty_a_disk(sign_in: Door, box: Container, disks: list[Path]) -> None:
    fourth = services.disk_add(SYSTEM, path=str(extra(disks)))[0]
    client = sign_in("admin")
    shown = client.get("/p/admin/admin/objects").content.decode()
    assert all(str(path) in shown for path in disks)
    asked = client.get("/p/admin/admin/objects/act/drain", {"id": fourth.pk}).content.decode()
    assert "0 copies of 0 B are made on other disks" in asked
    client.post("/p/admin/admin/objects/act/drain", {"id": fourth.pk, "sure": "1"}, headers=ACT)
    fourth.refresh_from_db()
    assert fourth.state == DiskState.DRAINING
    assert "Being emptied" in client.get("/p/admin/admin/objects").content.decode()
    client.post("/p/admin/admin/objects/act/activate", {"only": fourth.pk}, headers=ACT)
    fourth.refresh_from_db()
    assert fourth.state == DiskState.ACTIVE


def extra(disks: list[Path]) -> Path:
    """An empty directory beside the three."""
    path = disks[0].parent / "disk4"
    path.mkdir()
    return path


def test_missing_copies_lost_disks_and_the_audit_are_told(
    sign_in: Door, box: Container, keep: Callable[..., Object], disks: list[Path]
) -> None:
    keep("a", b"x" * 1000)
    Blob.objects.update(missing=2)
    Container.objects.update(base_bytes=1000)
    Audit.objects.create(policy="default", reached=Blob.objects.get().pk, bytes_read=750, found=3)
    disks[2].rename(disks[2].parent / "away")
    shown = sign_in("admin").get("/p/admin/admin/objects").content.decode()
    assert "25 %" in shown
    assert "3 bad or missing" in shown
    assert '<span class="state warn">2</span>' in shown
    assert shown.count("Not there") == 1


def test_others_do_not_see_disks_and_cannot_empty_them(sign_in: Door, disks: list[Path]) -> None:
    client = sign_in()
    assert client.get("/p/demo/admin/objects").status_code == 403
    number = Disk.objects.order_by("pk")[0].pk
    assert client.post("/p/demo/admin/objects/act/drain", {"id": number, "sure": "1"}, headers=ACT).status_code == 403
    assert set(Disk.objects.values_list("state", flat=True)) == {DiskState.ACTIVE}
