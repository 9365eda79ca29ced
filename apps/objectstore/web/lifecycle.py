"""What becomes of objects with time: the rules of a bucket's lifecycle in words, and a form for each.

Before a rule is kept that would remove something today, the page says how much.
"""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from apps.core.web import cells
from apps.objectstore.selectors.documents import fingerprint
from apps.objectstore.selectors.previews import Toll, lifecycle_toll
from apps.objectstore.states import MAX_OBJECT_NAME
from apps.objectstore.web.documents import PairsField, Rule, RulesPage, lines_of

NUMBERS = ("least", "most", "days", "noncurrent_days", "newer", "abort_days")


class LifecycleForm(forms.Form):
    """One rule: which objects it is about, and what becomes of them."""

    prefix = forms.CharField(  # type: ignore[assignment] # a field, as the document names it; not the form's prefix
        label=_("Objects whose names begin with"),
        max_length=MAX_OBJECT_NAME,
        strip=False,
        required=False,
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "none", "placeholder": "logs/"}),
        help_text=_("A folder ends with a slash. Empty: all objects."),
    )
    days = forms.IntegerField(label=_("Removed after, in days"), min_value=1, required=False)
    noncurrent_days = forms.IntegerField(
        label=_("Earlier versions removed after, in days"),
        min_value=1,
        required=False,
        help_text=_("Counted from when they were replaced or deleted."),
    )
    newer = forms.IntegerField(label=_("But so many earlier versions stay"), min_value=1, max_value=100, required=False)
    abort_days = forms.IntegerField(label=_("Unfinished uploads given up after, in days"), min_value=1, required=False)
    date = forms.DateField(
        label=_("Removed on a day (UTC)"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        input_formats=["%Y-%m-%d"],
        help_text=_("In place of a number of days."),
    )
    markers = forms.BooleanField(label=_("Remove marks of deletions behind which no version is left"), required=False)
    tags = PairsField(label=_("Only objects with these tags"))
    least = forms.IntegerField(label=_("Only objects larger than, in bytes"), min_value=0, required=False)
    most = forms.IntegerField(label=_("Only objects smaller than, in bytes"), min_value=1, required=False)
    id = forms.CharField(label=_("Name of the rule"), max_length=255, required=False)
    on = forms.BooleanField(label=_("In force"), required=False, initial=True)

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        ends = [name for name in ("days", "date", "markers") if given.get(name)]
        if len(ends) > 1:
            self.add_error(ends[1], gettext("Only one of: a number of days, a day, marks of deletions."))
        if given.get("newer") and not given.get("noncurrent_days"):
            self.add_error("noncurrent_days", gettext("After how many days?"))
        if not self.errors and not (ends or given.get("noncurrent_days") or given.get("abort_days")):
            self.add_error("days", gettext("Say what shall become of them: one of these numbers at least."))
        return given


class Lifecycle(RulesPage):
    """The rules, each in words."""

    title = _("Lifecycle")
    kind = "lifecycle"
    url_name = "objectstore:lifecycle"
    form = LifecycleForm
    switched = True
    rarer = ("date", "markers", "tags", "least", "most", "id")
    empty = _("There are no rules: objects stay until somebody deletes them.")

    def described(self, rule: Rule) -> dict[str, Any]:
        return {"title": whom(rule), "lines": acts(rule), "on": rule["on"], "name": rule["id"]}

    def initial(self, rule: Rule) -> dict[str, Any]:
        known = {name: rule.get(name) for name in (*NUMBERS, "id", "on", "prefix", "markers")}
        day = datetime.datetime.fromisoformat(rule["date"]).date() if "date" in rule else None
        return known | {"tags": lines_of(rule["tags"]), "date": day}

    def rule_of(self, form: forms.Form, old: Rule | None) -> Rule:
        given = form.cleaned_data
        rule: Rule = {"id": given["id"] or self._free_id(old), "on": given["on"]}
        rule |= {"prefix": given["prefix"], "tags": given["tags"]}
        rule |= {name: given[name] for name in NUMBERS if given[name] is not None}
        if given["date"]:
            rule["date"] = datetime.datetime.combine(given["date"], datetime.time(), datetime.UTC).isoformat()
        if given["markers"]:
            rule["markers"] = True
        # As it was written, with a prefix alone or a filter, as long as a prefix alone can say it.
        rule["old"] = bool(old and old["old"] and not rule["tags"] and not {"least", "most"} & set(rule))
        return rule

    def _free_id(self, old: Rule | None) -> str:
        """A name that no other rule has."""
        taken = {rule["id"] for rule in self.rules}
        return next(name for n in range(1, len(taken) + 2) if (name := f"rule-{n}") not in taken)

    def asks_first(self, form: forms.Form, rule: Rule) -> HttpResponse | None:
        sure = fingerprint(rule)
        if not rule["on"] or self.request.POST.get("sure") == sure:
            return None
        toll = lifecycle_toll(self.ctx, **self.place, rule=rule)
        if not toll:
            return None
        return self.show(form, 200, sure=sure, toll=told(toll), told=[whom(rule), *acts(rule)])

    def show(self, form: forms.Form, status: int = 200, **more: Any) -> HttpResponse:
        """Of a rule that is looked at, what it would remove today."""
        if self.number is not None and not form.is_bound:
            toll = lifecycle_toll(self.ctx, **self.place, rule=self.rules[self.number])
            more.setdefault("today", told(toll) if toll else gettext("Today it would remove nothing."))
        return super().show(form, status, **more)


# --- in words ----------------------------------------------------------------------------------------


def whom(rule: Rule) -> str:
    """Which objects a rule is about."""
    prefix = rule["prefix"]
    if prefix:
        below = gettext("Objects below “%s”") if prefix.endswith("/") else gettext("Objects that begin with “%s”")
        said = below % prefix
    else:
        said = gettext("All objects")
    only = [gettext("with the tag %s") % f"{key}={value}" for key, value in rule["tags"].items()]
    only += [gettext("larger than %s") % cells.size_bytes(rule["least"])] if "least" in rule else []
    only += [gettext("smaller than %s") % cells.size_bytes(rule["most"])] if "most" in rule else []
    return ", ".join([said, *only])


def acts(rule: Rule) -> list[str]:
    """What becomes of them, a sentence each."""
    found = []
    if "days" in rule:
        days = rule["days"]
        said = ngettext("removed %d day after they were written", "removed %d days after they were written", days)
        found.append(said % days)
    if "date" in rule:
        found.append(gettext("removed on %s") % rule["date"][:10])
    if rule.get("markers"):
        found.append(gettext("marks of deletions removed where no version is left"))
    if "noncurrent_days" in rule:
        found.append(_earlier(rule["noncurrent_days"], rule.get("newer")))
    if "abort_days" in rule:
        days = rule["abort_days"]
        said = ngettext("unfinished uploads given up after %d day", "unfinished uploads given up after %d days", days)
        found.append(said % days)
    return found


def _earlier(days: int, newer: int | None) -> str:
    said = (
        ngettext(
            "earlier versions removed %d day after they were replaced",
            "earlier versions removed %d days after they were replaced",
            days,
        )
        % days
    )
    if not newer:
        return said
    kept = ngettext("but the latest %d of them stays", "but the latest %d of them stay", newer) % newer
    return f"{said}, {kept}"


def told(toll: Toll) -> str:
    """How much would go today."""
    parts = []
    if toll.objects:
        count = ngettext("%d object", "%d objects", toll.objects) % toll.objects
        parts.append(f"{count} ({cells.size_bytes(toll.bytes)})")
    if toll.versions:
        parts.append(ngettext("%d earlier version", "%d earlier versions", toll.versions) % toll.versions)
    if toll.uploads:
        parts.append(ngettext("%d unfinished upload", "%d unfinished uploads", toll.uploads) % toll.uploads)
    words = gettext("more than %s") % ", ".join(parts) if toll.is_more else ", ".join(parts)
    return gettext("Today it would remove: %s.") % words
