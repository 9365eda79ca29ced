"""Keeping what we know of directories true while nobody asks: who left them loses access within minutes."""

from __future__ import annotations

import logging
import threading

from django.conf import settings
from django.db import close_old_connections

from apps.core.errors import KumoError
from apps.identity.models import Assignment, DomainOption, IdMapping, Project
from apps.identity.selectors import directories
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
        close_old_connections()


daemon("identity.directories", run)
