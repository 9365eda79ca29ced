"""What many forms of the pages have: a name that is typed first, and choices that depend on the caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.web.tables import Text

Choices = Iterable[tuple[str, Text]]


class ChoiceForm(forms.Form):
    """A form whose fields depend on when it is made: `choices` are those of fields by name, `without` are left out."""

    def __init__(
        self, *args: Any, choices: Mapping[str, Choices] | None = None, without: Iterable[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        for name in without:
            del self.fields[name]
        for name, found in (choices or {}).items():
            self.fields[name].choices = list(found)  # type: ignore[attr-defined]


class NamedForm(ChoiceForm):
    """Begins with the name of a thing."""

    name = forms.CharField(label=_("Name"), max_length=255, widget=forms.TextInput(attrs={"autofocus": True}))


class DescribedForm(NamedForm):
    """Name and description."""

    description = forms.CharField(label=_("Description"), max_length=255, required=False)


def named(rows: Iterable[Any]) -> list[tuple[str, Text]]:
    """Rows as choices: the key, and the name or, where there is none, the key."""
    return [(str(row.pk), row.name or str(row.pk)) for row in rows]
