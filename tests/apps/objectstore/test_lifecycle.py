"""What becomes of objects with time: rules in documents, and what is done by them each day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apps.core.errors import Unavailable
from apps.objectstore import services
from apps.objectstore.models import Blob, Bucket, Container, Object, Tending, Upload, Version
from apps.objectstore.selectors import container_totals
from apps.objectstore.selectors.lifecycle import after_days
from apps.objectstore.services import lifecycle
from apps.objectstore.services.objects import New
from apps.objectstore.states import Versioning
from tests.apps.objectstore.conftest import SYSTEM
from tests.kit.s3 import code_of, plain

DAY = timedelta(days=1)


def document(*rules):
    return (
        f"<LifecycleConfiguration>{''.join(f'<Rule>{rule}</Rule>' for rule in rules)}</LifecycleConfiguration>".encode()
    )


def rule(does, about="<Filter/>", status="Enabled", ident="r"):
    return f"<ID>{ident}</ID>{about}<Status>{status}</Status>{does}"


def days(number):
    return f"<Expiration><Days>{number}</Days></Expiration>"


def noncurrent(number, newer=""):
    newer = f"<NewerNoncurrentVersions>{newer}</NewerNoncurrentVersions>" if newer else ""
    return (
        f"<NoncurrentVersionExpiration><NoncurrentDays>{number}</NoncurrentDays>{newer}</NoncurrentVersionExpiration>"
    )


MARKERS = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
ABORT = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
TAG = "<Tag><Key>a</Key><Value>1</Value></Tag>"


@pytest.fixture
def keep(alice_s3, bucket):
    def put(*rules):
        answer = alice_s3("PUT", "/photos?lifecycle", document(*rules))
        assert answer.status_code == 200, answer.content

    return put


def tend(after):
    """Go through all rules as on that day; the totals stay what the rows say."""
    now = datetime.now(UTC) + after
    while services.lifecycle_step(SYSTEM, now=now):
        pass
    place = Container.objects.get(name="photos")
    rows = [*Object.objects.filter(container_id=place.pk), *Version.objects.filter(container_id=place.pk)]
    totals = container_totals(place.pk)
    assert (totals.objects, totals.bytes) == (Object.objects.count(), sum(row.held for row in rows))
    used = {row.blob_id for row in rows if row.blob_id}
    assert set(Blob.objects.filter(unused_since=None).values_list("pk", flat=True)) == used


def names():
    return sorted(Object.objects.values_list("name", flat=True))


def test_days_end_at_midnight():
    at = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
    assert after_days(at, 1) == datetime(2026, 3, 3, tzinfo=UTC)
    assert after_days(datetime(2026, 3, 1, tzinfo=UTC), 1) == datetime(2026, 3, 2, tzinfo=UTC)


ABOUT = [
    ("<Filter/>", {"logs/a", "logs/b", "big", "tagged"}),
    ("<Prefix>logs/</Prefix>", {"logs/a", "logs/b"}),
    ("<Filter><Prefix>logs/a</Prefix></Filter>", {"logs/a"}),
    (f"<Filter>{TAG}</Filter>", {"tagged", "logs/b"}),
    (f"<Filter><And><Prefix>logs/</Prefix>{TAG}</And></Filter>", {"logs/b"}),
    ("<Filter><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></Filter>", {"big"}),
    ("<Filter><ObjectSizeLessThan>6</ObjectSizeLessThan></Filter>", {"logs/a", "logs/b", "tagged"}),
    (f"<Filter><And>{TAG}<Tag><Key>b</Key><Value>2</Value></Tag></And></Filter>", {"tagged"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("about", "gone"), ABOUT)
def test_what_a_rule_is_about_goes_when_its_time_is_over(alice_s3, keep, about, gone):
    for name, tags in (("logs/a", ""), ("logs/b", "a=1"), ("big", "a=2"), ("tagged", "a=1&b=2")):
        alice_s3("PUT", f"/photos/{name}", b"123456" if name == "big" else b"1", x_amz_tagging=tags)
    keep(rule(days(3), about))
    tend(3 * DAY - timedelta(hours=1))
    assert len(names()) == 4
    tend(5 * DAY)
    assert set(names()) == {"logs/a", "logs/b", "big", "tagged"} - gone


def test_a_rule_that_is_off_does_nothing_and_a_date_ends_all(alice_s3, keep):
    alice_s3("PUT", "/photos/a", b"1")
    keep(rule(days(1), status="Disabled"))
    tend(9 * DAY)
    assert names() == ["a"]
    keep(rule("<Expiration><Date>2020-01-01T00:00:00Z</Date></Expiration>"))
    tend(10 * DAY)
    assert names() == []


def test_each_day_has_one_round_in_batches_that_can_be_left_off(alice_s3, keep, monkeypatch):
    monkeypatch.setattr(lifecycle, "BATCH", 2)
    for name in "abcde":
        alice_s3("PUT", f"/photos/{name}", b"1")
    keep(rule(days(1), "<Filter><Prefix></Prefix></Filter>"))
    later = datetime.now(UTC) + 3 * DAY
    assert services.lifecycle_step(SYSTEM, now=later)
    assert (names(), Tending.objects.get().reached) == (["c", "d", "e"], "b")
    tend(3 * DAY)
    assert names() == []
    alice_s3("PUT", "/photos/a", b"1")
    Object.objects.update(created_at=datetime.now(UTC) - 9 * DAY)
    assert not services.lifecycle_step(SYSTEM, now=later)
    tend(4 * DAY)
    assert names() == []


def test_without_rules_nothing_is_looked_at(alice_s3, keep):
    assert not services.lifecycle_step(SYSTEM)
    keep(rule(days(1)))
    assert services.lifecycle_step(SYSTEM)
    assert alice_s3("DELETE", "/photos?lifecycle").status_code == 204
    assert not services.lifecycle_step(SYSTEM)


def version(alice_s3, *bodies, name="a"):
    Container.objects.update(versioning=Versioning.ENABLED)
    for body in bodies:
        alice_s3("PUT", f"/photos/{name}", body)


def test_a_current_version_becomes_a_version_behind_a_marker(alice_s3, keep):
    version(alice_s3, b"1", b"22")
    keep(rule(days(1)))
    tend(3 * DAY)
    assert names() == []
    assert list(Version.objects.order_by("created_at").values_list("bytes", "is_marker")) == [
        (1, False),
        (2, False),
        (0, True),
    ]


def test_versions_go_so_long_after_they_were_replaced(alice_s3, keep):
    version(alice_s3, b"1", b"22", b"333")
    first, second = Version.objects.order_by("created_at")
    past = datetime.now(UTC) - 10 * DAY
    Version.objects.filter(version_id=second.version_id).update(created_at=past)
    Version.objects.filter(version_id=first.version_id).update(created_at=past - DAY)
    keep(rule(noncurrent(5)))
    tend(timedelta(0))
    assert list(Version.objects.values_list("bytes", flat=True)) == [2]  # it is not current since just now
    tend(7 * DAY)
    assert (Version.objects.count(), names()) == (0, ["a"])


def test_some_versions_can_be_kept_whatever_their_age(alice_s3, keep):
    version(alice_s3, b"1", b"22", b"333", b"4444")
    keep(rule(noncurrent(1, newer=2)))
    tend(9 * DAY)
    assert sorted(Version.objects.values_list("bytes", flat=True)) == [2, 3]


def test_a_marker_behind_which_nothing_is_left_goes(alice_s3, keep):
    version(alice_s3, b"1")
    alice_s3("DELETE", "/photos/a")
    version(alice_s3, b"1", name="b")
    alice_s3("DELETE", "/photos/b")
    Version.objects.filter(name="a", is_marker=False).delete()
    Container.objects.update(base_bytes=0)
    keep(rule(MARKERS))
    now = datetime.now(UTC) + DAY
    while services.lifecycle_step(SYSTEM, now=now):
        pass
    assert list(Version.objects.order_by("created_at").values_list("name", "is_marker")) == [("b", False), ("b", True)]
    keep(rule(MARKERS), rule(noncurrent(1), ident="s"))
    while services.lifecycle_step(SYSTEM, now=now + 5 * DAY):
        pass
    assert not Version.objects.exists()


def test_what_is_locked_stays(alice_s3, keep):
    version(alice_s3, b"1", b"22")
    Version.objects.update(legal_hold=True)
    keep(rule(noncurrent(1)))
    tend(9 * DAY)
    assert Version.objects.count() == 1
    Version.objects.update(legal_hold=False)
    tend(10 * DAY)
    assert Version.objects.count() == 0


def test_one_that_fails_stops_no_other(alice_s3, keep, monkeypatch, caplog):
    for name in "abc":
        alice_s3("PUT", f"/photos/{name}", b"1")
    keep(rule(days(1)))
    expire = lifecycle.history.expire

    def failing(place, name, **more):
        if name == "b":
            raise Unavailable("not now")
        return expire(place, name, **more)

    monkeypatch.setattr(lifecycle.history, "expire", failing)
    tend(3 * DAY)
    assert names() == ["b"]
    assert "could not be kept to" in caplog.text
    monkeypatch.undo()
    tend(4 * DAY)
    assert names() == []


def test_uploads_that_are_not_completed_go(alice_s3, bucket, keep):
    row = Container.objects.get()
    for name in ("in/a", "out/b"):
        services.upload_create(SYSTEM, account=row.account_id, container=row.name, name=name, new=New())
    keep(rule(ABORT, "<Filter><Prefix>in/</Prefix></Filter>"))
    tend(timedelta(0))
    assert Upload.objects.count() == 2
    tend(4 * DAY)
    assert list(Upload.objects.values_list("name", flat=True)) == ["out/b"]


def test_an_answer_says_when_the_time_is_over(alice_s3, keep):
    keep(rule(days(9), ident="late"), rule(days(2), "<Filter><Prefix>a</Prefix></Filter>", ident="a b"))
    made = alice_s3("PUT", "/photos/a", b"1")
    end = after_days(Object.objects.get().created_at, 2)
    said = f'expiry-date="{end:%a, %d %b %Y 00:00:00 GMT}", rule-id="a%20b"'
    assert made["x-amz-expiration"] == alice_s3("HEAD", "/photos/a")["x-amz-expiration"] == said
    assert 'rule-id="late"' in alice_s3("PUT", "/photos/b", b"1")["x-amz-expiration"]


def test_a_document_comes_back_as_it_was(alice_s3, keep):
    tags = f"{TAG}<Tag><Key>b</Key><Value>2</Value></Tag>"
    both = f"<Filter><And><Prefix>x</Prefix>{tags}<ObjectSizeLessThan>9</ObjectSizeLessThan></And></Filter>"
    rules = [
        rule(days(3) + noncurrent(4, 5), both, ident="1"),
        rule(MARKERS + ABORT, "<Prefix>logs/</Prefix>", ident="2"),
        rule(
            "<Expiration><Date>2030-01-01T00:00:00.000Z</Date></Expiration>",
            "<Filter><Prefix>y</Prefix></Filter>",
            ident="3",
        ),
    ]
    keep(*rules)
    shown = alice_s3.xml("GET", "/photos?lifecycle")
    assert [(e.tag, e.text) for e in shown.iter()] == [(e.tag, e.text) for e in plain(document(*rules)).iter()]


BAD = [
    ("", "MalformedXML"),
    (rule(""), "InvalidRequest"),
    (rule(days(0)), "InvalidArgument"),
    (rule(days("x")), "InvalidArgument"),
    (rule(days(99999)), "InvalidArgument"),
    (rule(days(1), status="On"), "MalformedXML"),
    (rule(days(1), ""), "MalformedXML"),
    (rule(days(1), "<Filter/><Prefix>a</Prefix>"), "MalformedXML"),
    (rule(days(1), f"<Filter><Prefix>a</Prefix>{TAG}</Filter>"), "MalformedXML"),
    (rule(days(1), "<Filter><And><Prefix>a</Prefix></And></Filter>"), "MalformedXML"),
    (rule(days(1) + "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>"), "NotImplemented"),
    (rule("<Expiration><Date>2030-01-01T01:00:00Z</Date></Expiration>"), "InvalidArgument"),
    (rule("<Expiration><Date>soon</Date></Expiration>"), "MalformedXML"),
    (rule("<Expiration><Days>1</Days><Date>2030-01-01T00:00:00Z</Date></Expiration>"), "MalformedXML"),
    (rule(ABORT, f"<Filter>{TAG}</Filter>"), "InvalidRequest"),
    (rule(MARKERS, f"<Filter>{TAG}</Filter>"), "InvalidRequest"),
    (rule(noncurrent(1, 101)), "InvalidArgument"),
    (f"{rule(days(1))}</Rule><Rule>{rule(days(2))}", "InvalidArgument"),
    (rule(days(1) + "<Other/>"), "MalformedXML"),
]


@pytest.mark.parametrize(("inner", "code"), BAD, ids=lambda v: str(v)[-50:])
def test_a_rule_that_would_not_be_kept_to_is_refused(alice_s3, bucket, inner, code):
    assert code_of(alice_s3("PUT", "/photos?lifecycle", document(inner))) == code
    assert Bucket.objects.get(pk="photos").documents == {}
