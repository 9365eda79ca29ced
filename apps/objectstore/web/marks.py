"""What is said of buckets and objects: tags, grants, retention and legal hold, each as a form beside its words."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from apps.core.errors import NotFound
from apps.core.web.forms import ChoiceForm
from apps.core.web.pages import said
from apps.objectstore import services
from apps.objectstore.models import Bucket
from apps.objectstore.selectors import grants
from apps.objectstore.selectors.access import bucket_of
from apps.objectstore.selectors.grants import Grant
from apps.objectstore.services.lock import COMPLIANCE, GOVERNANCE, is_retained
from apps.objectstore.states import Versioning
from apps.objectstore.web import words
from apps.objectstore.web.browse import folder_of
from apps.objectstore.web.documents import DocumentPage, LinesField, PairsField, WordsPage, are_lines, lines_of
from apps.objectstore.web.objects import OfObject, until

Lines = list[tuple[str, Any]]


class MarkPage(OfObject, WordsPage):
    """A form about what is said of one object."""

    def around(self) -> dict[str, Any]:
        return super().around() | {
            "crumbs": self.crumbs(folder_of(self.row.name)),
            "back_url": self.here(),
            "row": self.row,
        }

    def done(self) -> tuple[str, str]:
        return self.here(), said(gettext("Saved"), self.name)


# --- tags --------------------------------------------------------------------------------------------


class TagsForm(forms.Form):
    tags = PairsField(label=_("Tags"))


def _tag_lines(tags: Mapping[str, Any]) -> Lines:
    found: Lines = [("idle", f"{key} = {value}") for key, value in sorted(tags.items())]
    if not are_lines(tags):
        found.append(("warn", gettext("These have blanks or ends of lines that only S3's calls can change.")))
    return found or [("off", gettext("No tags."))]


class BucketTags(DocumentPage):
    """The bucket's tags."""

    title = _("Tags")
    kind = "tags"

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        return TagsForm(data, initial={"tags": lines_of(self.document or {})})

    def may_change(self) -> bool:
        return are_lines(self.document or {}) and super().may_change()

    def lines(self) -> Lines:
        return _tag_lines(self.document or {})

    def save(self, form: forms.Form) -> tuple[str, str]:
        self.put(form.cleaned_data["tags"] or None)
        return self.settings_url, said(gettext("Saved"), self.container.name)


class ObjectTags(MarkPage):
    """An object's tags, which rules of lifecycle and policies may ask for."""

    title = _("Tags")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        return TagsForm(data, initial={"tags": lines_of(self.row.tags or {})})

    def may_change(self) -> bool:
        return are_lines(self.row.tags or {}) and super().may_change()

    def lines(self) -> Lines:
        return _tag_lines(self.row.tags or {})

    def save(self, form: forms.Form) -> tuple[str, str]:
        services.object_tags_put(self.ctx, **self.place, name=self.name, tags=form.cleaned_data["tags"] or None)
        return self.done()


# --- grants ------------------------------------------------------------------------------------------

CANNED = (
    ("private", _("Only this project")),
    ("authenticated-read", _("Everybody who is signed in may read")),
    ("public-read", _("Everybody may read, without signing in")),
)
CANNED_OF_BUCKET = (
    ("private", _("Only this project")),
    ("authenticated-read", _("Everybody who is signed in may list what is there")),
    ("public-read", _("Everybody may list what is there, without signing in")),
    ("public-read-write", _("Everybody may list, write and delete, without signing in")),
)


class GrantsForm(ChoiceForm):
    """A canned list for everybody, and lines for projects."""

    canned = forms.ChoiceField(label=_("Everybody"), widget=forms.RadioSelect)
    others = LinesField(
        label=_("Projects"),
        required=False,
        help_text=_("One “id = PERMISSION” in each line: READ, WRITE, READ_ACP, WRITE_ACP or FULL_CONTROL."),
    )

    def clean_others(self) -> list[Grant]:
        lines = (line.partition("=") for line in self.cleaned_data["others"].splitlines() if line.strip())
        return [_grant(who.strip(), permission.strip()) for who, _sign, permission in lines]

    @property
    def given(self) -> list[Grant]:
        """What the form grants besides the owner's own."""
        return list(dict.fromkeys([*grants.CANNED[self.cleaned_data["canned"]], *self.cleaned_data["others"]]))


def _grant(who: str, permission: str) -> Grant:
    if permission.upper() not in grants.PERMISSIONS:
        raise forms.ValidationError(gettext("“%s” is no permission.") % permission)
    if who in grants.PUBLIC:
        return Grant(who, permission.upper())
    if not grants.is_project_id(who):
        raise forms.ValidationError(gettext("“%s” is no project's id.") % who)
    return Grant(grants.PROJECT + who, permission.upper())


def _initial(given: Iterable[Grant], choices: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """The canned list that says all that is granted to everybody, and the rest as lines."""
    everybody = {one for one in given if one.grantee in grants.PUBLIC}
    canned = next((name for name, _label in choices if set(grants.CANNED[name]) == everybody), "private")
    rest = [one for one in given if one not in grants.CANNED[canned]]
    lines = [f"{one.grantee.removeprefix(grants.PROJECT)} = {one.permission}" for one in rest]
    return {"canned": canned, "others": "\n".join(lines)}


def _out_of_use(bucket: Bucket | None) -> Lines:
    if bucket is not None and not grants.are_used(bucket):
        return [("warn", gettext("The bucket's owner has put grants out of use: none can be made."))]
    if grants.block_of(bucket).ignore_acls:
        return [("warn", gettext("Access of everybody is blocked: what is granted to everybody does not count."))]
    return []


class BucketGrants(DocumentPage):
    """S3's grants on the bucket."""

    title = _("Grants of S3")
    kind = "acl"
    heading = _("Who can do what, by grants")

    @property
    def now(self) -> tuple[Grant, ...]:
        return grants.of_document(self.document)

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        return GrantsForm(data, initial=_initial(self.now, CANNED_OF_BUCKET), choices={"canned": CANNED_OF_BUCKET})

    def lines(self) -> Lines:
        return [("off", gettext("Who has a role in this project.")), *words.granted(self.bucket)]

    def notes(self) -> Lines:
        found = _out_of_use(self.bucket)
        if self.container.read_acl or self.container.write_acl:
            found.append(("warn", gettext("Grants take the place of the container's access lists: those are emptied.")))
        return found

    def save(self, form: Any) -> tuple[str, str]:
        self.put(grants.document_of(_without_owner(form.given, self.container.account_id)))
        return self.url("objectstore:access", self.kwargs["ident"]), said(gettext("Saved"), self.container.name)


class ObjectGrants(MarkPage):
    """S3's grants on one object."""

    title = _("Who may read this object")
    heading = _("Who can read it, by grants")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        now = grants.of_document(self.row.acl)
        return GrantsForm(data, initial=_initial(now, CANNED), choices={"canned": CANNED})

    def lines(self) -> Lines:
        return [("off", gettext("Who may read the container.")), *words.granted_on(self.bucket, self.row)]

    def notes(self) -> Lines:
        return _out_of_use(self.bucket)

    def save(self, form: Any) -> tuple[str, str]:
        given = _without_owner(form.given, self.container.account_id)
        acl = grants.document_of(given) if given else None
        services.object_acl_put(self.ctx, **self.place, name=self.name, acl=acl)
        return self.done()


def _without_owner(given: Iterable[Grant], owner: str) -> list[Grant]:
    """The owner's own grant is a matter of course."""
    return [one for one in given if one.grantee != grants.PROJECT + owner]


# --- object lock -------------------------------------------------------------------------------------

NO_MODE = "none"
MODES = (
    (NO_MODE, _("None")),
    (GOVERNANCE, _("Governance: managers of the project may shorten it or pass over it")),
    (COMPLIANCE, _("Compliance: nobody may shorten it or end it, not even administrators")),
)
MODE_WORDS = {GOVERNANCE: _("governance"), COMPLIANCE: _("compliance")}
SURE = _("I understand that what is put under compliance cannot be deleted by anybody until its time is over")


class DefaultLockForm(ChoiceForm):
    """How long new objects are retained unless they say otherwise."""

    mode = forms.ChoiceField(label=_("New objects"), choices=MODES, widget=forms.RadioSelect)
    number = forms.IntegerField(label=_("For how long"), min_value=1, required=False)
    unit = forms.ChoiceField(label=_("Unit"), choices=[("days", _("days")), ("years", _("years"))], initial="days")
    sure = forms.BooleanField(label=SURE, required=False)
    begin = forms.BooleanField(label=_("From now on objects can be locked here. That cannot be undone"))

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if _has_mode(given) and not given.get("number") and "number" not in self.errors:
            self.add_error("number", gettext("Say for how long."))
        _sure(self, given.get("mode", ""))
        return given


def _has_mode(given: Mapping[str, Any]) -> bool:
    return given.get("mode", NO_MODE) != NO_MODE


def _sure(form: forms.Form, mode: str) -> None:
    if mode == COMPLIANCE and not form.cleaned_data.get("sure"):
        form.add_error("sure", gettext("Compliance cannot be undone: say that you understand it."))


class BucketLock(DocumentPage):
    """The retention that objects get which say nothing of it."""

    title = _("Object lock")
    kind = "lock"

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        rule = self.document or {}
        unit = "years" if rule.get("years") else "days"
        known = {"mode": rule.get("mode", NO_MODE), "number": rule.get(unit) or None, "unit": unit}
        return DefaultLockForm(data, initial=known, without=("begin",) if self.bucket.lock_enabled else ())

    def may_change(self) -> bool:
        can = self.bucket.lock_enabled or self.container.versioning == Versioning.ENABLED
        return can and super().may_change()

    def lines(self) -> Lines:
        return default_lines(self.bucket)

    def notes(self) -> Lines:
        return [("", gettext("It counts for objects that are put from now on; others keep what they have."))]

    def save(self, form: forms.Form) -> tuple[str, str]:
        given = form.cleaned_data
        period = {"days": 0, "years": 0} | {given["unit"]: given["number"]}
        self.put({"mode": given["mode"], **period} if _has_mode(given) else {})
        return self.settings_url, said(gettext("Saved"), self.container.name)


def default_lines(bucket: Bucket | None) -> Lines:
    """What a bucket says of locks, in words."""
    if bucket is None or not bucket.lock_enabled:
        return [
            ("off", gettext("Objects cannot be locked. Where earlier versions are kept that can begin, and stays."))
        ]
    found: Lines = [("ok", gettext("Versions of objects can be locked: they stay for a time, or until a hold is off."))]
    rule = bucket.documents.get("lock")
    if not rule:
        return [*found, ("off", gettext("New objects are not locked by themselves."))]
    days, years = rule["days"], rule["years"]
    period = ngettext("%d day", "%d days", days) % days if days else ngettext("%d year", "%d years", years) % years
    said_ = gettext("New objects are retained for %(period)s, in %(mode)s mode.")
    return [*found, ("warn", said_ % {"period": period, "mode": MODE_WORDS[rule["mode"]]})]


class LockForm(forms.Form):
    """Retention and legal hold of one object."""

    mode = forms.ChoiceField(label=_("Retention"), choices=MODES, widget=forms.RadioSelect)
    until = forms.DateTimeField(
        label=_("Until (UTC)"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": 1}, format="%Y-%m-%dT%H:%M:%S"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
    )
    hold = forms.BooleanField(
        label=_("Legal hold"), required=False, help_text=_("It stays until the hold is taken off, whatever its time.")
    )
    bypass = forms.BooleanField(label=_("Shorten or end a retention in governance mode"), required=False)
    sure = forms.BooleanField(label=SURE, required=False)

    def clean_until(self) -> datetime.datetime | None:
        found: datetime.datetime | None = self.cleaned_data["until"]
        if found is None:
            return None
        found = found.replace(tzinfo=datetime.UTC)
        if "until" in self.changed_data and found <= timezone.now():
            raise forms.ValidationError(gettext("It has to be in the future."))
        return found

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if _has_mode(given) and not given.get("until") and "until" not in self.errors:
            self.add_error("until", gettext("Say until when."))
        _sure(self, given.get("mode", "") if {"mode", "until"} & set(self.changed_data) else "")
        return given


class ObjectLock(MarkPage):
    """What keeps an object from being deleted, now and for how long."""

    title = _("Retention and legal hold")

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        owned = bucket_of(self.container)
        if owned is None or not owned.lock_enabled:
            raise NotFound(gettext("object lock"))
        row, now = self.row, timezone.now()
        runs = is_retained(row, now)
        known = {"mode": row.lock_mode if runs else NO_MODE, "until": row.retain_until if runs else None}
        return LockForm(data, initial=known | {"hold": row.legal_hold})

    def lines(self) -> Lines:
        row, found = self.row, list[tuple[str, Any]]()
        if row.retain_until is not None and is_retained(row, timezone.now()):
            said_ = gettext("Retained for %(span)s, in %(mode)s mode.")
            found.append(("warn", said_ % {"span": until(row.retain_until), "mode": MODE_WORDS[row.lock_mode]}))
        if row.legal_hold:
            found.append(("warn", gettext("Under a legal hold.")))
        return found or [("off", gettext("Not locked: who may delete objects may delete it for good."))]

    def notes(self) -> Lines:
        return [("", gettext("It is on this version of the object. One that is put later has its own."))]

    def save(self, form: forms.Form) -> tuple[str, str]:
        given = form.cleaned_data
        target: dict[str, Any] = {**self.place, "name": self.name}
        if {"mode", "until"} & set(form.changed_data):
            end = given["until"] if "until" in form.changed_data else self.row.retain_until  # which is more exact
            mode, end = (given["mode"], end) if _has_mode(given) else ("", None)
            services.object_retention_put(self.ctx, **target, mode=mode, until=end, bypass=given["bypass"])
        if "hold" in form.changed_data:
            services.object_hold_put(self.ctx, **target, hold=given["hold"])
        return self.done()
