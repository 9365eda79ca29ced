"""Every call of the S3 API: strangers get nothing of it, and policies know it by its name."""

from __future__ import annotations

import uuid

import pytest

from apps.objectstore.api.s3.views import BUCKET, OBJECT, ROUTES, SERVICE, SUBRESOURCES
from apps.objectstore.models import Bucket, Container, Object, Upload, Version
from apps.objectstore.selectors.bucket_policy import BUCKET_ACTIONS, OBJECT_ACTIONS
from tests.apps.objectstore.conftest import content
from tests.kit.s3 import code_of

CALLS = [key for key in ROUTES if key[0] != SERVICE]
# What must be right in itself before it is asked who may; the others need nothing.
BODIES = {
    (BUCKET, "delete", "POST"): b"<Delete><Object><Key>a</Key></Object></Delete>",
    (OBJECT, "tagging", "PUT"): b"<Tagging><TagSet/></Tagging>",
    (OBJECT, "uploadId", "POST"): b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>"
    b"</CompleteMultipartUpload>",
}
HEADERS = {
    (OBJECT, "acl", "PUT"): {"x_amz_acl": "public-read"},
    (OBJECT, "attributes", "GET"): {"x_amz_object_attributes": "ETag"},
}
OF_LOCKED_BUCKETS = ("retention", "legal-hold")  # in others there is nothing to ask for


@pytest.mark.parametrize("call", CALLS, ids="-".join)
def test_actions_are_those_of_policies(call):
    level, sub, _ = call
    noun = ROUTES[call].action.removeprefix("s3:")
    # Uploads in parts are about an object, which needs not be there yet.
    assert noun in (OBJECT_ACTIONS if level == OBJECT or sub == "delete" else BUCKET_ACTIONS)
    assert sub in ("", *SUBRESOURCES)


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS, ids="-".join)
def test_strangers_are_refused_and_nothing_changes(alice_s3, bob_s3, nobody_s3, bucket, call):
    level, sub, method = call
    alice_s3("PUT", "/photos/a", b"1", x_amz_tagging="a=b")
    before = list(Bucket.objects.values()), list(Object.objects.values()), list(Container.objects.values())
    query = f"?uploadId={uuid.uuid4()}&partNumber=1" if sub == "uploadId" and method == "PUT" else ""
    query = query or (f"?uploadId={uuid.uuid4()}" if sub == "uploadId" else f"?{sub}")
    for caller in (nobody_s3, bob_s3):
        answer = caller(
            method, f"/photos{'/a' if level == OBJECT else ''}{query}", BODIES.get(call, b""), **HEADERS.get(call, {})
        )
        if sub == "delete":  # each object has an outcome of its own
            assert (answer.status_code, b"AccessDenied" in content(answer)) == (200, True)
        elif call == (BUCKET, "", "PUT") and caller is bob_s3:
            assert code_of(answer) == "BucketAlreadyExists"
        elif sub in OF_LOCKED_BUCKETS:
            assert answer.status_code in {400, 403}
        else:
            assert answer.status_code == 403
            assert method == "HEAD" or code_of(answer) == "AccessDenied"
    after = list(Bucket.objects.values()), list(Object.objects.values()), list(Container.objects.values())
    assert after == before
    assert not Upload.objects.exists()
    assert not Version.objects.exists()
