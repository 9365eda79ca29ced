"""`/v3/registered_limits` and `/v3/limits`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.resource import SHOW
from apps.core.api.views import ApiView, Crud
from apps.identity import resources, selectors, services
from apps.identity.api.base import IDENTITY, IdentityView


class _ManyAtOnce(IdentityView):
    """A collection whose create takes a list and makes all or none."""

    body_schema: Mapping[str, Any]

    def create(self, request: Request, **_: Any) -> Response:
        assert self.calls.create is not None
        assert self.calls.list is not None
        wanted = self.body(self.body_schema)[self.resource.collection]
        made = [row.pk for row in self.calls.create(self.ctx, limits=wanted)]
        fields = self.resource.visible(SHOW, self.version, self.ctx)
        render, columns = self.resource.renderer(fields), self.resource.columns(fields)
        rows = {row["pk"]: row for row in self.calls.list(self.ctx).filter(pk__in=made).values(*columns)}
        return Response({self.resource.collection: [render(rows[pk], self.env) for pk in made]}, status=201)


class RegisteredLimits(_ManyAtOnce):
    resource = resources.REGISTERED_LIMIT
    body_schema = resources.REGISTERED_LIMITS
    calls = Crud(
        list=selectors.registered_limit_list,
        get=selectors.registered_limit_get,
        create=services.registered_limits_create,
        update=services.registered_limit_update,
        delete=services.registered_limit_delete,
    )


class Limits(_ManyAtOnce):
    resource = resources.LIMIT
    body_schema = resources.LIMITS
    calls = Crud(
        list=selectors.limit_list,
        get=selectors.limit_get,
        create=services.limits_create,
        update=services.limit_update,
        delete=services.limit_delete,
    )


class LimitModel(ApiView):
    """`GET /v3/limits/model`."""

    api = IDENTITY

    def get(self, request: Request) -> Response:
        return Response({"model": selectors.limit_model(self.ctx)})
