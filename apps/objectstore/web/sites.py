"""A container as a web site: by Swift's static web, and by S3's where the cloud has a name for that."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from django import forms
from django.conf import settings
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core.web.forms import ChoiceForm
from apps.core.web.pages import said
from apps.objectstore import services
from apps.objectstore.models import Bucket
from apps.objectstore.selectors.access import bucket_of
from apps.objectstore.states import PREFIX
from apps.objectstore.web import words
from apps.objectstore.web.documents import DocumentPage

INDEX, ERROR, LISTINGS = "Web-Index", "Web-Error", "Web-Listings"
TRUE = {"true", "1", "yes", "on", "t", "y"}


class SiteForm(ChoiceForm):
    """Whether, and with which pages."""

    shown = forms.ChoiceField(
        label=_("As a web site"),
        choices=[("no", _("No")), ("yes", _("Yes"))],
        widget=forms.RadioSelect,
    )
    index = forms.CharField(
        label=_("Page of each folder"), max_length=255, required=False, help_text=_("Such as index.html.")
    )
    listings = forms.BooleanField(label=_("Where there is none, list what is in the folder"), required=False)
    error = forms.CharField(
        label=_("Ending of pages for errors"),
        max_length=255,
        required=False,
        help_text=_("With “error.html”, the object “404error.html” is shown where nothing was found."),
    )
    s3_error = forms.CharField(
        label=_("Page for errors at the address of S3"),
        max_length=1024,
        required=False,
        help_text=_("Such as 404.html."),
    )

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        needs_index = "s3_error" in self.fields or not given.get("listings")
        if given.get("shown") == "yes" and needs_index and not given.get("index"):
            self.add_error("index", gettext("A site needs a page that is shown first."))
        if "/" in given.get("index", ""):
            self.add_error("index", gettext("A slash cannot be part of it."))
        return given


class Site(DocumentPage):
    """How the container is shown to people with a browser, and where."""

    title = _("Web site")
    kind = "website"

    @cached_property
    def reached(self) -> Bucket | None:
        """The bucket, where S3 shows sites."""
        return bucket_of(self.container) if settings.CONFIG.objectstore.s3_website_domains else None

    @property
    def is_shown(self) -> bool:
        return bool(self.document) or any(self.container.metadata.get(name) for name in (INDEX, LISTINGS))

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        kept, document = self.container.metadata, self.document or {}
        known = {
            "shown": "yes" if self.is_shown else "no",
            "index": kept.get(INDEX) or document.get("index") or ("" if self.is_shown else "index.html"),
            "listings": kept.get(LISTINGS, "").lower() in TRUE,
            "error": kept.get(ERROR, ""),
            "s3_error": document.get("error", ""),
        }
        return SiteForm(data, initial=known, without=() if self.reached else ("s3_error",))

    def lines(self) -> list[tuple[str, Any]]:
        if not self.is_shown:
            return [("off", gettext("It is no web site."))]
        if "all" in (self.document or {}):
            return [("idle", gettext("S3 leads everybody to %s.") % (self.document or {})["all"]["host"])]
        return [("ok", _linked(address)) for address in self.addresses()]

    def addresses(self) -> list[str]:
        """Where it is opened: of Swift always, of S3 where its document says so."""
        public, store = settings.CONFIG.public, settings.CONFIG.objectstore
        base = urlsplit(public.url)
        host = f"{store.pages_host}:{base.port}" if store.pages_host and base.port else store.pages_host or base.netloc
        row = self.container
        swift = f"{base.scheme}://{host}/object-store/v1/{PREFIX}{row.account_id}/{quote(row.name)}/"
        found = [swift] if any(row.metadata.get(name) for name in (INDEX, LISTINGS)) else []
        if self.reached and self.document:
            s3 = urlsplit(public.s3_url or public.url)
            port = f":{s3.port}" if s3.port else ""
            found += [f"{s3.scheme}://{self.reached.name}.{domain}{port}/" for domain in store.s3_website_domains]
        return found

    def notes(self) -> list[tuple[str, Any]]:
        found = [] if words.is_public(self.container) else [("warn", gettext(
            "Only who may read the objects sees the site. Open it to everybody on the page “Access”."
        ))]  # fmt: skip
        if not settings.CONFIG.objectstore.pages_host:
            found.append(("", gettext("Scripts of the pages do not run: this cloud has no name of its own for sites.")))
        if {"all", "rules"} & {key for key, value in (self.document or {}).items() if value}:
            found.append(("", gettext("It also leads from some addresses to others; those rules are set by S3.")))
        return found

    def save(self, form: forms.Form) -> tuple[str, str]:
        given = form.cleaned_data
        shown = given["shown"] == "yes"
        if self.reached is not None:
            self._keep_document(given, shown=shown)
        changes = {
            INDEX: given["index"] if shown else "",
            ERROR: given["error"] if shown else "",
            LISTINGS: "true" if shown and given["listings"] else "",
        }
        services.container_post(self.ctx, **self.place, changes=changes)
        return self.url("objectstore:site", self.kwargs["ident"]), said(gettext("Saved"), self.container.name)

    def _keep_document(self, given: dict[str, Any], *, shown: bool) -> None:
        """S3's part: what the form does not show, such as rules that lead elsewhere, stays."""
        now = self.document or {}
        if not shown:
            self.put(None)
        elif "all" not in now:
            self.put({"rules": []} | now | {"index": given["index"], "error": given["s3_error"]})


def _linked(address: str) -> Any:
    return format_html('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>', address)
