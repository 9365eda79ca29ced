"""Who may see and change a container, in words."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from apps.core.web import cells
from apps.objectstore.models import Container

Said = tuple[str, str]  # tone of the style sheet, sentence
PUBLIC, LISTED = ".r:*", ".rlistings"


def entries(acl: str) -> list[str]:
    """The entries of an access list."""
    return [entry for entry in acl.split(",") if entry]


def access_badge(row: Container) -> Any:
    """Who may read, as a state."""
    if PUBLIC in entries(row.read_acl):
        return cells.badge("warn", _("Everybody"))
    if row.read_acl:
        return cells.badge("busy", _("Some others too"))
    return cells.badge("off", _("This project"))


def readers(row: Container) -> list[Said]:
    """Everybody who may read, a sentence for each kind of people."""
    named = entries(row.read_acl)
    found = [("off", _("Who has a role in this project."))]
    if PUBLIC in named:
        listing = LISTED in named
        found.append(
            ("warn", _("Everybody, without signing in, and they see the list of all objects."))
            if listing
            else ("warn", _("Everybody who knows an object's address, without signing in."))
        )
    return found + [line for entry in named if (line := _reader(entry))]


def writers(row: Container) -> list[Said]:
    """Everybody who may change objects."""
    found = [("off", _("Members of this project."))]
    return found + [_somebody(entry) for entry in entries(row.write_acl)]


def _reader(entry: str) -> Said | None:
    if entry in {PUBLIC, LISTED}:
        return None
    if entry.startswith(".r:-"):
        return ("off", _("Not pages of %s.") % entry.removeprefix(".r:-"))
    if entry.startswith(".r:"):
        return ("warn", _("Everybody who comes from a page of %s.") % entry.removeprefix(".r:"))
    return _somebody(entry)


def _somebody(entry: str) -> Said:
    """`project:user`, where either may be a star, or a role."""
    project, colon, user = entry.rpartition(":")
    if not colon:
        return ("busy", _("Who has the role “%s” in any project.") % entry)
    if project == "*" and user == "*":
        return ("warn", _("Everybody who is signed in."))
    if user == "*":
        return ("busy", _("Everybody in the project %s.") % project)
    if project == "*":
        return ("busy", _("The user %s, from any project.") % user)
    return ("busy", _("The user %(user)s, from the project %(project)s.") % {"user": user, "project": project})
