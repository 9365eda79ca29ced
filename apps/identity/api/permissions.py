"""`GET /v3/users/{user_id}/kumo-permissions`: what a user may do somewhere, and through which assignments."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api import types as t
from apps.core.api.views import ApiView
from apps.core.errors import Invalid
from apps.identity import selectors
from apps.identity.api.base import IDENTITY


class UserPermissions(ApiView):
    """Roles with the ways they came, and every rule; with `?rule=` that rule alone, explained.

    The place is `?project_id=`, `?domain_id=` or `?system=true`. A call of Kumo's own: OpenStack has none like it.
    """

    api = IDENTITY

    def get(self, request: Request, user_id: str) -> Response:
        query = request.query_params
        held = selectors.permissions(
            self.ctx,
            asked=selectors.Asked(
                user=user_id,
                project=query.get("project_id", ""),
                domain=query.get("domain_id", ""),
                system=_flag(query.get("system", "false")),
            ),
        )
        shown: dict[str, Any] = {
            "user": {"id": held.user.pk, "name": held.user.name},
            "scope": {"type": str(held.place.scope), "id": held.place.id or None},
            "roles": [
                {"id": role.id, "name": role.name, "ways": [_way(way) for way in role.ways]} for role in held.roles
            ],
        }
        if "rule" in query:
            found = selectors.rule_explain(self.ctx, permissions=held, rule=query["rule"])
            shown["rule"] = {
                "name": found.rule.name,
                "allowed": found.holds,
                "reason": found.reason.tree(),
                "enough": list(found.enough),
            }
        else:
            shown["rules"] = held.rules()
        return Response({"permissions": shown})


def _flag(text: str) -> bool:
    try:
        return t.parse_flag(text)
    except ValueError as error:
        raise Invalid(str(error), field="system") from error


def _way(way: selectors.Way) -> dict[str, Any]:
    return {
        "path": list(way.path),
        "scope": {"type": way.scope, "id": way.target_id or None, "name": way.target_name or None},
        "inherited": way.inherited,
        "group": {"id": way.group_id, "name": way.group_name} if way.group_id else None,
    }
