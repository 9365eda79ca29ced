"""One decision for every API: roles, policies, access lists, grants and the public access block together."""

from __future__ import annotations

import json

import pytest

from apps.core.context import RequestContext
from apps.objectstore.models import Bucket, Container, Object
from apps.objectstore.selectors import access, container_row, grants
from apps.objectstore.selectors.access import Asked, Why, asked
from apps.objectstore.selectors.bucket_policy import policy_document
from apps.objectstore.states import Versioning, version_word
from tests.apps.objectstore.conftest import Swift
from tests.kit.http import context
from tests.kit.s3 import S3, code_of

GET, PUT, DELETE, LIST = "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"
NOBODY = RequestContext()


@pytest.fixture
def bucket(alice, box):
    alice.put("/box/a", b"secret")
    alice.put("/box/open/b", b"open")
    return Bucket.objects.get(name="box")


def keep(bucket, **documents):
    bucket.documents |= {kind.replace("_", "-"): document for kind, document in documents.items()}
    bucket.save()


def policy(bucket, *statements):
    found = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*"} | one for one in statements]}
    keep(bucket, policy=policy_document(json.dumps(found), "box"))


def acl(*given):
    return grants.document_of(grants.Grant(*one.split()) for one in given)


def why(ctx, action=GET, name="a", **facts):
    place = container_row("alice", "box")
    return access.decide(ctx, "alice", place, action, name if "Object" in action else "", **facts).why


ALICE, READER, MANAGER = context("alice"), context("alice", "reader"), context("alice", "admin")
BOB, BOBS_READER = context("bob"), context("bob", "reader")


def test_without_documents_roles_decide(bucket):
    assert [why(ctx) for ctx in (ALICE, READER, BOB, NOBODY)] == [Why.ROLE, Why.ROLE, Why.NOTHING, Why.NOTHING]
    assert [why(ctx, PUT) for ctx in (ALICE, READER, BOB)] == [Why.ROLE, Why.NOTHING, Why.NOTHING]


def test_a_policy_lets_another_project_in_as_far_as_its_people_may_at_home(bucket):
    policy(bucket, {"Principal": {"AWS": "bob"}, "Action": ["s3:GetObject", "s3:PutObject"]})
    assert [why(BOB), why(BOB, PUT), why(BOB, DELETE)] == [Why.POLICY, Why.POLICY, Why.NOTHING]
    assert [why(BOBS_READER), why(BOBS_READER, PUT)] == [Why.POLICY, Why.NOTHING]
    assert [why(NOBODY), why(context("eve"))] == [Why.NOTHING, Why.NOTHING]


def test_a_policy_can_give_a_reader_of_the_own_project_more(bucket):
    policy(bucket, {"Principal": {"AWS": "alice"}, "Action": PUT})
    assert why(READER, PUT) == Why.NOTHING  # naming the project leaves it to roles
    policy(bucket, {"Principal": {"AWS": "arn:aws:iam::alice:user/user-of-alice"}, "Action": PUT})
    assert [why(READER, PUT), why(READER, DELETE)] == [Why.POLICY, Why.NOTHING]


def test_everybody_is_everybody(bucket):
    policy(bucket, {"Principal": "*", "Action": GET, "Resource": "arn:aws:s3:::box/open/*"})
    for ctx in (NOBODY, BOB):
        assert [why(ctx, name="open/b"), why(ctx, name="a")] == [Why.POLICY, Why.NOTHING]


def test_deny_stops_the_owner_and_the_clouds_administrators(bucket):
    policy(bucket, {"Effect": "Deny", "Principal": "*", "Action": "s3:*"})
    assert {why(ctx) for ctx in (ALICE, MANAGER, BOB, NOBODY)} == {Why.DENIED}
    assert why(RequestContext(is_system=True)) == Why.SYSTEM
    assert [why(ctx, "s3:DeleteBucketPolicy") for ctx in (ALICE, MANAGER)] == [Why.DENIED, Why.ROLE]
    manager = RequestContext(user_id="m", project_id="alice", roles=frozenset({"manager", "member", "reader"}))
    assert [why(manager, "s3:PutBucketPolicy"), why(manager)] == [Why.ROLE, Why.DENIED]


def test_swift_obeys_the_policy(bucket, alice, bob, stranger):
    policy(
        bucket,
        {"Effect": "Deny", "Principal": "*", "Action": PUT, "Resource": "arn:aws:s3:::box/a"},
        {"Effect": "Deny", "Principal": "*", "Action": DELETE},
        {"Effect": "Deny", "Principal": "*", "Action": ["s3:DeleteBucket", "s3:PutBucketAcl"]},
        {"Principal": {"AWS": "bob"}, "Action": [GET, LIST]},
        {"Principal": "*", "Action": GET, "Resource": "arn:aws:s3:::box/open/*"},
    )
    assert alice.put("/box/a", b"new").status_code == 403
    assert alice("POST", "/box/a", X_Object_Meta_B="2").status_code == 403
    assert alice("DELETE", "/box/open/b").status_code == 403
    assert alice("DELETE", "/box").status_code == 403
    assert alice("POST", "/box", X_Container_Read=".r:*").status_code == 403
    assert alice("COPY", "/box/open/b", Destination="box/a").status_code == 403
    assert alice.bytes("/box/a") == bob.bytes("/box/a") == b"secret"
    assert bob.names("/box") == ["a", "open/b"]
    assert (stranger.bytes("/box/open/b"), stranger("GET", "/box/a").status_code) == (b"open", 401)
    assert Object.objects.count() == 2
    assert Container.objects.get().read_acl == ""


def test_segments_obey_the_policy_of_their_bucket(bucket, alice):
    alice.put("/big")
    alice.put("/big/dynamic", X_Object_Manifest="box/a")
    manifest = json.dumps([{"path": "/box/open/b"}, {"path": "/box/a"}]).encode()
    assert alice.put("/big/static?multipart-manifest=put", manifest).status_code == 201
    policy(bucket, {"Effect": "Deny", "Principal": "*", "Action": GET, "Resource": "arn:aws:s3:::box/a"})
    assert [alice("GET", f"/big/{name}").status_code for name in ("dynamic", "static")] == [403, 403]
    assert alice.bytes("/box/open/b") == b"open"


def test_conditions_see_address_referrer_listing_and_what_the_api_says(bucket, alice):
    def denied(path="/box/a", method="GET", **headers):
        return alice(method, path, **headers).status_code == 403

    about = {"Effect": "Deny", "Principal": "*"}
    policy(bucket, {**about, "Action": GET, "Condition": {"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}})
    assert not denied()
    assert denied(X_Forwarded_For="192.0.2.1")
    policy(bucket, {**about, "Action": GET, "Condition": {"Bool": {"aws:SecureTransport": "false"}}})
    assert denied()
    assert not denied(X_Forwarded_Proto="https")
    policy(bucket, {**about, "Action": GET, "Condition": {"StringLike": {"aws:UserAgent": "bad*"}}})
    assert denied(User_Agent="bad/1")
    assert not denied(User_Agent="good/1")
    policy(bucket, {**about, "Action": LIST, "Condition": {"StringNotLike": {"s3:prefix": "open/*"}}})
    assert denied("/box")
    assert denied("/box", "HEAD")
    assert not denied("/box?prefix=open/")
    only_encrypted = {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"}}
    policy(bucket, {**about, "Action": PUT, "Condition": only_encrypted})
    assert denied("/box/c", "PUT")
    token = asked.set(Asked({"s3:x-amz-server-side-encryption": ["AES256"]}))
    try:
        assert why(ALICE, PUT) == Why.ROLE
    finally:
        asked.reset(token)
    assert why(ALICE, PUT) == Why.DENIED


def test_a_condition_on_the_prefix_sees_swifts_older_manner_of_it(bucket, alice, bob):
    alice.put("/box/secret/b", b"1")
    only_open = {"StringLike": {"s3:prefix": "open/*"}}
    policy(bucket, {"Principal": {"AWS": "bob"}, "Action": LIST, "Condition": only_open})
    assert bob.names("/box?prefix=open/") == bob.names("/box?path=open") == ["open/b"]
    for query in ("?prefix=secret/", "?path=secret", "?prefix=open/&path=secret", "?path="):
        assert bob("GET", f"/box{query}").status_code == 403
    policy(
        bucket, {"Effect": "Deny", "Principal": "*", "Action": LIST, "Condition": {"Null": {"s3:delimiter": "true"}}}
    )
    assert [alice("GET", f"/box{query}").status_code for query in ("", "?path=open")] == [403, 200]


def test_attributes_can_be_denied_by_themselves(bucket, alice_s3):
    def seen(query=""):
        return alice_s3("GET", f"/box/a?attributes{query}", x_amz_object_attributes="ObjectSize").status_code

    for action, expected in (("GetObjectAttributes", [403, 200]), ("GetObjectVersionAttributes", [200, 403])):
        policy(bucket, {"Effect": "Deny", "Principal": "*", "Action": f"s3:{action}"})
        assert [seen(), seen("&versionId=null")] == expected
        assert alice_s3("GET", "/box/a").status_code == 200


def test_who_may_not_list_is_not_told_what_is_not_there(bucket, alice_s3):
    """Source: permissions of GetObject in Amazon's S3 API reference."""
    nobody = S3(None)

    def told(*names, query=""):
        return [code_of(nobody("GET", f"/box/{name}{query}")) for name in names]

    gets = {"Principal": "*", "Action": [GET, "s3:GetObjectVersion"]}
    lists = {"Principal": "*", "Action": LIST, "Condition": {"StringLike": {"s3:prefix": "open/*"}}}
    assert told("a", "none") == ["AccessDenied"] * 2
    policy(bucket, gets)
    assert nobody("GET", "/box/a").status_code == 200
    assert told("none", "open/none") == told("a", query=f"?versionId={'0' * 31}7") * 2 == ["AccessDenied"] * 2
    assert nobody("HEAD", "/box/none").status_code == 403
    policy(bucket, gets, lists)
    assert told("none", "open/none") == ["AccessDenied", "NoSuchKey"]
    policy(bucket, lists)  # as on a bucket that everybody may list
    assert told("a", "open/b", "open/none") == ["AccessDenied", "AccessDenied", "NoSuchKey"]
    assert told("open/none", query=f"?versionId={'0' * 31}7") == ["NoSuchVersion"]
    policy(bucket, lists, {"Effect": "Deny", "Principal": "*", "Action": GET})
    assert told("open/none") == ["AccessDenied"]
    Container.objects.update(versioning=Versioning.ENABLED)
    policy(bucket, gets)
    assert alice_s3("DELETE", "/box/a")["x-amz-delete-marker"] == "true"
    gone = nobody("GET", "/box/a")
    assert (code_of(gone), "x-amz-delete-marker" in gone.headers) == ("AccessDenied", False)


def test_tags_of_the_object_decide(bucket):
    policy(
        bucket, {"Principal": "*", "Action": GET, "Condition": {"StringEquals": {"s3:ExistingObjectTag/Open": "yes"}}}
    )
    Object.objects.filter(name="a").update(tags={"Open": "yes"})
    Object.objects.filter(name="open/b").update(tags={"open": "yes"})
    assert [why(NOBODY, name=name) for name in ("a", "open/b", "none")] == [Why.POLICY, Why.NOTHING, Why.NOTHING]


# --- grants --------------------------------------------------------------------------------------------


def test_grants_on_a_bucket(bucket):
    keep(bucket, acl=acl("project:bob READ", "authenticated WRITE", "project:carol FULL_CONTROL"))
    assert [why(BOB, LIST), why(BOB, PUT), why(BOB, GET)] == [Why.GRANT, Why.GRANT, Why.NOTHING]
    assert [why(BOBS_READER, LIST), why(BOBS_READER, PUT)] == [Why.GRANT, Why.NOTHING]
    assert [why(context("eve"), PUT), why(context("eve"), LIST), why(NOBODY, PUT)] == [
        Why.GRANT,
        Why.NOTHING,
        Why.NOTHING,
    ]
    assert why(context("carol"), "s3:PutBucketAcl") == Why.GRANT
    assert [why(BOB, action) for action in ("s3:PutBucketAcl", "s3:DeleteBucket")] == [Why.NOTHING] * 2


@pytest.mark.parametrize("whom", ["project:bob", "authenticated"])
def test_full_control_is_the_four_permissions_and_nothing_besides(bucket, whom):
    keep(bucket, acl=acl(f"{whom} FULL_CONTROL"))
    given = (LIST, PUT, DELETE, "s3:GetBucketAcl", "s3:PutBucketAcl")
    assert {why(BOB, action) for action in given} == {Why.GRANT}
    others = ("DeleteBucket", "PutBucketPolicy", "PutBucketVersioning", "PutLifecycleConfiguration", "GetObject",
              "PutObjectAcl", "PutObjectRetention", "DeleteObjectVersion", "BypassGovernanceRetention")  # fmt: skip
    assert {why(BOB, f"s3:{action}") for action in others} == {Why.NOTHING}
    assert bob_s3_refused(bucket) == {403}


def bob_s3_refused(bucket):
    """What bob is told who tries to take the bucket over; nothing of it has happened."""
    bob = S3(context("bob"))
    open_to_all = json.dumps({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}})
    answers = {
        bob("PUT", "/box?policy", open_to_all.encode()).status_code,
        bob("GET", "/box/a").status_code,
        bob("DELETE", "/box/a?versionId=null").status_code,
        bob("DELETE", "/box").status_code,
    }
    bucket.refresh_from_db()
    assert "policy" not in bucket.documents
    assert Object.objects.count() == 2
    return answers


def test_grants_on_an_object(bucket):
    Object.objects.filter(name="a").update(acl=acl("all READ"))
    assert [why(NOBODY), why(NOBODY, name="open/b"), why(NOBODY, PUT), why(NOBODY, LIST)] == [
        Why.GRANT,
        *[Why.NOTHING] * 3,
    ]
    Object.objects.filter(name="a").update(acl=acl("project:bob READ_ACP"))
    assert [why(BOB, "s3:GetObjectAcl"), why(BOB), why(BOB, "s3:PutObjectAcl")] == [Why.GRANT, Why.NOTHING, Why.NOTHING]
    assert Swift(None, "alice")("GET", "/box/a").status_code == 401


def test_grants_count_only_while_they_are_used(bucket):
    keep(bucket, acl=acl("all READ"), ownership={"rule": grants.ENFORCED})
    assert why(NOBODY, LIST) == Why.NOTHING
    keep(bucket, ownership={"rule": grants.PREFERRED})
    assert why(NOBODY, LIST) == Why.GRANT


def test_what_is_said_of_one_version_says_nothing_of_another(bucket, alice_s3):
    nobody = S3(None)
    Container.objects.update(versioning=Versioning.ENABLED)
    alice_s3("PUT", "/box/a", b"new", x_amz_acl="public-read", x_amz_tagging="open=yes")
    new = version_word(Object.objects.get(name="a").version_id)

    def statuses():
        return [nobody("GET", f"/box/a{query}").status_code for query in ("", f"?versionId={new}", "?versionId=null")]

    assert nobody("GET", "/box/a").status_code == nobody("GET", f"/box/a?versionId={new}").status_code == 200
    assert nobody("GET", "/box/a?versionId=null").status_code == 403
    assert nobody("GET", f"/box/a?versionId={'0' * 31}7").status_code == 403
    alice_s3("PUT", "/box/a?acl", x_amz_acl="private")
    alice_s3("PUT", "/box/a?acl&versionId=null", x_amz_acl="public-read")
    assert statuses() == [403, 403, 200]
    open_ones = {"Principal": "*", "Action": ["s3:GetObject", "s3:GetObjectVersion"]}
    policy(bucket, {**open_ones, "Condition": {"StringEquals": {"s3:ExistingObjectTag/open": "yes"}}})
    alice_s3("PUT", "/box/a?acl&versionId=null", x_amz_acl="private")
    assert statuses() == [200, 200, 403]
    policy(
        bucket, {**open_ones, "Action": "s3:GetObjectVersion", "Condition": {"StringEquals": {"s3:VersionId": "null"}}}
    )
    assert statuses() == [403, 403, 200]


# --- the public access block ---------------------------------------------------------------------------


def test_ignoring_public_lists_leaves_those_that_name_somebody(bucket, alice):
    alice("POST", "/box", X_Container_Read=".r:*,.rlistings,bob:*", X_Container_Write="*:*,member,bob:*")
    keep(bucket, acl=acl("all READ", "authenticated WRITE", "project:carol READ"))
    eve, carol = context("eve"), context("carol")
    assert [why(NOBODY), why(eve, PUT), why(BOB), why(carol, LIST)] == [Why.LIST, Why.LIST, Why.LIST, Why.LIST]
    keep(bucket, public_access={"IgnorePublicAcls": True})
    assert [why(NOBODY), why(NOBODY, LIST), why(eve, PUT)] == [Why.NOTHING] * 3
    assert [why(BOB), why(BOB, PUT), why(carol, LIST)] == [Why.LIST, Why.LIST, Why.GRANT]


def test_public_lists_are_refused_where_they_are_blocked(bucket, alice):
    keep(bucket, public_access={"BlockPublicAcls": True})
    public = [".r:*", "*:*", "member"]
    for header, entries in [("X_Container_Read", one) for one in public] + [("X_Container_Write", "*:*")]:
        assert alice("POST", "/box", **{header: entries}).status_code == 403
    assert alice("POST", "/box", X_Container_Read="bob:*").status_code == 204
    row = Container.objects.get()
    assert (row.read_acl, row.write_acl) == ("bob:*", "")


def test_a_restricted_bucket_keeps_a_public_policy_to_its_own_project(bucket):
    policy(bucket, {"Principal": "*", "Action": [GET, PUT]})
    assert [why(NOBODY), why(READER, PUT)] == [Why.POLICY, Why.POLICY]
    keep(bucket, public_access={"RestrictPublicBuckets": True})
    assert [why(NOBODY), why(BOB), why(READER, PUT)] == [Why.NOTHING, Why.NOTHING, Why.POLICY]
    policy(bucket, {"Principal": {"AWS": "bob"}, "Action": GET})
    assert why(BOB) == Why.POLICY
