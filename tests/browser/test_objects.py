"""Files from and to the browser: uploads with progress that go on after a break, links, versions, access keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.core.context import RequestContext
from apps.objectstore import services
from apps.objectstore.models import Bucket, Container, Object, Upload, UploadPart
from apps.objectstore.states import Versioning
from tests.apps.dashboard.conftest import Town, people, town
from tests.apps.objectstore.conftest import disks
from tests.browser.conftest import Visitor

__all__ = ["disks", "people", "town"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Visit = Callable[..., Visitor]
MIB = 2**20


@pytest.fixture
def at_box(town: Town, disks: list[Path], live_server: Any, visit: Visit) -> Iterator[tuple[Visitor, Container]]:
    """Somebody who looks into an empty container, and at the end a console that complained of nothing."""
    services.container_put(town.ctx, account=town.ctx.project_id, container="box", changes={})
    box = Container.objects.get(name="box")
    visitor = visit(live_server.url)
    visitor.sign_in()
    visitor.go(f"/p/demo/objects/{box.pk}")
    yield visitor, box
    assert visitor.complaints == []


def chosen(name: str, body: bytes, kind: str = "text/plain") -> dict[str, Any]:
    return {"name": name, "mimeType": kind, "buffer": body}


def test_files_are_sent_and_the_list_follows(at_box: tuple[Visitor, Container]) -> None:
    visitor, _box = at_box
    page = visitor.page
    page.set_input_files("#choose-files", [chosen("a.txt", b"first"), chosen("日本.txt", b"second" * 1000)])
    page.wait_for_selector("#list a.name >> text=日本.txt")
    page.wait_for_selector("#transfers-sum >> text=2 / 2")
    assert {(o.name, o.bytes, o.content_type) for o in Object.objects.all()} == {
        ("a.txt", 5, "text/plain"),
        ("日本.txt", 6000, "text/plain"),
    }


def test_a_file_of_a_name_that_is_there_is_replaced_only_when_asked(at_box: tuple[Visitor, Container]) -> None:
    visitor, _box = at_box
    page = visitor.page
    page.set_input_files("#choose-files", [chosen("a.txt", b"first")])
    page.wait_for_selector("#list a.name >> text=a.txt")
    page.set_input_files("#choose-files", [chosen("a.txt", b"second one")])
    page.wait_for_selector(".transfer >> text=There is an object of this name.")
    assert Object.objects.get().bytes == 5
    page.click(".transfer [data-do=replace]:visible")
    page.wait_for_selector("#transfers-sum >> text=2 / 2")
    assert Object.objects.get().bytes == 10
    visitor.complaints[:] = [said for said in visitor.complaints if "412" not in said]


def test_a_dropped_file_is_sent_into_the_folder_that_is_open(at_box: tuple[Visitor, Container]) -> None:
    visitor, box = at_box
    page = visitor.page
    visitor.go(f"/p/demo/objects/{box.pk}?folder=deep/er/")
    page.evaluate(
        """() => {
            const carried = new DataTransfer();
            carried.items.add(new File(["dropped"], "d.txt", { type: "text/plain" }));
            for (const kind of ["dragenter", "dragover", "drop"])
                window.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
        }"""
    )
    page.wait_for_selector("#list a.name >> text=d.txt")
    assert Object.objects.get().name == "deep/er/d.txt"


def test_a_large_file_goes_on_where_it_stopped_after_the_page_was_closed(
    at_box: tuple[Visitor, Container], tmp_path: Path
) -> None:
    visitor, box = at_box
    page = visitor.page
    file = tmp_path / "big.iso"
    file.write_bytes(bytes(range(256)) * (17 * MIB // 256))
    page.route(re.compile(r"/uploads/[0-9a-f-]+/3"), lambda route: route.abort())
    page.set_input_files("#choose-files", str(file))
    page.wait_for_function("() => document.querySelector('.transfer .word').textContent.includes('trying again')")
    assert UploadPart.objects.count() == 2
    page.unroute(re.compile(r"/uploads/[0-9a-f-]+/3"))
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.wait_for_selector("#unfinished >> text=big.iso")
    assert "16.0 MiB" in page.inner_text("#unfinished")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    page.set_input_files("#choose-files", str(file))
    page.wait_for_selector("#list a.name >> text=big.iso")
    assert [url.partition("?")[0][-2:] for url in sent] == ["/3"]
    found = Object.objects.get()
    assert (found.name, found.bytes, len(found.parts or ())) == ("big.iso", 17 * MIB, 3)
    assert not Upload.objects.exists()
    read = b"".join(services.content_pieces(services.content_of(reader(box), found), 0, found.bytes))
    assert read == file.read_bytes()
    visitor.complaints[:] = [said for said in visitor.complaints if "ERR_FAILED" not in said]


def reader(box: Container) -> services.Reader:
    return services.Reader(RequestContext(is_system=True), box.account_id)


def test_a_transfer_is_cancelled_and_leaves_nothing(at_box: tuple[Visitor, Container]) -> None:
    visitor, _box = at_box
    page = visitor.page
    page.route(re.compile(r"/file\?"), lambda route: None)  # never answered
    page.set_input_files("#choose-files", [chosen("a.txt", b"first")])
    page.click(".transfer [data-do=cancel]")
    page.wait_for_selector(".transfer >> text=Stopped")
    assert not Object.objects.exists()
    page.unroute(re.compile(r"/file\?"))
    page.click(".transfer [data-do=again]")
    page.wait_for_selector("#list a.name >> text=a.txt")


def test_a_link_is_made_copied_and_opened_by_a_stranger(
    at_box: tuple[Visitor, Container], visit: Visit, live_server: Any
) -> None:
    visitor, box = at_box
    page = visitor.page
    page.set_input_files("#choose-files", [chosen("a.txt", b"for you")])
    page.click("#list a.name >> text=a.txt")
    page.click("text=Share a link")
    page.click("button.primary")
    link = page.inner_text("#link")
    path = link[link.index("/object-store/") :]
    stranger = visit(live_server.url)
    assert stranger.page.request.get(live_server.url + path).text() == "for you"
    visitor.go(f"/p/demo/objects/{box.pk}/settings")
    page.click("text=End all links")
    page.wait_for_selector("text=No link that was given out before works any more.")
    assert stranger.page.request.get(live_server.url + path).status == 401


def test_several_are_deleted_at_once_after_a_look_at_what_goes(at_box: tuple[Visitor, Container]) -> None:
    visitor, _box = at_box
    page = visitor.page
    page.set_input_files("#choose-files", [chosen("a.txt", b"1"), chosen("b.txt", b"2"), chosen("c.txt", b"3")])
    page.wait_for_selector("#list a.name >> text=c.txt")
    page.check("input[name=id][value='a.txt']")
    page.check("input[name=id][value='c.txt']")
    page.click("#bulk button:has-text('Delete')")
    page.wait_for_selector("#modal[open] >> text=c.txt")
    page.click("#modal button.danger")
    page.wait_for_selector("#list >> text=c.txt", state="detached")
    assert set(Object.objects.values_list("name", flat=True)) == {"b.txt"}


def test_an_earlier_version_is_brought_back(at_box: tuple[Visitor, Container], town: Town) -> None:
    visitor, box = at_box
    page = visitor.page
    account = town.ctx.project_id
    services.container_versioning(town.ctx, account=account, container="box", versioning=Versioning.ENABLED)
    page.set_input_files("#choose-files", [chosen("a.txt", b"good")])
    page.wait_for_selector("#transfers-sum >> text=1 / 1")
    services.object_delete(town.ctx, account=account, container="box", name="a.txt")
    visitor.go(f"/p/demo/objects/{box.pk}/versions")
    earlier = page.locator("#list tr", has=page.locator(".state.idle"))
    earlier.locator("summary").click()
    earlier.locator("button:has-text('Bring back')").click()
    page.wait_for_selector("#list .state.ok >> text=Current")
    assert Object.objects.get().bytes == 4


@pytest.mark.parametrize(
    ("width", "locale", "dark"), [(360, "ja-JP", True), (360, "en-US", False), (800, "en-US", True)]
)
def test_pages_of_a_container_fit_their_window(
    town: Town, disks: list[Path], live_server: Any, visit: Visit, width: int, locale: str, dark: bool
) -> None:
    account, long = town.ctx.project_id, "a-name-that-is-much-longer-than-anybody-would-choose-" * 3
    acl = ".r:*,.rlistings,a-project-that-has-a-long-name-too:*"
    services.container_put(town.ctx, account=account, container=long, changes={}, read_acl=acl)
    services.container_versioning(town.ctx, account=account, container=long, versioning=Versioning.ENABLED)
    place = {"account": account, "container": long, "name": long}
    for body in (b"first", b"second"):
        services.object_put(town.ctx, **place, source=BytesIO(body), size=len(body), new=services.New("text/plain"))
    row = Container.objects.get(name=long)
    visitor = visit(live_server.url, width=width, locale=locale, dark=dark)
    visitor.sign_in()
    paths = ["", "/create", f"/{row.pk}", f"/{row.pk}/versions", f"/{row.pk}/access", f"/{row.pk}/settings"]
    paths += [f"/{row.pk}/object{part}?name={long}" for part in ("", "/edit", "/copy", "/share")]
    paths += [f"/{row.pk}/site", *documented(town, long)]
    for path in paths:
        visitor.go(f"/p/demo/objects{path}")
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    assert visitor.complaints == []


def documented(town: Town, long: str) -> list[str]:
    """The editors of a bucket that has of everything something long."""
    account, bucket = town.ctx.project_id, f"bucket-{'long' * 14}"
    services.bucket_create(town.ctx, account=account, name=bucket, lock_enabled=True)
    rule = {"id": long, "on": True, "old": False, "prefix": f"{long}/", "tags": {"k" * 60: long}, "days": 3, "newer": 2}
    sites = {"id": "", "origins": [f"https://{long}.example"], "methods": ["GET"], "headers": [long], "exposed": []}
    documents: dict[str, Any] = {
        "lifecycle": {"rules": [rule | {"noncurrent_days": 4}]},
        "cors": {"rules": [sites | {"age": 5}]},
        "tags": {"k" * 60: long},
        "lock": {"mode": "COMPLIANCE", "days": 4, "years": 0},
        "acl": {"grants": [{"grantee": f"project:{'p' * 60}", "permission": "FULL_CONTROL"}]},
    }
    for kind, document in documents.items():
        services.bucket_document_put(town.ctx, bucket=bucket, kind=kind, document=document)
    new = services.New("text/plain", tags=documents["tags"], acl=documents["acl"], legal_hold=True)
    place: dict[str, Any] = {"account": account, "container": bucket, "name": long}
    services.object_put(town.ctx, **place, source=BytesIO(b"body"), size=4, new=new)
    row = Container.objects.get(name=bucket)
    editors = [
        f"/{row.pk}/{name}" for name in ("lifecycle?rule=0", "cors", "tags", "lock", "grants", "settings", "access")
    ]
    return editors + [f"/{row.pk}/object{name}?name={long}" for name in ("", "/tags", "/lock", "/grants")]


def test_a_rule_is_looked_at_kept_switched_off_removed_and_put_back(at_box: tuple[Visitor, Container]) -> None:
    visitor, box = at_box
    page = visitor.page
    page.set_input_files("#choose-files", [chosen("a.txt", b"old"), chosen("b.txt", b"new")])
    page.wait_for_selector("#transfers-sum >> text=2 / 2")
    Object.objects.filter(name="a.txt").update(created_at=timezone.now() - timedelta(days=40))
    visitor.go(f"/p/demo/objects/{box.pk}/settings")
    page.click(".besides:has-text('Lifecycle') a")
    page.fill("[name=days]", "0")
    page.click("button.primary")
    page.wait_for_selector(".field.has-error [name=days]")
    page.fill("[name=days]", "30")
    page.click("button.primary")
    page.wait_for_selector("text=Today it would remove: 1 object (3 B).")
    assert "lifecycle" not in documents_of(box)
    page.click("text=Yes, keep this rule")
    page.wait_for_selector(".rule >> text=removed 30 days after they were written")
    page.click(".rule [name=turn]")
    page.wait_for_selector(".rule .state.off")
    page.click(".rule [name=remove]")
    page.wait_for_selector("h2 >> text=Put the rule back")
    assert "lifecycle" not in documents_of(box)
    page.click("button.primary")
    page.wait_for_selector(".rule .state.off")
    (rule,) = documents_of(box)["lifecycle"]["rules"]
    assert (rule["days"], rule["on"]) == (30, False)
    visitor.complaints[:] = [said for said in visitor.complaints if "422" not in said]


def documents_of(box: Container) -> dict[str, Any]:
    return Bucket.objects.get(container=box).documents


def test_a_site_is_opened_at_its_address_and_an_object_tagged(at_box: tuple[Visitor, Container]) -> None:
    visitor, box = at_box
    page = visitor.page
    page.set_input_files("#choose-files", [chosen("index.html", b"<h1>My site</h1>", "text/html")])
    page.click("#list a.name >> text=index.html")
    page.click(".besides:has-text('Tags') a")
    page.fill("[name=tags]", "kind = page")
    page.click("button.primary")
    page.wait_for_selector(".besides .tag >> text=kind=page")
    visitor.go(f"/p/demo/objects/{box.pk}/access")
    page.check("[name=everybody][value=read]")
    page.click("button.primary")
    page.wait_for_selector(".notice.ok")
    visitor.go(f"/p/demo/objects/{box.pk}/site")
    page.check("[name=shown][value='yes']")
    page.click("button.primary")
    page.wait_for_selector(".notice.ok")
    address = page.get_attribute(".lines a", "href")
    assert address
    page.goto(visitor.base + address[address.index("/object-store/") :])
    assert page.inner_text("h1") == "My site"
    assert Object.objects.get().tags == {"kind": "page"}


def test_an_access_key_is_made_shown_and_revoked(at_box: tuple[Visitor, Container]) -> None:
    visitor, _box = at_box
    page = visitor.page
    visitor.go("/p/demo/profile/access-keys")
    page.click("text=Make an access key")
    page.wait_for_selector("#s-rclone")
    for program in ("aws", "boto3", "rclone"):
        assert page.inner_text(f"#s-{program}")
    page.click("text=Done")
    page.click("button:has-text('Delete')")
    page.wait_for_selector("text=No access keys in this project")
