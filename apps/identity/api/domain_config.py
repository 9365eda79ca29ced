"""`/v3/domains/{id}/config[/{group}[/{option}]]` and the defaults of its options."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api import types as t
from apps.core.api.views import ApiView
from apps.identity import selectors, services
from apps.identity.api.base import IDENTITY

_BODY = t.shape({"config": t.mapping}, required=("config",)).schema


class DomainConfig(ApiView):
    """The whole configuration, a group of it, or one option, by how long the address is."""

    api = IDENTITY

    def get(self, request: Request, **place: str) -> Response:
        return Response({"config": selectors.domain_config_get(self.ctx, **place)})

    def put(self, request: Request, domain_id: str) -> Response:
        made = services.domain_config_set(self.ctx, domain_id=domain_id, config=self.body(_BODY)["config"])
        return Response(self._shown(domain_id=domain_id), status=201 if made else 200)

    def patch(self, request: Request, **place: str) -> Response:
        services.domain_config_update(self.ctx, config=self.body(_BODY)["config"], **place)
        return Response(self._shown(domain_id=place["domain_id"]))

    def delete(self, request: Request, **place: str) -> Response:
        services.domain_config_delete(self.ctx, **place)
        return Response(status=204)

    def _shown(self, **place: str) -> dict[str, Any]:
        return {"config": selectors.domain_config_get(self.ctx, **place)}


class DomainConfigPart(DomainConfig):
    """A group or an option; these are made with the whole."""

    http_method_names = ["get", "head", "patch", "delete"]


class DomainConfigDefault(ApiView):
    """What holds where nothing is given."""

    api = IDENTITY

    def get(self, request: Request, **place: str) -> Response:
        return Response({"config": selectors.domain_config_default(self.ctx, **place)})


def domain_config_urls() -> list[URLPattern]:
    """Every address; those of the defaults first, for `config` is no id."""
    default, part = DomainConfigDefault.as_view(), DomainConfigPart.as_view()
    root = "/v3/domains/<str:domain_id>/config"
    return [
        path("/v3/domains/config/default", default),
        path("/v3/domains/config/<str:group>/default", default),
        path("/v3/domains/config/<str:group>/<str:option>/default", default),
        path(root, DomainConfig.as_view()),
        path(f"{root}/<str:group>", part),
        path(f"{root}/<str:group>/<str:option>", part),
    ]
