"""What projects have of the object store."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Model, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.owned import Owned, register
from apps.objectstore import services
from apps.objectstore.models import Container, Object, Version
from apps.objectstore.services.versions import object_purge

AT_ONCE = 1000


def _containers() -> QuerySet[Model]:
    return Container.objects.annotate(project_id=F("account_id"))


def _remove(ctx: RequestContext, row: Any) -> None:
    """Its objects one by one with their versions, then itself."""
    for kind in (Object, Version):
        found = kind.objects.filter(container_id=row.pk).order_by("name")
        while names := list(found.values_list("name", flat=True)[:AT_ONCE]):
            for name in dict.fromkeys(names):
                object_purge(row, name)
    services.container_delete(ctx, account=row.account_id, container=row.name)


register(Owned(noun="container", label=_("containers of objects"), rows=_containers, remove=_remove, order=100))
