"""Documents of buckets and what is said of objects, asked for as S3's clients ask."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.objectstore.models import Bucket, Object
from tests.apps.objectstore.conftest import content
from tests.kit.s3 import S3, code_of, plain

DOCUMENTS = {
    "cors": ("CORSConfiguration", "<CORSRule><ID>a</ID><AllowedOrigin>https://*.example</AllowedOrigin>"
             "<AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedHeader>x-amz-*</AllowedHeader>"
             "<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>"),
    "encryption": ("ServerSideEncryptionConfiguration", "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256"
                   "</SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule>"),
    "ownershipControls": ("OwnershipControls", "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"),
    "publicAccessBlock": ("PublicAccessBlockConfiguration", "<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>"
                          "false</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>"
                          "false</RestrictPublicBuckets>"),
    "tagging": ("Tagging", "<TagSet><Tag><Key>b</Key><Value></Value></Tag><Tag><Key>team</Key><Value>ü 1</Value></Tag>"
                "</TagSet>"),
}  # fmt: skip
MISSING = {
    "cors": "NoSuchCORSConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "tagging": "NoSuchTagSet",
}


def xml_of(root, inner):
    return f'<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'.encode()


def flat(element):
    return [(e.tag, (e.text or "").strip()) for e in element.iter()]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_kept_given_back_and_removed(alice_s3, bucket, name):
    path, document = f"/photos?{name}", xml_of(*DOCUMENTS[name])
    assert code_of(alice_s3("GET", path)) == MISSING[name]
    assert alice_s3("PUT", path, document).status_code in {200, 204}
    assert flat(alice_s3.xml("GET", path)) == flat(plain(document))
    assert alice_s3("DELETE", path).status_code == 204
    assert code_of(alice_s3("GET", path)) == MISSING[name]
    assert alice_s3("DELETE", path).status_code == 204


BAD = [
    ("cors", "CORSConfiguration", "", "MalformedXML"),
    ("cors", "CORSConfiguration", "<CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule>", "MalformedXML"),
    ("cors", "CORSConfiguration",
     "<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>PATCH</AllowedMethod></CORSRule>", "InvalidRequest"),
    ("cors", "CORSConfiguration",
     "<CORSRule><AllowedOrigin>*.*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>", "InvalidRequest"),
    ("cors", "Other", "", "MalformedXML"),
    ("encryption", "ServerSideEncryptionConfiguration",
     "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>"
     "</ApplyServerSideEncryptionByDefault></Rule>", "NotImplemented"),
    ("encryption", "ServerSideEncryptionConfiguration", "<Rule/>", "MalformedXML"),
    ("ownershipControls", "OwnershipControls",
     "<Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>", "NotImplemented"),
    ("ownershipControls", "OwnershipControls",
     "<Rule><ObjectOwnership>Me</ObjectOwnership></Rule>", "MalformedXML"),
    ("publicAccessBlock", "PublicAccessBlockConfiguration", "<BlockAll>true</BlockAll>", "MalformedXML"),
    ("publicAccessBlock", "PublicAccessBlockConfiguration",
     "<BlockPublicAcls>maybe</BlockPublicAcls>", "MalformedXML"),
    ("tagging", "Tagging",
     "<TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>a</Key><Value>2</Value></Tag></TagSet>", "InvalidTag"),
    ("tagging", "Tagging", "<TagSet><Tag><Key>aws:a</Key><Value>1</Value></Tag></TagSet>", "InvalidTag"),
    ("tagging", "Tagging", "<TagSet><Tag><Key>a</Key></Tag></TagSet>", "MalformedXML"),
    ("tagging", "Tagging",
     "".join(["<TagSet>", *(f"<Tag><Key>k{n}</Key><Value/></Tag>" for n in range(51)), "</TagSet>"]), "MalformedXML"),
    ("object-lock", "ObjectLockConfiguration",
     "<ObjectLockEnabled>Enabled</ObjectLockEnabled>", "InvalidBucketState"),
    ("acl", "AccessControlPolicy", "<Owner><ID>alice</ID></Owner>", "MalformedACLError"),
    ("acl", "AccessControlPolicy", "<Owner><ID>bob</ID></Owner><AccessControlList/>", "AccessDenied"),
    ("acl", "AccessControlPolicy",
     "<Owner><ID>alice</ID></Owner><AccessControlList><Grant><Grantee>"
     "<ID>bob</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList>", "MalformedACLError"),
    ("policy", None, "{}", "MalformedPolicy"),
    ("policy", None, "\xff", "MalformedPolicy"),
    ("website", "WebsiteConfiguration", "<IndexDocument><Suffix>i</Suffix></IndexDocument>", "NotImplemented"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "root", "inner", "code"), BAD, ids=lambda v: str(v)[:30])
def test_what_is_malformed_or_not_served_is_refused(alice_s3, bucket, name, root, inner, code):
    body = xml_of(root, inner) if root else inner.encode("latin-1")
    assert code_of(alice_s3("PUT", f"/photos?{name}", body)) == code
    assert Bucket.objects.get(pk="photos").documents == {}


NAMES = [*DOCUMENTS, "policy", "acl", "policyStatus", "object-lock", "location", "logging"]


@pytest.mark.parametrize("name", NAMES)
def test_documents_are_for_those_who_may(alice_s3, bob_s3, bucket, name):
    for caller in (bob_s3, S3(None)):
        assert code_of(caller("GET", f"/photos?{name}")) == "AccessDenied"
        if name in DOCUMENTS:
            assert code_of(caller("PUT", f"/photos?{name}", xml_of(*DOCUMENTS[name]))) == "AccessDenied"
            assert code_of(caller("DELETE", f"/photos?{name}")) == "AccessDenied"
    assert Bucket.objects.get(pk="photos").documents == {}


def policy(*statements):
    found = [{"Effect": "Allow", "Principal": "*", "Resource": "arn:aws:s3:::photos/*"} | one for one in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": found}).encode()


def test_a_policy_is_kept_given_back_obeyed_and_removed(alice_s3, bob_s3, bucket):
    alice_s3("PUT", "/photos/a", b"1")
    nobody = S3(None)
    found = policy({"Action": "s3:GetObject"}, {"Action": "s3:PutObject", "Principal": {"AWS": "bob"}})
    assert alice_s3("PUT", "/photos?policy", found).status_code == 204
    assert json.loads(alice_s3("GET", "/photos?policy").content) == json.loads(found)
    assert alice_s3.xml("GET", "/photos?policyStatus").findtext("IsPublic") == "true"
    assert content(nobody("GET", "/photos/a")) == b"1"
    assert nobody("PUT", "/photos/b", b"2").status_code == 403
    assert bob_s3("PUT", "/photos/b", b"2").status_code == 200
    assert code_of(bob_s3("DELETE", "/photos/b")) == code_of(bob_s3("GET", "/photos")) == "AccessDenied"
    assert alice_s3("DELETE", "/photos?policy").status_code == 204
    assert (
        code_of(alice_s3("GET", "/photos?policy"))
        == code_of(alice_s3("GET", "/photos?policyStatus"))
        == "NoSuchBucketPolicy"
    )
    assert code_of(nobody("GET", "/photos/a")) == "AccessDenied"


CONDITIONS = [
    ("GET", "/photos/a", {"StringEquals": {"s3:signatureversion": "AWS4-HMAC-SHA256"}}, {}, None),
    ("GET", "/photos/a", {"StringEquals": {"s3:authType": "REST-HEADER"}}, {}, None),
    ("GET", "/photos/a", {"NumericLessThan": {"s3:signatureAge": "600000"}}, {}, None),
    ("GET", "/photos/a", {"StringLike": {"aws:Referer": "https://a/*"}}, {"Referer": "https://a/b"}, {}),
    ("PUT", "/photos/b", {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
     {"x_amz_acl": "bucket-owner-full-control"}, {}),
    ("PUT", "/photos/b", {"StringEquals": {"s3:RequestObjectTag/team": "red"}}, {"x_amz_tagging": "team=red"},
     {"x_amz_tagging": "team=blue"}),
    ("PUT", "/photos/b", {"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["team"]}},
     {"x_amz_tagging": "team=red"}, {"x_amz_tagging": "team=red&other=1"}),
    ("PUT", "/photos/b", {"StringLike": {"s3:x-amz-copy-source": "*photos/a"}}, {"x_amz_copy_source": "photos/a"}, {}),
    ("PUT", "/photos/b", {"StringEquals": {"s3:if-none-match": "*"}}, {"If_None_Match": "*"}, {}),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path", "condition", "good", "bad"), CONDITIONS, ids=lambda v: str(v)[:50])
def test_conditions_see_the_request(alice_s3, bob_s3, bucket, method, path, condition, good, bad):
    alice_s3("PUT", "/photos/a", b"1")
    action = {"GET": "s3:GetObject", "PUT": "s3:PutObject"}[method]
    also = (
        {"Action": ["s3:GetObject", "s3:PutObjectTagging"], "Principal": {"AWS": "bob"}}
        if method == "PUT"
        else {"Action": "s3:PutObject", "Principal": {"AWS": "bob"}}
    )
    alice_s3(
        "PUT", "/photos?policy", policy({"Action": action, "Principal": {"AWS": "bob"}, "Condition": condition}, also)
    )
    assert bob_s3(method, path, **good).status_code == 200
    if bad is not None:
        assert bob_s3(method, path, **bad).status_code == 403


LISTS = [
    ({"StringEquals": {"s3:prefix": "open/"}}, ["?prefix=open/", "?list-type=2&prefix=open/", "?versions&prefix=open/"],
     ["", "?prefix=shut/", "?uploads&prefix=shut/"]),
    ({"StringEquals": {"s3:delimiter": "/"}}, ["?delimiter=/", "?uploads&delimiter=/"], ["", "?delimiter=-"]),
    ({"NumericLessThanEquals": {"s3:max-keys": "2"}}, ["?max-keys=2", "?list-type=2&max-keys=1"], ["", "?max-keys=3"]),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "good", "bad"), LISTS, ids=lambda v: str(v)[:40])
def test_conditions_see_what_is_listed(alice_s3, bob_s3, bucket, condition, good, bad):
    lists = ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"]
    one = {"Action": lists, "Principal": {"AWS": "bob"}, "Resource": "arn:aws:s3:::photos", "Condition": condition}
    assert alice_s3("PUT", "/photos?policy", policy(one)).status_code == 204
    assert {query: bob_s3("GET", f"/photos{query}").status_code for query in good} == dict.fromkeys(good, 200)
    assert {query: bob_s3("GET", f"/photos{query}").status_code for query in bad} == dict.fromkeys(bad, 403)


def test_a_prefix_in_the_address_says_nothing_of_what_a_large_object_lists(alice, alice_s3, bob_s3, bucket):
    for name in ("shut/1", "shut/2"):
        alice_s3("PUT", f"/photos/{name}", b"secret")
    alice.put("/photos/dynamic", X_Object_Manifest="photos/shut/")
    gets = {"Action": "s3:GetObject", "Principal": {"AWS": "bob"}}
    lists = {"Action": "s3:ListBucket", "Principal": {"AWS": "bob"}, "Resource": "arn:aws:s3:::photos",
             "Condition": {"StringEquals": {"s3:prefix": "open/"}}}  # fmt: skip
    alice_s3("PUT", "/photos?policy", policy(gets, lists))
    assert bob_s3("GET", "/photos?prefix=open/").status_code == 200
    assert bob_s3("GET", "/photos/dynamic?prefix=open/").status_code == 403


def test_grants_by_name_header_and_document(alice_s3, bob_s3, bucket):
    nobody = S3(None)
    alice_s3("PUT", "/photos/open", b"1", x_amz_acl="public-read")
    alice_s3("PUT", "/photos/bobs", b"2", x_amz_grant_read='id="bob",id=carol')
    alice_s3("PUT", "/photos/shut", b"3")
    assert [nobody("GET", f"/photos/{name}").status_code for name in ("open", "bobs", "shut")] == [200, 403, 403]
    assert [bob_s3("GET", f"/photos/{name}").status_code for name in ("open", "bobs", "shut")] == [200, 200, 403]
    shown = alice_s3("GET", "/photos/bobs?acl").content
    assert [g.text for g in plain(shown).iter("ID")] == ["alice", "alice", "bob", "carol"]
    assert [g.text for g in plain(shown).iter("Permission")] == ["FULL_CONTROL", "READ", "READ"]
    assert alice_s3("PUT", "/photos/shut?acl", shown).status_code == 200
    assert bob_s3("GET", "/photos/shut").status_code == 200
    assert alice_s3("PUT", "/photos/open?acl", x_amz_acl="private").status_code == 200
    assert nobody("GET", "/photos/open").status_code == 403
    assert alice_s3("PUT", "/photos?acl", x_amz_acl="public-read-write").status_code == 200
    assert nobody("GET", "/photos").status_code == nobody("PUT", "/photos/new", b"4").status_code == 200
    uris = [e.text for e in alice_s3.xml("GET", "/photos?acl").iter("URI")]
    assert uris == ["http://acs.amazonaws.com/groups/global/AllUsers"] * 2
    alice_s3("PUT", "/photos/open", b"5")
    assert Object.objects.get(name="open").acl is None


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_amz_acl": "log-delivery-write"}, "NotImplemented"),
        ({"x_amz_acl": "everything"}, "InvalidArgument"),
        ({"x_amz_acl": "private", "x_amz_grant_read": 'id="bob"'}, "InvalidRequest"),
        ({"x_amz_grant_read": 'emailAddress="a@b.example"'}, "UnresolvableGrantByEmailAddress"),
        ({"x_amz_grant_read": 'uri="http://acs.amazonaws.com/groups/s3/LogDelivery"'}, "NotImplemented"),
        ({"x_amz_grant_read": 'uri="http://other"'}, "InvalidArgument"),
        ({"x_amz_grant_read": "bob"}, "InvalidArgument"),
        ({"x_amz_tagging": "a=1&a=2"}, "InvalidTag"),
        ({"x_amz_tagging": "a=%00"}, "InvalidTag"),
        ({"x_amz_tagging": "&".join(f"k{n}=" for n in range(11))}, "BadRequest"),
        ({"x_amz_tagging": "a=%FF"}, "InvalidArgument"),
        ({"x_amz_object_lock_mode": "GOVERNANCE"}, "InvalidRequest"),
        ({"x_amz_object_lock_legal_hold": "ON"}, "InvalidRequest"),
        ({"x_amz_object_lock_legal_hold": "MAYBE"}, "InvalidArgument"),
    ],
)
def test_headers_that_cannot_be_kept_refuse_the_put(alice_s3, bucket, headers, code):
    assert code_of(alice_s3("PUT", "/photos/a", b"1", **headers)) == code
    assert not Object.objects.exists()


def test_a_list_of_s3_replaces_those_of_swift(alice, alice_s3, bob, bucket):
    alice("POST", "/photos", X_Container_Read="bob:*,.r:*,.rlistings", X_Container_Write="bob:*")
    shown = alice_s3.xml("GET", "/photos?acl")
    assert [e.text for e in shown.iter("Permission")] == ["FULL_CONTROL", "READ", "READ", "WRITE"]
    assert bob("GET", "/photos").status_code == 204
    assert alice_s3("PUT", "/photos?acl", x_amz_acl="private").status_code == 200
    assert bob("GET", "/photos").status_code == 403
    assert [e.text for e in alice_s3.xml("GET", "/photos?acl").iter("Permission")] == ["FULL_CONTROL"]


def test_lists_can_be_out_of_use(alice_s3, bucket):
    alice_s3("PUT", "/photos?ownershipControls", xml_of(*DOCUMENTS["ownershipControls"]))
    for path in ("/photos?acl", "/photos/a"):
        assert code_of(alice_s3("PUT", path, x_amz_acl="public-read")) == "AccessControlListNotSupported"
    assert alice_s3("PUT", "/photos/a", b"1", x_amz_acl="bucket-owner-full-control").status_code == 200
    assert alice_s3("PUT", "/mine", x_amz_acl="public-read").status_code == 200
    assert (
        code_of(alice_s3("PUT", "/mine?ownershipControls", xml_of(*DOCUMENTS["ownershipControls"])))
        == "InvalidBucketAclWithObjectOwnership"
    )


def test_public_access_can_be_blocked(alice_s3, bucket):
    alice_s3("PUT", "/photos?publicAccessBlock", xml_of(*DOCUMENTS["publicAccessBlock"]))
    assert code_of(alice_s3("PUT", "/photos?policy", policy({"Action": "s3:GetObject"}))) == "AccessDenied"
    assert code_of(alice_s3("PUT", "/photos?acl", x_amz_acl="public-read")) == "AccessDenied"
    assert code_of(alice_s3("PUT", "/photos/a", b"1", x_amz_acl="public-read")) == "AccessDenied"
    assert not Object.objects.exists()
    bobs = policy({"Action": "s3:GetObject", "Principal": {"AWS": "bob"}})
    assert alice_s3("PUT", "/photos?policy", bobs).status_code == 204
    assert set(Bucket.objects.get(pk="photos").documents) == {"public-access", "policy"}


def test_tags_of_objects(alice_s3, bucket):
    alice_s3("PUT", "/photos/a", b"1", x_amz_tagging="a=1&b%20c=%C3%BC")
    assert alice_s3("HEAD", "/photos/a")["x-amz-tagging-count"] == "2"
    pairs = [(t.findtext("Key"), t.findtext("Value")) for t in alice_s3.xml("GET", "/photos/a?tagging").iter("Tag")]
    assert pairs == [("a", "1"), ("b c", "ü")]
    alice_s3("PUT", "/photos/copy", x_amz_copy_source="photos/a")
    alice_s3(
        "PUT", "/photos/other", x_amz_copy_source="photos/a", x_amz_tagging_directive="REPLACE", x_amz_tagging="z=1"
    )
    assert [Object.objects.get(name=name).tags for name in ("copy", "other")] == [{"a": "1", "b c": "ü"}, {"z": "1"}]
    at = Object.objects.get(name="a").created_at
    assert alice_s3("PUT", "/photos/a?tagging", xml_of(*DOCUMENTS["tagging"])).status_code == 200
    assert Object.objects.get(name="a").tags == {"team": "ü 1", "b": ""}
    assert alice_s3("DELETE", "/photos/a?tagging").status_code == 204
    assert alice_s3.xml("GET", "/photos/a?tagging").find("TagSet/Tag") is None
    assert Object.objects.get(name="a").created_at == at
    assert code_of(alice_s3("GET", "/photos/none?tagging")) == "NoSuchKey"


def test_pages_of_other_origins(alice_s3, bucket):
    alice_s3("PUT", "/photos/a", b"1")
    asked: dict[str, Any] = {
        "Access_Control_Request_Method": "PUT",
        "Access_Control_Request_Headers": "x-amz-date, X-Amz-Acl",
    }
    nobody = S3(None)
    assert code_of(nobody("OPTIONS", "/photos/a", Origin="https://a.example", **asked)) == "AccessForbidden"
    assert alice_s3("PUT", "/photos?cors", xml_of(*DOCUMENTS["cors"])).status_code == 200
    answer = nobody("OPTIONS", "/photos/a", Origin="https://a.example", **asked)
    assert answer.status_code == 200
    assert answer["Access-Control-Allow-Origin"] == "https://a.example"
    assert answer["Access-Control-Allow-Methods"] == "GET, PUT"
    assert answer["Access-Control-Allow-Headers"] == "x-amz-date, x-amz-acl"
    assert answer["Access-Control-Max-Age"] == "60"
    others = ({"Access_Control_Request_Method": "DELETE"}, {"Access_Control_Request_Headers": "x-other"})
    for origin, headers in (("https://other", asked), *(("https://a.example", asked | other) for other in others)):
        assert code_of(nobody("OPTIONS", "/photos/a", Origin=origin, **headers)) == "AccessForbidden"
    got = alice_s3("GET", "/photos/a", Origin="https://a.example")
    assert (got["Access-Control-Allow-Origin"], got["Access-Control-Expose-Headers"]) == ("https://a.example", "ETag")
    assert "Access-Control-Allow-Origin" not in alice_s3("GET", "/photos/a", Origin="https://other")
    assert "Access-Control-Allow-Origin" not in alice_s3("GET", "/photos/a")
