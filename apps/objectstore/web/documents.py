"""Documents that S3 keeps with a bucket, as forms: the same ones that its API writes, by the same service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core.errors import KumoError, NotFound
from apps.core.web.pages import FormPage, said
from apps.objectstore import services
from apps.objectstore.models import Bucket
from apps.objectstore.selectors.documents import bucket_document, fingerprint
from apps.objectstore.web.browse import OWN, InContainer

Rule = dict[str, Any]


class LinesField(forms.CharField):
    """A few lines that are no sentences."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocapitalize": "none"})


class WordsField(LinesField):
    """Words, with blanks, commas or ends of lines between them; a list."""

    def clean(self, value: Any) -> list[str]:
        return [entry for entry in re.split(r"[\s,]+", super().clean(value)) if entry]


class PairsField(LinesField):
    """`key = value` in each line; a dict. None are needed."""

    def __init__(self, *, label: Any) -> None:
        super().__init__(label=label, required=False, help_text=_("One “key = value” in each line."))

    def clean(self, value: Any) -> dict[str, str]:
        return dict(pairs_of(super().clean(value)))


def pairs_of(text: str) -> list[tuple[str, str]]:
    """`key = value` in each line. Raises ValidationError."""
    found: list[tuple[str, str]] = []
    for line in filter(str.strip, text.splitlines()):
        key, sign, value = line.partition(" = " if " = " in line else "=")  # a key may have a sign, too
        if not sign or not key.strip():
            raise forms.ValidationError(gettext("“%s” is not of the form “key = value”.") % line.strip())
        if key.strip() in dict(found):
            raise forms.ValidationError(gettext("“%s” stands there twice.") % key.strip())
        found.append((key.strip(), value.strip()))
    return found


def lines_of(pairs: Mapping[str, str]) -> str:
    """The reverse."""
    return "\n".join(f"{key} = {value}" for key, value in pairs.items())


def are_lines(pairs: Mapping[str, str]) -> bool:
    """Whether lines can say them: S3 takes blanks around them, and ends of lines."""
    try:
        return dict(pairs_of(lines_of(pairs))) == pairs
    except forms.ValidationError:
        return False


class OfBucket(InContainer):
    """A page of a container that S3 reaches, and of one of its documents."""

    tabs = ()
    kind: ClassVar[str]

    @cached_property
    def reached(self) -> Bucket | None:
        """The bucket; a page that has something to say without one answers None."""
        return self.bucket

    @cached_property
    def document(self) -> dict[str, Any] | None:
        return bucket_document(self.ctx, bucket=self.reached.name, kind=self.kind) if self.reached else None

    def put(self, document: Mapping[str, Any] | None) -> None:
        """Keep it, or remove what there is. Raises Conflict where somebody changed it since the page was made."""
        target: dict[str, Any] = {
            "bucket": self.bucket.name, "kind": self.kind, "seen": self.request.POST.get("seen")
        }  # fmt: skip
        if document is None:
            services.bucket_document_delete(self.ctx, **target)
        else:
            services.bucket_document_put(self.ctx, **target, document=document)

    @property
    def seen(self) -> str:
        """The fingerprint of what the page showed when it was made: what is sent is about that."""
        if self.reached is None:
            return ""
        return self.request.POST.get("seen") or fingerprint(self.document)

    @property
    def settings_url(self) -> str:
        return self.url("objectstore:container", self.kwargs["ident"])


class WordsPage(FormPage):
    """A form beside what is so now, in words."""

    template = "objectstore/document.html"
    submit = _("Save")
    heading: ClassVar[Any] = _("Now")

    def lines(self) -> list[tuple[str, Any]]:
        """Tone and sentence of each line about what is so now."""
        raise NotImplementedError

    def notes(self) -> list[tuple[str, Any]]:
        """Tone and text of notices above the form."""
        return []

    def may_change(self) -> bool:
        return self.allowed(OWN)

    def around(self) -> dict[str, Any]:
        """What is so now, and whether that may be changed. Pages add where they lead back to."""
        now = {"lines": self.lines(), "notes": self.notes(), "heading": self.heading}
        return now | {"may_change": self.may_change()}


class DocumentPage(OfBucket, WordsPage):
    """A document that is one form."""

    def around(self) -> dict[str, Any]:
        return super().around() | {"crumbs": self.crumbs(""), "back_url": self.settings_url, "seen": self.seen}


class RulesPage(OfBucket, FormPage):
    """A document that is a list of rules: each in words, and a form for one of them, `?rule=N`, or for a new one."""

    template = "objectstore/rules.html"
    submit = _("Save the rule")
    empty: ClassVar[Any]
    url_name: ClassVar[str]
    switched: ClassVar[bool] = False  # whether rules can be out of force
    rarer: ClassVar[tuple[str, ...]] = ()  # fields that are folded away while nothing is in them

    def described(self, rule: Rule) -> dict[str, Any]:
        """`title` and `lines` of a rule, and whether it is `on`."""
        raise NotImplementedError

    def initial(self, rule: Rule) -> dict[str, Any]:
        """What the form shows of a rule."""
        raise NotImplementedError

    def rule_of(self, form: forms.Form, old: Rule | None) -> Rule:
        """What the form says, in place of a rule or as a new one."""
        raise NotImplementedError

    def asks_first(self, form: forms.Form, rule: Rule) -> HttpResponse | None:
        """A page that says what the rule does, before it is kept."""
        return None

    @property
    def rules(self) -> list[Rule]:
        return list((self.document or {}).get("rules", ()))

    def numbered(self, text: str) -> int:
        """The place of the rule that is meant. Raises NotFound."""
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else -1
        if not 0 <= number < len(self.rules):
            raise NotFound(gettext("rule"), text)
        return number

    @cached_property
    def number(self) -> int | None:
        """The rule that is edited; None for a new one."""
        text = self.request.GET.get("rule", "")
        return self.numbered(text) if text else None

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        rule = self.rules[self.number] if self.number is not None else self._removed()
        return self.form(data, initial=self.initial(rule) if rule else None)

    def _removed(self) -> Rule | None:
        """A rule that was removed a moment ago and stands in the form to be put back."""
        try:
            found: Rule = signing.loads(self.request.GET.get("again", ""), salt=self.url_name, max_age=3600)
        except signing.BadSignature:
            return None
        return found

    def show(self, form: forms.Form, status: int = 200, **more: Any) -> HttpResponse:
        places = [{"number": n, "url": self._at(rule=str(n))} for n in range(len(self.rules))]
        rules = [self.described(rule) | place for rule, place in zip(self.rules, places, strict=True)]
        return super().show(
            form,
            status,
            rules=rules,
            number=self.number,
            is_again="again" in self.request.GET and not form.is_bound,
            seen=self.seen,
            crumbs=self.crumbs(""),
            back_url=self.settings_url,
            new_url=self._at(),
            form_url=self._at() if self.number is None else self._at(rule=str(self.number)),
            is_open=any(form[name].value() or form[name].errors for name in self.rarer),
            may_change=self.allowed(OWN),
            **more,
        )

    def _at(self, **query: str) -> str:
        return self.address_of(self.url_name, **query) if query else self.url(self.url_name, self.kwargs["ident"])

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        for name, change in (("remove", self._remove), ("turn", self._turn)):
            if name in request.POST:
                try:
                    return change(self.numbered(request.POST[name]))
                except KumoError as error:
                    form = self.make()
                    return self.show(form, error.status, refused=str(error))
        return super().post(request, **kwargs)

    def finish(self, form: forms.Form) -> HttpResponse:
        return self._kept(form, self.rule_of(form, self.rules[self.number] if self.number is not None else None))

    def _kept(self, form: forms.Form, rule: Rule) -> HttpResponse:
        if asked := self.asks_first(form, rule):
            return asked
        self.put({"rules": self._with(rule)})
        return self.answer(self._at(), ("success", said(gettext("Saved"), self.container.name)), follow=True)

    def _with(self, rule: Rule) -> list[Rule]:
        """All rules, with this one in its place or at the end."""
        rules = self.rules
        if self.number is None:
            return [*rules, rule]
        return [*rules[: self.number], rule, *rules[self.number + 1 :]]

    def _remove(self, number: int) -> HttpResponse:
        gone, rest = self.rules[number], [rule for n, rule in enumerate(self.rules) if n != number]
        self.put({"rules": rest} if rest else None)
        words = gettext("The rule is removed. It stands in the form: save it to put it back.")
        again = signing.dumps(gone, salt=self.url_name, compress=True)
        return self.answer(self._at(again=again), ("success", words), follow=True)

    def _turn(self, number: int) -> HttpResponse:
        """In force, or out of it; what it would do is told first as for one that is new."""
        if not self.switched:
            raise NotFound(gettext("action"), "turn")
        self.number = number
        rule = self.rules[number] | {"on": not self.rules[number]["on"]}
        return self._kept(self.form(self.initial(rule)), rule)
