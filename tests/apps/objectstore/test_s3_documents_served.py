"""Policies, grants, lifecycle and object lock as the unmodified boto3 asks for them, from a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.kit.s3 import boto, key_in_rows
from tests.kit.served import Server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.contract]


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_the_unmodified_client_shares_a_bucket_and_keeps_what_is_in_it(server: Server) -> None:
    alice, bob = (boto(f"{server.url}/s3", key_in_rows(project)) for project in ("alice", "bob"))
    nobody = boto(f"{server.url}/s3", None)
    photos = {"Bucket": "photos"}
    alice.create_bucket(**photos, ObjectLockEnabledForBucket=True)
    alice.put_object(**photos, Key="a", Body=b"1", Tagging="team=red", ACL="bucket-owner-full-control")

    # Policies
    assert refusal(bob.get_object, **photos, Key="a") == "AccessDenied"
    allow = {
        "Effect": "Allow",
        "Principal": {"AWS": "bob"},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::photos/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [allow]}
    alice.put_bucket_policy(**photos, Policy=json.dumps(policy))
    assert json.loads(alice.get_bucket_policy(**photos)["Policy"]) == policy
    assert alice.get_bucket_policy_status(**photos)["PolicyStatus"] == {"IsPublic": False}
    assert bob.get_object(**photos, Key="a")["Body"].read() == b"1"
    assert refusal(bob.list_objects_v2, **photos) == refusal(nobody.get_object, **photos, Key="a") == "AccessDenied"
    bad = json.dumps({**policy, "Statement": [{**allow, "Condition": {"StringEquals": {"aws:None": "x"}}}]})
    assert refusal(alice.put_bucket_policy, **photos, Policy=bad) == "MalformedPolicy"
    alice.delete_bucket_policy(**photos)
    assert refusal(alice.get_bucket_policy, **photos) == "NoSuchBucketPolicy"

    # Grants and the public access block
    alice.put_object_acl(**photos, Key="a", ACL="public-read")
    assert nobody.get_object(**photos, Key="a")["Body"].read() == b"1"
    given = alice.get_object_acl(**photos, Key="a")
    assert [one["Permission"] for one in given["Grants"]] == ["FULL_CONTROL", "READ"]
    alice.put_object_acl(**photos, Key="a", AccessControlPolicy={k: given[k] for k in ("Owner", "Grants")})
    block = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    alice.put_public_access_block(**photos, PublicAccessBlockConfiguration=block)
    assert alice.get_public_access_block(**photos)["PublicAccessBlockConfiguration"] == block
    assert refusal(nobody.get_object, **photos, Key="a") == "AccessDenied"
    assert refusal(alice.put_bucket_acl, **photos, ACL="public-read") == "AccessDenied"

    # Tags, CORS, lifecycle
    assert alice.get_object_tagging(**photos, Key="a")["TagSet"] == [{"Key": "team", "Value": "red"}]
    rules: list[dict[str, Any]] = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]
    alice.put_bucket_cors(**photos, CORSConfiguration={"CORSRules": rules})
    assert alice.get_bucket_cors(**photos)["CORSRules"] == rules
    expires = {"ID": "old", "Filter": {"Prefix": "tmp/"}, "Status": "Enabled", "Expiration": {"Days": 3}}
    alice.put_bucket_lifecycle_configuration(**photos, LifecycleConfiguration={"Rules": [expires]})
    assert alice.get_bucket_lifecycle_configuration(**photos)["Rules"] == [expires]
    assert 'rule-id="old"' in alice.put_object(**photos, Key="tmp/a", Body=b"1")["Expiration"]

    # Object lock
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    kept = alice.put_object(**photos, Key="b", Body=b"2", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    retention = alice.get_object_retention(**photos, Key="b")["Retention"]
    assert retention == {"Mode": "COMPLIANCE", "RetainUntilDate": until}
    alice.put_object_legal_hold(**photos, Key="a", LegalHold={"Status": "ON"})
    version = {"VersionId": kept["VersionId"]}
    assert refusal(alice.delete_object, **photos, Key="b", **version, BypassGovernanceRetention=True) == "AccessDenied"
    alice.delete_object(**photos, Key="b")
    assert alice.get_object(**photos, Key="b", **version)["Body"].read() == b"2"
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    alice.put_object_lock_configuration(**photos, ObjectLockConfiguration=lock)
    assert alice.get_object_lock_configuration(**photos)["ObjectLockConfiguration"] == lock
    alice.put_object(**photos, Key="c", Body=b"3")
    assert alice.head_object(**photos, Key="c")["ObjectLockMode"] == "GOVERNANCE"
