"""`GET /metrics`: for Prometheus, with the token among the secrets as bearer; to everybody else it is not there."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from apps.core import metrics


@method_decorator(never_cache, name="dispatch")
class Metrics(View):
    """All numbers of all processes."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        if not metrics.may_look(request.headers.get("Authorization", "")):
            raise Http404
        return HttpResponse(metrics.text(), content_type=metrics.CONTENT_TYPE)
