"""Object lock: nothing that takes a version away passes by it, through no API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden
from apps.objectstore import services
from apps.objectstore.models import Bucket, Container, Object, Version
from apps.objectstore.selectors.bucket_policy import policy_document
from apps.objectstore.services.versions import object_purge
from apps.objectstore.states import Versioning
from tests.apps.objectstore.conftest import SYSTEM, Swift
from tests.kit.http import context
from tests.kit.s3 import S3, code_of, plain

GOVERNANCE, COMPLIANCE = "GOVERNANCE", "COMPLIANCE"
SOON, LATER, PAST = (datetime.now(UTC) + timedelta(days=days) for days in (1, 9, -1))
MANAGER = RequestContext(user_id="m", project_id="alice", roles=frozenset({"manager", "member", "reader"}))


@pytest.fixture
def vault(alice_s3):
    assert alice_s3("PUT", "/vault", x_amz_bucket_object_lock_enabled="true").status_code == 200
    return alice_s3


def lock(mode=GOVERNANCE, until=SOON, **more):
    return {"x_amz_object_lock_mode": mode, "x_amz_object_lock_retain_until_date": until.isoformat(), **more}


def retention(mode, until):
    inner = f"<Mode>{mode}</Mode><RetainUntilDate>{until.isoformat()}</RetainUntilDate>" if mode else ""
    return f"<Retention>{inner}</Retention>".encode()


def hold(status):
    return f"<LegalHold><Status>{status}</Status></LegalHold>".encode()


def removed(ctx=None, name="a", bypass=False):
    row = Object.objects.get(name=name)
    services.version_delete(
        ctx or context("alice"), account="alice", container="vault", name=name, version_id=row.version_id, bypass=bypass
    )


def test_a_bucket_with_lock_keeps_versions_for_ever(vault):
    assert Bucket.objects.get().lock_enabled
    assert Container.objects.get().versioning == Versioning.ENABLED
    with pytest.raises(Conflict):
        services.container_versioning(SYSTEM, account="alice", container="vault", versioning=Versioning.SUSPENDED)
    assert vault.xml("GET", "/vault?object-lock").findtext("ObjectLockEnabled") == "Enabled"


@pytest.mark.parametrize(
    "headers",
    [lock(), lock(COMPLIANCE), {"x_amz_object_lock_legal_hold": "ON"}],
    ids=["governance", "compliance", "hold"],
)
def test_a_locked_version_cannot_be_removed_in_any_way(vault, headers):
    assert vault("PUT", "/vault/a", b"kept", **headers).status_code == 200
    swift = Swift(context("alice"))
    kept = Object.objects.get()
    for ctx in (None, SYSTEM):
        with pytest.raises(Forbidden):
            removed(ctx)
    with pytest.raises(Forbidden):
        object_purge(Container.objects.get(), "a")
    with pytest.raises(Forbidden):
        services.container_reap(Container.objects.get())
    assert swift("DELETE", f"/vault/a?version-id={kept.version_id.hex}").status_code >= 400
    # Overwriting and deleting hide it, expiry too; it stays.
    assert vault("PUT", "/vault/a", b"other").status_code == 200
    assert vault("DELETE", "/vault/a").status_code == 204
    assert swift.put("/vault/b", b"1", X_Delete_After="1").status_code == 201
    found = Version.objects.get(version_id=kept.version_id)
    assert (found.blob_id, found.lock_mode, found.legal_hold) == (kept.blob_id, kept.lock_mode, kept.legal_hold)
    assert swift("DELETE", "/vault").status_code == 409
    assert code_of(vault("DELETE", "/vault")) in {"BucketNotEmpty", "OperationAborted"}


def test_what_is_locked_is_not_described_anew(vault):
    vault("PUT", "/vault/a", b"1", **lock())
    before = Object.objects.values().get()
    answer = Swift(context("alice"))("POST", "/vault/a", X_Object_Meta_B="2", X_Delete_After="5")
    assert answer.status_code == 403
    assert Object.objects.values().get() == before


def test_bytes_of_others_cannot_be_locked(vault):
    swift = Swift(context("alice"))
    swift.put("/parts")
    swift.put("/parts/1", b"1")
    manifest = b'[{"path": "/parts/1"}]'
    assert swift.put("/vault/static?multipart-manifest=put", manifest).status_code == 400
    assert swift.put("/vault/dynamic", X_Object_Manifest="parts/").status_code == 400
    assert swift.put("/vault/link", X_Symlink_Target="parts/1").status_code == 400
    assert Object.objects.get().name == "1"


def test_manifests_from_before_cannot_be_locked(vault):
    swift = Swift(context("alice"))
    swift.put("/vault/a", b"1")
    Object.objects.update(metadata={"X-Object-Manifest": "parts/"})
    assert vault("PUT", "/vault/a?legal-hold", hold("ON")).status_code == 400
    assert vault("PUT", "/vault/a?retention", retention(GOVERNANCE, SOON)).status_code == 400
    assert (Object.objects.get().legal_hold, Object.objects.get().retain_until) == (False, None)


def test_expiry_leaves_the_version(vault):
    swift = Swift(context("alice"))
    swift.put("/vault/a", b"1", X_Delete_After="60")
    Object.objects.update(lock_mode=COMPLIANCE, retain_until=LATER, delete_at=PAST)
    services.objects_expire(SYSTEM)
    assert not Object.objects.exists()
    assert Version.objects.get(is_marker=False).lock_mode == COMPLIANCE


def test_governance_is_passed_by_those_who_may_and_say_so(vault):
    vault("PUT", "/vault/a", b"1", **lock())
    for ctx, bypass in ((MANAGER, False), (None, True)):
        with pytest.raises(Forbidden):
            removed(ctx, bypass=bypass)
    removed(MANAGER, bypass=True)
    assert not Object.objects.exists()
    assert not Version.objects.exists()


def test_s3_passes_governance_by_a_header(vault):
    vault("PUT", "/vault/a", b"1", **lock())
    path = f"/vault/a?versionId={Object.objects.get().version_id}"
    delete = f"<Delete><Object><Key>a</Key><VersionId>{Object.objects.get().version_id}</VersionId></Object></Delete>"
    asks: dict[str, Any] = {"x_amz_bypass_governance_retention": "true"}
    for caller, headers in ((vault, {}), (vault, asks), (S3(MANAGER), {})):
        assert code_of(caller("DELETE", path, **headers)) == "AccessDenied"
        many = caller("POST", "/vault?delete", delete.encode(), **headers)
        named = f"<VersionId>{Object.objects.get().version_id.hex}</VersionId><Code>AccessDenied</Code>"
        assert named.encode() in many.content.replace(b"-", b"")
    assert Object.objects.count() == 1
    assert S3(MANAGER)("POST", "/vault?delete", delete.encode(), **asks).status_code == 200
    assert not Object.objects.exists()


def test_a_policy_can_let_others_pass(vault):
    vault("PUT", "/vault/a", b"1", **lock())
    text = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "arn:aws:s3:::vault/*", "Action": '
        '"s3:BypassGovernanceRetention", "Principal": {"AWS": "arn:aws:iam::alice:user/user-of-alice"}}]}'
    )
    Bucket.objects.update(documents={"policy": policy_document(text, "vault")})
    removed(bypass=True)
    assert not Object.objects.exists()


@pytest.mark.parametrize(
    "headers", [lock(COMPLIANCE), {"x_amz_object_lock_legal_hold": "ON"}], ids=["compliance", "hold"]
)
def test_compliance_and_holds_let_nobody_pass(vault, headers):
    vault("PUT", "/vault/a", b"1", **headers)
    for ctx in (MANAGER, SYSTEM):
        with pytest.raises(Forbidden):
            removed(ctx, bypass=True)
    assert Object.objects.get().name == "a"


def test_a_lock_that_is_over_protects_no_more(vault):
    vault("PUT", "/vault/a", b"1", **lock(COMPLIANCE))
    Object.objects.update(retain_until=PAST)
    removed()
    assert not Object.objects.exists()


CHANGES = [
    # (mode now, mode wanted, until wanted, as a manager who asks to pass, status)
    (GOVERNANCE, GOVERNANCE, LATER, False, 200),
    (GOVERNANCE, GOVERNANCE, SOON - timedelta(hours=1), False, 403),
    (GOVERNANCE, GOVERNANCE, SOON - timedelta(hours=1), True, 200),
    (GOVERNANCE, COMPLIANCE, LATER, False, 403),
    (GOVERNANCE, COMPLIANCE, LATER, True, 200),
    (GOVERNANCE, "", None, False, 403),
    (GOVERNANCE, "", None, True, 200),
    (COMPLIANCE, COMPLIANCE, LATER, False, 200),
    (COMPLIANCE, COMPLIANCE, SOON - timedelta(hours=1), True, 403),
    (COMPLIANCE, GOVERNANCE, LATER, True, 403),
    (COMPLIANCE, "", None, True, 403),
    ("", GOVERNANCE, SOON, False, 200),
    ("", GOVERNANCE, PAST, False, 400),
]


@pytest.mark.slow
@pytest.mark.parametrize(("now", "mode", "until", "passes", "status"), CHANGES)
def test_what_a_retention_can_become(vault, now, mode, until, passes, status):
    vault("PUT", "/vault/a", b"1", **(lock(now) if now else {}))
    before = Object.objects.values("lock_mode", "retain_until").get()
    caller = S3(MANAGER) if passes else vault
    headers: dict[str, Any] = {"x_amz_bypass_governance_retention": "true"} if passes else {}
    assert caller("PUT", "/vault/a?retention", retention(mode, until), **headers).status_code == status
    after = Object.objects.values("lock_mode", "retain_until").get()
    assert after == ({"lock_mode": mode, "retain_until": until} if status == 200 else before)


def test_holds_and_retentions_are_told(vault):
    vault("PUT", "/vault/a", b"1")
    assert vault.xml("GET", "/vault/a?legal-hold").findtext("Status") == "OFF"
    assert code_of(vault("GET", "/vault/a?retention")) == "NoSuchObjectLockConfiguration"
    assert vault("PUT", "/vault/a?legal-hold", hold("ON")).status_code == 200
    vault("PUT", "/vault/a?retention", retention(GOVERNANCE, SOON))
    head = vault("HEAD", "/vault/a")
    assert (head["x-amz-object-lock-mode"], head["x-amz-object-lock-legal-hold"]) == (GOVERNANCE, "ON")
    assert vault.xml("GET", "/vault/a?retention").findtext("Mode") == GOVERNANCE
    assert vault("PUT", "/vault/a?legal-hold", hold("OFF")).status_code == 200
    assert "x-amz-object-lock-legal-hold" not in vault("HEAD", "/vault/a")


def test_uploads_in_parts_say_it_when_they_begin(vault):
    begun = vault("POST", "/vault/a?uploads", **lock(COMPLIANCE), x_amz_tagging="a=1", x_amz_acl="authenticated-read")
    ident = plain(begun.content).findtext("UploadId")
    etag = vault("PUT", f"/vault/a?partNumber=1&uploadId={ident}", b"part")["ETag"]
    listed = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    whole = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    assert vault("POST", f"/vault/a?uploadId={ident}", whole).status_code == 200
    row = Object.objects.get()
    assert (row.lock_mode, row.retain_until, row.tags) == (COMPLIANCE, SOON, {"a": "1"})
    assert row.acl == {"grants": [{"grantee": "authenticated", "permission": "READ"}]}
    with pytest.raises(Forbidden):
        removed(SYSTEM, bypass=True)


def test_a_version_is_named_by_its_id(vault):
    vault("PUT", "/vault/a", b"1")
    old = Object.objects.get().version_id
    vault("PUT", "/vault/a", b"2")
    assert vault("PUT", f"/vault/a?legal-hold&versionId={old}", hold("ON")).status_code == 200
    assert (Version.objects.get().legal_hold, Object.objects.get().legal_hold) == (True, False)
    assert vault.xml("GET", f"/vault/a?legal-hold&versionId={old}").findtext("Status") == "ON"
    assert code_of(vault("GET", "/vault/a?legal-hold&versionId=nonsense")) == "InvalidArgument"
    assert code_of(vault("GET", f"/vault/a?legal-hold&versionId={'0' * 31}1")) == "NoSuchVersion"


def default(inner):
    rule = f"<Rule><DefaultRetention>{inner}</DefaultRetention></Rule>" if inner else ""
    inner = f"<ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}"
    return f"<ObjectLockConfiguration>{inner}</ObjectLockConfiguration>".encode()


@pytest.mark.parametrize(("period", "days"), [("<Days>3</Days>", 3), ("<Years>1</Years>", 365)])
def test_a_bucket_can_retain_all_that_is_put(vault, period, days):
    assert vault("PUT", "/vault?object-lock", default(f"<Mode>COMPLIANCE</Mode>{period}")).status_code == 200
    vault("PUT", "/vault/a", b"1")
    Swift(context("alice")).put("/vault/b", b"1")
    vault("PUT", "/vault/c", b"1", **lock())
    for name in ("a", "b"):
        row = Object.objects.get(name=name)
        assert (row.lock_mode, row.retain_until) == (COMPLIANCE, row.created_at + timedelta(days=days))
    assert Object.objects.get(name="c").lock_mode == GOVERNANCE
    with pytest.raises(Forbidden):
        removed(name="b")
    assert vault("PUT", "/vault?object-lock", default("")).status_code == 200
    vault("PUT", "/vault/d", b"1")
    assert Object.objects.get(name="d").retain_until is None


BAD = [
    ("<Mode>COMPLIANCE</Mode>", "MalformedXML"),
    ("<Mode>COMPLIANCE</Mode><Days>1</Days><Years>1</Years>", "MalformedXML"),
    ("<Mode>Mine</Mode><Days>1</Days>", "MalformedXML"),
    ("<Mode>COMPLIANCE</Mode><Days>0</Days>", "InvalidRetentionPeriod"),
    ("<Mode>COMPLIANCE</Mode><Years>101</Years>", "InvalidRetentionPeriod"),
    ("<Mode>COMPLIANCE</Mode><Years>-1</Years>", "InvalidRetentionPeriod"),
    ("<Mode>COMPLIANCE</Mode><Days>--1</Days>", "MalformedXML"),
    ("<Mode>COMPLIANCE</Mode><Days>1e3</Days>", "MalformedXML"),
]


@pytest.mark.parametrize(("inner", "code"), BAD)
def test_a_default_that_cannot_be_is_refused(vault, inner, code):
    assert code_of(vault("PUT", "/vault?object-lock", default(inner))) == code
    assert Bucket.objects.get().documents == {}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_amz_object_lock_mode": GOVERNANCE}, "InvalidArgument"),
        ({"x_amz_object_lock_retain_until_date": SOON.isoformat()}, "InvalidArgument"),
        (lock("Mine"), "InvalidArgument"),
        (lock(until=PAST), "InvalidArgument"),
        ({"x_amz_object_lock_mode": GOVERNANCE, "x_amz_object_lock_retain_until_date": "soon"}, "InvalidArgument"),
    ],
)
def test_a_lock_that_cannot_be_refuses_the_put(vault, headers, code):
    assert code_of(vault("PUT", "/vault/a", b"1", **headers)) == code
    assert not Object.objects.exists()


def test_without_object_lock_nothing_can_be_locked(alice_s3, bucket):
    alice_s3("PUT", "/photos/a", b"1")
    for name, body in (("retention", retention(GOVERNANCE, SOON)), ("legal-hold", hold("ON"))):
        assert code_of(alice_s3("PUT", f"/photos/a?{name}", body)) == "InvalidRequest"
        assert code_of(alice_s3("GET", f"/photos/a?{name}")) == "InvalidRequest"
    assert code_of(alice_s3("GET", "/photos?object-lock")) == "ObjectLockConfigurationNotFoundError"
    assert not Object.objects.get().legal_hold


def test_lock_can_begin_in_a_bucket_that_keeps_versions_and_never_ends(alice_s3, bucket):
    def versioning(status):
        body = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
        return alice_s3("PUT", "/photos?versioning", body.encode())

    alice_s3("PUT", "/photos/a", b"1")
    lasting = default("<Mode>COMPLIANCE</Mode><Days>1</Days>")
    for status in ("Enabled", "Suspended"):
        versioning(status)
    assert code_of(alice_s3("PUT", "/photos?object-lock", lasting)) == "InvalidBucketState"
    assert not Bucket.objects.get().lock_enabled
    versioning("Enabled")
    assert alice_s3("PUT", "/photos?object-lock", lasting).status_code == 200
    assert code_of(versioning("Suspended")) == "InvalidBucketState"
    assert alice_s3("PUT", "/photos/b", b"2").status_code == 200
    assert [Object.objects.get(name=name).lock_mode for name in ("a", "b")] == ["", COMPLIANCE]
    with pytest.raises(Forbidden):
        services.version_delete(
            context("alice"), account="alice", container="photos", name="b",
            version_id=Object.objects.get(name="b").version_id,
        )  # fmt: skip
