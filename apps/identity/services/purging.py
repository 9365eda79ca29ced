"""Removing all that a project has, by an operation."""

from __future__ import annotations

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, NotFound
from apps.core.transactions import service
from apps.identity.models import Project
from apps.identity.services.common import mutable
from apps.operations.models import Operation
from apps.operations.services import operation_start

PURGE = "identity.project.purge"


@service("projects:purge")
def project_purge(ctx: RequestContext, *, project_id: str, keep: bool = False) -> Operation:
    """Begin to remove everything that the project has, and then, unless `keep`, the project itself.

    Raises NotFound, Forbidden for a project that is immutable or has others below it, Conflict while it is purged.
    """
    project = Project.objects.filter(pk=project_id, is_domain=False).first()
    if project is None:
        raise NotFound("project", project_id)
    if not keep:
        mutable(project, "project", deleting=True)
        if project.children.exists():
            raise Forbidden(f"Cannot delete the project {project_id} since it is not a leaf in the hierarchy.")
    if project_id == ctx.project_id and not keep:
        raise Forbidden("The project you work in cannot be purged.", hint="Choose another project first.")
    return operation_start(
        ctx,
        kind=PURGE,
        subject_type="project",
        subject_id=project_id,
        project_id=ctx.project_id or project_id,
        input={"name": project.name, "keep": keep},
    )
