"""Keeping what others told us true while nobody asks: who left a directory, or whose provider's word is old, loses
access within minutes.

And what the doctor looks for: things whose project is gone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from django.conf import settings
from django.db import connection

from apps.core import owned
from apps.core.context import system
from apps.core.doctor import doctor_check
from apps.core.errors import KumoError
from apps.identity.models import Assignment, DomainOption, IdMapping, Project
from apps.identity.selectors import directories
from apps.identity.services import federated_memberships_expire
from apps.operations.registry import daemon

logger = logging.getLogger("kumo.identity")


def directories_refresh() -> dict[str, str]:
    """Read every directory's users and the members of its groups that have roles.

    Returns what went wrong by the domain's name; nothing changes there.
    """
    wrong: dict[str, str] = {}
    mapped = IdMapping.objects.values("domain_id")
    configured = DomainOption.objects.values("domain_id")
    for domain in Project.objects.filter(is_domain=True, pk__in=mapped) | Project.objects.filter(
        is_domain=True, pk__in=configured
    ):
        try:
            _refresh(domain.pk)
        except KumoError as error:
            wrong[domain.name] = error.message
    return wrong


def _refresh(domain_id: str) -> None:
    directories.see_all("user", domain_id)
    groups = IdMapping.objects.filter(domain_id=domain_id, kind="group", gone_at=None)
    for group_id in groups.filter(pk__in=Assignment.objects.exclude(group=None).values("group_id")):
        directories.see_members_of(group_id.pk)


def run(stop: threading.Event) -> None:
    """Once in a while, until told to stop."""
    while not stop.wait(settings.CONFIG.identity.directory_refresh_seconds):
        for domain, reason in directories_refresh().items():
            logger.warning("a directory was not read", extra={"domain": domain, "reason": reason})
        federated_memberships_expire()
        connection.close()


daemon("identity.directories", run)


@doctor_check("projects")
def check_projects(repair: bool) -> Iterator[str]:
    """Rows that belong to projects that are not there; repairing removes them by their app's own service."""
    for project_id, kind, number in owned.homeless(Project.objects.all()):
        removed = _removed(project_id, kind) if repair else ""
        yield f"{kind.label} of the project {project_id}, which is gone: {number}{removed}"


def _removed(project_id: str, kind: owned.Owned) -> str:
    refused = 0
    for row in owned.rows_of(kind, [project_id]):
        try:
            owned.remove(system(), kind, row)
        except KumoError:
            refused += 1
    return f": removed but for {refused}" if refused else ": removed"
