"""Operations in words: titles of kinds, names of steps, states, and how far a running one is."""

from __future__ import annotations

import datetime
from typing import Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core.web import cells
from apps.operations.models import Operation, Step
from apps.operations.registry import SAGAS
from apps.operations.states import UNFINISHED, Status, StepStatus, WaitsFor

STATES: dict[str, tuple[str, Any]] = {
    Status.PENDING: ("idle", _("Waiting")),
    Status.RUNNING: ("busy", _("Running")),
    Status.UNDOING: ("busy", _("Undoing")),
    Status.DONE: ("ok", _("Done")),
    Status.FAILED: ("bad", _("Failed")),
    Status.STUCK: ("warn", _("Stuck")),
    Status.ABANDONED: ("off", _("Given up")),
}

STEP_STATES: dict[str, tuple[str, str, Any]] = {
    StepStatus.STARTED: ("busy", "loader", _("Running")),
    StepStatus.DONE: ("done", "circle-check", _("Done")),
    StepStatus.UNDONE: ("", "rotate-cw", _("Undone")),
}

WAITING: dict[str, Any] = {
    WaitsFor.LOCKS: _("waits for another operation"),
    WaitsFor.CHILDREN: _("waits for its parts"),
    WaitsFor.BACKOFF: _("tries again soon"),
}

# Titles as the sagas have them, for the catalogues of translations.
TITLES = (
    _("Launch server"),
    _("Delete server"),
    _("Start server"),
    _("Stop server"),
    _("Reboot server"),
    _("Hard reboot server"),
    _("Pause server"),
    _("Unpause server"),
    _("Suspend server"),
    _("Resume server"),
    _("Repair server"),
    _("Attach interface"),
    _("Detach interface"),
    _("Read console log"),
    _("Remove a project's resources"),
    _("Delete objects"),
)

# What hosts and jobs say of their progress, for the catalogues as well.
PROGRESS = (_("fetching the image"), _("removing objects"))

# What a step does, by its kind and name, or by its name alone.
STEPS: dict[str, Any] = {
    "place": _("Choose a host"),
    "ports": _("Bind the ports"),
    "port": _("Bind the port"),
    "network": _("Wait for the network"),
    "disks": _("Prepare the disks"),
    "domain": _("Bring the machine to its state"),
    "generation": _("Write down what is wanted"),
    "reboot": _("Reboot the machine"),
    "claim": _("Give back the room"),
    "bury": _("Remember it as deleted"),
    "read": _("Read the log"),
    "compute.server.delete/domain": _("Remove the machine"),
    "compute.server.delete/disks": _("Remove the disks"),
    "compute.server.delete/ports": _("Free the ports"),
    "identity.project.purge/close": _("Close the project"),
    "identity.project.purge/remove_guests": _("Delete the servers"),
    "identity.project.purge/guests_gone": _("Wait until the servers are gone"),
    "identity.project.purge/remove_disks": _("Delete the volumes"),
    "identity.project.purge/disks_gone": _("Wait until the volumes are gone"),
    "identity.project.purge/remove_rest": _("Remove everything else"),
    "identity.project.purge/rest_gone": _("Look whether anything is left"),
    "identity.project.purge/delete": _("Delete the project"),
    "objectstore.objects.delete/remove": _("Delete the objects, one after the other"),
}


def title(operation: Operation) -> str:
    """What it does, as its kind's saga says."""
    saga = SAGAS.get(operation.kind)
    return gettext(saga.title) if saga and saga.title else operation.kind


def step_title(kind: str, name: str) -> str:
    """What a step does; one without words here shows its name."""
    found = STEPS.get(f"{kind}/{name}") or STEPS.get(name)
    return str(found) if found else name.replace("_", " ").replace("-", " ").capitalize()


def badge(operation: Operation) -> Any:
    """State with its percentage while it runs."""
    tone, word = STATES.get(operation.status, ("idle", operation.status))
    running = operation.status == Status.RUNNING and operation.percent
    return cells.badge(tone, word, operation.percent if running else None)


def doing(operation: Operation) -> Any:
    """What it is doing now, or how it ended."""
    if operation.status in {Status.FAILED, Status.STUCK} and operation.error:
        return format_html('<span class="why">{}</span>', reason(operation.error))
    if operation.status not in UNFINISHED:
        return ""
    if operation.waits_for == WaitsFor.HOST and operation.due_at is None:
        return gettext("waits for the host %s to come back") % operation.host
    said = gettext(operation.progress) if operation.progress else ""
    return said or WAITING.get(operation.waits_for) or step_title(operation.kind, operation.cursor)


def reason(error: Any) -> str:
    """An error in words, whatever shape it was kept in."""
    if isinstance(error, dict):
        return str(error.get("message") or error.get("reason") or error.get("type") or "")
    return str(error or "")


def took(operation: Operation | Step) -> str:
    """How long it took, or has taken until now."""
    begun: datetime.datetime | None = operation.started_at
    if begun is None:
        return ""
    seconds = ((operation.finished_at or timezone.now()) - begun).total_seconds()
    return f"{seconds:.1f} s" if 0 <= seconds < 10 else cells.span(max(0, seconds))
