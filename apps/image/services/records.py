"""Records of images: register, change, share, withdraw, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models.functions import Now

from apps.core import policy
from apps.core.api import schema as schemas
from apps.core.api.resource import UPDATE, F
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound, OverQuota, TooLarge
from apps.core.transactions import internal, on_violation, service
from apps.identity.services import quota_claim
from apps.image import backends, selectors
from apps.image.models import Image, Member
from apps.image.resources import IMAGE, SHOWN_ONLY, TAGS, UNSETTABLE
from apps.image.services.common import announce
from apps.image.states import (
    MAX_MEMBERS,
    MAX_PROPERTIES,
    MAX_TAGS,
    RESERVED_PREFIX,
    ImageStatus,
    MemberStatus,
    Visibility,
)

on_violation("image_image_pkey", lambda detail: Conflict("An image with this id exists already."))
on_violation("image_member_once", lambda detail: Conflict("The image is shared with this project already."))

_SETTABLE: Mapping[str, F] = {f.name: f for f in IMAGE.fields if UPDATE in f.on}
_FORMATS = ("container_format", "disk_format")
_MAX_VALUE = 65_535
_MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class Change:
    """One step of an update. `op` is add, replace or remove; `name` an attribute or the user's own property."""

    op: str
    name: str
    value: Any = None


@service("add_image")
def image_create(
    ctx: RequestContext,
    *,
    image_id: str | None = None,
    project_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    **attributes: Any,
) -> Image:
    """Register an image without bytes. `extra` are the user's own properties, all text.

    Raises Forbidden for attributes that only the service or an administrator sets, TooLarge over a limit,
    Conflict for an id that exists.
    """
    owner = project_id or ctx.project_id
    if not owner:
        raise Invalid("Say which project shall own the image, or use a token of a project.", field="owner")
    policy.enforce(ctx, "add_image", {"project_id": owner, "owner": owner})
    properties = dict(extra or {})
    for name, value in properties.items():
        _check_property(name, value)
    _check_count("properties", len(properties), MAX_PROPERTIES)
    _check_count("tags", len(tags), MAX_TAGS)
    _check_visibility(ctx, owner, attributes.get("visibility"))
    _claim_one(ctx, owner)
    image = Image.objects.create(
        id=UUID(image_id) if image_id else uuid4(),
        project_id=owner,
        tags=list(dict.fromkeys(tags)),
        properties=properties,
        updated_at=Now(),
        **attributes,
    )
    announce(image)
    return image


@service("modify_image")
def image_update(ctx: RequestContext, *, image_id: UUID | str, changes: Sequence[Change]) -> Image:
    """Apply all changes or none.

    Raises NotFound; Forbidden for attributes that are shown only, and rules; Conflict for a property that does not
    exist; Invalid for a value that does not fit.
    """
    image = _changeable(ctx, image_id, "modify_image")
    was_public = image.visibility == Visibility.PUBLIC
    for change in changes:
        if change.name in _SETTABLE:
            _change_attribute(ctx, image, change)
        else:
            _change_property(image, change)
    _check_count("properties", len(image.properties), MAX_PROPERTIES)
    image.updated_at = Now()
    image.save()
    announce(image, was_public=was_public)
    return image


def _change_attribute(ctx: RequestContext, image: Image, change: Change) -> None:
    found = _SETTABLE[change.name]
    if change.op == "remove":
        raise Forbidden(f"Property {change.name} may not be removed.")
    schemas.validate(_one_value(found), {change.name: change.value})
    if change.name in _FORMATS and image.status != ImageStatus.QUEUED:
        raise Forbidden(f"Attribute {change.name} can only be replaced for a queued image.")
    if change.name == "visibility":
        _check_visibility(ctx, image.project_id, change.value)
    if change.name == "owner" and change.value != image.project_id:
        _change_owner(ctx, image, change.value)
    value = change.value
    if change.name == "tags":
        value = list(dict.fromkeys(value))
        _check_count("tags", len(value), MAX_TAGS)
    setattr(image, found.keyword, value)


def _change_owner(ctx: RequestContext, image: Image, owner: str | None) -> None:
    if not owner:
        raise Invalid("An image must have an owner.", field="owner")
    policy.enforce(ctx, "add_image", {"project_id": owner, "owner": owner})
    _claim_one(ctx, owner)


_value_schemas: dict[str, Mapping[str, Any]] = {}


def _one_value(found: F) -> Mapping[str, Any]:
    """Schema of an object with this attribute alone, so that messages name it."""
    return _value_schemas.setdefault(
        found.name, {"type": "object", "properties": {found.name: found.type.schema}, "required": [found.name]}
    )


def _change_property(image: Image, change: Change) -> None:
    _check_name(change.name)
    if change.op != "add" and change.name not in image.properties:
        raise Conflict(f"Property {change.name} does not exist.")
    if change.op == "remove":
        del image.properties[change.name]
        return
    _check_property(change.name, change.value)
    image.properties[change.name] = change.value


@service("delete_image")
def image_delete(ctx: RequestContext, *, image_id: UUID | str) -> None:
    """Delete an image with its bytes; an upload under way ends. Raises NotFound, and Forbidden if it is protected."""
    image = _changeable(ctx, image_id, "delete_image")
    if image.protected:
        raise Forbidden(f"Image {image.pk} is protected and cannot be deleted.", hint="Set `protected` to false first.")
    upload = getattr(image, "upload", None)
    name = str(image.pk)
    if upload is not None:
        transaction.on_commit(partial(_discard, upload.store, name, str(upload.attempt)))
    if image.store:
        transaction.on_commit(partial(_remove, image.store, name))
    announce(image)
    image.delete()


def _discard(store: str, name: str, attempt: str) -> None:
    backends.store(store).discard(name, attempt)


def _remove(store: str, name: str) -> None:
    backends.store(store).delete(name)


@service("deactivate")
def image_deactivate(ctx: RequestContext, *, image_id: UUID | str) -> Image:
    """Keep an image but give it to administrators only. Raises NotFound, Forbidden in other states than active."""
    return _switch(ctx, image_id, "deactivate", ImageStatus.ACTIVE, ImageStatus.DEACTIVATED)


@service("reactivate")
def image_reactivate(ctx: RequestContext, *, image_id: UUID | str) -> Image:
    """Undo `image_deactivate`. Raises NotFound, Forbidden in other states."""
    return _switch(ctx, image_id, "reactivate", ImageStatus.DEACTIVATED, ImageStatus.ACTIVE)


def _switch(ctx: RequestContext, image_id: UUID | str, rule: str, before: ImageStatus, after: ImageStatus) -> Image:
    image = _changeable(ctx, image_id, rule)
    if image.status not in {before, after}:
        raise Forbidden(f"Not allowed to {rule} image in status '{image.status}'.")
    if image.status == before:
        Image.objects.filter(pk=image.pk).update(status=after, updated_at=Now())
        image.status = after
        announce(image)
    return image


@service("modify_image")
def tag_add(ctx: RequestContext, *, image_id: UUID | str, tag: str) -> None:
    """Add a tag; one that is there already stays. Raises NotFound, Invalid, TooLarge."""
    image = _changeable(ctx, image_id, "modify_image")
    schemas.validate(TAGS.schema, [tag])
    if tag in image.tags:
        return
    _check_count("tags", len(image.tags) + 1, MAX_TAGS)
    Image.objects.filter(pk=image.pk).update(tags=[*image.tags, tag], updated_at=Now())


@service("modify_image")
def tag_remove(ctx: RequestContext, *, image_id: UUID | str, tag: str) -> None:
    """Remove a tag. Raises NotFound for the image and for the tag."""
    image = _changeable(ctx, image_id, "modify_image")
    if tag not in image.tags:
        raise NotFound("tag", tag)
    Image.objects.filter(pk=image.pk).update(tags=[t for t in image.tags if t != tag], updated_at=Now())


# --- members ---------------------------------------------------------------------------------------


@service("add_member")
def member_add(ctx: RequestContext, *, image_id: UUID | str, member_id: str) -> Member:
    """Share an image with a project, which then accepts or rejects it.

    Raises NotFound, Forbidden for an image whose visibility is not shared, Conflict for a member already there.
    """
    image = _changeable(ctx, image_id, "add_member")
    _check_shared(image)
    _check_count("members", image.members.count() + 1, MAX_MEMBERS)
    return Member.objects.create(image=image, member_id=member_id, updated_at=Now())


@service("get_images")
def member_update(ctx: RequestContext, *, image_id: UUID | str, member_id: str, status: str) -> Member:
    """Say what the member thinks of the image; the member's own decision. Raises NotFound, Forbidden."""
    image = selectors.image_get(ctx, image_id=image_id)
    _check_shared(image)
    member = selectors.member_get_query(ctx, image_id=image_id, member_id=member_id).select_for_update().first()
    if member is None:
        raise NotFound("member", member_id)
    policy.enforce(ctx, "modify_member", {"project_id": image.project_id, "member_id": member.member_id})
    member.status = MemberStatus(status)
    Member.objects.filter(pk=member.pk).update(status=member.status, updated_at=Now())
    return member


@service("delete_member")
def member_remove(ctx: RequestContext, *, image_id: UUID | str, member_id: str) -> None:
    """Stop sharing an image with a project. Raises NotFound, Forbidden."""
    image = _changeable(ctx, image_id, "delete_member")
    _check_shared(image)
    if not Member.objects.filter(image=image, member_id=member_id).delete()[0]:
        raise NotFound("member", member_id)


# --- boot ------------------------------------------------------------------------------------------


@internal("compute's services, after their own rule")
def image_for_boot(ctx: RequestContext, *, image_id: UUID | str) -> Image:
    """An image that the caller may see and a guest may start from. Raises NotFound, and Invalid if it has no bytes
    or was withdrawn."""
    image = selectors.image_get(ctx, image_id=image_id)
    if not selectors.is_active(image):
        raise Invalid(f"Image {image.pk} is not active.", hint=f"Its status is '{image.status}'.")
    if not image.size:
        raise Invalid(f"Image {image.pk} is empty.", hint="Register another image and upload a disk to it.")
    return image


# --- checks ----------------------------------------------------------------------------------------


def _changeable(ctx: RequestContext, image_id: UUID | str, rule: str) -> Image:
    """The image, locked, if the caller sees it and the rule holds for it."""
    seen = selectors.image_get(ctx, image_id=image_id)
    image = Image.objects.select_for_update(no_key=True).filter(pk=seen.pk).first()
    if image is None:
        raise NotFound("image", image_id)
    policy.enforce(ctx, rule, selectors.target(image, ctx.project_id))
    return image


def _claim_one(ctx: RequestContext, project_id: str) -> None:
    try:
        quota_claim(
            ctx,
            project_id=project_id,
            service="image",
            resource="images",
            wanted=1,
            used=lambda: selectors.images_used(project_id),
            used_in=lambda projects: selectors.images_used(*projects),
        )
    except OverQuota as error:
        raise TooLarge(error.message, hint=error.hint) from error


_VISIBILITY_RULES: Mapping[str, str] = {
    Visibility.PUBLIC: "publicize_image",
    Visibility.COMMUNITY: "communitize_image",
}


def _check_visibility(ctx: RequestContext, owner: str, visibility: str | None) -> None:
    rule = _VISIBILITY_RULES.get(visibility or "")
    if rule:
        policy.enforce(ctx, rule, {"project_id": owner, "owner": owner, "visibility": visibility})


def _check_name(name: str) -> None:
    if name in SHOWN_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in UNSETTABLE or name == "id" or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")
    if not 0 < len(name) <= _MAX_KEY:
        raise Invalid(f"A property's name has 1 to {_MAX_KEY} characters.", field=name)


def _check_property(name: str, value: Any) -> None:
    _check_name(name)
    if not isinstance(value, str):
        raise Invalid(f"Property '{name}' must be text.", field=name)
    if len(value) > _MAX_VALUE:
        raise Invalid(f"Property '{name}' is longer than {_MAX_VALUE} characters.", field=name)
    if "\x00" in value or "\x00" in name:
        raise Invalid(f"Property '{name}' holds a zero byte.", field=name)


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise TooLarge(f"The limit has been exceeded on the number of allowed image {what}: {count} of {most}.")


def _check_shared(image: Image) -> None:
    if image.visibility != Visibility.SHARED:
        raise Forbidden("Only shared images have members.", hint="Set the visibility to 'shared' first.")
