"""What is looked at before this machine serves anything."""

from __future__ import annotations

import logging

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connection

from apps.core.context import system
from apps.objectstore import backends, services

logger = logging.getLogger("kumo.objectstore")


def refuse_wrong_policies() -> None:
    """End the process where a storage policy's configuration cannot be used. Raises SystemExit."""
    for policy in backends.policies():
        try:
            backends.store(policy)
        except (ImproperlyConfigured, ImportError, TypeError) as error:  # of its constructor: options
            raise SystemExit(f"storage policy {policy} (drivers.object_store.{policy}): {error}") from error


def refuse_foreign_disks() -> None:
    """End the process where disks of the object store are another machine's. Raises SystemExit.

    A database that does not answer says nothing: each request looks again.
    """
    try:
        found = list(services.foreign_disks(system()))
    except Error:
        logger.warning("whose disks these are could not be asked yet", exc_info=True)
        return
    finally:
        connection.close()
    if found:
        hint = "If they were moved to this machine: manage.py object disks add PATH…"
        raise SystemExit("\n".join([*found, hint]))
