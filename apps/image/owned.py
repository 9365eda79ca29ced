"""What projects have of images."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.owned import Owned, register
from apps.image import services
from apps.image.models import Image, Namespace
from apps.image.services import Change


def _remove_image(ctx: RequestContext, row: Any) -> None:
    """A protection is against mistakes, and this was asked for twice."""
    if row.protected:
        services.image_update(ctx, image_id=row.pk, changes=[Change(op="replace", name="protected", value=False)])
    services.image_delete(ctx, image_id=row.pk)


def _remove_namespace(ctx: RequestContext, row: Any) -> None:
    if row.protected:
        services.namespace_update(ctx, name=row.name, owner=row.project_id, protected=False)
    services.namespace_delete(ctx, name=row.name)


register(
    Owned(noun="image", label=_("images"), rows=Image.objects.all, remove=_remove_image, order=90),
    Owned(
        noun="metadata_namespace",
        label=_("namespaces of metadata"),
        rows=Namespace.objects.all,
        remove=_remove_namespace,
        order=95,
    ),
)
