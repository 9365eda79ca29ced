"""Reading flavors, who may use them, and their extra specs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.compute.models import Flavor, FlavorAccess
from apps.compute.selectors._common import access_rows, one
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.core.transactions import selector


def _shared_with(project_id: str) -> Exists:
    return Exists(FlavorAccess.objects.filter(flavor=OuterRef("pk"), project_id=project_id))


def _seen(ctx: RequestContext) -> QuerySet[Flavor]:
    flavors = Flavor.objects.all()
    return flavors if ctx.is_admin else flavors.filter(Q(is_public=True) | _shared_with(ctx.project_id))


@selector("os_compute_api:flavors")
def flavor_list(
    ctx: RequestContext, *, is_public: str = "", min_ram_mib: int = 0, min_disk_gib: int = 0
) -> QuerySet[Flavor]:
    """Flavors the caller may use. Administrators choose others by `is_public`: false, or none for all."""
    flavors = _seen(ctx)
    wanted = _public_flag(is_public) if ctx.is_admin else True
    if wanted is True:
        flavors = flavors.filter(Q(is_public=True) | _shared_with(ctx.project_id))
    elif wanted is False:
        flavors = flavors.filter(is_public=False)
    return flavors.filter(ram_mib__gte=min_ram_mib, root_gib__gte=min_disk_gib)


def _public_flag(text: str) -> bool | None:
    word = text.strip().lower()
    if word in {"", "t", "true", "yes", "1", "on"}:
        return True
    if word in {"f", "false", "no", "0", "off"}:
        return False
    if word == "none":
        return None
    raise Invalid(f"Invalid is_public filter [{text}]", field="is_public")


@selector("os_compute_api:flavors")
def flavor_get_query(ctx: RequestContext, *, flavor_id: str) -> QuerySet[Flavor]:
    """A flavor the caller may see, by id."""
    return _seen(ctx).filter(pk=flavor_id)


@selector("os_compute_api:flavors")
def flavor_get(ctx: RequestContext, *, flavor_id: str) -> Flavor:
    """The same as an instance. Raises NotFound."""
    return one(_seen(ctx).filter(pk=flavor_id), "flavor", flavor_id)


@selector("os_compute_api:os-flavor-access")
def flavor_access_list(ctx: RequestContext, *, flavor_id: str) -> list[Mapping[str, str]]:
    """Projects that may use a flavor which is not public. Raises NotFound for a public one, as Nova does."""
    flavor = flavor_get(ctx, flavor_id=flavor_id)
    if flavor.is_public:
        raise NotFound("access list of public flavor", flavor_id)
    return access_rows(flavor)


@selector("os_compute_api:os-flavor-extra-specs:index")
def flavor_extra_spec_list(ctx: RequestContext, *, flavor_id: str) -> dict[str, Any]:
    """All extra specs of a flavor."""
    return flavor_get(ctx, flavor_id=flavor_id).extra_specs


@selector("os_compute_api:os-flavor-extra-specs:show")
def flavor_extra_spec_get(ctx: RequestContext, *, flavor_id: str, key: str) -> dict[str, Any]:
    """One extra spec as `{key: value}`. Raises NotFound."""
    specs = flavor_get(ctx, flavor_id=flavor_id).extra_specs
    if key not in specs:
        raise NotFound("extra spec", key)
    return {key: specs[key]}
