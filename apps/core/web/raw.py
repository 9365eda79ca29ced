"""The Raw tab: a thing exactly as the API shows it, rendered from the same table."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from apps.core.api.resource import SHOW, Env, Resource, Version
from apps.core.context import RequestContext
from apps.core.errors import NotFound


def document(resource: Resource, rows: QuerySet[Any], ctx: RequestContext, version: Version) -> str:
    """The API's answer to showing the one row, as indented JSON. Raises NotFound when there is none."""
    fields = resource.visible(SHOW, version, ctx)
    columns = resource.columns(fields)
    row = rows.annotate(**resource.annotated(columns, ctx)).values(*columns).first()
    if row is None:
        raise NotFound(resource.label)
    shown = resource.renderer(fields)(row, Env(ctx, version, settings.CONFIG.public.url))
    return json.dumps({resource.member: shown}, indent=2, ensure_ascii=False, default=str)
