"""Earlier versions: what was replaced or deleted in a container, brought back or removed for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.web import cells, paging
from apps.core.web.pages import PAGE_SIZE, ActPage, ListPage
from apps.core.web.tables import Action, Column, Empty, Table, deletes
from apps.objectstore import selectors, services
from apps.objectstore.selectors import VersionEntry
from apps.objectstore.services import Reader
from apps.objectstore.web.browse import OWN, InContainer

CURRENT, EARLIER, DELETED = ("ok", _("Current")), ("idle", _("Earlier")), ("off", _("Deleted"))


@dataclass(frozen=True, slots=True)
class Line:
    """A version, or a marker that says its object was deleted, with where it is."""

    account: str
    container: str
    name: str
    version_id: UUID
    entry: VersionEntry | None = None

    @property
    def pk(self) -> str:
        return f"{self.version_id}/{self.name}"

    @property
    def target(self) -> dict[str, Any]:
        """The arguments of services that say which version."""
        return {
            "account": self.account, "container": self.container, "name": self.name, "version_id": self.version_id
        }  # fmt: skip


def state_cell(row: Line, page: Any) -> Any:
    """What it is now."""
    entry = row.entry
    assert entry is not None
    return cells.badge(*(DELETED if entry.is_marker else CURRENT if entry.is_latest else EARLIER))


def name_cell(row: Line, page: Any) -> Any:
    """The current one leads to its page; of the others, all versions of the name are shown."""
    entry = row.entry
    assert entry is not None
    if entry.is_latest and not entry.is_marker:
        address = page.address_of("objectstore:object", name=row.name)
    else:
        address = page.address_of("objectstore:versions", q=row.name)
    return format_html('<a class="name" href="{0}" title="{1}">{1}</a>', address, row.name)


def load_cell(row: Line, page: Any) -> Any:
    """A button that downloads."""
    if row.entry is None or row.entry.is_marker:
        return ""
    address = page.address_of("objectstore:version-file", name=row.name, version=str(row.version_id))
    label = gettext("Download %(name)s") % {"name": row.name}
    return format_html('<a class="bare tiny" href="{}" aria-label="{}">{}</a>', address, label, cells.icon("download"))


def losses(ctx: RequestContext, row: Line) -> Iterable[Any]:
    """What is gone then; where a marker goes, the version before it comes back."""
    found = selectors.object_find(ctx, **row.target, follow=False).row
    if getattr(found, "is_marker", False):
        yield gettext("That it was deleted: the version before it is current again.")
    else:
        yield f"{cells.size_bytes(found.bytes)} · {found.created_at:%Y-%m-%d %H:%M} UTC"


TABLE = Table(
    columns=(
        Column(key="name", label=_("Name"), lead=True, sort="name", cell=name_cell),
        Column(key="state", label=_("Version"), cell=state_cell),
        Column(
            key="size",
            label=_("Size"),
            number=True,
            cell=lambda row, page: "" if row.entry.is_marker else cells.size_bytes(row.entry.bytes),
        ),
        Column(key="changed", label=_("Last changed"), cell=lambda row, page: cells.time_ago(row.entry.at)),
        Column(key="id", label=_("Id"), cell=cells.short_id("version_id"), minor=True),
        Column(key="load", label=_("Download"), cell=load_cell),
    ),
    sort="name",
    search=("name__startswith",),
    actions=(
        Action(
            name="restore",
            label=_("Bring back"),
            icon="undo-2",
            rule=OWN,
            done=_("Brought back"),
            when=lambda row: row.entry is None or not (row.entry.is_latest or row.entry.is_marker),
            call=lambda ctx, row: services.version_restore(ctx, **row.target),
        ),
        deletes(
            lambda ctx, row: services.version_delete(ctx, **row.target, promote=True),
            rule=OWN,
            label=_("Delete for good"),
            loses=losses,
            question=_("What is deleted here cannot be brought back."),
        ),
    ),
    live="container",
    empty=Empty(
        icon="history",
        title=_("No versions yet"),
        text=_("What is replaced or deleted in this container from now on is kept here."),
    ),
)


class Versions(InContainer, ListPage):
    """All objects of a container with their versions, by name and from the latest back."""

    template = "objectstore/versions.html"
    list_nav = "objectstore:versions"
    table = TABLE

    def piece(self, column: Column, *, descending: bool, cursor: str) -> tuple[paging.Slice, Any]:
        prefix = self.request.GET.get("q", "").replace("\0", "")

        def fetch(mark: str, backwards: bool, limit: int) -> list[Line]:
            version, _slash, name = mark.partition("/")
            page = selectors.Page(prefix=prefix, marker=name, limit=limit, reverse=backwards)
            behind = version_id(version) if mark else None
            found = selectors.version_list(self.ctx, **self.place, page=page, version_marker=behind)
            return [Line(**self.place, name=e.name, version_id=e.version_id, entry=e) for e in found]

        return paging.cut_by(fetch, descending=descending, cursor=cursor, size=PAGE_SIZE, key="pk"), None

    def act_url(self, action: Action) -> str:
        return self.url(self.act(), self.kwargs["ident"], action.name)

    def render(self, template: str = "", status: int = 200, **context: Any) -> HttpResponse:
        return super().render(template, status, **context | {"title": self.container.name})

    def around(self) -> dict[str, Any]:
        return {"crumbs": self.crumbs("")}


class VersionsAct(InContainer, ActPage):
    """What is done to versions that were picked."""

    list_page = Versions

    def picked(self, wanted: list[str]) -> list[Any]:
        lines = []
        for ident in wanted:
            version, _slash, name = ident.partition("/")
            lines.append(Line(**self.place, name=name, version_id=version_id(version)))
        return lines

    def back(self) -> str:
        return self.url("objectstore:versions", self.kwargs["ident"])


def version_id(text: str) -> UUID:
    """The id as it stands in an address. Raises NotFound."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(gettext("version"), text) from None


class VersionFile(InContainer):
    """The bytes of a version, to be saved; sandboxed as all that users stored."""

    def get(self, request: HttpRequest, ident: Any) -> HttpResponseBase:
        name, version = request.GET.get("name", ""), version_id(request.GET.get("version", ""))
        found = selectors.object_find(self.ctx, **self.place, name=name, version_id=version)
        if getattr(found.row, "is_marker", False):
            raise NotFound(gettext("version"), version)
        content = services.content_of(Reader(self.ctx, found.place.account_id), found.row)
        response = StreamingHttpResponse(services.content_pieces(content, 0, content.size))
        response["Content-Type"] = "application/octet-stream"
        response["Content-Length"] = str(content.size)
        label = quote(name.rstrip("/").rpartition("/")[2] or name, safe="")
        response["Content-Disposition"] = f"attachment; filename*=UTF-8''{label}"
        response["Content-Security-Policy"] = "sandbox"
        return response
