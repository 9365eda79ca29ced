"""Who may see and change a container, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.web import cells
from apps.core.web.cells import pick
from apps.objectstore.models import Bucket, Container, ObjectFields
from apps.objectstore.selectors import grants, lists
from apps.objectstore.selectors.access import bucket_of
from apps.objectstore.selectors.bucket_policy import (
    Effect,
    Principal,
    Statement,
    Whom,
    policy_is_public,
    policy_of,
)
from apps.objectstore.states import Versioning, is_bucket_name

Said = tuple[str, Any]  # tone of the style sheet, sentence
PUBLIC, LISTED = ".r:*", lists.LISTINGS


def entries(acl: str) -> list[str]:
    """The entries of an access list."""
    return [entry for entry in acl.split(",") if entry]


def access_badge(row: Container) -> Any:
    """Who may read, as a state."""
    if is_public(row):
        return cells.badge("warn", _("Everybody"))
    owned = bucket_of(row)
    if row.read_acl or (owned and {"policy", "acl"} & set(owned.documents)):
        return cells.badge("idle", _("Some others too"))
    return cells.badge("off", _("This project"))


def is_public(row: Container) -> bool:
    """Whether somebody without a name may read: by access list, grants or policy, unless that is blocked."""
    owned = bucket_of(row)
    block = grants.block_of(owned)
    listed = PUBLIC in entries(row.read_acl) or (owned is not None and grants.are_public(_grants(owned)))
    if listed and not block.ignore_acls:
        return True
    return (
        owned is not None and not block.restrict_policy and policy_is_public(owned.documents.get("policy"), owned.name)
    )


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
    found: list[Said] = [("off", _("Who has a role in this project."))]
    if grants.block_of(bucket_of(row)).ignore_acls and {PUBLIC, LISTED} & set(named):
        found.append(("ok", _("Access lists for everybody are there, but blocked.")))
    elif PUBLIC in named:
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
        return ("idle", _("Who has the role “%s” in any project.") % entry)
    if project == "*" and user == "*":
        return ("warn", _("Everybody who is signed in."))
    if user == "*":
        return ("idle", _("Everybody in the project %s.") % project)
    if project == "*":
        return ("idle", _("The user %s, from any project.") % user)
    return ("idle", _("The user %(user)s, from the project %(project)s.") % {"user": user, "project": project})


# --- S3's grants and policies ------------------------------------------------------------------------

PERMISSIONS = {
    "READ": gettext_lazy("may list what is there"),
    "WRITE": gettext_lazy("may write and delete"),
    "READ_ACP": gettext_lazy("may see the grants"),
    "WRITE_ACP": gettext_lazy("may change the grants"),
    "FULL_CONTROL": gettext_lazy("may do everything"),
}


# The same words of grants on an object, where writing means nothing.
ON_OBJECT = PERMISSIONS | {"READ": gettext_lazy("may read it"), "WRITE": gettext_lazy("may write: that has no effect")}


def granted(owned: Bucket) -> list[Said]:
    """S3's grants on the bucket, a sentence for each; none where its owner put them out of use."""
    return [_sentence(one, grants.block_of(owned)) for one in _grants(owned)]


def granted_on(owned: Bucket | None, found: ObjectFields) -> list[Said]:
    """The same of the grants on one object."""
    if owned is None or not grants.are_used(owned):
        return []
    block = grants.block_of(owned)
    return [_sentence(one, block, ON_OBJECT) for one in grants.of_document(found.acl)]


def _sentence(one: grants.Grant, block: grants.Block, permissions: Mapping[str, Any] = PERMISSIONS) -> Said:
    words = f"{_grantee(one.grantee)} {permissions[one.permission]}"
    if one.grantee not in grants.PUBLIC:
        return ("idle", words)
    blocked = _("blocked")
    return ("ok", f"{words} · {blocked}") if block.ignore_acls else ("warn", words)


def _grants(owned: Bucket) -> tuple[grants.Grant, ...]:
    return grants.of_document(owned.documents.get("acl")) if grants.are_used(owned) else ()


def _grantee(text: str) -> str:
    if text == grants.ALL:
        return _("Everybody, without signing in,")
    if text == grants.AUTHENTICATED:
        return _("Everybody who is signed in")
    return _("The project %s") % text.removeprefix(grants.PROJECT)


@dataclass(frozen=True, slots=True)
class Rule:
    """A statement of a policy as a line of a table."""

    tone: str
    effect: Any
    who: str
    actions: str
    where: str
    conditions: str


def statements(owned: Bucket) -> list[Rule]:
    """What the bucket's policy says, statement by statement."""
    document = owned.documents.get("policy")
    if document is None:
        return []
    written = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    read = policy_of(document, owned.name).statements
    return [_rule(one, text) for one, text in zip(read, written, strict=True)]


def _rule(one: Statement, written: Mapping[str, Any]) -> Rule:
    """A statement as a line; actions and resources stand there as its owner wrote them."""
    allows = one.effect == Effect.ALLOW
    return Rule(
        "warn" if one.is_public else "ok" if allows else "bad",
        _("may") if allows else _("may not"),
        _principals(one),
        _written(written, "Action"),
        _written(written, "Resource"),
        ", ".join(f"{c.operator} {c.key}: {' | '.join(c.wanted)}" for c in one.conditions),
    )


def _written(statement: Mapping[str, Any], name: str) -> str:
    found = statement.get(name, statement.get(f"Not{name}"))
    texts = found if isinstance(found, str) else ", ".join(found)
    return texts if name in statement else _("everything but: %s") % texts


def _principals(one: Statement) -> str:
    named = ", ".join(_principal(p) for p in one.principals)
    return _("Everybody but: %s") % named if one.others else named


def _principal(one: Principal) -> str:
    if one.whom == Whom.EVERYBODY:
        return _("Everybody")
    if one.user_id and one.project_id:
        return _("The user %(user)s of the project %(project)s") % {"user": one.user_id, "project": one.project_id}
    return _("The user %s") % one.user_id if one.user_id else _("The project %s") % one.project_id
