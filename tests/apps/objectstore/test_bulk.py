"""Many deletes and whole archives in one request."""

from __future__ import annotations

import io
import tarfile
import tracemalloc

import pytest

from apps.objectstore.api.swift.base import utf8
from apps.objectstore.models import Blob, Container
from tests.apps.objectstore.conftest import Swift
from tests.kit.http import context

JSON = "application/json"


def archive(members: dict[str, bytes], mode: str = "w") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as tar:  # type: ignore[call-overload]
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        link = tarfile.TarInfo("box/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        folder = tarfile.TarInfo("empty/")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    return made.getvalue()


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_names_of_objects_and_containers_are_deleted(alice, box, method):
    alice.put("/box/a b", b"1")
    alice.put("/box/日", b"1")
    alice.put("/full")
    alice.put("/full/x")
    body = b"box/a%20b\n/box/%E6%97%A5\nbox/none\nfull\n\nbox\n%FF\n"
    answer = alice(method, "?bulk-delete", body, Accept=JSON)
    report = answer.json()
    assert (answer.status_code, report["Number Deleted"], report["Number Not Found"]) == (200, 3, 1)
    assert report["Errors"] == [["full", "409 Conflict"], ["%FF", "412 Precondition Failed"]]
    assert report["Response Status"] == "400 Bad Request"
    assert alice.names("") == ["full"]


def test_the_report_as_text(alice, box):
    text = alice("POST", "?bulk-delete", b"box").content.decode()
    assert text == "Number Deleted: 1\nNumber Not Found: 0\nResponse Body: \nResponse Status: 200 OK\nErrors:\n"


def test_the_report_as_xml_and_as_nothing(alice, box):
    alice.put("/full")
    alice.put("/full/x")
    answer = alice("POST", "?bulk-delete", b"full\nbox", Accept="image/png")
    assert answer.status_code == 406
    assert alice.names("") == ["box", "full"]
    answer = alice("POST", "?bulk-delete", b"full\nbox\n%3C", Accept="application/xml")
    assert answer["Content-Type"].startswith("application/xml")
    text = answer.content.decode()
    assert text == (
        "<delete>\n<number_deleted>1</number_deleted>\n<number_not_found>1</number_not_found>\n"
        "<response_body></response_body>\n<response_status>400 Bad Request</response_status>\n"
        "<errors>\n<object><name>full</name><status>409 Conflict</status></object>\n</errors>\n</delete>\n"
    )


def test_what_may_not_be_deleted_stays(alice, box):
    alice.put("/box/a", b"1")
    bob = Swift(context("bob"), "alice")
    report = bob("POST", "?bulk-delete", b"box/a\nbox\n", Accept=JSON).json()
    assert (report["Number Deleted"], report["Response Status"]) == (0, "403 Forbidden")
    assert alice.bytes("/box/a") == b"1"


def test_deletes_have_a_limit(alice, box):
    assert alice("POST", "?bulk-delete", b"box\n" * 1001).status_code == 413
    assert alice("POST", "?bulk-delete", b"", Accept=JSON).json()["Response Status"] == "400 Bad Request"
    assert alice.names("") == ["box"]


def test_attributes_of_files_describe_the_objects(alice, box):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, pax in {
            "a.css": {},
            "b": {"SCHILY.xattr.user.mime_type": "text/own", "SCHILY.xattr.user.meta.wort": "日"},
            "c": {"LIBARCHIVE.xattr.user.meta.color": "blue", "SCHILY.xattr.user.meta.a\nb": "1", "comment": "x"},
            "d": {"SCHILY.xattr.user.meta.long": "x" * 257},
        }.items():
            info = tarfile.TarInfo(name)
            info.pax_headers = pax
            tar.addfile(info, io.BytesIO())
    report = alice.put("/box?extract-archive=tar", made.getvalue(), Accept=JSON).json()
    assert (report["Number Files Created"], report["Errors"]) == (3, [["d", "400 Bad Request"]])
    assert alice("HEAD", "/box/a.css")["Content-Type"] == "text/css"
    head = alice("HEAD", "/box/b")
    assert (head["Content-Type"], utf8(head["X-Object-Meta-Wort"], "")) == ("text/own", "日")
    head = alice("HEAD", "/box/c")
    assert {n for n in head.headers if n.startswith("X-Object-Meta-")} == {"X-Object-Meta-Color"}


@pytest.mark.parametrize(("form", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tar.bz2", "w:bz2")])
def test_an_archive_becomes_objects(alice, form, mode):
    body = archive({"box/a": b"1", "./box/d/b": b"22", "other/c": b"333", "top": b"x"}, mode)
    report = alice.put(f"?extract-archive={form}", body, Accept=JSON).json()
    assert report["Number Files Created"] == 3
    assert report["Errors"] == [["top", "400 Bad Request"]]
    assert alice.names("") == ["box", "other"]
    assert alice.names("/box") == ["a", "d/b"]
    assert alice.bytes("/other/c") == b"333"


def test_an_archive_goes_below_a_prefix_and_never_above(alice, box):
    report = alice.put("/box/pre?extract-archive=tar", archive({"../../up": b"1", "/abs": b"2"}), Accept=JSON).json()
    assert (report["Number Files Created"], report["Response Status"]) == (2, "201 Created")
    assert alice.names("/box") == ["pre/../../up", "pre/abs"]
    assert Container.objects.count() == 1


def test_what_is_no_archive_is_refused(alice, box):
    assert alice.put("/box?extract-archive=zip", b"x").status_code == 400
    for body in (b"nonsense" * 100, archive({"a": bytes(5000)})[:2000]):
        report = alice.put("/box?extract-archive=tar", body, Accept=JSON).json()
        assert report["Response Status"] == "400 Bad Request"
    assert alice.names("/box") == []
    assert not Blob.objects.exists()


def described(kind: bytes, size: int, mode: str = "w:gz") -> bytes:
    """An archive whose only member is of a kind and so long: zeros, which compress well."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode, format=tarfile.GNU_FORMAT) as tar:  # type: ignore[call-overload]
        info = tarfile.TarInfo("box/a")
        info.type, info.size = kind, size
        tar.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))
        tar.fileobj.write(bytes(min(size, 2**22)))
    return made.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        described(tarfile.XHDTYPE, 2**40),
        described(tarfile.GNUTYPE_LONGNAME, 2**33),
        described(tarfile.GNUTYPE_SPARSE, 1024),
        described(tarfile.REGTYPE, 2**40),
        b"\x1f\x8b" + bytes(100),
    ],
    ids=["description", "long name", "sparse", "growing", "broken"],
)
def test_an_archive_that_is_a_bomb_leaves_nothing(alice, box, body):
    tracemalloc.start()
    report = alice.put("?extract-archive=tar.gz", body, Accept=JSON).json()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report["Response Status"] == "400 Bad Request"
    assert report["Number Files Created"] == 0
    assert peak < 32 * 2**20
    assert alice.names("/box") == []
    assert not Blob.objects.exists()


def headed(*descriptions: tuple[bytes, bytes]) -> bytes:
    """An archive of one file that these members, of a kind each, describe."""
    made = io.BytesIO()
    for kind, said in descriptions:
        info = tarfile.TarInfo("described")
        info.type, info.size = kind, len(said)
        made.write(info.tobuf(tarfile.USTAR_FORMAT) + said + bytes(-len(said) % 512))
    info = tarfile.TarInfo("box/a")
    info.size = 3
    made.write(info.tobuf(tarfile.USTAR_FORMAT) + b"abc" + bytes(509 + 1024))
    return made.getvalue()


def record(key: str, value: str) -> bytes:
    """A record of a description, which tells its own length."""
    rest = f" {key}={value}\n".encode()
    length = len(rest) + len(str(len(rest)))
    return str(length + (len(str(length)) + len(rest) - length)).encode() + rest


LONG = record("x", "1" * 2**19)


@pytest.mark.parametrize(
    "descriptions",
    [
        [(tarfile.XHDTYPE, b"1" * 2**19)],
        [(tarfile.XHDTYPE, record("a", "b")[:-1])],
        [(tarfile.XHDTYPE, b"99 a=b\n")],
        [(tarfile.XHDTYPE, b"0 a=b\n")],
        [(tarfile.XHDTYPE, record("GNU.sparse.major", "1"))],
        [(tarfile.XHDTYPE, LONG)] * 3,
        [(tarfile.XGLTYPE, record(f"k{n}", "v")) for n in range(2000)],
        [(tarfile.GNUTYPE_LONGNAME, b"box/b\0")] * 2000,
        [(tarfile.XHDTYPE, record("size", "-100"))],
    ],
    ids=["digits", "cut off", "too long", "no length", "sparse", "large", "global", "names", "negative"],
)
def test_descriptions_that_cost_are_refused(alice, box, descriptions):
    report = alice.put("?extract-archive=tar", headed(*descriptions), Accept=JSON).json()
    assert (report["Response Status"], report["Number Files Created"]) == ("400 Bad Request", 0)
    assert alice.names("/box") == []


def test_descriptions_for_all_members_have_a_bound_together(alice, box):
    one = headed((tarfile.XGLTYPE, LONG))[: -(512 + 1024)]  # without the file's bytes and the end
    report = alice.put("?extract-archive=tar", (one + b"abc" + bytes(509)) * 3, Accept=JSON).json()
    assert (report["Response Status"], report["Number Files Created"]) == ("400 Bad Request", 1)


def test_descriptions_are_obeyed(alice, box):
    said = record("path", "box/日 本") + record("SCHILY.xattr.user.meta.color", "blue") + record("size", "3") + LONG
    body = headed((tarfile.XGLTYPE, record("SCHILY.xattr.user.mime_type", "text/x-all")), (tarfile.XHDTYPE, said))
    assert alice.put("?extract-archive=tar", body, Accept=JSON).json()["Number Files Created"] == 1
    head = alice("HEAD", "/box/日 本")
    assert (head["X-Object-Meta-Color"], head["Content-Type"]) == ("blue", "text/x-all")
    assert alice.bytes("/box/日 本") == b"abc"


def test_an_archive_whose_files_all_fail_is_given_up(alice, box):
    body = archive({f"top{n}": b"" for n in range(1100)})
    report = alice.put("?extract-archive=tar", body, Accept=JSON).json()
    assert len(report["Errors"]) == 1000
    assert report["Response Body"] == "Invalid Tar File: too many files failed"
    assert alice.names("") == ["box"]


def test_an_archive_of_somebody_else_is_refused(alice, box):
    bob = Swift(context("bob"), "alice")
    report = bob.put("/box?extract-archive=tar", archive({"a": b"1"}), Accept=JSON).json()
    assert report["Response Status"] == "403 Forbidden"
    assert alice.names("/box") == []
