"""What long changes of servers do, step by step."""

from __future__ import annotations

from apps.compute.sagas.creating import SERVER_CREATE
from apps.compute.sagas.deleting import SERVER_DELETE
from apps.compute.sagas.interfaces import SERVER_ATTACH, SERVER_DETACH
from apps.compute.sagas.power import (
    SERVER_PAUSE,
    SERVER_REBOOT,
    SERVER_REBOOT_HARD,
    SERVER_RESUME,
    SERVER_START,
    SERVER_STOP,
    SERVER_SUSPEND,
    SERVER_UNPAUSE,
)
from apps.compute.sagas.reading import CONSOLE_LOG_READ, SERVER_DIAGNOSE
from apps.compute.sagas.rebuilding import SERVER_REBUILD
from apps.compute.sagas.repair import GUEST_REMOVE, HOST_INSPECT, SERVER_REPAIR
from apps.operations.registry import register

register(
    SERVER_CREATE,
    SERVER_START,
    SERVER_STOP,
    SERVER_PAUSE,
    SERVER_UNPAUSE,
    SERVER_SUSPEND,
    SERVER_RESUME,
    SERVER_REBOOT,
    SERVER_REBOOT_HARD,
    SERVER_REBUILD,
    SERVER_DELETE,
    SERVER_ATTACH,
    SERVER_DETACH,
    SERVER_REPAIR,
    GUEST_REMOVE,
    HOST_INSPECT,
    CONSOLE_LOG_READ,
    SERVER_DIAGNOSE,
)
