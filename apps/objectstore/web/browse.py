"""What is in a container: folders and objects, page by page, and what is done to many of them at once.

Folders are what names have in common up to a slash; an empty one is an object whose name ends with the slash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict
from urllib.parse import urlencode

from django import forms
from django.http import HttpResponse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.web import cells, paging
from apps.core.web.forms import NamedForm
from apps.core.web.pages import PAGE_SIZE, ActPage, FormPage, ListPage, Page, said
from apps.core.web.tables import Action, Column, Empty, Table, deletes
from apps.objectstore import selectors, services
from apps.objectstore.models import Bucket
from apps.objectstore.selectors import Entry
from apps.objectstore.selectors.access import bucket_of
from apps.objectstore.states import MAX_PARTS, MIB, Versioning
from apps.objectstore.web.containers import OWN, container_of

PART_BYTES = 8 * MIB  # a larger file is sent in parts of that many bytes, or more where there would be too many
UNKNOWN_TYPE = "application/octet-stream"
FOLDER_TYPE = "application/directory"
SLASH = "/"


@dataclass(frozen=True, slots=True)
class Line:
    """A folder (its name ends with a slash) or an object, with where it is."""

    account: str
    container: str
    name: str
    entry: Entry | None = None

    @property
    def pk(self) -> str:
        return self.name

    @property
    def is_folder(self) -> bool:
        return self.name.endswith(SLASH)

    @property
    def label(self) -> str:
        """The last part of the name."""
        return self.name.removesuffix(SLASH).rpartition(SLASH)[2] or self.name


def folder_of(name: str) -> str:
    """The folder that an object or folder lies in, with its slash; nothing for the top."""
    above, slash, _rest = name.removesuffix(SLASH).rpartition(SLASH)
    return above + slash


def name_cell(row: Line, page: Any) -> Any:
    """Where it leads: into the folder, or to the object's page."""
    if row.is_folder:
        address = page.address_of("objectstore:objects", folder=row.name)
        return _named("folder", address, row.label)
    return _named("file", page.address_of("objectstore:object", name=row.name), row.label)


def _named(icon: str, address: str, label: str) -> Any:
    return format_html(
        '<span class="named">{0}<a class="name" href="{1}" title="{2}">{2}</a></span>',
        cells.icon(icon),
        address,
        label,
        label,
    )


def load_cell(row: Line, page: Any) -> Any:
    """A button that downloads."""
    if row.is_folder:
        return ""
    address = page.address_of("objectstore:object-file", name=row.name)
    label = gettext("Download %(name)s") % {"name": row.label}
    return format_html(
        '<a class="bare tiny" href="{}" aria-label="{}" title="{}">{}</a>',
        address,
        label,
        label,
        cells.icon("download"),
    )


def of_entry(show: Any) -> Any:
    """A cell that folders leave empty."""
    return lambda row, page: "" if row.is_folder or row.entry is None else show(row.entry)


def delete(ctx: RequestContext, row: Line) -> None:
    """The object; of a folder, an operation begins that deletes what lies in it."""
    if row.is_folder:
        services.objects_delete(ctx, account=row.account, container=row.container, prefix=row.name)
    else:
        services.object_delete(ctx, account=row.account, container=row.container, name=row.name)


def deleted(rows: Sequence[Line]) -> Any:
    """What is said then: folders take their time."""
    if any(row.is_folder for row in rows):
        return _("Being deleted, the task log tells how far it is")
    return _("Deleted")


def losses(ctx: RequestContext, row: Line) -> Iterable[Any]:
    """What lies in a folder; of an object, its size."""
    if not row.is_folder:
        found = selectors.object_get(ctx, account=row.account, container=row.container, name=row.name)
        yield cells.size_bytes(found.bytes)
        return
    below = selectors.folder_totals(ctx, account=row.account, container=row.container, prefix=row.name)
    count = ngettext("%d object", "%d objects", below.objects) % below.objects
    words = f"{count} · {cells.size_bytes(below.bytes)}"
    yield gettext("more than %s") % words if below.is_more else words


TABLE = Table(
    columns=(
        Column(key="name", label=_("Name"), lead=True, sort="name", cell=name_cell),
        Column(key="size", label=_("Size"), number=True, cell=of_entry(lambda e: cells.size_bytes(e.bytes))),
        Column(key="type", label=_("Type"), cell=of_entry(lambda e: e.content_type), minor=True),
        Column(key="changed", label=_("Last changed"), cell=of_entry(lambda e: cells.time_ago(e.at))),
        Column(key="load", label=_("Download"), cell=load_cell),
    ),
    sort="name",
    search=("name__startswith",),
    actions=(
        deletes(delete, rule=OWN, done=deleted, loses=losses, question=_("What is deleted cannot be brought back.")),
    ),
    live="container",
    empty=Empty(
        icon="upload",
        title=_("Nothing here yet"),
        text=_("Drop files or whole folders here, or choose them with “Upload”."),
    ),
)


class InAccount(TypedDict):
    """The arguments of services that say which container."""

    account: str
    container: str


class InContainer(Page):
    """A page of one container, which its address names by id; what is in it stands in the query."""

    nav = "objectstore:containers"
    tabs: ClassVar[tuple[tuple[str, Any], ...]] = (
        ("objectstore:objects", _("Objects")),
        ("objectstore:versions", _("Versions")),
        ("objectstore:access", _("Access")),
        ("objectstore:container", _("Settings")),
    )

    @cached_property
    def container(self) -> Any:
        return container_of(self.ctx, self.kwargs["ident"])

    @cached_property
    def bucket(self) -> Bucket:
        """What S3 knows of the container. Raises NotFound where S3 does not reach it."""
        found = bucket_of(self.container)
        if found is None:
            raise NotFound(gettext("bucket"), self.container.name)
        return found

    @property
    def place(self) -> InAccount:
        return {"account": self.ctx.project_id, "container": self.container.name}

    def tab_links(self, *args: Any) -> list[tuple[str, Any, bool]]:
        found = super().tab_links(self.kwargs["ident"])
        if self.tabs and self.container.versioning == Versioning.NEVER:
            hidden = self.url("objectstore:versions", self.kwargs["ident"])
            return [link for link in found if link[0] != hidden]
        return found

    def address_of(self, url_name: str, **query: str) -> str:
        """Address of a page of this container."""
        return f"{self.url(url_name, self.kwargs['ident'])}?{urlencode(query)}"

    def crumbs(self, folder: str) -> list[tuple[str, str]]:
        """Address and label of the container and each folder on the way."""
        found = [(self.url("objectstore:objects", self.kwargs["ident"]), self.container.name)]
        at = 0
        while (at := folder.find(SLASH, at) + 1) > 0:
            here = folder[:at]
            label = here[:-1].rpartition(SLASH)[2] or SLASH
            found.append((self.address_of("objectstore:objects", folder=here), label))
        return found


class Objects(InContainer, ListPage):
    """A folder of a container, by pages."""

    template = "objectstore/objects.html"
    list_nav = "objectstore:objects"
    table = TABLE

    @property
    def folder(self) -> str:
        """The prefix that is looked at, with its slash; nothing at the top."""
        return self.request.GET.get("folder", "").replace("\0", "")

    def piece(self, column: Column, *, descending: bool, cursor: str) -> tuple[paging.Slice, Any]:
        prefix = self.folder + self.request.GET.get("q", "").replace("\0", "")

        def fetch(marker: str, backwards: bool, limit: int) -> list[Line]:
            page = selectors.Page(prefix=prefix, delimiter=SLASH, marker=marker, limit=limit, reverse=backwards)
            found = selectors.object_list(self.ctx, **self.place, page=page)
            return [self.line(entry) for entry in found]

        found = paging.cut_by(fetch, descending=descending, cursor=cursor, size=PAGE_SIZE)
        rows = [line for line in found.rows if line.name != self.folder]  # the folder itself is no line of it
        return paging.Slice(rows, found.before, found.after), None

    def line(self, entry: Entry) -> Line:
        return Line(self.ctx.project_id, self.container.name, entry.name, entry)

    def act_url(self, action: Action) -> str:
        return self.url(self.act(), self.kwargs["ident"], action.name)

    def render(self, template: str = "", status: int = 200, **context: Any) -> HttpResponse:
        kept = {"title": self.container.name, "all_url": self.address_of("objectstore:objects", folder=self.folder)}
        return super().render(template, status, **context | kept)

    def around(self) -> dict[str, Any]:
        folder = self.folder
        return {
            "crumbs": self.crumbs(folder),
            "folder": folder,
            "may_write": self.allowed(OWN),
            "part_bytes": PART_BYTES,
            "most_parts": MAX_PARTS,
            "uploads_url": self.url("objectstore:uploads", self.kwargs["ident"]),
            "unfinished": self._unfinished() if self.allowed(OWN) else [],
            "file_url": self.url("objectstore:object-file", self.kwargs["ident"]),
            "folder_url": self.address_of("objectstore:folder-create", folder=folder),
        }

    def _unfinished(self) -> list[dict[str, Any]]:
        """Uploads in parts below this folder that somebody has begun, with an address that discards them."""
        found = selectors.uploads_unfinished(self.ctx, **self.place, prefix=self.folder)
        base = self.url("objectstore:uploads", self.kwargs["ident"])
        return [{"row": u, "url": f"{base}/{u.pk}?{urlencode({'name': u.name})}"} for u in found]


class ObjectsAct(InContainer, ActPage):
    """What is done to folders and objects that were picked."""

    list_page = Objects

    def picked(self, wanted: list[str]) -> list[Any]:
        return [Line(self.ctx.project_id, self.container.name, name) for name in wanted if "\0" not in name]

    def back(self) -> str:
        """The folder that they lie in."""
        asked = self.request.POST if self.request.method == "POST" else self.request.GET
        first = asked.get("only") or asked.get("id", "")
        return self.address_of("objectstore:objects", folder=folder_of(first))


class FolderForm(NamedForm):
    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].strip(SLASH)
        if not name:
            raise forms.ValidationError(gettext("A name is more than slashes."))
        return name


class FolderCreate(InContainer, FormPage):
    """An empty folder, kept as an empty object of that name."""

    title = _("Create a folder")
    form = FolderForm
    submit = _("Create")
    tabs = ()

    def save(self, form: forms.Form) -> tuple[str, str]:
        name = f"{self.request.GET.get('folder', '')}{form.cleaned_data['name']}{SLASH}"
        services.object_put(
            self.ctx,
            **self.place,
            name=name,
            source=Nothing(),
            size=0,
            new=services.New(content_type=FOLDER_TYPE, only_new=True),
        )
        return self.address_of("objectstore:objects", folder=name), said(gettext("Created"), name)

    def around(self) -> dict[str, Any]:
        return {"back_url": self.address_of("objectstore:objects", folder=self.request.GET.get("folder", ""))}


class Nothing:
    """No bytes."""

    def read(self, size: int, /) -> bytes:
        return b""
