"""Answers with an object's bytes: streamed, or left to nginx, which sends a copy's file by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from apps.core.sendfile import ASKED, COPY
from apps.objectstore import services
from apps.objectstore.api.swift import ranges
from apps.objectstore.services import Content

_ONE_RANGE = re.compile(r"bytes=(\d{1,15}-\d{0,15}|-\d{1,15})", re.ASCII)  # read by nginx exactly as here


def download(
    request: HttpRequest, content: Content, start: int, end: int, *, headers: Mapping[str, str], status: int = 200
) -> HttpResponseBase:
    """The answer with the bytes from `start` up to `end`. `status` is 206 for a range, which `headers` then name."""
    told = {**headers, "Content-Length": str(end - start)}
    is_for_auditor = not settings.CONFIG.objectstore.verify_reads  # to find out whether the bytes are right
    nginx_can = is_for_auditor and _nginx_can(request, told, status, content.size, (start, end))
    if nginx_can and (copy := services.content_lent(content)):
        return StreamingHttpResponse(status=status, headers=told | {COPY: copy})
    return StreamingHttpResponse(services.content_pieces(content, start, end), status=status, headers=told)


def _nginx_can(request: HttpRequest, told: Mapping[str, str], status: int, size: int, span: tuple[int, int]) -> bool:
    """Whether nginx, asked the same of a plain file of that size, answers the same.

    Conditions it would decide by the file's own time, and headers without a value it drops.
    """
    sent = request.META
    if sent.get(ASKED) != "1" or any(name.startswith("HTTP_IF_") for name in sent) or not all(told.values()):
        return False
    asked = sent.get("HTTP_RANGE", "")
    if not asked:
        return status == 200 and span == (0, size)
    return status == 206 and bool(_ONE_RANGE.fullmatch(asked)) and ranges.spans(asked, size) == [span]
