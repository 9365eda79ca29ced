"""Callers of the image API and images of every kind."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.image import backends
from tests.kit.http import AUTHENTICATION, Caller, context


@pytest.fixture(autouse=True)
def store(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """An empty image store of this test's own; returns its directory."""
    settings.KUMO_AUTHENTICATION = AUTHENTICATION
    settings.KUMO_DRIVERS = {
        **settings.KUMO_DRIVERS,
        "image_store": {"default": {"BACKEND": "filesystem", "OPTIONS": {"path": str(tmp_path / "images")}}},
    }
    backends.store.cache_clear()
    yield tmp_path / "images"
    backends.store.cache_clear()


@pytest.fixture
def alice(db: None) -> Caller:
    return Caller(context("alice"), "/image")


@pytest.fixture
def bob(db: None) -> Caller:
    return Caller(context("bob"), "/image")


@pytest.fixture
def admin(db: None) -> Caller:
    return Caller(context("ops", "admin"), "/image")


@pytest.fixture
def reader(db: None) -> Caller:
    return Caller(context("alice", "reader"), "/image")


def register(caller: Caller, **attributes: Any) -> str:
    """A queued raw image; returns its id."""
    body = {"name": "one", "container_format": "bare", "disk_format": "raw"} | attributes
    answer = caller("POST", "/v2/images", body)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def upload(caller: Caller, image_id: str, content: bytes, verb: str = "file", **headers: str) -> Any:
    return caller("PUT", f"/v2/images/{image_id}/{verb}", content, media="application/octet-stream", **headers)


@pytest.fixture
def disk(tmp_path: Path) -> Callable[..., bytes]:
    """Makes a disk image with qemu-img and returns its bytes."""

    def make(kind: str, *options: str, size: str = "8M") -> bytes:
        path = tmp_path / f"sample.{kind}"
        path.unlink(missing_ok=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", kind, *options, path, size], check=True)
        return path.read_bytes()

    return make
