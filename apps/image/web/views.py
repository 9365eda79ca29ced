"""Images: the list, the page of one, and bringing one in from the browser."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.errors import Invalid, KumoError
from apps.core.web import cells
from apps.core.web.forms import NamedForm
from apps.core.web.pages import DetailPage, FormPage, ListPage, Page, one, put_error
from apps.core.web.tables import AGE, Column, Empty, Filter, Table, deletes, name_column
from apps.image import selectors, services
from apps.image.models import Image
from apps.image.states import ImageStatus, Visibility

STATES: dict[str, tuple[str, Any]] = {
    ImageStatus.QUEUED: ("idle", _("Without content")),
    ImageStatus.SAVING: ("busy", _("Uploading")),
    ImageStatus.UPLOADING: ("busy", _("Staging")),
    ImageStatus.IMPORTING: ("busy", _("Being checked")),
    ImageStatus.ACTIVE: ("ok", _("Active")),
    ImageStatus.DEACTIVATED: ("off", _("Deactivated")),
}
VISIBILITIES = {
    Visibility.PUBLIC: _("everybody"),
    Visibility.COMMUNITY: _("who knows it"),
    Visibility.SHARED: _("this project and its guests"),
    Visibility.PRIVATE: _("this project"),
}
FORMATS = tuple((name, name.upper()) for name in ("qcow2", "raw", "iso", "vmdk", "vdi", "vhd", "vhdx"))


def mine(row: Image, ctx: RequestContext) -> bool:
    """Is it the project's own, or is the caller an administrator?"""
    return row.project_id == ctx.project_id or ctx.is_admin


def losses(ctx: RequestContext, row: Image) -> Iterable[Any]:
    """What goes with an image; servers made from it stay."""
    yield gettext("%(size)s of content; servers made from it stay") % {"size": cells.size_bytes(row.size or 0)}


TABLE = Table(
    columns=(
        name_column("image:image", sort=""),
        Column(key="status", label=_("Status"), cell=cells.state("status", STATES)),
        Column(
            key="visibility", label=_("Visible to"), cell=lambda row, page: VISIBILITIES[Visibility(row.visibility)]
        ),
        Column(key="format", label=_("Format"), cell=cells.text("disk_format")),
        Column(key="size", label=_("Size"), number=True, cell=cells.bytes_of("size")),
        AGE,
    ),
    sort="-created",
    search=("name__icontains", "id__startswith"),
    filters=(
        Filter(
            name="visibility",
            label=_("Any visibility"),
            choices={v.value: (VISIBILITIES[v], {"visibility": v}) for v in Visibility},
        ),
    ),
    actions=(
        deletes(
            lambda ctx, row: services.image_delete(ctx, image_id=row.pk),
            rule="delete_image",
            when=lambda row: not row.protected,
            loses=losses,
        ),
    ),
    live="image",
    empty=Empty(
        icon="image",
        title=_("No images yet"),
        text=_("An image is the disk that a server starts from. Upload one, or ask an administrator to share one."),
        link="image:image-create",
        label=_("Upload an image"),
    ),
)


class Images(ListPage):
    title = _("Images")
    nav = "image:images"
    table = TABLE
    create = ("image:image-create", _("Upload"), "add_image")

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Image]:
        shown = Q(project_id=ctx.project_id) | Q(visibility=Visibility.PUBLIC) | Q(visibility=Visibility.SHARED)
        return selectors.image_list(ctx).filter(shown)


class ImagePage(DetailPage):
    template = "image/image.html"
    list_page = Images
    live = "image"

    def row(self, ident: Any) -> Image:
        return one(selectors.image_list(self.ctx), _("image"), ident)

    def state(self, row: Image) -> Any:
        return cells.badge(*STATES[ImageStatus(row.status)])

    def facts(self, row: Image) -> list[tuple[Any, Any]]:
        return [
            (_("Visible to"), VISIBILITIES[Visibility(row.visibility)]),
            (_("Format"), row.disk_format),
            (_("Size"), cells.size_bytes(row.size)),
            (_("Size as a disk"), cells.size_bytes(row.virtual_size)),
            (_("Needs"), f"{row.min_disk_gib} GiB · {cells.size_mib(row.min_ram_mib)}"),
            (_("Protected"), _("yes") if row.protected else _("no")),
            (_("Created at"), cells.time_ago(row.created_at)),
            (_("Tags"), cells.tags(row.tags)),
            ("SHA-512", cells.copied(row.hash_value, f"{row.hash_value[:16]}…" if row.hash_value else "")),
            (_("Id"), cells.copied(row.pk)),
        ]

    def more(self, row: Image) -> dict[str, Any]:
        return {"properties": sorted(row.properties.items()), "usable": row.status == ImageStatus.ACTIVE}


class ImageForm(NamedForm):
    """What must be known before the bytes; the bytes themselves go by the page's script."""

    disk_format = forms.ChoiceField(
        label=_("Format"), choices=FORMATS, help_text=_("Is checked against the content when it arrives.")
    )
    visibility = forms.ChoiceField(label=_("Visible to"))
    min_disk_gib = forms.IntegerField(label=_("Least disk in GiB"), min_value=0, initial=0)
    min_ram_mib = forms.IntegerField(label=_("Least memory in MiB"), min_value=0, initial=0)


class ImageCreate(FormPage):
    """Registers the image; the script then sends the file to `ImageFile` and shows how far it is."""

    template = "image/create.html"
    title = _("Upload an image")
    list_page = Images
    form = ImageForm
    submit = _("Upload")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        public = [Visibility.PUBLIC] if self.allowed("publicize_image") else []
        offered = [Visibility.PRIVATE, Visibility.SHARED, *public]
        return ImageForm(data, choices={"visibility": [(v.value, VISIBILITIES[v]) for v in offered]})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = self.make(request.POST)
        if form.is_valid():
            try:
                made = services.image_create(self.ctx, container_format="bare", **form.cleaned_data)
            except KumoError as error:
                put_error(form, error)
            else:
                file, page = self.url("image:image-file", made.pk), self.url("image:image", made.pk)
                return JsonResponse({"file": file, "page": page})
        return JsonResponse(
            {"errors": {name: [str(e) for e in found] for name, found in form.errors.items()}}, status=422
        )


class ImageFile(Page):
    """Takes the bytes of an image that the page before registered. One that is refused is forgotten again."""

    def put(self, request: HttpRequest, ident: Any) -> HttpResponse:
        try:
            size = int(request.headers.get("Content-Length", ""))
        except ValueError:
            raise Invalid(gettext("The browser did not say how large the file is.")) from None
        try:
            services.image_upload(self.ctx, image_id=ident, source=request, size=size)
        except KumoError as error:
            services.image_delete(self.ctx, image_id=ident)
            return JsonResponse({"error": str(error)}, status=error.status)
        return JsonResponse({"page": self.url("image:image", ident)})


def hits(ctx: RequestContext, typed: str) -> Iterable[Any]:
    """For the palette."""
    return Images.rows(ctx).filter(name__icontains=typed).order_by("name")[:6]


def describe(row: Image) -> Any:
    return format_html("{} · {}", row.disk_format or "–", cells.size_bytes(row.size))
