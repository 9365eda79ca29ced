"""Editors of what S3 keeps with buckets and objects: the same documents, in words, with errors at their fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.core.context import RequestContext
from apps.objectstore import services
from apps.objectstore.api.s3 import cors as s3_cors
from apps.objectstore.api.s3 import lifecycle as s3_lifecycle
from apps.objectstore.api.s3 import xml
from apps.objectstore.models import Bucket, Container, Object, Upload, Version
from apps.objectstore.selectors.grants import Grant, document_of
from apps.objectstore.selectors.previews import lifecycle_toll
from apps.objectstore.states import Versioning
from apps.objectstore.web.browse import Nothing
from tests.apps.dashboard.conftest import people, sign_in
from tests.apps.objectstore.conftest import SYSTEM, content
from tests.apps.objectstore.test_web import as_reader, box, ctx, keep, page
from tests.kit.s3 import plain

__all__ = ["box", "ctx", "keep", "people", "sign_in"]

Door = Callable[..., Client]
Keep = Callable[..., Object]
DAY = timedelta(days=1)
Wrong = list[tuple[dict[str, Any], str]]  # form, and the field that is wrong


def document(kind: str) -> Any:
    return Bucket.objects.get(name="box").documents.get(kind)


def html(answer: Any) -> str:
    return str(answer.content.decode())


def seen(text: str) -> str:
    """What the page remembers of the document that it shows."""
    found = re.search(r'name="seen" value="(\w+)"', text)
    assert found
    return found[1]


def refused_at(answer: Any, field: str) -> bool:
    """Whether an error stands at the field."""
    pattern = rf'<div class="field has-error[^>]*>(?:(?!<div class="field).)*name="{field}"'
    return answer.status_code == 422 and re.search(pattern, html(answer), re.DOTALL) is not None


def all_refused(client: Client, address: str, known: dict[str, Any], wrong: Wrong) -> bool:
    """Whether each form, with what is right besides, is refused at its field."""
    return [field for form, field in wrong if not refused_at(client.post(address, {**known, **form}), field)] == []


# --- all of them -------------------------------------------------------------------------------------

OF_BUCKET = ["/lifecycle", "/cors", "/tags", "/lock", "/grants"]
OF_OBJECT = ["/object/tags", "/object/grants", "/object/lock"]
SENT: dict[str, dict[str, str]] = {
    "/lifecycle": {"days": "30", "on": "on"},
    "/cors": {"origins": "*", "methods": "GET"},
    "/site": {"shown": "yes", "index": "index.html"},
    "/tags": {"tags": "a = 1"},
    "/lock": {"mode": "GOVERNANCE", "number": "1", "unit": "days"},
    "/grants": {"canned": "public-read"},
    "/object/tags": {"tags": "a = 1"},
    "/object/grants": {"canned": "public-read"},
    "/object/lock": {"mode": "none", "hold": "on"},
}


@pytest.fixture
def locked(ctx: RequestContext, box: Container, keep: Keep) -> Container:
    """The container can lock its objects, and has one, `a`."""
    Bucket.objects.update(lock_enabled=True)
    services.container_versioning(ctx, account=ctx.project_id, container="box", versioning=Versioning.ENABLED)
    keep("a", b"body")
    box.refresh_from_db()
    return box


def state() -> Any:
    """All that these pages change."""
    fields = ("tags", "acl", "lock_mode", "retain_until", "legal_hold")
    return list(Bucket.objects.values("documents")), list(Container.objects.values("metadata")), list(
        Object.objects.values(*fields)
    )  # fmt: skip


def test_another_projects_are_not_there(sign_in: Door, locked: Container) -> None:
    before, client = state(), sign_in("admin")
    for path, form in SENT.items():
        there = f"/p/admin/objects/{locked.pk}{path}?name=a"
        assert [client.get(there).status_code, client.post(there, form).status_code] == [404, 404], path
    assert state() == before


def test_readers_see_words_and_no_editors(sign_in: Door, locked: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    before, client = state(), sign_in()
    as_reader(monkeypatch)
    for path, form in SENT.items():
        there = page(locked, path, name="a")
        shown = client.get(there)
        main = html(shown).partition("<main")[2].partition("</main")[0]
        assert (shown.status_code, "<form" in main) == (200, False), path
        assert client.post(there, form).status_code == 422, path
    assert state() == before


def test_a_container_that_s3_does_not_reach_has_no_documents(
    sign_in: Door, ctx: RequestContext, box: Container
) -> None:
    services.container_put(ctx, account=ctx.project_id, container="No Bucket", changes={})
    row, client = Container.objects.get(name="No Bucket"), sign_in()
    assert [client.get(page(row, path)).status_code for path in OF_BUCKET] == [404] * len(OF_BUCKET)
    assert client.get(page(row, "/site")).status_code == 200
    place: dict[str, Any] = {"account": ctx.project_id, "container": "No Bucket", "name": "a"}
    services.object_put(ctx, **place, source=Nothing(), size=0, new=services.New())
    assert client.get(page(row, "/object/grants", name="a")).status_code == 404
    settings = html(client.get(page(row, "/settings")))
    assert [path for path in OF_BUCKET if page(row, path) in settings] == []


def test_settings_and_object_lead_to_the_editors(sign_in: Door, locked: Container) -> None:
    client = sign_in()
    settings, access = html(client.get(page(locked, "/settings"))), html(client.get(page(locked, "/access")))
    assert all(f'href="{page(locked, path)}"' in settings + access for path in [*OF_BUCKET, "/site"])
    shown = html(client.get(page(locked, "/object", name="a")))
    assert all(f'href="{page(locked, path, name="a")}"' in shown for path in OF_OBJECT)


# --- lifecycle ---------------------------------------------------------------------------------------


def aged(days: int, *names: str) -> None:
    Object.objects.filter(name__in=names).update(created_at=timezone.now() - days * DAY)


def test_a_rule_is_kept_as_s3_writes_it_and_told_in_words(sign_in: Door, box: Container) -> None:
    client = sign_in()
    form = {
        "prefix": "logs/", "days": "30", "noncurrent_days": "7", "newer": "2", "on": "on", "tags": "kind = debug",
        "least": "1024", "id": "old logs",
    }  # fmt: skip
    assert client.post(page(box, "/lifecycle"), form).status_code == 302
    kept = document("lifecycle")
    assert kept["rules"] == [
        {
            "id": "old logs", "on": True, "old": False, "prefix": "logs/", "tags": {"kind": "debug"}, "least": 1024,
            "days": 30, "noncurrent_days": 7, "newer": 2,
        }
    ]  # fmt: skip
    written = xml.document(s3_lifecycle.ROOT, s3_lifecycle.shown(kept))
    assert s3_lifecycle.of_document(plain(written)) == kept
    shown = html(client.get(page(box, "/lifecycle")))
    for words in (
        "Objects below “logs/”, with the tag kind=debug, larger than 1.0 KiB",
        "removed 30 days after they were written",
        "earlier versions removed 7 days after they were replaced, but the latest 2 of them stay",
    ):
        assert words in shown
    assert 'value="old logs"' in html(client.get(page(box, "/lifecycle", rule="0")))


def test_a_rule_of_s3_stays_what_it_was_when_its_days_are_changed(
    sign_in: Door, ctx: RequestContext, box: Container
) -> None:
    rule = {"id": "r", "on": True, "old": True, "prefix": "a", "tags": {}, "date": "2030-01-02T00:00:00+00:00"}
    put = {"rules": [rule, rule | {"id": "s"}]}
    services.bucket_document_put(ctx, bucket="box", kind="lifecycle", document=put)
    client = sign_in()
    shown = html(client.get(page(box, "/lifecycle", rule="1")))
    assert 'value="2030-01-02"' in shown
    client.post(page(box, "/lifecycle", rule="1"), {"prefix": "a", "id": "s", "on": "on", "date": "2031-01-02"})
    assert document("lifecycle")["rules"] == [rule, rule | {"id": "s", "date": "2031-01-02T00:00:00+00:00"}]


WRONG_RULES: Wrong = [
    ({}, "days"),
    ({"days": "0"}, "days"),
    ({"days": "36501"}, "days"),
    ({"days": "ten"}, "days"),
    ({"days": "1", "markers": "on"}, "markers"),
    ({"days": "1", "date": "2030-01-01"}, "date"),
    ({"date": "tomorrow"}, "date"),
    ({"newer": "3", "days": "1"}, "noncurrent_days"),
    ({"noncurrent_days": "3", "newer": "101"}, "newer"),
    ({"days": "1", "tags": "no sign"}, "tags"),
    ({"days": "1", "tags": "a = 1\na = 2"}, "tags"),
    ({"days": "1", "tags": "aws:a = 1"}, "tags"),
    ({"days": "1", "least": "9", "most": "9"}, "most"),
    ({"abort_days": "1", "tags": "a = 1"}, "abort_days"),
    ({"days": "1", "id": "x" * 256}, "id"),
    ({"days": "1", "prefix": "日" * 400}, "prefix"),
]


def test_a_wrong_rule_is_refused_at_its_field(sign_in: Door, box: Container) -> None:
    assert all_refused(sign_in(), page(box, "/lifecycle"), {"on": "on"}, WRONG_RULES)
    assert document("lifecycle") is None


def test_a_rule_that_removes_something_today_says_what_before_it_is_kept(
    sign_in: Door, box: Container, keep: Keep
) -> None:
    for name in ("logs/1", "logs/2", "logs/3"):
        keep(name, b"x" * 1024)
    aged(9, "logs/1", "logs/2")
    client, form = sign_in(), {"prefix": "logs/", "days": "7", "on": "on"}
    asked = client.post(page(box, "/lifecycle"), form)
    assert (asked.status_code, document("lifecycle")) == (200, None)
    assert "Today it would remove: 2 objects (2.0 KiB)." in html(asked)
    sure = re.search(r'name="sure" value="(\w+)"', html(asked))
    assert sure
    other = client.post(page(box, "/lifecycle"), {**form, "days": "8", "sure": sure[1]})
    assert (other.status_code, document("lifecycle")) == (200, None)
    assert client.post(page(box, "/lifecycle"), {**form, "sure": sure[1]}).status_code == 302
    assert document("lifecycle")["rules"][0]["days"] == 7
    assert "Today it would remove: 2 objects" in html(client.get(page(box, "/lifecycle", rule="0")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule",
    [
        {"days": 5},
        {"days": 5, "least": 3},
        {"days": 5, "most": 4},
        {"days": 5, "tags": {"k": "v"}},
        {"date": "2020-01-01T00:00:00+00:00"},
        {"date": "2100-01-01T00:00:00+00:00"},
        {"noncurrent_days": 4},
        {"noncurrent_days": 2, "newer": 1},
        {"abort_days": 3},
        {"prefix": "f/", "days": 1, "noncurrent_days": 1, "abort_days": 1},
    ],
    ids=str,
)
def test_what_is_foretold_is_what_the_collector_does(
    ctx: RequestContext, box: Container, keep: Keep, rule: dict[str, Any]
) -> None:
    services.container_versioning(ctx, account=ctx.project_id, container="box", versioning=Versioning.ENABLED)
    for name, body in (("f/1", b"12"), ("f/2", b"1234"), ("f/1", b"123"), ("g", b"12345"), ("f/1", b"1"), ("g", b"")):
        keep(name, body, tags={"k": "v"} if name == "g" else None)
    services.object_delete(ctx, account=ctx.project_id, container="box", name="f/2")
    for name in ("f/u", "u"):
        services.upload_create(ctx, account=ctx.project_id, container="box", name=name, new=services.New())
    now = datetime.now(UTC).replace(hour=12)
    for age, one in enumerate([*Object.objects.order_by("name"), *Version.objects.order_by("-created_at")], start=2):
        same = {"container_id": one.container_id, "name": one.name, "version_id": one.version_id}
        for kind in (Object, Version):
            kind.objects.filter(**same).update(created_at=now - age * DAY)
    for age, upload in enumerate(Upload.objects.order_by("name"), start=3):
        Upload.objects.filter(pk=upload.pk).update(created_at=now - age * DAY)
    whole = {"id": "r", "on": True, "old": False, "prefix": "", "tags": {}} | rule
    toll = lifecycle_toll(ctx, account=ctx.project_id, container="box", rule=whole, now=now)
    before = counts()
    services.bucket_document_put(ctx, bucket="box", kind="lifecycle", document={"rules": [whole]})
    while services.lifecycle_step(SYSTEM, now=now):
        pass
    after = counts()
    gone = tuple(b - a for a, b in zip(after, before, strict=True))
    # what was current becomes a version, and leaves a marker
    assert gone == (toll.objects, toll.versions - 2 * toll.objects, toll.uploads)
    assert not toll.is_more


def counts() -> tuple[int, int, int]:
    return Object.objects.count(), Version.objects.count(), Upload.objects.count()


def test_rules_are_switched_off_removed_and_put_back(sign_in: Door, ctx: RequestContext, box: Container) -> None:
    rule = {"id": "r", "on": True, "old": False, "prefix": "a/", "tags": {}, "days": 3}
    services.bucket_document_put(ctx, bucket="box", kind="lifecycle", document={"rules": [rule]})
    client = sign_in()
    here = page(box, "/lifecycle")
    client.post(here, {"turn": "0", "seen": seen(html(client.get(here)))})
    assert document("lifecycle")["rules"] == [rule | {"on": False}]
    assert "Switched off" in html(client.get(here))
    back = client.post(here, {"remove": "0", "seen": seen(html(client.get(here)))})["Location"]
    assert document("lifecycle") is None
    shown = html(client.get(back))
    assert ("Put the rule back" in shown, 'value="a/"' in shown) == (True, True)
    client.post(back, {"id": "r", "prefix": "a/", "days": "3", "on": "on", "seen": seen(shown)})
    assert document("lifecycle")["rules"] == [rule]
    assert client.get(page(box, "/lifecycle", again="made up")).status_code == 200
    assert [client.get(page(box, "/lifecycle", rule=n)).status_code for n in ("1", "-1", "x")] == [404] * 3


def test_a_rule_that_is_switched_on_says_first_what_it_removes(
    sign_in: Door, ctx: RequestContext, box: Container, keep: Keep
) -> None:
    keep("a/1", b"x")
    aged(9, "a/1")
    rule = {"id": "r", "on": False, "old": False, "prefix": "a/", "tags": {"k": "v"}, "days": 3}
    put = {"rules": [rule | {"id": "other"}, rule | {"tags": {}}]}
    services.bucket_document_put(ctx, bucket="box", kind="lifecycle", document=put)
    client, here = sign_in(), page(box, "/lifecycle")
    asked = html(client.post(here, {"turn": "1", "seen": seen(html(client.get(here)))}))
    assert ("Today it would remove: 1 object (1 B)." in asked, document("lifecycle")) == (True, put)
    action = re.search(r'class="body form" method="post" action="([^"]*)"', asked)
    sure = re.search(r'name="sure" value="(\w+)"', asked)
    assert action
    assert sure
    form = {"id": "r", "prefix": "a/", "days": "3", "on": "on", "sure": sure[1], "seen": seen(asked)}
    assert client.post(action[1], form).status_code == 302
    assert document("lifecycle")["rules"][1] == rule | {"tags": {}, "on": True}


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(
    sign_in: Door, ctx: RequestContext, box: Container
) -> None:
    rule = {"id": "r", "on": True, "old": False, "prefix": "a/", "tags": {}, "days": 3}
    services.bucket_document_put(ctx, bucket="box", kind="lifecycle", document={"rules": [rule]})
    client, here = sign_in(), page(box, "/lifecycle")
    old = seen(html(client.get(here)))
    other = {"rules": [rule | {"id": "first"}, rule]}
    services.bucket_document_put(ctx, bucket="box", kind="lifecycle", document=other)
    for sent in ({"remove": "0"}, {"turn": "0"}, {"days": "9", "on": "on"}):
        answer = client.post(here, {**sent, "seen": old})
        assert answer.status_code in {409, 422}, sent
        assert "Somebody else has changed this meanwhile" in html(answer), sent
    assert document("lifecycle") == other


# --- pages of other sites ----------------------------------------------------------------------------


def test_a_rule_for_other_sites_is_kept_as_s3_writes_it(sign_in: Door, box: Container) -> None:
    client = sign_in()
    form = {
        "origins": "https://www.example.com\nhttps://*.example.org", "methods": ["GET", "PUT"], "headers": "*",
        "exposed": "ETag", "age": "60",
    }  # fmt: skip
    assert client.post(page(box, "/cors"), form).status_code == 302
    kept = document("cors")
    assert s3_cors.of_document(plain(xml.document(s3_cors.ROOT, s3_cors.shown(kept)))) == kept
    asks = {"Origin": "https://a.example.org", "Access-Control-Request-Method": "PUT"}
    assert Client().options("/s3/box/a", headers=asks).status_code == 200
    assert Client().options("/s3/box/a", headers=asks | {"Origin": "https://evil.example"}).status_code == 403
    shown = html(client.get(page(box, "/cors")))
    assert "https://www.example.com, https://*.example.org" in shown
    assert "may ask: GET, PUT" in shown
    client.post(page(box, "/cors"), {"remove": "0", "seen": seen(shown)})
    assert document("cors") is None


WRONG_SITES: Wrong = [
    ({"origins": ""}, "origins"),
    ({"origins": "https://*.*"}, "origins"),
    ({"methods": []}, "methods"),
    ({"methods": ["TRACE"]}, "methods"),
    ({"exposed": "x-*"}, "exposed"),
    ({"headers": "**"}, "headers"),
    ({"age": "-1"}, "age"),
    ({"age": str(10**10)}, "age"),
]


def test_a_wrong_rule_for_other_sites_is_refused_at_its_field(sign_in: Door, box: Container) -> None:
    assert all_refused(sign_in(), page(box, "/cors"), {"origins": "*", "methods": ["GET"]}, WRONG_SITES)
    assert document("cors") is None


# --- web sites ---------------------------------------------------------------------------------------


def test_a_site_is_shown_at_the_address_that_the_page_tells(
    sign_in: Door, ctx: RequestContext, box: Container, keep: Keep
) -> None:
    keep("index.html", b"<h1>home</h1>", content_type="text/html")
    keep("404error.html", b"nothing", content_type="text/html")
    client = sign_in()
    services.container_post(ctx, account=ctx.project_id, container="box", changes={}, read_acl=".r:*")
    form = {"shown": "yes", "index": "index.html", "error": "error.html"}
    assert client.post(page(box, "/site"), form).status_code == 302
    shown = html(client.get(page(box, "/site")))
    address = re.search(r'<a href="https?://[^/]*(/object-store/[^"]*)" target="_blank"', shown)
    assert address
    assert content(Client().get(address[1])) == b"<h1>home</h1>"
    missing = Client().get(f"{address[1]}none")
    assert (missing.status_code, content(missing)) == (404, b"nothing")
    assert "Only who may read the objects sees the site" not in shown
    client.post(page(box, "/site"), {"shown": "no"})
    box.refresh_from_db()
    assert box.metadata == {}
    assert "It is no web site." in html(client.get(page(box, "/site")))


def test_a_site_without_a_page_is_refused(sign_in: Door, box: Container) -> None:
    wrong: Wrong = [({"index": ""}, "index"), ({"index": "a/b"}, "index")]
    assert all_refused(sign_in(), page(box, "/site"), {"shown": "yes"}, wrong)
    box.refresh_from_db()
    assert box.metadata == {}


@pytest.fixture
def domain(settings: Any) -> None:
    """Buckets are web sites at `BUCKET.site.example`."""
    config = settings.CONFIG
    store = replaced(config.objectstore, s3_website_domains=("site.example",))
    settings.CONFIG = replaced(config, objectstore=store)


def replaced(config: Any, **changes: Any) -> Any:
    return type(config)(**{name: getattr(config, name) for name in config.__struct_fields__} | changes)


def test_s3s_site_is_set_too_and_its_rules_stay(
    sign_in: Door, ctx: RequestContext, box: Container, domain: None
) -> None:
    rules = [{"prefix": "old/", "error": 0, "to": {"host": "", "protocol": ""}, "status": 301, "prefix_with": "new/"}]
    site = {"index": "i.html", "error": "", "rules": rules}
    services.bucket_document_put(ctx, bucket="box", kind="website", document=site)
    client = sign_in()
    assert "those rules are set by S3" in html(client.get(page(box, "/site")))
    client.post(page(box, "/site"), {"shown": "yes", "index": "index.html", "s3_error": "404.html"})
    assert document("website") == {"index": "index.html", "error": "404.html", "rules": rules}
    assert "http://box.site.example" in html(client.get(page(box, "/site")))
    client.post(page(box, "/site"), {"shown": "no"})
    assert document("website") is None


# --- tags --------------------------------------------------------------------------------------------


def test_tags_of_bucket_and_object_are_set_and_removed(sign_in: Door, box: Container, keep: Keep) -> None:
    keep("a")
    client = sign_in()
    for path in ("/tags", "/object/tags"):
        there = page(box, path, name="a")
        assert client.post(there, {"tags": "team = red\npath = a=b\nempty ="}).status_code == 302
        assert "team = red" in html(client.get(there))
    wanted = {"team": "red", "path": "a=b", "empty": ""}
    assert (document("tags"), Object.objects.get().tags) == (wanted, wanted)
    for path in ("/tags", "/object/tags"):
        client.post(page(box, path, name="a"), {"tags": ""})
    assert (document("tags"), Object.objects.get().tags) == (None, None)


TAGS = ("no sign", "= empty", "a = 1\na = 2", "aws:x = 1", f"{'k' * 129} = 1", f"k = {'v' * 257}", "k = <b>")


@pytest.mark.parametrize("path", ["/tags", "/object/tags"])
def test_wrong_tags_are_refused_at_their_field(sign_in: Door, box: Container, keep: Keep, path: str) -> None:
    keep("a", tags={"old": "1"})
    wrong: Wrong = [({"tags": tags}, "tags") for tags in TAGS]
    assert all_refused(sign_in(), page(box, path, name="a"), {}, wrong)
    assert (document("tags"), Object.objects.get().tags) == (None, {"old": "1"})


def test_tags_with_signs_stay_what_they_are_and_those_with_blanks_are_left_to_s3(
    sign_in: Door, box: Container, keep: Keep
) -> None:
    keep("signs", tags={"a=b": "c=d"})
    keep("blanks", tags={" a": "x\ny"})
    client = sign_in()
    shown = html(client.get(page(box, "/object/tags", name="signs")))
    assert ">\na=b = c=d</textarea>" in shown
    client.post(page(box, "/object/tags", name="signs"), {"tags": "a=b = c=d"})
    assert Object.objects.get(name="signs").tags == {"a=b": "c=d"}
    assert "<textarea" not in html(client.get(page(box, "/object/tags", name="blanks")))


def test_an_object_has_ten_tags_at_most(sign_in: Door, box: Container, keep: Keep) -> None:
    keep("a")
    tags = "\n".join(f"k{n} = 1" for n in range(11))
    assert refused_at(sign_in().post(page(box, "/object/tags", name="a"), {"tags": tags}), "tags")
    assert sign_in().post(page(box, "/tags"), {"tags": tags}).status_code == 302
    assert Object.objects.get().tags is None


# --- grants ------------------------------------------------------------------------------------------


def test_a_canned_list_is_chosen_and_who_can_read_is_told(sign_in: Door, box: Container, keep: Keep) -> None:
    keep("a", b"open")
    keep("b", b"closed")
    client, there = sign_in(), page(box, "/object/grants", name="a")
    assert client.post(there, {"canned": "public-read", "others": "p9 = full_control"}).status_code == 302
    assert Object.objects.get(name="a").acl == document_of([Grant("all", "READ"), Grant("project:p9", "FULL_CONTROL")])
    assert content(Client().get("/s3/box/a")) == b"open"
    assert Client().get("/s3/box/b").status_code == 403
    shown = html(client.get(there))
    assert "Everybody, without signing in, may read it" in shown
    assert "p9 = FULL_CONTROL</textarea>" in shown
    client.post(there, {"canned": "private", "others": ""})
    assert (Object.objects.get(name="a").acl, Client().get("/s3/box/a").status_code) == (None, 403)


def test_grants_of_a_bucket_take_the_place_of_its_lists(sign_in: Door, ctx: RequestContext, box: Container) -> None:
    services.container_post(ctx, account=ctx.project_id, container="box", changes={}, read_acl="p1:*")
    client = sign_in()
    assert "those are emptied" in html(client.get(page(box, "/grants")))
    own = f"{ctx.project_id} = READ"
    client.post(page(box, "/grants"), {"canned": "public-read-write", "others": f"p9 = READ\np9 = WRITE\n{own}"})
    given = [Grant("all", "READ"), Grant("all", "WRITE"), Grant("project:p9", "READ"), Grant("project:p9", "WRITE")]
    assert document("acl") == document_of(given)
    box.refresh_from_db()
    assert box.read_acl == ""
    assert "Everybody, without signing in, may write and delete" in html(client.get(page(box, "/access")))


WRONG_GRANTS: Wrong = [
    ({"canned": "none"}, "canned"),
    ({"others": "p9"}, "others"),
    ({"others": "p9 = EVERYTHING"}, "others"),
    ({"others": "a b = READ"}, "others"),
]


@pytest.mark.parametrize("path", ["/grants", "/object/grants"])
def test_wrong_grants_are_refused_at_their_field(sign_in: Door, box: Container, keep: Keep, path: str) -> None:
    keep("a")
    assert all_refused(sign_in(), page(box, path, name="a"), {"canned": "private"}, WRONG_GRANTS)
    assert (document("acl"), Object.objects.get().acl) == (None, None)


def test_where_grants_are_out_of_use_or_blocked_the_page_says_so(
    sign_in: Door, ctx: RequestContext, box: Container, keep: Keep
) -> None:
    keep("a")
    client, there = sign_in(), page(box, "/object/grants", name="a")
    blocked = {"kind": "public-access", "document": {"BlockPublicAcls": True, "IgnorePublicAcls": True}}
    services.bucket_document_put(ctx, bucket="box", **blocked)  # type: ignore[arg-type]
    assert "Access of everybody is blocked" in html(client.get(there))
    assert client.post(there, {"canned": "public-read"}).status_code == 422
    services.bucket_document_put(ctx, bucket="box", kind="ownership", document={"rule": "BucketOwnerEnforced"})
    assert "put grants out of use" in html(client.get(there))
    assert client.post(there, {"canned": "authenticated-read"}).status_code == 422
    assert Object.objects.get().acl is None


# --- object lock -------------------------------------------------------------------------------------


def stamp(days: int) -> str:
    return (datetime.now(UTC) + days * DAY).strftime("%Y-%m-%dT%H:%M")


def test_a_container_that_can_lock_is_made(sign_in: Door, ctx: RequestContext) -> None:
    client = sign_in()
    client.post("/p/demo/objects/create", {"name": "vault", "policy": "default", "lock": "on"})
    assert Bucket.objects.get().lock_enabled
    assert Container.objects.get().versioning == Versioning.ENABLED
    wrong = client.post("/p/demo/objects/create", {"name": "No Bucket", "policy": "default", "lock": "on"})
    assert (wrong.status_code, Container.objects.count()) == (422, 1)


def test_new_objects_are_retained_as_the_bucket_says(sign_in: Door, locked: Container, keep: Keep) -> None:
    client = sign_in()
    assert client.post(page(locked, "/lock"), {"mode": "GOVERNANCE", "number": "2", "unit": "years"}).status_code == 302
    assert document("lock") == {"mode": "GOVERNANCE", "days": 0, "years": 2}
    assert "New objects are retained for 2 years, in governance mode." in html(client.get(page(locked, "/lock")))
    assert keep("b").lock_mode == "GOVERNANCE"
    client.post(page(locked, "/lock"), {"mode": "none", "unit": "days"})
    assert (document("lock"), keep("c").retain_until) == ({}, None)


WRONG_DEFAULTS: Wrong = [
    ({"mode": "COMPLIANCE", "number": "1"}, "sure"),
    ({"mode": "GOVERNANCE", "number": ""}, "number"),
    ({"mode": "GOVERNANCE", "number": "0"}, "number"),
    ({"mode": "GOVERNANCE", "number": "40000"}, "number"),
    ({"mode": "FOREVER", "number": "1"}, "mode"),
    ({"mode": "GOVERNANCE", "number": "1", "unit": "weeks"}, "unit"),
]


def test_a_wrong_default_is_refused_at_its_field(sign_in: Door, locked: Container) -> None:
    assert all_refused(sign_in(), page(locked, "/lock"), {"unit": "days"}, WRONG_DEFAULTS)
    assert document("lock") is None


def test_compliance_is_entered_only_by_saying_so_and_never_left(sign_in: Door, locked: Container) -> None:
    client, there = sign_in("demo"), page(locked, "/object/lock", name="a")
    form = {"mode": "COMPLIANCE", "until": stamp(5)}
    assert refused_at(client.post(there, form), "sure")
    assert Object.objects.get().lock_mode == ""
    assert client.post(there, {**form, "sure": "on"}).status_code == 302
    assert Object.objects.get().lock_mode == "COMPLIANCE"
    assert "in compliance mode" in html(client.get(there))
    shorter, other = {"mode": "COMPLIANCE", "until": stamp(1)}, {"mode": "GOVERNANCE", "until": stamp(9)}
    for less in ({"mode": "none"}, shorter, other):
        assert client.post(there, {**less, "sure": "on", "bypass": "on"}).status_code == 422
    found = Object.objects.get()
    assert found.retain_until is not None
    assert (found.lock_mode, found.retain_until > timezone.now() + 4 * DAY) == ("COMPLIANCE", True)


def test_a_hold_is_put_on_and_taken_off_and_the_retention_stays(sign_in: Door, locked: Container) -> None:
    client, there = sign_in(), page(locked, "/object/lock", name="a")
    until = datetime.now(UTC).replace(second=7, microsecond=123456) + 5 * DAY
    Object.objects.update(lock_mode="GOVERNANCE", retain_until=until)
    shown = html(client.get(there))
    value = re.search(r'name="until" value="([^"]*)"', shown)
    assert value
    same = {"mode": "GOVERNANCE", "until": value[1]}
    assert client.post(there, {**same, "hold": "on"}).status_code == 302
    assert (Object.objects.get().legal_hold, Object.objects.get().retain_until) == (True, until)
    assert "Under a legal hold." in html(client.get(page(locked, "/object", name="a")))
    client.post(there, same)
    assert (Object.objects.get().legal_hold, Object.objects.get().retain_until) == (False, until)


def test_governance_is_shortened_by_managers_who_ask_for_it(sign_in: Door, locked: Container) -> None:
    client, there = sign_in(), page(locked, "/object/lock", name="a")
    client.post(there, {"mode": "GOVERNANCE", "until": stamp(5)})
    assert client.post(there, {"mode": "none"}).status_code == 422
    assert client.post(there, {"mode": "none", "bypass": "on"}).status_code == 422  # a member, no manager
    assert Object.objects.get().lock_mode == "GOVERNANCE"


WRONG_LOCKS: Wrong = [
    ({"mode": "GOVERNANCE"}, "until"),
    ({"mode": "GOVERNANCE", "until": "2020-01-01T00:00"}, "until"),
    ({"mode": "GOVERNANCE", "until": "soon"}, "until"),
    ({"mode": "OTHER", "until": "2100-01-01T00:00"}, "mode"),
]


def test_a_wrong_retention_is_refused_at_its_field(sign_in: Door, locked: Container) -> None:
    assert all_refused(sign_in(), page(locked, "/object/lock", name="a"), {}, WRONG_LOCKS)
    assert Object.objects.get().retain_until is None


def test_where_versions_are_kept_locking_begins_by_saying_so(
    sign_in: Door, ctx: RequestContext, box: Container
) -> None:
    services.container_versioning(ctx, account=ctx.project_id, container="box", versioning=Versioning.ENABLED)
    client, form = sign_in(), {"mode": "none", "unit": "days"}
    assert refused_at(client.post(page(box, "/lock"), form), "begin")
    assert not Bucket.objects.get().lock_enabled
    assert client.post(page(box, "/lock"), {**form, "begin": "on"}).status_code == 302
    assert Bucket.objects.get().lock_enabled
    assert 'name="begin"' not in html(client.get(page(box, "/lock")))


def test_where_nothing_can_be_locked_the_page_says_why(sign_in: Door, box: Container, keep: Keep) -> None:
    keep("a")
    client = sign_in()
    shown = html(client.get(page(box, "/lock")))
    assert ("Objects cannot be locked." in shown, 'name="mode"' in shown) == (True, False)
    assert (
        client.post(
            page(box, "/lock"), {"mode": "GOVERNANCE", "number": "1", "unit": "days", "begin": "on"}
        ).status_code
        == 422
    )
    assert client.get(page(box, "/object/lock", name="a")).status_code == 404
    assert document("lock") is None
