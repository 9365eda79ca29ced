"""Errors that only services of objects raise."""

from __future__ import annotations

from apps.core.errors import KumoError


class InsufficientStorage(KumoError):
    """Too few disks can take the bytes."""

    status = 507
    title = "Insufficient Storage"


class Unprocessable(KumoError):
    """The bytes are not those that the caller announced."""

    status = 422
    title = "Unprocessable Entity"
