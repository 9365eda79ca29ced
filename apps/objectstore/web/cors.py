"""Pages of other sites that may ask a bucket by S3, rule by rule."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from apps.objectstore.services.document_checks import METHODS
from apps.objectstore.web.documents import Rule, RulesPage, WordsField


class CorsForm(forms.Form):
    """One rule: which sites, and what their pages may ask."""

    origins = WordsField(
        label=_("Sites"),
        help_text=_("Addresses such as https://www.example.com, one in each line; * stands for anything, once."),
    )
    methods = forms.MultipleChoiceField(
        label=_("What their pages may ask"),
        choices=[(method, method) for method in METHODS],
        initial=["GET", "HEAD"],
        widget=forms.CheckboxSelectMultiple,
    )
    headers = WordsField(label=_("Headers that they may send"), required=False, help_text=_("* for all."))
    exposed = WordsField(
        label=_("Headers of answers that they see"), required=False, help_text="ETag, x-amz-request-id"
    )
    age = forms.IntegerField(label=_("Browsers ask again after, in seconds"), min_value=0, required=False)


class Cors(RulesPage):
    """The rules. The first that names site and method counts."""

    title = _("Pages of other sites")
    kind = "cors"
    url_name = "objectstore:cors"
    form = CorsForm
    empty = _("There are no rules: browsers keep pages of other sites away from what S3 answers.")

    def described(self, rule: Rule) -> dict[str, Any]:
        lines = [gettext("may ask: %s") % ", ".join(rule["methods"])]
        lines += [gettext("may send: %s") % ", ".join(rule["headers"])] if rule["headers"] else []
        lines += [gettext("see of answers: %s") % ", ".join(rule["exposed"])] if rule["exposed"] else []
        if rule["age"] is not None:
            lines.append(ngettext("ask again after %d second", "ask again after %d seconds", rule["age"]) % rule["age"])
        sites = gettext("Pages of any site") if "*" in rule["origins"] else ", ".join(rule["origins"])
        return {"title": sites, "lines": lines, "on": True, "name": rule["id"]}

    def initial(self, rule: Rule) -> dict[str, Any]:
        texts = {name: "\n".join(rule[name]) for name in ("origins", "headers", "exposed")}
        return texts | {"methods": rule["methods"], "age": rule["age"]}

    def rule_of(self, form: forms.Form, old: Rule | None) -> Rule:
        return dict(form.cleaned_data) | {"id": old["id"] if old else ""}
