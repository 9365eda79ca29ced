"""Who may see and change a container, in words."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.web import cells
from apps.core.web.cells import pick
from apps.objectstore.models import Container
from apps.objectstore.states import Versioning, is_bucket_name

Said = tuple[str, Any]  # tone of the style sheet, sentence
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


def bucket(row: Container) -> Said:
    """Under which name S3 reaches it, or why not."""
    if pick(row, "bucket"):
        return ("ok", _("As the bucket “%s”") % row.bucket.name)
    if not is_bucket_name(row.name):
        return ("off", _("Not by S3: its name cannot be a bucket's"))
    return ("warn", _("Not by S3: another project has this name"))


VERSIONING: dict[str, Said] = {
    Versioning.NEVER: ("off", gettext_lazy("Not kept")),
    Versioning.ENABLED: ("ok", gettext_lazy("Kept")),
    Versioning.SUSPENDED: ("idle", gettext_lazy("No more are kept")),
}


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
