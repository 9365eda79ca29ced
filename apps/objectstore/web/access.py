"""Who may read and write a container, and its settings: quota, pages of other origins, links."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from apps.core.web import cells
from apps.core.web.forms import ChoiceForm
from apps.core.web.pages import FormPage, said
from apps.objectstore import services
from apps.objectstore.selectors import Totals
from apps.objectstore.selectors.access import bucket_of
from apps.objectstore.selectors.bucket_policy import policy_document
from apps.objectstore.selectors.documents import bucket_document
from apps.objectstore.selectors.grants import SWITCHES, block_of
from apps.objectstore.states import Versioning
from apps.objectstore.web import marks, sites, words
from apps.objectstore.web.browse import OWN, InContainer
from apps.objectstore.web.containers import quota_bars
from apps.objectstore.web.documents import WordsField
from apps.objectstore.web.words import LISTED, PUBLIC

READERS = (
    ("private", _("Only this project, and those below")),
    ("read", _("Everybody may read an object whose address they know")),
    ("list", _("Everybody may read, and see the list of what is there")),
)
# What the choice above says; entries for others are kept beside it.
ENTRIES = {"private": (), "read": (PUBLIC,), "list": (PUBLIC, LISTED)}


class AccessForm(forms.Form):
    """Access lists as Swift has them: the common cases as a choice, the rest as lines."""

    everybody = forms.ChoiceField(label=_("Everybody"), choices=READERS, widget=forms.RadioSelect)
    readers = WordsField(
        label=_("Others who may read"),
        required=False,
        help_text=_(
            "One in each line: “project:user” by id, with * for all users of a project, or the name of a role."
        ),
    )
    writers = WordsField(label=_("Others who may write"), required=False)


class Access(InContainer, FormPage):
    """The lists, and in words who that is."""

    template = "objectstore/access.html"
    title = _("Access")
    submit = _("Save")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        readers = words.entries(self.container.read_acl)
        public = "private" if PUBLIC not in readers else "list" if LISTED in readers else "read"
        others = [entry for entry in readers if entry not in ENTRIES["list"]]
        known = {"everybody": public, "readers": "\n".join(others)}
        return AccessForm(data, initial=known | {"writers": "\n".join(words.entries(self.container.write_acl))})

    def around(self) -> dict[str, Any]:
        return {
            "title": self.container.name,
            "crumbs": self.crumbs(""),
            "readers": words.readers(self.container),
            "writers": words.writers(self.container),
            "may_change": self.allowed(OWN),
            **self.bucket_facts(),
        }

    def bucket_facts(self) -> dict[str, Any]:
        """What S3's grants and the policy say; nothing for a container that S3 does not reach."""
        owned = bucket_of(self.container)
        if owned is None:
            return {}
        facts = {"granted": words.granted(owned), "statements": words.statements(owned)}
        pages = ("policy", "grants")
        return facts | {f"{name}_url": self.url(f"objectstore:{name}", self.kwargs["ident"]) for name in pages}

    def save(self, form: forms.Form) -> tuple[str, str]:
        given = form.cleaned_data
        services.container_post(
            self.ctx,
            **self.place,
            changes={},
            read_acl=",".join([*ENTRIES[given["everybody"]], *given["readers"]]),
            write_acl=",".join(given["writers"]),
        )
        return self.url("objectstore:access", self.kwargs["ident"]), said(gettext("Saved"), self.container.name)


# --- policy --------------------------------------------------------------------------------------------


class PolicyForm(forms.Form):
    """A bucket's policy as JSON, and the switch against everybody."""

    policy = forms.CharField(
        label=_("Policy"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 22, "spellcheck": "false"}),
        help_text=_("JSON as S3 has it; what cannot be enforced is refused. Empty: none."),
    )
    block = forms.BooleanField(
        label=_("Block access of everybody, whatever lists, grants and policy say"), required=False
    )


class Policy(InContainer, FormPage):
    """Who may what, as S3's policies say it."""

    template = "objectstore/policy.html"
    title = _("Bucket policy")
    submit = _("Save")
    tabs = ()

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        found = bucket_document(self.ctx, bucket=self.bucket.name, kind="policy")
        text = json.dumps(found, indent=2, ensure_ascii=False) if found else ""
        return PolicyForm(data, initial={"policy": text, "block": all(asdict(block_of(self.bucket)).values())})

    def around(self) -> dict[str, Any]:
        example = json.dumps(example_policy(self.bucket.name), indent=2)
        return {"back_url": self.url("objectstore:access", self.kwargs["ident"]), "example": example}

    def save(self, form: forms.Form) -> tuple[str, str]:
        """The block first, so that a public policy is refused by it and not left in force."""
        given = form.cleaned_data
        if given["block"]:
            services.bucket_document_put(
                self.ctx, bucket=self.bucket.name, kind="public-access", document=dict.fromkeys(SWITCHES, True)
            )
        elif all(asdict(block_of(self.bucket)).values()):
            services.bucket_document_delete(self.ctx, bucket=self.bucket.name, kind="public-access")
        if given["policy"].strip():
            document = policy_document(given["policy"], self.bucket.name)
            services.bucket_document_put(self.ctx, bucket=self.bucket.name, kind="policy", document=document)
        else:
            services.bucket_document_delete(self.ctx, bucket=self.bucket.name, kind="policy")
        return self.url("objectstore:access", self.kwargs["ident"]), said(gettext("Saved"), self.container.name)


def example_policy(bucket: str) -> dict[str, Any]:
    """A policy to begin with: everybody reads from one network."""
    statement = {
        "Sid": "ReadFromTheOffice",
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24"]}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


# --- settings ------------------------------------------------------------------------------------------

CORS = {
    "origin": "Access-Control-Allow-Origin",
    "expose": "Access-Control-Expose-Headers",
    "age": "Access-Control-Max-Age",
}


VERSIONS = {
    Versioning.NEVER: _("are not kept"),
    Versioning.ENABLED: _("are kept"),
    Versioning.SUSPENDED: _("stay, but no more are kept"),
}


class SettingsForm(ChoiceForm):
    """Versions, and what a container's metadata says to the store."""

    versioning = forms.ChoiceField(label=_("Earlier versions"))
    quota_gib = forms.DecimalField(
        label=_("At most, in GiB"), min_value=0, max_digits=12, decimal_places=3, required=False
    )
    quota_count = forms.IntegerField(label=_("At most, objects"), min_value=0, required=False)
    origin = forms.CharField(
        label=_("Sites whose pages may ask"),
        max_length=255,
        required=False,
        help_text=_("Addresses such as https://www.example.com, with blanks between them, or * for all (CORS)."),
    )
    expose = forms.CharField(label=_("Headers that they see"), max_length=255, required=False)
    age = forms.IntegerField(label=_("Browsers ask again after, in seconds"), min_value=0, required=False)


class Settings(InContainer, FormPage):
    """Facts, quota, other sites, links."""

    template = "objectstore/settings.html"
    title = _("Settings")
    submit = _("Save")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        kept = self.container.metadata
        size = kept.get("Quota-Bytes")
        known: dict[str, Any] = {
            "quota_gib": round(int(size) / 2**30, 3) if size else None,
            "quota_count": kept.get("Quota-Count"),
        }
        known |= {field: kept.get(name, "") for field, name in CORS.items()}
        now = self.container.versioning
        offered = [Versioning.NEVER, Versioning.ENABLED] if not now else [Versioning.ENABLED, Versioning.SUSPENDED]
        return SettingsForm(
            data,
            initial=known | {"versioning": Versioning(now).name},
            choices={"versioning": [(v.name, VERSIONS[v]) for v in offered]},
        )

    def around(self) -> dict[str, Any]:
        row = self.container
        facts = [
            (_("Objects"), row.objects_now),
            (_("Size"), cells.size_bytes(row.bytes_now)),
            ("S3", cells.badge(*words.bucket(row))),
            (_("Earlier versions"), cells.state("versioning", words.VERSIONING)(row, self)),
            (_("Storage policy"), row.policy),
            (_("Created at"), cells.time_ago(row.created_at)),
            (_("Id"), cells.copied(row.pk)),
        ]
        return {
            "title": row.name,
            "crumbs": self.crumbs(""),
            "facts": facts,
            "bars": quota_bars(Totals(row.objects_now, row.bytes_now), row.metadata),
            "may_change": self.allowed(OWN),
            "besides": self.besides(),
        }

    def besides(self) -> list[tuple[Any, list[Any], str]]:
        """What else is set for it: title, words, and the address of its page."""
        row, owned = self.container, bucket_of(self.container)
        site = owned is not None and "website" in owned.documents
        shown = site or any(row.metadata.get(name) for name in (sites.INDEX, sites.LISTINGS))
        found: list[tuple[str, Any, list[Any]]] = [("site", _("Web site"), [_("yes") if shown else _("no")])]
        if owned is not None:
            said_ = owned.documents
            found += [
                ("lifecycle", _("Lifecycle"), _counted(said_.get("lifecycle"))),
                ("lock", _("Object lock"), [words for _tone, words in marks.default_lines(owned)]),
                ("tags", _("Tags"), [cells.tags(f"{k}={v}" for k, v in sorted((said_.get("tags") or {}).items()))]),
                ("cors", _("Pages of other sites, by S3"), _counted(said_.get("cors"))),
            ]
        return [(title, lines, self.url(f"objectstore:{name}", self.kwargs["ident"])) for name, title, lines in found]

    def save(self, form: forms.Form) -> tuple[str, str]:
        given = form.cleaned_data
        size, count = given["quota_gib"], given["quota_count"]
        quotas = {
            "Quota-Bytes": "" if size is None else str(int(size * 2**30)),
            "Quota-Count": "" if count is None else str(count),
        }
        cors = {name: str(given[field] or "") for field, name in CORS.items()}
        services.container_post(self.ctx, **self.place, changes=quotas | cors)
        versioning = Versioning[given["versioning"]]
        if versioning != self.container.versioning:
            services.container_versioning(self.ctx, **self.place, versioning=versioning)
        return self.url("objectstore:container", self.kwargs["ident"]), said(gettext("Saved"), self.container.name)


def _counted(document: Any) -> list[str]:
    count = len((document or {}).get("rules", ()))
    return [ngettext("%d rule", "%d rules", count) % count]


class LinksRevoke(InContainer):
    """Ends every link into the container."""

    def post(self, request: HttpRequest, ident: Any) -> HttpResponse:
        services.links_revoke(self.ctx, **self.place)
        done = ("success", gettext("No link that was given out before works any more."))
        return self.answer(self.url("objectstore:container", ident), done)
