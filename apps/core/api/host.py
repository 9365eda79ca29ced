"""What hosts may ask the control plane, at `/internal/host/v1/…`: base of these views.

Who asks is settled by the client certificate, through the function named by `KUMO_HOST_OF_REQUEST` (the kernel
imports no app). Each view still checks that what is asked for is placed on that host now.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.utils.module_loading import import_string
from rest_framework.request import Request

from apps.core.api.service import Api, keystone_fault, nova_links
from apps.core.api.views import ApiView

INTERNAL = Api("internal", "/internal/host/v1", keystone_fault, nova_links)


class HostView(ApiView):
    """`self.host` is the row of the host that asks; other callers are refused before any method runs."""

    api: ClassVar[Api] = INTERNAL
    public = True  # no token: the certificate is the identity
    host: Any

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.host = import_string(settings.KUMO_HOST_OF_REQUEST)(request)
