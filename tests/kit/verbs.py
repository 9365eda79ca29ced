"""A running verb for tests: keeps what it reported and can be cancelled."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agents.contracts import Domain, EnsureDisks, ImageSource, Message, Nic, Power
from agents.errors import Cancelled
from agents.verbs import VERBS


@dataclass
class RunningVerb:
    """What the worker gives a verb."""

    host: Any = None
    reported: list[tuple[int, str]] = field(default_factory=list)
    cancelled: bool = False
    checkpoints: int = 0
    at_checkpoint: Callable[[int], None] = lambda count: None

    def progress(self, percent: int, text: str) -> None:
        self.reported.append((percent, text))

    def checkpoint(self) -> None:
        self.checkpoints += 1
        self.at_checkpoint(self.checkpoints)
        if self.cancelled:
            raise Cancelled("the operation was cancelled")

    def do(self, verb: str, request: Message) -> Any:
        """Run a verb as the worker would, in this thread."""
        return VERBS[verb].run(request, self)


def new_id() -> str:
    return str(uuid.uuid4())


def wanted_domain(server_id: str, **changes: Any) -> Domain:
    """A small guest that runs and has no network."""
    given = {
        "server_id": server_id,
        "generation": 1,
        "operation_id": new_id(),
        "request_id": "req-" + new_id(),
        "project_id": "0123456789abcdef0123456789abcdef",
        "name": 'a <guest> & "more"',
        "vcpus": 1,
        "ram_mib": 192,
        "power": Power.RUNNING,
    }
    return Domain(**(given | changes))  # type: ignore[arg-type]


def wanted_disks(server_id: str, image: ImageSource | None, **changes: Any) -> EnsureDisks:
    given: dict[str, Any] = {"server_id": server_id, "generation": 1, "image": image, "root_gib": 0}
    return EnsureDisks(**(given | changes))


def wanted_nic(**changes: Any) -> Nic:
    given: dict[str, Any] = {
        "port_id": new_id(),
        "network_id": new_id(),
        "mac": "0a:00:00:00:00:01",
        "mtu": 1442,
    }
    return Nic(**(given | changes))
