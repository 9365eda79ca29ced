"""Callers of the object store on three disks of the test's own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection

from apps.core.context import RequestContext
from apps.identity.selectors import forget
from apps.objectstore import backends, services
from apps.objectstore.backends.disks import DiskStore
from tests.kit.http import AUTHENTICATION, Caller, context
from tests.kit.s3 import S3, access_key
from tests.kit.served import Server

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
SYSTEM = RequestContext(is_system=True)


@pytest.fixture
def disks(settings: Any, db: None) -> Iterator[list[Path]]:
    """Three empty disks of the default policy, in memory; returns their directories, disk 1 first."""
    settings.KUMO_AUTHENTICATION = AUTHENTICATION
    backends.store.cache_clear()
    with tempfile.TemporaryDirectory(prefix="kumo-disks-", dir=MEMORY) as root:
        paths = [Path(root, f"disk{n}") for n in (1, 2, 3)]
        for path in paths:
            path.mkdir()
            services.disk_add(SYSTEM, path=str(path))
        yield paths
    backends.store.cache_clear()


@pytest.fixture
def store(disks: list[Path]) -> DiskStore:
    """The default policy's; its threads see the disks as they were when the test began."""
    made = backends.store("default")
    assert isinstance(made, DiskStore)
    made.disks()
    return made


@pytest.fixture
def paths(transactional_db: None, tmp_path: Path) -> list[Path]:
    """Three empty disks of the default policy that a real server can open, too; disk 1 first."""
    backends.store.cache_clear()
    forget()
    made = [tmp_path / f"disk{n}" for n in (1, 2, 3)]
    for path in made:
        path.mkdir()
        services.disk_add(SYSTEM, path=str(path))
    return made


@pytest.fixture
def server(paths: list[Path], tmp_path: Path) -> Iterator[Server]:
    """A real server over those disks and the test's database."""
    made = Server(connection.settings_dict["NAME"], tmp_path / "state")
    made.start()
    yield made
    made.kill()


class Swift(Caller):
    """A caller in an account; paths are below it, and bodies are bytes."""

    def __init__(self, ctx: RequestContext | None, account: str = "") -> None:
        owner = account or (ctx.project_id if ctx else "")
        super().__init__(ctx, f"/object-store/v1/AUTH_{owner}")

    def __call__(self, method: str, path: str = "", body: bytes = b"", *, media: str = "", **headers: str) -> Any:
        where, mark, query = path.partition("?")
        if method in {"PUT", "POST"} and not body:
            headers.setdefault("Content_Length", "0")
        return super().__call__(method, quote(where, safe="/%") + mark + query, body, media=media, **headers)

    def put(self, path: str, body: bytes = b"", *, media: str = "", **headers: str) -> Any:
        return self("PUT", path, body, media=media, **headers)

    def bytes(self, path: str, **headers: str) -> bytes:
        answer = self("GET", path, b"", **headers)
        assert answer.status_code in {200, 206}, answer.status_code
        return content(answer)

    def names(self, path: str) -> list[str]:
        answer = self("GET", path)
        assert answer.status_code in {200, 204}, answer.content
        return str(answer.content.decode()).splitlines()


def content(answer: Any) -> bytes:
    """The body of an answer, streamed or not."""
    return b"".join(answer.streaming_content) if answer.streaming else bytes(answer.content)


@pytest.fixture
def alice(disks: list[Path]) -> Swift:
    return Swift(context("alice"))


@pytest.fixture
def bob(disks: list[Path]) -> Swift:
    """A member of another project, asking for things of alice's."""
    return Swift(context("bob"), "alice")


@pytest.fixture
def stranger(disks: list[Path]) -> Swift:
    """Nobody: no token."""
    return Swift(None, "alice")


@pytest.fixture
def admin(disks: list[Path]) -> Swift:
    return Swift(context("ops", "admin"), "alice")


@pytest.fixture
def box(alice: Swift) -> str:
    """A container of alice's."""
    assert alice.put("/box").status_code == 201
    return "/box"


@pytest.fixture
def s3_keys(disks: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Access keys are those of the kit."""
    monkeypatch.setattr("apps.objectstore.api.s3.signatures.access_key", access_key)


@pytest.fixture
def alice_s3(s3_keys: None) -> S3:
    """Alice through S3; what she keeps is in the account of `alice`, too."""
    return S3(context("alice"))


@pytest.fixture
def bob_s3(s3_keys: None) -> S3:
    """A member of another project."""
    return S3(context("bob"))


@pytest.fixture
def nobody_s3(s3_keys: None) -> S3:
    """No key at all."""
    return S3(None)


@pytest.fixture
def bucket(alice_s3: S3) -> str:
    """A bucket of alice's."""
    assert alice_s3("PUT", "/photos").status_code == 200
    return "/photos"
