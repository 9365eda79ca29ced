"""Secrets that exist before the control plane runs; the same files as `cloud.secrets` makes and reads."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from .run import write
from .site import Site
from .view import USER


def directory(site: Site) -> Path:
    """The directory of secrets, its owner's alone."""
    path = site.path("secrets")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def secret(site: Site, name: str) -> str:
    """The secret of that name, made if it does not exist yet."""
    path = directory(site) / name
    if not path.exists():
        write(path, f"{secrets.token_urlsafe(32)}\n", 0o600)
    return path.read_text().strip()


def give_to_control_plane(site: Site) -> None:
    """All secrets belong to the user that the control plane runs as."""
    top = directory(site)
    for path in (top, *top.rglob("*")):
        shutil.chown(path, USER, USER)
