"""What callbacks of a saga see of their operation, and how a failure is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from apps.core.context import RequestContext, system
from apps.operations.models import Operation, Step
from apps.operations.states import StepStatus

_KEPT = tuple(f.name for f in dataclasses.fields(RequestContext) if f.name not in {"token_id", "is_system"})


def actor_of(ctx: RequestContext) -> dict[str, Any]:
    """The caller as the edge decided it, as JSON values."""
    actor = {name: getattr(ctx, name) for name in _KEPT}
    return actor | {"roles": sorted(ctx.roles)}


def context_of(operation: Operation) -> RequestContext:
    """Kumo's own context on behalf of the actor."""
    actor = {k: v for k, v in operation.actor.items() if k in _KEPT}
    caller = RequestContext(**actor | {"roles": frozenset(actor.get("roles", ()))})
    return system(on_behalf_of=caller, request_id=operation.request_id)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step failed. `kind`: transient, refused, unsupported, cancelled, timeout or crashed."""

    kind: str
    message: str
    step: str = ""
    host: str = ""
    traceback: str = ""

    @property
    def is_final(self) -> bool:
        """Is it no use to try again?"""
        return self.kind in {"refused", "unsupported", "cancelled", "timeout"}

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> Failure:
        """From what `as_json` gave."""
        names = {f.name for f in dataclasses.fields(cls)}
        return cls(**{"kind": "crashed", "message": ""} | {k: v for k, v in (stored or {}).items() if k in names})


class Op:
    """An operation as the callbacks of its saga see it; they change rows of their own app, never the operation."""

    def __init__(self, row: Operation, steps: Mapping[str, Step]) -> None:
        self.id = str(row.id)
        self.kind = row.kind
        self.request_id = row.request_id
        self.project_id = row.project_id
        self.subject_type = row.subject_type
        self.subject_id = row.subject_id
        self.input = row.input
        self.steps = steps
        self._row = row

    @cached_property
    def ctx(self) -> RequestContext:
        """Kumo's own context, on behalf of whoever asked for this."""
        return context_of(self._row)

    @property
    def caller(self) -> RequestContext:
        """Whoever asked for this, with the rights they had then: for work that must not gain any."""
        return replace(self.ctx, is_system=False)

    @property
    def outputs(self) -> dict[str, Any]:
        """Outputs of the steps that are done, by name."""
        return {name: step.output for name, step in self.steps.items() if step.status == StepStatus.DONE}

    def host_of(self, step: str) -> str:
        """The host that a step was sent to, or empty."""
        row = self.steps.get(step)
        return row.host if row else ""
