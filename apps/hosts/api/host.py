"""How a machine becomes a host: the one internal call that needs no certificate, because it hands them out."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api import types as t
from apps.core.api.host import INTERNAL
from apps.core.api.views import ApiView
from apps.core.context import RequestContext
from apps.hosts import services

ENROLMENT = t.shape(
    {
        "token": t.text(128, least=1),
        "name": t.text(63, least=1),
        "csr_pem": t.text(16_384, least=1),
        "signing_public_key_pem": t.text(4096, least=1),
    },
    required=("token", "name", "csr_pem", "signing_public_key_pem"),
).schema


class Enrol(ApiView):
    """`POST /internal/host/v1/enroll`."""

    api = INTERNAL
    public = True

    def post(self, request: Request) -> Response:
        body: dict[str, Any] = self.body(ENROLMENT)
        enrolled = services.host_enroll(RequestContext(), **body)
        return Response(
            {
                "certificate_pem": enrolled.certificate_pem,
                "ca_pem": enrolled.ca_pem,
                "control_public_key_pem": enrolled.control_public_key_pem,
                "broker_password": enrolled.broker_password,
            },
            status=201,
        )


class Authority(ApiView):
    """`GET /internal/host/v1/ca`: the authority's certificate, which a new host knows by its fingerprint."""

    api = INTERNAL
    public = True

    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(services.authority().pem, content_type="application/x-pem-file")


urlpatterns = [
    path("ca", Authority.as_view(), name="host-ca"),
    path("enroll", Enrol.as_view(), name="host-enroll"),
]
