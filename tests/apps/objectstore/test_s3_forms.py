"""Uploads by forms of web pages, as policies allow them."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from typing import Any

import pytest
from botocore.auth import HmacV1PostAuth, S3SigV4PostAuth
from botocore.awsrequest import AWSRequest

from apps.objectstore.models import Blob, Object
from tests.apps.objectstore.conftest import content
from tests.kit.s3 import REGION, S3, FixedClock, code_of, plain

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
SOON, PAST = "2999-01-01T00:00:00Z", "2020-01-01T00:00:00.000Z"
SIGNERS: dict[str, Any] = {"v4": lambda key: S3SigV4PostAuth(key, "s3", REGION), "v2": HmacV1PostAuth}


def form(fields: dict[str, str], data: bytes, *, name: str = "cat.jpg", after: bytes = b"") -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    parts.append(f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + data)
    return b"".join(parts) + f"\r\n--{BOUNDARY}".encode() + (after or b"--\r\n")


def signed(
    caller: S3, fields: dict[str, str], conditions: list[Any] | None = None, *, until: str = SOON, signer: str = "v4"
) -> dict[str, str]:
    """The fields with a policy that names them all, and a signature by Amazon's signers."""
    named = [{"bucket": "photos"}, ["starts-with", "$key", "cats/"]]
    named += [{name: value} for name, value in fields.items() if name != "key"]
    request = AWSRequest("POST", "http://testserver/s3/photos")
    conditions = named if conditions is None else conditions
    request.context["s3-presign-post-fields"] = dict(fields)
    request.context["s3-presign-post-policy"] = {"expiration": until, "conditions": list(conditions)}
    SIGNERS[signer](caller.key).add_auth(request)
    return dict(request.context["s3-presign-post-fields"])


def post(caller: S3, fields: dict[str, str], data: bytes = b"12345", **more: Any) -> Any:
    body = form(fields, data, **more)
    return caller.client.generic("POST", "/s3/photos", body, content_type=f"multipart/form-data; boundary={BOUNDARY}")


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("after", [b"", b"--", b'\r\nContent-Disposition: form-data; name="submit"\r\n\r\nGo\r\n--x'])
def test_a_signed_form_keeps_its_file(alice_s3, nobody_s3, bucket, signer, after):
    fields = {
        "key": "cats/${filename}",
        "Content-Type": "image/jpeg",
        "x-amz-meta-coat-color": "schwarz",
        "x-ignore-a": "",
    }
    data = b"\r\n--" + bytes(300_000) + b"\r\n"
    answer = post(nobody_s3, signed(alice_s3, fields, signer=signer), data, name="C:\\my\\a b.jpg", after=after)
    assert (answer.status_code, answer.content) == (204, b"")
    got = alice_s3("GET", "/photos/cats/a b.jpg")
    assert (content(got), got["Content-Type"], got["x-amz-meta-coat-color"]) == (data, "image/jpeg", "schwarz")
    assert answer["Location"] == "http://testserver/photos/cats/a%20b.jpg"
    assert answer["ETag"] == got["ETag"]


def test_the_form_says_what_it_wants_to_hear(alice_s3, nobody_s3, bucket):
    made = post(nobody_s3, signed(alice_s3, {"key": "cats/a", "success_action_status": "201"}))
    document = plain(made.content)
    assert (made.status_code, document.tag, document.findtext("Key")) == (201, "PostResponse", "cats/a")
    assert post(nobody_s3, signed(alice_s3, {"key": "cats/a", "success_action_status": "200"})).status_code == 200
    there = {"key": "cats/ü", "success_action_redirect": "https://example.org/done?x=1"}
    answer = post(nobody_s3, signed(alice_s3, there))
    assert answer.status_code == 303
    assert answer["Location"].startswith("https://example.org/done?x=1&bucket=photos&key=cats%2F%C3%BC&etag=%22")
    for nowhere in ("javascript:alert(1)", "http://[", "//example.org"):
        fields = {"key": "cats/a", "success_action_redirect": nowhere}
        assert post(nobody_s3, signed(alice_s3, fields)).status_code == 204


def test_fields_are_the_headers_of_a_put(alice_s3, nobody_s3, bucket):
    digest = base64.b64encode(hashlib.sha256(b"12345").digest()).decode()
    fields = {"key": "cats/a", "acl": "public-read", "x-amz-checksum-sha256": digest}
    fields |= {"x-amz-server-side-encryption": "AES256", "Cache-Control": "no-store"}
    made = post(nobody_s3, signed(alice_s3, fields))
    assert made.status_code == 204, made.content
    assert made["x-amz-server-side-encryption"] == "AES256"
    assert made["x-amz-checksum-sha256"] == digest
    got = nobody_s3("GET", "/photos/cats/a")
    assert (content(got), got["Cache-Control"]) == (b"12345", "no-store")
    wrong = post(nobody_s3, signed(alice_s3, {"key": "cats/b", "x-amz-checksum-sha256": digest}), b"12346")
    assert (wrong.status_code, code_of(wrong)) == (400, "BadDigest")
    for name, value in (("x-amz-storage-class", "GLACIER"), ("x-amz-server-side-encryption", "aws:kms")):
        assert post(nobody_s3, signed(alice_s3, {"key": "cats/b", name: value})).status_code in {400, 501}
    assert Object.objects.count() == 1


def test_a_form_tags_the_object(alice_s3, nobody_s3, bucket):
    tags = "<Tagging><TagSet><Tag><Key>a+b=</Key><Value>ü 1+</Value></Tag></TagSet></Tagging>"
    assert post(nobody_s3, signed(alice_s3, {"key": "cats/a", "tagging": tags})).status_code == 204
    assert Object.objects.get().tags == {"a+b=": "ü 1+"}
    for wrong, code in ((tags.replace("a+b=", "aws:a"), "InvalidTag"), ("a=b", "MalformedXML")):
        assert code_of(post(nobody_s3, signed(alice_s3, {"key": "cats/b", "tagging": wrong}))) == code
    assert Object.objects.count() == 1


def test_a_signature_holds_no_longer_than_a_week(alice_s3, nobody_s3, bucket, monkeypatch):
    fields = signed(alice_s3, {"key": "cats/a"})
    now = datetime.datetime.now(datetime.UTC)
    for days, code in ((8, "AccessDenied"), (-1, "AccessDenied"), (6, "")):
        moment = FixedClock(now + datetime.timedelta(days=days))
        monkeypatch.setattr("apps.objectstore.api.s3.views.datetime", moment)
        answer = post(nobody_s3, fields)
        assert (code_of(answer) if code else answer.status_code) == (code or 204)
    assert Object.objects.count() == 1


def test_nobody_and_forms_signed_otherwise(alice_s3, nobody_s3, bucket):
    assert code_of(post(nobody_s3, {"key": "cats/a"})) == "AccessDenied"
    body = form({"key": "cats/a"}, b"1")
    answer = alice_s3("POST", "/photos", body, Content_Type=f"multipart/form-data; boundary={BOUNDARY}")
    assert code_of(answer) == "InvalidArgument"
    assert not Object.objects.exists()


BUCKET = {"bucket": "photos"}
ANY_KEY = ["starts-with", "$key", ""]
CASES: list[tuple[dict[str, str], list[Any], dict[str, Any], str]] = [
    ({"key": "dogs/a"}, [BUCKET, ["starts-with", "$key", "cats/"]], {}, "AccessDenied"),
    ({"key": "a"}, [BUCKET, {"key": "b"}], {}, "AccessDenied"),
    ({"key": "a"}, [BUCKET, ["eq", "$key", "b"]], {}, "AccessDenied"),
    ({"key": "a"}, [{"bucket": "other"}, ANY_KEY], {}, "AccessDenied"),
    ({"key": "a"}, [ANY_KEY], {}, "AccessDenied"),
    ({"key": "a"}, [BUCKET], {}, "AccessDenied"),
    ({"key": "a", "Content-Type": "a/b"}, [BUCKET, ANY_KEY], {}, "AccessDenied"),
    ({"key": "a"}, [BUCKET, ANY_KEY, ["starts-with", "$Content-Type", "image/"]], {}, "AccessDenied"),
    ({"key": "a"}, [BUCKET, ANY_KEY], {"until": PAST}, "AccessDenied"),
    ({"key": "a"}, [BUCKET, ANY_KEY], {"until": "soon"}, "InvalidPolicyDocument"),
    ({"key": "a"}, [BUCKET, ANY_KEY, ["like", "$key", "a"]], {}, "InvalidPolicyDocument"),
    ({"key": "a"}, [BUCKET, ANY_KEY, ["eq", "key", "a"]], {}, "InvalidPolicyDocument"),
    ({"key": "a"}, [BUCKET, ANY_KEY, "x"], {}, "InvalidPolicyDocument"),
    ({"key": "a"}, [BUCKET, ANY_KEY, {"a": "b", "c": "d"}], {}, "InvalidPolicyDocument"),
    ({"key": "a"}, [BUCKET, ANY_KEY, ["content-length-range", -1, "x"]], {}, "InvalidPolicyDocument"),
    ({"key": "a"}, [BUCKET, ANY_KEY, ["content-length-range", 0, 4]], {}, "EntityTooLarge"),
    ({"key": "a"}, [BUCKET, ANY_KEY, ["content-length-range", 6, 10]], {}, "EntityTooSmall"),
    ({"key": "a" * 1025}, [BUCKET, ANY_KEY], {}, "KeyTooLongError"),
    ({"key": "a", "x-amz-meta-ü": "1"}, [BUCKET, ANY_KEY, ["starts-with", "$x-amz-meta-ü", ""]], {}, "InvalidArgument"),
    ({"key": "a", "x-amz-website": "1"}, [BUCKET, ANY_KEY, {"x-amz-website": "1"}], {}, "NotImplemented"),
]


@pytest.mark.parametrize(("fields", "conditions", "more", "code"), CASES)
def test_what_a_policy_does_not_allow(alice_s3, nobody_s3, bucket, fields, conditions, more, code):
    assert code_of(post(nobody_s3, signed(alice_s3, fields, conditions, signer="v2", **more))) == code
    assert not Object.objects.exists()
    assert not Blob.objects.exists()


def test_policies_that_were_changed(alice_s3, nobody_s3, bucket):
    for signer in SIGNERS:
        fields = signed(alice_s3, {"key": "cats/a"}, signer=signer)
        wider = {"expiration": SOON, "conditions": [BUCKET, ANY_KEY]}
        fields["policy"] = base64.b64encode(json.dumps(wider).encode()).decode()
        assert code_of(post(nobody_s3, fields)) == "SignatureDoesNotMatch"
    assert code_of(post(nobody_s3, {"key": "a", "policy": "x", "AWSAccessKeyId": "x", "signature": "x"})) == (
        "InvalidAccessKeyId"
    )
    assert code_of(post(nobody_s3, {"key": "a", "policy": "x"})) == "InvalidArgument"
    assert not Object.objects.exists()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\r\n", "MalformedPOSTRequest"),
        (b"--other\r\n", "MalformedPOSTRequest"),
        (form({"a": "x" * 20_001}, b""), "MaxPostPreDataLengthExceededError"),
        (form({f"a{n}": "x" * 100 for n in range(200)}, b""), "MaxPostPreDataLengthExceededError"),
        (form({}, b"1").replace(b"--\r\n", b""), "InvalidArgument"),
        (f"--{BOUNDARY}--\r\n".encode(), "InvalidArgument"),
    ],
)
def test_bodies_that_are_no_form(nobody_s3, bucket, body, code):
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    answer = nobody_s3.client.generic("POST", "/s3/photos", body, content_type=kind)
    assert (answer.status_code, code_of(answer)) == (400, code)


def test_a_form_that_breaks_off(alice_s3, nobody_s3, bucket):
    body = form(signed(alice_s3, {"key": "cats/a"}), bytes(300_000))[:200_000]
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    answer = nobody_s3.client.generic("POST", "/s3/photos", body, content_type=kind)
    assert code_of(answer) == "IncompleteBody"
    assert not Blob.objects.exists()
