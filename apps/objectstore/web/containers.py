"""Containers of a project: the list with what the account holds, making one, and its settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.web import cells
from apps.core.web.forms import ChoiceForm
from apps.core.web.pages import FormPage, ListPage, one
from apps.core.web.tables import Action, Column, Empty, Table, deletes
from apps.objectstore import backends, selectors, services
from apps.objectstore.models import Container
from apps.objectstore.states import Versioning
from apps.objectstore.web import words

OWN, READ = "object_store:own", "object_store:read"


def empty(ctx: RequestContext, row: Any) -> None:
    """Begin to remove all that is in a container, for good."""
    services.objects_delete(ctx, account=row.account_id, container=row.name, versions=True)


def emptied(ctx: RequestContext, row: Any) -> Iterable[Any]:
    """What goes when it is emptied."""
    yield f"{_objects(row.objects_now)} · {cells.size_bytes(row.bytes_now)}"
    if row.versioning != Versioning.NEVER:
        yield gettext("all earlier versions, too")


def losses(ctx: RequestContext, row: Any) -> Iterable[Any]:
    """What keeps a container from being deleted."""
    if row.objects_now:
        yield gettext("%s: only an empty container can be deleted") % _objects(row.objects_now)


def _objects(count: int) -> str:
    return ngettext("%d object", "%d objects", count) % count


TABLE = Table(
    columns=(
        Column(key="name", label=_("Name"), lead=True, sort="name", cell=cells.link("objectstore:objects")),
        Column(key="objects", label=_("Objects"), number=True, cell=cells.text("objects_now")),
        Column(key="size", label=_("Size"), number=True, cell=cells.bytes_of("bytes_now")),
        Column(key="access", label=_("Who may read"), cell=lambda row, page: words.access_badge(row)),
        Column(key="s3", label="S3", cell=lambda row, page: cells.badge(*words.bucket(row)), minor=True),
        Column(
            key="versions", label=_("Earlier versions"), cell=cells.state("versioning", words.VERSIONING), minor=True
        ),
        Column(key="policy", label=_("Storage policy"), sort="policy", minor=True),
        Column(key="created", label=_("Age"), sort="created_at", cell=cells.ago("created_at")),
    ),
    sort="name",
    search=("name__icontains", "id__startswith"),
    actions=(
        Action(
            name="empty",
            label=_("Empty it"),
            icon="x",
            rule=OWN,
            danger=True,
            done=_("Being emptied, the task log tells how far it is"),
            when=lambda row: row.objects_now > 0 or row.versioning != Versioning.NEVER,
            call=empty,
            question=_("All objects go for good. What is locked stays."),
            loses=emptied,
        ),
        deletes(
            lambda ctx, row: services.container_delete(ctx, account=row.account_id, container=row.name),
            rule=OWN,
            loses=losses,
            question=_("Its settings and access lists go with it."),
        ),
    ),
    live="container",
    empty=Empty(
        icon="archive",
        title=_("No containers yet"),
        text=_("A container, or bucket, holds files of any kind and size: backups, pictures, data of programs."),
        link="objectstore:container-create",
        label=_("Create a container"),
    ),
)


class Containers(ListPage):
    """All containers, below what the account holds."""

    template = "objectstore/containers.html"
    title = _("Containers")
    nav = "objectstore:containers"
    table = TABLE
    create = ("objectstore:container-create", _("Create"), OWN)

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Container]:
        return selectors.container_rows(ctx)

    def around(self) -> dict[str, Any]:
        found = selectors.account_get(self.ctx, account=self.ctx.project_id)
        return {"used": found.totals, "bars": quota_bars(found.totals, found.metadata)}


def quota_bars(used: selectors.Totals, metadata: dict[str, str]) -> list[dict[str, Any]]:
    """The quotas that an account or container has, as `quota_bar` draws them."""
    bars = []
    if "Quota-Bytes" in metadata:
        most, unit, size = _sizes(int(metadata["Quota-Bytes"]))
        bars.append({"label": _("Size"), "used": round(used.bytes / size, 1), "limit": most, "unit": unit})
    if "Quota-Count" in metadata:
        most = int(metadata["Quota-Count"])
        bars.append({"label": _("Objects"), "used": used.objects, "limit": most, "unit": ""})
    return bars


def _sizes(limit: int) -> tuple[float, str, int]:
    """A size in the largest unit of which it is at least one, with the unit and its bytes."""
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if limit >= size:
            return round(limit / size, 1), unit, size
    return limit, "B", 1


def container_of(ctx: RequestContext, ident: Any) -> Any:
    """A container of the caller's project with its totals. Raises NotFound."""
    return one(selectors.container_rows(ctx), _("container"), ident)


class ContainerForm(ChoiceForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=256,
        widget=forms.TextInput(attrs={"autofocus": True, "autocapitalize": "none", "spellcheck": "false"}),
        help_text=_(
            "As a bucket of S3 it needs 3 to 63 small letters, digits and hyphens, and a name nobody else has."
        ),
    )
    versions = forms.BooleanField(
        label=_("Keep earlier versions"),
        required=False,
        help_text=_("What is replaced or deleted can be brought back, and counts in the size until it is removed."),
    )
    lock = forms.BooleanField(
        label=_("Objects can be locked"),
        required=False,
        help_text=_("For S3: retention and legal hold. It keeps versions, and cannot be undone."),
    )
    policy = forms.ChoiceField(label=_("Storage policy"), help_text=_("Where the bytes are kept. Cannot be changed."))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        policies = backends.policies()
        super().__init__(*args, choices={"policy": [(name, name) for name in policies]}, **kwargs)
        if len(policies) == 1:
            self.fields["policy"].widget = forms.HiddenInput()
            self.fields["policy"].initial = policies[0]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if "/" in name:
            raise forms.ValidationError(gettext("A slash cannot be part of it."))
        if len(name.encode()) > 256:
            raise forms.ValidationError(gettext("At most 256 bytes."))
        return name


class ContainerCreate(FormPage):
    title = _("Create a container")
    list_page = Containers
    form = ContainerForm
    submit = _("Create")

    def save(self, form: forms.Form) -> tuple[str, str]:
        given = form.cleaned_data
        account = self.ctx.project_id
        made = True
        if given["lock"]:
            services.bucket_create(
                self.ctx, account=account, name=given["name"], policy=given["policy"], lock_enabled=True
            )
        else:
            made = services.container_put(
                self.ctx, account=account, container=given["name"], policy=given["policy"], changes={}
            )
        row = selectors.container_get(self.ctx, account=account, container=given["name"]).container
        if given["versions"]:
            services.container_versioning(self.ctx, account=account, container=row.name, versioning=Versioning.ENABLED)
        word = gettext("Created") if made else gettext("It was there already")
        return self.url("objectstore:objects", row.pk), f"{word} · {row.name}"
