"""What projects have in other apps, told by the tables of `apps.core.owned`."""

from __future__ import annotations

from apps.core import owned
from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.owned import Holding
from apps.core.transactions import selector
from apps.identity.models import Project


@selector("projects:purge")
def project_holdings(ctx: RequestContext, *, project_id: str) -> list[Holding]:
    """Kind by kind in the order of removal, how much the project has. Raises NotFound."""
    if not Project.objects.filter(pk=project_id, is_domain=False).exists():
        raise NotFound("project", project_id)
    return owned.holdings([project_id])
