"""One object: what it is, a look into it, and its forms: details, copies, links for others.

What users stored never becomes part of a page of this origin: text is shown escaped, pictures come from the API by a
signed address, whose answers are sandboxed, and everything else is saved as a file.
"""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core.api.middleware import client_address
from apps.core.errors import Invalid, KumoError, NotFound
from apps.core.web import cells
from apps.core.web.pages import FormPage, put_error, said
from apps.objectstore import selectors, services
from apps.objectstore.models import Object
from apps.objectstore.selectors.access import bucket_of
from apps.objectstore.services import Place, Reader
from apps.objectstore.services.lock import is_retained
from apps.objectstore.states import MAX_OBJECT_NAME
from apps.objectstore.web import words
from apps.objectstore.web.browse import OWN, InContainer, folder_of
from apps.objectstore.web.uploads import Sending, length, new_of

META = "X-Object-Meta-"
# Headers that are sent with the object and that people set.
SENT = ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language")
PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/x-icon"}
TEXTS = {"application/json", "application/xml", "application/yaml", "application/x-yaml", "application/x-sh"}
TEXTS |= {"application/javascript", "application/toml", "application/sql", "image/svg+xml"}
WITH_CONTAINER, NOT_LOCKED = _("Who may read the container."), _("Not locked.")
MOST_PICTURE = 20 * 2**20  # bytes of a picture that is shown
MOST_TEXT = 64 * 2**10  # bytes of a text that are shown


class OfObject(InContainer):
    """A page of the object that the query names."""

    tabs = ()

    @property
    def name(self) -> str:
        return self.request.GET.get("name", "")

    @cached_property
    def row(self) -> Object:
        if not self.name or "\0" in self.name:
            raise NotFound(gettext("object"), self.name)
        return selectors.object_get(self.ctx, **self.place, name=self.name)

    def here(self, url_name: str = "objectstore:object") -> str:
        return self.address_of(url_name, name=self.name)


class ObjectPage(OfObject):
    """Facts, a look into it, and what can be done."""

    template = "objectstore/object.html"

    def get(self, request: HttpRequest, ident: Any) -> HttpResponse:
        row = self.row
        return self.render(
            title=row.name.rpartition("/")[2] or row.name,
            row=row,
            crumbs=self.crumbs(folder_of(row.name)),
            facts=self.facts(row),
            metadata=metadata_of(row),
            may_write=self.allowed(OWN),
            addresses={word: self.here(f"objectstore:object-{word}") for word in ("file", "edit", "copy", "share")},
            besides=self.besides(row),
            versions_url=self.address_of("objectstore:versions", q=row.name) if self.container.versioning else "",
            delete_url=self.url("objectstore:objects-act", ident, "delete"),
            **self.preview(row),
        )

    def facts(self, row: Object) -> list[tuple[Any, Any]]:
        link = row.links
        to = f"{link['account'] or self.ctx.project_id}/{link['container']}/{link['name']}" if link else ""
        return [
            *([(_("Points to"), to)] if to else []),
            (_("Size"), self.size(row)),
            (_("Type"), row.content_type),
            (_("Last changed"), cells.time_ago(row.created_at)),
            (_("Expires"), until(row.delete_at) if row.delete_at else _("never")),
            (_("Encrypted"), _("yes") if row.encryption else _("no")),
            ("ETag", cells.copied(row.etag)),
            (_("Name"), cells.copied(row.name)),
        ]

    def besides(self, row: Object) -> list[tuple[Any, Any, str]]:
        """What is said of it besides: title, words, and the address of its page."""
        found: list[tuple[str, Any, Any]] = [
            ("tags", _("Tags"), cells.tags(f"{k}={v}" for k, v in sorted((row.tags or {}).items())))
        ]
        owned = bucket_of(self.container)
        if owned is not None:
            granted = [line for _tone, line in words.granted_on(owned, row)]
            found.append(("grants", _("Who may read this object"), cells.lines(granted or [WITH_CONTAINER])))
        if owned is not None and owned.lock_enabled:
            found.append(("lock", _("Retention and legal hold"), cells.lines(_locks(row) or [NOT_LOCKED])))
        return [(title, said_, self.here(f"objectstore:object-{name}")) for name, title, said_ in found]

    def size(self, row: Object) -> Any:
        exact = gettext("%d bytes") % row.bytes
        if row.bytes >= 1024:
            exact = f"{cells.size_bytes(row.bytes)} · {exact}"
        if row.segments is not None:
            return exact + " · " + gettext("%d segments") % len(row.segments)
        if row.parts is not None:
            return exact + " · " + gettext("%d parts") % len(row.parts)
        return exact

    def preview(self, row: Object) -> dict[str, Any]:
        """`picture`: an address; `text`: its beginning. Neither where there is nothing that can be shown."""
        kind = row.content_type.partition(";")[0].strip().lower()
        if kind in PICTURES and 0 < row.bytes <= MOST_PICTURE:
            return {"picture": self.here("objectstore:object-file")}
        if row.bytes and (kind.startswith("text/") or kind in TEXTS):
            return self._text(row)
        return {}

    def _text(self, row: Object) -> dict[str, Any]:
        try:
            content = services.content_of(Reader(self.ctx, self.ctx.project_id), row)
            start = b"".join(services.content_pieces(content, 0, min(content.size, MOST_TEXT)))
        except KumoError as error:
            return {"unreadable": str(error)}
        if b"\0" in start:
            return {}
        return {"text": start.decode(errors="replace"), "is_cut": content.size > MOST_TEXT}


def _locks(row: Object) -> list[str]:
    """What keeps it from being deleted."""
    found = []
    if row.retain_until is not None and is_retained(row, timezone.now()):
        found.append(gettext("Retained for %s") % until(row.retain_until))
    return [*found, gettext("Under a legal hold.")] if row.legal_hold else found


def until(moment: datetime.datetime) -> str:
    """A moment to come: in how long, and when."""
    return f"{cells.span(max(0, (moment - timezone.now()).total_seconds()))} · {moment:%Y-%m-%d %H:%M} UTC"


def metadata_of(row: Object) -> list[tuple[str, str]]:
    """What its owner wrote on it, and the headers that go out with it."""
    return sorted((name.removeprefix(META), value) for name, value in row.metadata.items())


class ObjectFile(Sending):
    """An object's bytes. GET leads to them, by an address that is good for this browser's IP address for an hour."""

    def get(self, request: HttpRequest, ident: Any) -> HttpResponse:
        to = services.object_address(self.ctx, **self.target, client=client_address(request))
        response = redirect(to)
        response["Cache-Control"] = "no-store"
        return response

    def put(self, request: HttpRequest, ident: Any) -> HttpResponse:
        """Keep a file of the browser's; 412 where there is an object already and `replace` is not asked for."""
        made = services.object_put(self.ctx, **self.target, source=request, size=length(request), new=new_of(request))
        return JsonResponse({"etag": made.etag})


# --- details -----------------------------------------------------------------------------------------

DAYS = (
    ("keep", _("as it is")),
    ("", _("never")),
    ("1", _("in a day")),
    ("7", _("in 7 days")),
    ("30", _("in 30 days")),
    ("90", _("in 90 days")),
    ("365", _("in a year")),
)


class DetailsForm(forms.Form):
    """Everything about an object but its bytes."""

    content_type = forms.CharField(label=_("Type"), max_length=255)
    metadata = forms.CharField(
        label=_("Metadata"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
        help_text=_("One “name: value” in each line."),
    )
    expires = forms.ChoiceField(label=_("Expires"), choices=DAYS, required=False, initial="keep")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for header in SENT:
            self.fields[header] = forms.CharField(label=header, max_length=255, required=False)

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        for name in ("content_type", *SENT):
            if not given.get(name, "").isprintable():
                self.add_error(name, gettext("“%s” has characters that no header can carry.") % self[name].label)
        return given

    def clean_metadata(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in filter(str.strip, self.cleaned_data["metadata"].splitlines()):
            name, colon, value = (part.strip() for part in line.partition(":"))
            if not colon or not name or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in name):
                raise forms.ValidationError(gettext("“%s” is not of the form “name: value”.") % line.strip())
            if not value.isprintable():
                raise forms.ValidationError(gettext("“%s” has characters that no header can carry.") % name)
            found[f"{META}{'-'.join(part.capitalize() for part in name.split('-'))}"] = value
        return found


class ObjectEdit(OfObject, FormPage):
    """Type, metadata, headers and end."""

    title = _("Edit the details")
    submit = _("Save")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        row = self.row
        lines = [f"{n.removeprefix(META)}: {v}" for n, v in sorted(row.metadata.items()) if n.startswith(META)]
        known: dict[str, Any] = {"content_type": row.content_type, "metadata": "\n".join(lines), "expires": "keep"}
        return DetailsForm(data, initial=known | {name: row.metadata.get(name, "") for name in SENT})

    def around(self) -> dict[str, Any]:
        return {"back_url": self.here()}

    def save(self, form: forms.Form) -> tuple[str, str]:
        given, row = form.cleaned_data, self.row
        others = {n: v for n, v in row.metadata.items() if not n.startswith(META) and n not in SENT}
        sent = {name: given[name] for name in SENT if given[name]}
        services.limits_checked({n.removeprefix(META): v for n, v in given["metadata"].items()})
        services.object_post(
            self.ctx,
            **self.place,
            name=self.name,
            content_type=given["content_type"],
            metadata=others | sent | given["metadata"],
            delete_at=row.delete_at if given["expires"] == "keep" else _end(given["expires"]),
        )
        return self.here(), said(gettext("Saved"), row.name)


def _end(days: str) -> datetime.datetime | None:
    return timezone.now() + datetime.timedelta(days=int(days)) if days else None


# --- copies ------------------------------------------------------------------------------------------


class CopyForm(forms.Form):
    """Another name for the bytes, in this container or another one."""

    container = forms.CharField(
        label=_("Container"),
        max_length=256,
        widget=forms.TextInput(attrs={"list": "containers", "autocomplete": "off"}),
    )
    name = forms.CharField(
        label=_("Name"), max_length=MAX_OBJECT_NAME, strip=False, widget=forms.TextInput(attrs={"autofocus": True})
    )
    keep = forms.ChoiceField(
        label=_("The object here"),
        choices=[("", _("is moved: it is gone from here")), ("1", _("stays: the other one is a copy"))],
        required=False,
        widget=forms.RadioSelect,
    )
    replace = forms.BooleanField(label=_("Replace an object that has this name already"), required=False)


class ObjectCopy(OfObject, FormPage):
    """Rename, move or copy."""

    template = "objectstore/copy.html"
    title = _("Rename, move or copy")
    submit = _("Do it")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        return CopyForm(data, initial={"container": self.container.name, "name": self.row.name, "keep": ""})

    def around(self) -> dict[str, Any]:
        names = selectors.container_rows(self.ctx).values_list("name", flat=True).order_by("name")[:200]
        return {"back_url": self.here(), "containers": list(names), "row": self.row}

    def save(self, form: forms.Form) -> tuple[str, str]:
        given = form.cleaned_data
        act = services.object_copy if given["keep"] else services.object_move
        to = Place(given["container"], given["name"])
        if "\0" in to.name or len(to.name.encode()) > MAX_OBJECT_NAME:
            raise Invalid(gettext("A name has at most %d bytes.") % MAX_OBJECT_NAME, field="name")
        act(
            self.ctx,
            account=self.ctx.project_id,
            source=Place(self.container.name, self.name),
            to=to,
            only_new=not given["replace"],
        )
        there = selectors.container_get(self.ctx, account=self.ctx.project_id, container=to.container).container
        word = gettext("Copied") if given["keep"] else gettext("Moved")
        return f"{self.url('objectstore:object', there.pk)}?{urlencode({'name': to.name})}", said(word, to.name)


# --- links -------------------------------------------------------------------------------------------

LASTING = (("3600", _("an hour")), ("86400", _("a day")), ("604800", _("7 days")), ("2592000", _("30 days")))


class ShareForm(forms.Form):
    lasts = forms.ChoiceField(label=_("Good for"), choices=LASTING, initial="86400")


class ObjectShare(OfObject, FormPage):
    """A link that opens this object for whoever has it; it stands on the answer and nowhere else."""

    template = "objectstore/share.html"
    title = _("Share a link")
    form = ShareForm
    submit = _("Make a link")

    def around(self) -> dict[str, Any]:
        return {"back_url": self.here(), "row": self.row}

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = self.make(request.POST)
        if not form.is_valid():
            return self.show(form, 422)
        lasts = int(form.cleaned_data["lasts"])
        try:
            path = services.object_share(self.ctx, **self.place, name=self.name, lasts_s=lasts)
        except KumoError as error:
            put_error(form, error)
            return self.show(form, error.status)
        response = self.render(
            link=f"{settings.CONFIG.public.url}{path}",
            ends_at=timezone.now() + datetime.timedelta(seconds=lasts),
            **self.around(),
        )
        response["Cache-Control"] = "no-store"
        return response
