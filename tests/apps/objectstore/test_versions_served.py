"""Versions and symbolic links behind a real server, asked by the unmodified python-swiftclient and boto3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from swiftclient.client import Connection
from swiftclient.exceptions import ClientException
from swiftclient.service import SwiftService

from apps.objectstore.models import Blob, Version
from tests.kit.s3 import boto, key_in_rows
from tests.kit.served import Server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.contract]


@pytest.fixture
def swift(server: Server) -> Iterator[Any]:
    made = Connection(preauthurl=f"{server.url}/object-store/v1/AUTH_alice", preauthtoken="alice", retries=0)
    yield made
    made.close()


def test_swift_keeps_and_restores_versions(swift: Any, server: Server) -> None:
    assert {"object_versioning", "symlink"} <= set(swift.get_capabilities())
    swift.put_container("box", headers={"X-Versions-Enabled": "true"})
    for body in (b"one", b"three"):
        swift.put_object("box", "dir/ü", body)
    swift.delete_object("box", "dir/ü")
    with pytest.raises(ClientException) as caught:
        swift.get_object("box", "dir/ü")
    assert caught.value.http_status == 404
    rows = swift.get_container("box", query_string="versions=true")[1]
    assert [(row["bytes"], row["is_latest"]) for row in rows] == [(0, True), (5, False), (3, False)]
    first = rows[2]["version_id"]
    assert swift.get_object("box", "dir/ü", query_string=f"version-id={first}")[1] == b"one"
    swift.put_object("box", "dir/ü", b"", query_string=f"version-id={first}")
    assert swift.get_object("box", "dir/ü")[1] == b"one"
    with pytest.raises(ClientException) as caught:
        swift.delete_container("box")
    assert caught.value.http_status == 409


def test_swifts_command_deletes_all_versions(swift: Any, server: Server) -> None:
    swift.put_container("box", headers={"X-Versions-Enabled": "true"})
    for name in ("a", "b"):
        for body in (b"1", b"22"):
            swift.put_object("box", name, body)
    swift.delete_object("box", "a")
    options = {"os_auth_token": "alice", "os_storage_url": f"{server.url}/object-store/v1/AUTH_alice", "retries": 0}
    with SwiftService(options) as service:
        listed = [row for page in service.list("box", {"versions": True}) for row in page["listing"]]
        assert len(listed) == 5
        outcomes = list(service.delete("box", options={"versions": True}))
    assert all(outcome["success"] for outcome in outcomes), outcomes
    assert not Version.objects.exists()
    assert not Blob.objects.filter(unused_since=None).exists()


def test_swift_follows_links(swift: Any) -> None:
    swift.put_container("box")
    etag = swift.put_object("box", "real", b"bytes")
    headers = {"X-Symlink-Target": "box/real", "X-Symlink-Target-Etag": etag}
    swift.put_object("box", "link", b"", headers=headers, content_length=0)
    assert swift.get_object("box", "link")[1] == b"bytes"
    assert swift.head_object("box", "link", query_string="symlink=get")["x-symlink-target"] == "box/real"
    rows = {row["name"]: row for row in swift.get_container("box")[1]}
    assert rows["link"]["symlink_path"] == "/v1/AUTH_alice/box/real"


def test_boto3_keeps_lists_and_removes_versions(server: Server) -> None:
    s3 = boto(f"{server.url}/s3", key_in_rows("alice"))
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="a", Body=b"before")
    s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket="photos")["Status"] == "Enabled"
    first = s3.put_object(Bucket="photos", Key="a", Body=b"one")["VersionId"]
    second = s3.put_object(Bucket="photos", Key="a", Body=b"two")["VersionId"]
    marker = s3.delete_object(Bucket="photos", Key="a")
    assert marker["DeleteMarker"] is True
    listed = s3.list_object_versions(Bucket="photos")
    assert [v["VersionId"] for v in listed["Versions"]] == [second, first, "null"]
    assert [(m["VersionId"], m["IsLatest"]) for m in listed["DeleteMarkers"]] == [(marker["VersionId"], True)]
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="photos", Key="a")
    assert s3.get_object(Bucket="photos", Key="a", VersionId="null")["Body"].read() == b"before"
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket="photos", Key="a", VersionId=marker["VersionId"])
    assert caught.value.response["Error"]["Code"] == "MethodNotAllowed"
    s3.delete_object(Bucket="photos", Key="a", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket="photos", Key="a")["VersionId"] == second
    copied = s3.copy_object(Bucket="photos", Key="a", CopySource={"Bucket": "photos", "Key": "a", "VersionId": first})
    assert copied["CopySourceVersionId"] == first
    pages = s3.get_paginator("list_object_versions").paginate(Bucket="photos", PaginationConfig={"PageSize": 2})
    versions = [{"Key": v["Key"], "VersionId": v["VersionId"]} for page in pages for v in page["Versions"]]
    assert len(versions) == 4
    s3.delete_objects(Bucket="photos", Delete={"Objects": versions})
    s3.delete_bucket(Bucket="photos")
    assert not Blob.objects.filter(unused_since=None).exists()
