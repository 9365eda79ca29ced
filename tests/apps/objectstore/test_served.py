"""The object store behind a real server: what only shows there, and the unmodified client."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from swiftclient.client import Connection
from swiftclient.exceptions import ClientException

from apps.objectstore.models import Blob, Disk
from tests.kit.served import Server
from tests.kit.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.contract]

MIB = 2**20


@pytest.fixture
def client(server: Server) -> Iterator[Connection]:
    made = Connection(preauthurl=f"{server.url}/object-store/v1/AUTH_alice", preauthtoken="alice", retries=0)
    yield made
    made.close()


def test_the_unmodified_client(client: Any, server: Server) -> None:
    body = os.urandom(3 * MIB + 1)
    client.put_container("box", headers={"X-Container-Meta-Color": "blue"})
    etag = client.put_object("box", "dir/日本 1", body, content_length=len(body), headers={"X-Object-Meta-A": "1"})
    assert etag == hashlib.md5(body).hexdigest()
    headers, got = client.get_object("box", "dir/日本 1")
    assert (got, headers["x-object-meta-a"]) == (body, "1")
    assert client.head_container("box")["x-container-meta-color"] == "blue"
    assert client.get_object("box", "dir/日本 1", headers={"Range": "bytes=5-9"})[1] == body[5:10]
    assert [r.get("subdir") for r in client.get_container("box", delimiter="/")[1]] == ["dir/"]
    client.copy_object("box", "dir/日本 1", destination="/box/copy")
    client.post_object("box", "copy", {"X-Object-Meta-B": "2"})
    assert client.head_object("box", "copy")["x-object-meta-b"] == "2"
    assert [r["name"] for r in client.get_container("box")[1]] == ["copy", "dir/日本 1"]
    assert client.get_account()[0]["x-account-bytes-used"] == str(2 * len(body))
    with pytest.raises(ClientException) as caught:
        client.delete_container("box")
    assert caught.value.http_status == 409
    for row in client.get_container("box", full_listing=True)[1]:
        client.delete_object("box", row["name"])
    client.delete_container("box")
    assert client.get_account()[1] == []
    assert "tempurl" in client.get_capabilities()


def test_names_that_are_no_text_are_refused(server: Server) -> None:
    assert server("PUT", "/object-store/v1/AUTH_alice/%FF")[0] == 412
    assert server("PUT", "/object-store/v1/AUTH_alice/%2525")[0] == 201
    assert server("GET", "/object-store/v1/AUTH_alice")[2] == b"%25\n"


def sizes(disks: list[Path]) -> list[int]:
    """Of all files of blobs, drafts too; one that goes meanwhile has none."""
    found = []
    for path in (file for disk in disks for file in (disk / "blobs").rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                found.append(path.stat().st_size)
    return found


def test_a_client_that_goes_away_leaves_nothing(server: Server, paths: list[Path]) -> None:
    server("PUT", "/object-store/v1/AUTH_alice/box")
    with socket.create_connection(("127.0.0.1", server.port)) as wire:
        head = "PUT /object-store/v1/AUTH_alice/box/a HTTP/1.1\r\nHost: x\r\nX-Auth-Token: alice\r\n"
        wire.sendall(f"{head}Content-Length: {8 * MIB}\r\n\r\n".encode() + bytes(3 * MIB))
    assert server("PUT", "/object-store/v1/AUTH_alice/box/b", bytes(2 * MIB))[0] == 201
    # Another thread may still be about to see the end of the first.
    until(lambda: sizes(paths) == [2 * MIB] * 3)
    assert server("GET", "/object-store/v1/AUTH_alice/box")[2] == b"b\n"
    assert Blob.objects.count() == 1


def test_a_server_on_another_machine_does_not_start(server: Server) -> None:
    server.kill()
    Disk.objects.filter(pk=Disk.objects.latest("pk").pk).update(machine="another")
    with pytest.raises(AssertionError, match="one machine only"):
        server.start()


def test_headers_that_are_not_ascii_come_through(server: Server) -> None:
    path, wort = "/object-store/v1/AUTH_alice/box", "Grüße 日本"
    on_the_wire = wort.encode().decode("latin-1")
    sent: dict[str, Any] = {"X_Container_Meta_Wort": on_the_wire, "X_Container_Meta_Plain": "1"}
    by_nginx = f"x-container-meta-wort={wort.encode().hex()},x-container-meta-plain=32,x-container-meta-new=33"
    assert server("PUT", path, X_Kumo_Headers=by_nginx, **sent)[0] == 201
    headers = {name.lower(): value for name, value in server("GET", path)[1].items()}
    assert headers["x-container-meta-wort"] == on_the_wire
    assert headers["x-container-meta-plain"] == "1"  # what arrived is not replaced
    assert "x-container-meta-new" not in headers  # nor is anything made
