"""What projects have of the object store."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Model, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.owned import Owned, register
from apps.objectstore import services
from apps.objectstore.models import Container


def _containers() -> QuerySet[Model]:
    """Those of projects: accounts of Kumo's own services begin with a dot."""
    return Container.objects.annotate(project_id=F("account_id")).exclude(project_id__startswith=".")


def _remove(ctx: RequestContext, row: Any) -> None:
    """Its objects with their versions, then itself."""
    while not services.container_reap(row):
        pass


register(Owned(noun="container", label=_("containers of objects"), rows=_containers, remove=_remove, order=100))
