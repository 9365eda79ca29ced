"""Secrets are files in one directory, made at first use, readable by their owner only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def random_text() -> str:
    """256 bits as URL-safe text."""
    return secrets.token_urlsafe(32)


def secret(directory: Path, name: str, make: Callable[[], str] = random_text) -> str:
    """The secret `name`, made if it does not exist yet. Two processes that make it at once agree on one.

    Raises OSError when the directory cannot be written.
    """
    path = directory / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = directory / f".{name}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(make())
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(draft, path)  # fails if another process was first, whose value then holds
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
