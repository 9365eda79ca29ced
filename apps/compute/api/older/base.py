"""What calls that end with a version have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from rest_framework.request import Request

from apps.compute.api.base import ComputeView
from apps.core import policy
from apps.core.errors import Conflict, Invalid

TEXT = {"type": "string", "maxLength": 255}


class OlderView(ComputeView):
    """A call that ends with 2.35, or later where it says so."""

    until = (2, 35)
    rules: ClassVar[Mapping[str, str]] = {}  # compute's own rules, method → rule; the other service's come after

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        rule = self.rules.get(request.method or "")
        if rule:
            policy.enforce(self.ctx, f"os_compute_api:{rule}")


def body(member: str, properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """The schema of a body with one member; what it does not know is ignored, as it always was."""
    inner = {"type": "object", "properties": dict(properties), "required": list(required)}
    return {"type": "object", "properties": {member: inner}, "required": [member]}


def as_invalid(call: Callable[..., Any], *args: Any, **given: Any) -> Any:
    """The older API answers 400 where the network's answers 409."""
    try:
        return call(*args, **given)
    except Conflict as error:
        raise Invalid(error.message) from error
