"""Earlier versions of objects: which containers keep them, removing one for good, making one current again."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.transactions import internal, service, streaming
from apps.objectstore.models import Bucket, Container, Object, Version
from apps.objectstore.selectors import container_row
from apps.objectstore.selectors.access import require, require_owner, require_write
from apps.objectstore.services import history, rows
from apps.objectstore.services.marks import may_bypass
from apps.objectstore.states import Versioning, version_word


@dataclass(frozen=True, slots=True)
class Gone:
    """A version that was removed, and the one that is current now, if any is."""

    is_marker: bool
    current: UUID | None


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a container shall keep what is replaced and deleted: as versions, or in an archive; None: as it does."""

    versioning: Versioning | None = None
    archive: str | None = None  # a container of the account; "": none any more
    is_history: bool = False


@service("object_store:public")
def container_versioning(ctx: RequestContext, *, account: str, container: str, versioning: Versioning) -> None:
    """Begin or suspend keeping versions in a container. Raises Forbidden, NotFound, Conflict, Invalid."""
    require_owner(ctx, account)
    row = Container.objects.select_for_update().filter(account_id=account, name=container).first()
    if row is None:
        raise NotFound("container", container)
    require(ctx, account, row, "s3:PutBucketVersioning")
    keeping_changed(row, Keeping(versioning=versioning))
    Container.objects.filter(pk=row.pk).update(versioning=row.versioning)


def keeping_changed(row: Container, keeping: Keeping) -> None:
    """Set it on a row that is locked against writers of objects. Raises Conflict, Invalid."""
    if keeping.archive is not None:
        row.archive, row.is_history = keeping.archive, keeping.is_history and bool(keeping.archive)
    if keeping.versioning is not None:
        _versioning_changed(row, keeping.versioning)
    if row.archive and row.versioning != Versioning.NEVER:
        raise Invalid(
            "Cannot enable object versioning on a container that is already using the legacy versioned writes feature.",
            hint="Remove X-Versions-Location or X-History-Location first.",
        )


def _versioning_changed(row: Container, versioning: Versioning) -> None:
    if versioning == Versioning.NEVER and row.versioning != Versioning.NEVER:
        raise Invalid("Keeping versions can be suspended, not be undone.")
    if versioning == Versioning.SUSPENDED and Bucket.objects.filter(container_id=row.pk, lock_enabled=True).exists():
        words = "Versions cannot be suspended where objects can be locked."
        raise Conflict(words, code="InvalidBucketState")
    row.versioning = versioning


# Like `object_put` these leave no event in the audit log: what is done with single objects is in the access log.


@streaming("object_store:public")
def version_delete(
    ctx: RequestContext,
    *,
    account: str,
    container: str,
    name: str,
    version_id: UUID,
    promote: bool = False,
    bypass: bool = False,
) -> Gone:
    """Remove one version, or the object itself if it is that version, for good; no marker is left.

    Where that leaves none current, S3 wants to `promote` the youngest version unless it is a marker; in Swift none
    is. `bypass` asks to pass a retention in governance mode. Raises Forbidden, also for what is locked; NotFound.
    """
    place = container_row(account, container)
    require(ctx, account, place, "s3:DeleteObjectVersion", name, facts={"s3:versionid": [version_word(version_id)]})
    return _version_delete(place, name, version_id, promote, bypass and may_bypass(ctx, account, place, name))


@internal("second part of version_delete, after the rule")
def _version_delete(place: Container | None, name: str, version_id: UUID, promote: bool, passes: bool) -> Gone:
    if place is None:
        raise NotFound("object", name)
    current = _alone_with(place, name)
    if current is not None and current.version_id == version_id:
        history.current_removed(place, current, bypass=passes)
        current, is_marker = None, False
    else:
        found = _version_of(place, name, version_id)
        history.version_removed(place, found, bypass=passes)
        is_marker = found.is_marker
    newest = history.newest_version(place.pk, name) if promote and current is None else None
    if newest is not None and not newest.is_marker:
        current = history.made_current(place, newest)
    return Gone(is_marker, current.version_id if current else None)


@streaming("object_store:public")
def version_restore(ctx: RequestContext, *, account: str, container: str, name: str, version_id: UUID) -> Object:
    """Make an earlier version the current one; what was current becomes a version, whether such are kept or not.

    No bytes are copied. Raises Forbidden, NotFound, also for a marker.
    """
    place = container_row(account, container)
    require_write(ctx, account, place, name)
    return _version_restore(place, name, version_id)


@internal("second part of version_restore, after the rule")
def _version_restore(place: Container | None, name: str, version_id: UUID) -> Object:
    if place is None:
        raise NotFound("object", name)
    current = _alone_with(place, name)
    if current is not None and current.version_id == version_id:
        return current
    found = _version_of(place, name, version_id)
    if found.is_marker:
        raise NotFound("version", version_id)
    if current is not None:
        history.current_kept(place, current)
    return history.made_current(place, found)


@internal("whoever removes a container with all that is in it")
def object_purge(place: Container, name: str) -> None:
    """Remove an object with all its versions for good; nothing is kept."""
    current = _alone_with(place, name)
    if current is not None:
        history.current_removed(place, current)
    for found in Version.objects.filter(container_id=place.pk, name=name).iterator():
        history.version_removed(place, found)


def _alone_with(place: Container, name: str) -> Object | None:
    """The current object, locked, after all other writers of the name."""
    state = rows.shared(place.pk)
    history.begin(place, state, name)
    return Object.objects.select_for_update().filter(container_id=place.pk, name=name).first()


def _version_of(place: Container, name: str, version_id: UUID) -> Version:
    found = Version.objects.filter(container_id=place.pk, name=name, version_id=version_id).first()
    if found is None:
        raise NotFound("version", version_id)
    return found
