"""Flavors: what sizes there are; operators add and remove them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.compute import selectors, services
from apps.compute.models import Flavor
from apps.core.context import RequestContext
from apps.core.web import cells
from apps.core.web.forms import NamedForm
from apps.core.web.pages import FormPage, ListPage, said
from apps.core.web.tables import Column, Empty, Table, deletes, name_column
from apps.hosts import selectors as hosts


def fit(row: Flavor, page: Any) -> Any:
    """On how many hosts one more would fit now."""
    fits, taking = page.fits[row.pk], page.taking
    return cells.badge("ok" if fits else "bad", _("%(fits)s of %(all)s hosts") % {"fits": fits, "all": taking})


TABLE = Table(
    columns=(
        name_column(),
        Column(key="vcpus", label=_("vCPUs"), sort="vcpus", number=True),
        Column(key="ram", label=_("Memory"), sort="ram_mib", number=True, cell=cells.mib("ram_mib")),
        Column(key="disk", label=_("Disk"), sort="root_gib", number=True, cell=cells.gib("root_gib")),
        Column(key="fit", label=_("Fits on"), cell=fit),
        Column(
            key="public", label=_("Visible to"), cell=cells.yes_no("is_public", _("everybody"), _("chosen projects"))
        ),
        Column(key="id", label=_("Id"), sort="id", cell=cells.mono("id")),
    ),
    sort="ram",
    search=("name__icontains", "id__startswith"),
    actions=(
        deletes(
            lambda ctx, row: services.flavor_delete(ctx, flavor_id=row.pk),
            rule="os_compute_api:os-flavor-manage:delete",
            question=_("Servers of this flavor stay as they are; new ones cannot be made of it."),
        ),
    ),
    live="flavor host",
    empty=Empty(
        icon="layers", title=_("No flavors yet"), text=_("An administrator defines the sizes that servers can have.")
    ),
)


class Flavors(ListPage):
    title = _("Flavors")
    nav = "compute:flavors"
    table = TABLE
    create = ("compute:flavor-create", _("New flavor"), "os_compute_api:os-flavor-manage:create")

    fits: dict[str, int]
    taking: int

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Flavor]:
        return selectors.flavor_list(ctx, is_public="none")

    def decorate(self, rows: list[Any]) -> list[dict[str, Any]]:
        sizes = [(f.vcpus, f.ram_mib, f.root_gib) for f in rows]
        found = hosts.host_fits(self.ctx, sizes=sizes)
        self.taking = found.taking
        self.fits = {f.pk: n for f, n in zip(rows, found.counts, strict=True)}
        return super().decorate(rows)


class FlavorForm(NamedForm):
    vcpus = forms.IntegerField(label=_("vCPUs"), min_value=1, initial=1)
    ram_mib = forms.IntegerField(label=_("Memory in MiB"), min_value=1, initial=512)
    root_gib = forms.IntegerField(
        label=_("Disk in GiB"), min_value=0, initial=1, help_text=_("0: as large as the image.")
    )
    is_public = forms.BooleanField(label=_("Visible to everybody"), required=False, initial=True)


class FlavorCreate(FormPage):
    title = _("New flavor")
    list_page = Flavors
    form = FlavorForm
    submit = _("Create")

    def save(self, form: forms.Form) -> tuple[str, str]:
        made = services.flavor_create(self.ctx, **form.cleaned_data)
        return self.url("compute:flavors"), said(_("Created"), made.name)
