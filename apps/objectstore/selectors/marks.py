"""What is said of one version of an object: its tags, grants, retention and legal hold."""

from __future__ import annotations

from uuid import UUID

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.objectstore.models import Object, ObjectFields, Version
from apps.objectstore.selectors.access import require
from apps.objectstore.selectors.facts import container_row, object_row
from apps.objectstore.selectors.versions import version_row
from apps.objectstore.states import version_word

# Whose actions have another name where a version is named.
_BY_VERSION = ("Acl", "Tagging")


@selector("object_store:public")
def object_marks(
    ctx: RequestContext, *, account: str, container: str, name: str, aspect: str, version_id: UUID | None = None
) -> ObjectFields:
    """A version (None: the current one) whose `Acl`, `Tagging`, `Retention` or `LegalHold` the caller may see.

    Raises Forbidden, NotFound, also for markers.
    """
    place = container_row(account, container)
    versioned = "Version" if version_id is not None and aspect in _BY_VERSION else ""
    facts = {"s3:versionid": [version_word(version_id)]} if version_id is not None else {}
    require(ctx, account, place, f"s3:GetObject{versioned}{aspect}", name, facts=facts)
    found: Object | Version | None = None
    if place is not None:
        found = object_row(place.pk, name) if version_id is None else version_row(place.pk, name, version_id)
    if found is None or (isinstance(found, Version) and found.is_marker):
        raise NotFound("version" if version_id is not None else "object", name)
    return found
