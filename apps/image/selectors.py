"""Reads of images: who sees which, and the filters of lists."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet, Sum

from agents.contracts import ImageSource
from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.identity.services import limits_of
from apps.image.models import Definition, Image, Member, Namespace, Upload
from apps.image.states import RESOURCE_TYPES, DefinitionKind, ImageStatus, MemberStatus, Visibility

GIB = 2**30


def _shared_with(project_id: str, status: str = "") -> Exists:
    members = Member.objects.filter(image=OuterRef("pk"), member_id=project_id)
    return Exists(members.filter(status=status) if status else members)


def _visible(ctx: RequestContext) -> Q:
    """What a caller may see when naming it."""
    if ctx.is_admin:
        return Q()
    public = Q(visibility__in=[Visibility.PUBLIC, Visibility.COMMUNITY])
    if not ctx.project_id:
        return public
    own = Q(project_id=ctx.project_id)
    return public | own | (Q(visibility=Visibility.SHARED) & Q(_shared_with(ctx.project_id)))


def _listed(ctx: RequestContext, visibility: str, member_status: str) -> Q:
    """What a list shows: community images only on request, shared ones by what the project decided."""
    if ctx.is_admin and visibility in {"", "all"}:
        return Q()
    found = Q(visibility=Visibility.PUBLIC)
    if visibility in {Visibility.COMMUNITY, "all"}:
        found |= Q(visibility=Visibility.COMMUNITY)
    if ctx.project_id:
        status = "" if member_status == "all" else (member_status or MemberStatus.ACCEPTED)
        found |= Q(visibility=Visibility.SHARED) & Q(_shared_with(ctx.project_id, status))
        found |= Q(project_id=ctx.project_id)
    if ctx.is_admin:
        found = Q()
    return found & Q(visibility=visibility) if visibility not in {"", "all"} else found


@selector("get_images")
def image_list(
    ctx: RequestContext,
    *,
    visibility: str = "",
    member_status: str = "",
    is_hidden: bool = False,
    tags: Sequence[str] = (),
    conditions: Sequence[Q] = (),
    properties: Mapping[str, str] | None = None,
) -> QuerySet[Image]:
    """Images a list shows to the caller, narrowed down."""
    found = Image.objects.filter(_listed(ctx, visibility, member_status), *conditions, is_hidden=is_hidden)
    if member_status and not ctx.is_admin and visibility == Visibility.SHARED:
        # asked for what others share with the caller: the caller's own shared images have no such status
        found = found.exclude(project_id=ctx.project_id)
    if tags:
        found = found.filter(tags__contains=list(tags))
    if properties:
        found = found.filter(properties__contains=dict(properties))
    return found


@selector("get_images")
def image_get_query(ctx: RequestContext, *, image_id: UUID | str) -> QuerySet[Image]:
    """At most one image, by id."""
    return Image.objects.filter(pk=image_id).filter(_visible(ctx)) if is_uuid(image_id) else Image.objects.none()


@selector("get_images")
def image_get(ctx: RequestContext, *, image_id: UUID | str) -> Image:
    """One image. Raises NotFound for none that the caller may see."""
    found = image_get_query(ctx, image_id=image_id).first()
    if found is None or not policy.allowed(ctx, "get_image", target(found, ctx.project_id)):
        raise NotFound("image", image_id)
    return found


def target(image: Image, project_id: str) -> dict[str, Any]:
    """What rules may look at when that project asks."""
    shared = image.visibility == Visibility.SHARED and bool(project_id)
    is_member = shared and image.members.filter(member_id=project_id).exists()
    return {
        "project_id": image.project_id,
        "owner": image.project_id,
        "visibility": str(image.visibility),
        "member_id": project_id if is_member else None,
    }


def is_uuid(text: UUID | str) -> bool:
    """Can this name a row?"""
    try:
        UUID(str(text))
    except ValueError:
        return False
    return True


@selector("get_images")
def member_list(ctx: RequestContext, *, image_id: UUID | str) -> QuerySet[Member]:
    """Members of an image: all for its owner, one's own for a member. Raises NotFound."""
    image = image_get(ctx, image_id=image_id)
    policy.enforce(ctx, "get_members", target(image, ctx.project_id))
    members = Member.objects.filter(image=image)
    return members if ctx.is_admin or image.project_id == ctx.project_id else members.filter(member_id=ctx.project_id)


@selector("get_images")
def member_get_query(ctx: RequestContext, *, image_id: UUID | str, member_id: str) -> QuerySet[Member]:
    """At most one member of an image. Raises NotFound for an image that the caller may not see."""
    return member_list(ctx, image_id=image_id).filter(member_id=member_id)


# --- metadata definitions ---------------------------------------------------------------------------


@selector("get_metadef_namespaces")
def namespace_list(
    ctx: RequestContext, *, visibility: str = "", resource_types: Sequence[str] = ()
) -> QuerySet[Namespace]:
    """Namespaces that the caller may see, by visibility and by the resource types that they are for."""
    found = Namespace.objects.all()
    if not ctx.is_admin:
        found = found.filter(Q(visibility=Visibility.PUBLIC) | Q(project_id=ctx.project_id))
    if visibility:
        found = found.filter(visibility=visibility)
    for name in resource_types:
        kind = DefinitionKind.RESOURCE_TYPE
        found = found.filter(Exists(Definition.objects.filter(namespace=OuterRef("pk"), kind=kind, name=name)))
    return found


@selector("get_metadef_namespaces")
def namespace_get(ctx: RequestContext, *, name: str) -> Namespace:
    """One namespace by name. Raises NotFound."""
    found = namespace_list(ctx).filter(name=name).first()
    if found is None or not policy.allowed(ctx, "get_metadef_namespace", namespace_target(found)):
        raise NotFound("metadata definition namespace", name)
    return found


def namespace_target(namespace: Namespace) -> dict[str, Any]:
    """What rules about a namespace may look at."""
    return {"project_id": namespace.project_id, "visibility": namespace.visibility}


@selector("get_metadef_namespaces")
def definition_list(ctx: RequestContext, *, namespace: str, kind: DefinitionKind | None = None) -> list[Definition]:
    """Definitions of a namespace, of one kind or all, by name. Raises NotFound."""
    found = Definition.objects.filter(namespace=namespace_get(ctx, name=namespace)).order_by("kind", "name")
    return list(found.filter(kind=kind) if kind else found)


@selector("get_metadef_namespaces")
def definition_get(ctx: RequestContext, *, namespace: str, kind: DefinitionKind, name: str) -> Definition:
    """One definition. Raises NotFound."""
    parent = namespace_get(ctx, name=namespace)
    found = Definition.objects.filter(namespace=parent, kind=kind, name=name).first()
    if found is None:
        raise NotFound(f"metadata definition {kind.replace('_', ' ')}", name)
    return found


@selector("list_metadef_resource_types")
def resource_type_list(ctx: RequestContext) -> list[str]:
    """Names of all resource types: the usual ones and those that a namespace names."""
    named = Definition.objects.filter(kind=DefinitionKind.RESOURCE_TYPE, namespace__in=namespace_list(ctx))
    return sorted({*RESOURCE_TYPES, *named.values_list("name", flat=True)})


@selector("image_info")
def usage(ctx: RequestContext) -> dict[str, dict[str, int]]:
    """The project's limits and what it uses of them: `{"image_count_total": {"limit", "usage"}, …}`; sizes in MiB."""
    limits = limits_of(ctx, project_id=ctx.project_id, service="image")
    staged = Upload.objects.filter(image__project_id=ctx.project_id)
    size_limit = limits["image_size_total_gib"]
    return {
        "image_count_total": {"limit": limits["images"], "usage": images_used(ctx.project_id)},
        "image_size_total": {
            "limit": size_limit * 1024 if size_limit >= 0 else -1,
            "usage": math.ceil(bytes_used(ctx.project_id) / 2**20),
        },
        "image_stage_total": {
            "limit": size_limit * 1024 if size_limit >= 0 else -1,
            "usage": math.ceil((staged.aggregate(n=Sum("reserved_bytes"))["n"] or 0) / 2**20),
        },
        "image_count_uploading": {
            "limit": limits["images"],
            "usage": staged.count(),
        },
    }


def images_used(*project_ids: str) -> int:
    """How many images these projects have."""
    return Image.objects.filter(project_id__in=project_ids).count()


def bytes_used(*project_ids: str) -> int:
    """Bytes of these projects' images and of uploads under way."""
    kept = Image.objects.filter(project_id__in=project_ids).aggregate(n=Sum("size"))["n"] or 0
    coming = Upload.objects.filter(image__project_id__in=project_ids).aggregate(n=Sum("reserved_bytes"))["n"] or 0
    return int(kept) + int(coming)


def image_source(image: Image) -> ImageSource:
    """An active image as hosts are told of it."""
    assert image.sha256
    assert image.size
    assert image.virtual_size
    assert image.disk_format
    return ImageSource(
        image_id=str(image.pk),
        sha256=image.sha256,
        size_bytes=image.size,
        disk_format=host_format(image.disk_format),
        virtual_size_bytes=image.virtual_size,
    )


_HOST_FORMATS = {"gpt": "raw", "iso": "raw", "ami": "raw", "aki": "raw", "ari": "raw", "ploop": "raw", "vhd": "vpc"}


def host_format(disk_format: str) -> str:
    """The format as block drivers name it: what has no header of its own is raw to them."""
    return _HOST_FORMATS.get(disk_format, disk_format)


def is_active(image: Image) -> bool:
    """Can it be booted and downloaded?"""
    return image.status == ImageStatus.ACTIVE
