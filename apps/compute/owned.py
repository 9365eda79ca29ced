"""What projects have of compute."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.compute import services
from apps.compute.models import Server, ServerGroup
from apps.core.context import RequestContext
from apps.core.owned import Owned, Stage, register


def _remove_server(ctx: RequestContext, row: Any) -> None:
    if row.deleting_at is None:
        services.server_delete(ctx, server_id=str(row.pk))


register(
    Owned(
        noun="server",
        label=_("servers"),
        rows=Server.objects.all,
        remove=_remove_server,
        stage=Stage.GUESTS,
    ),
    Owned(
        noun="server_group",
        label=_("server groups"),
        rows=ServerGroup.objects.all,
        remove=lambda ctx, row: services.server_group_delete(ctx, server_group_id=str(row.pk)),
        order=10,
    ),
)
