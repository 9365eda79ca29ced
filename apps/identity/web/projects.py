"""Projects for operators: what each has, and removing all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as now
from django.utils.translation import gettext_lazy as _

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.web import cells
from apps.core.web.pages import DetailPage, FormPage, ListPage, one, said
from apps.core.web.tables import Column, Empty, Table
from apps.identity import selectors, services
from apps.identity.models import Project

RULE = "projects:purge"

TABLE = Table(
    columns=(
        Column(key="name", label=_("Name"), lead=True, sort="name", cell=cells.link("identity:project")),
        Column(key="domain", label=_("Domain"), cell=cells.text("domain.name")),
        Column(key="enabled", label=_("Status"), cell=lambda row, page: state(row)),
        Column(key="description", label=_("Description"), minor=True),
        Column(key="id", label=_("Id"), cell=cells.short_id("pk")),
        Column(key="age", label=_("Age"), sort="created_at", cell=cells.ago("created_at")),
    ),
    sort="name",
    search=("name__icontains", "pk__startswith", "description__icontains"),
    empty=Empty(icon="folder-kanban", title=_("No projects"), text=_("Projects are where servers and networks live.")),
)


def names(idents: Iterable[str]) -> Mapping[str, str]:
    """What those projects are called that still exist."""
    return dict(Project.objects.filter(pk__in=list(idents)).values_list("pk", "name"))


def state(row: Project) -> Any:
    """Whether it may be used."""
    return cells.badge("ok", _("Enabled")) if row.enabled else cells.badge("idle", _("Disabled"))


class Projects(ListPage):
    title = _("Projects")
    nav = "identity:projects"
    table = TABLE

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Project]:
        policy.enforce(ctx, RULE)
        return selectors.project_list(ctx).select_related("domain")


class ProjectPage(DetailPage):
    """One project with what it has."""

    template = "identity/project.html"
    list_page = Projects

    def row(self, ident: Any) -> Project:
        found: Project = one(Projects.rows(self.ctx), now("project"), ident)
        return found

    def state(self, row: Project) -> Any:
        return state(row)

    def facts(self, row: Project) -> list[tuple[Any, Any]]:
        return [
            (_("Description"), row.description),
            (_("Domain"), row.domain.name if row.domain else ""),
            (_("Tags"), cells.tags(row.tags)),
            (_("Created"), cells.time_ago(row.created_at)),
            (_("Id"), cells.copied(row.pk)),
        ]

    def more(self, row: Project) -> dict[str, Any]:
        return {
            "holdings": selectors.project_holdings(self.ctx, project_id=row.pk),
            "own": row.pk == self.ctx.project_id,
        }


class PurgeForm(forms.Form):
    """The name, typed, so that nobody removes another project than they meant."""

    name = forms.CharField(max_length=255, label=_("Type the project's name"))
    keep = forms.BooleanField(required=False, label=_("Keep the project itself, empty"))

    def __init__(self, *args: Any, wanted: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wanted = wanted
        self.fields["name"].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def clean_name(self) -> str:
        typed: str = self.cleaned_data["name"]
        if typed != self.wanted:
            raise forms.ValidationError(_("That is not its name. Nothing was removed."))
        return typed


class Purge(FormPage):
    """What will be gone, how much of it, and the question."""

    title = _("Remove everything")
    template = "identity/purge.html"
    form = PurgeForm
    submit = _("Remove it for good")
    list_page = Projects

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.ident = kwargs.pop("ident")
        super().setup(request, *args, **kwargs)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("ident", None)
        self.row: Project = one(Projects.rows(self.ctx), now("project"), self.ident)
        return super().dispatch(request, *args, **kwargs)

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        return PurgeForm(data, wanted=self.row.name)

    def around(self) -> dict[str, Any]:
        holdings = selectors.project_holdings(self.ctx, project_id=self.row.pk)
        return {"row": self.row, "back_url": self.url("identity:project", self.row.pk), "holdings": holdings}

    def save(self, form: forms.Form) -> tuple[str, str]:
        operation = services.project_purge(self.ctx, project_id=self.row.pk, keep=form.cleaned_data["keep"])
        return self.url("operations:operation", operation.pk), said(now("Removing"), self.row.name)
