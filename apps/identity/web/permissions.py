"""Who may do what, and why not: pick a user, a place and a rule, and read the reasons."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core import policy
from apps.core.errors import KumoError
from apps.core.web import cells
from apps.core.web.pages import Page, put_error
from apps.identity import selectors

# `apps.core.policy.REASONS`, for people who read pages.
REASONS: dict[str, str | Promise] = {
    "everybody": _("for everybody"),
    "nobody": _("for nobody"),
    "role": _("has the role %(0)s"),
    "rule": _("rule %(0)s"),
    "compare": _("%(0)s is %(1)s (here %(2)s and %(3)s)"),
    "scope": _("the token is for a %(0)s (here: %(1)s)"),
    "not": _("not"),
    "all": _("all of these"),
    "any": _("one of these"),
}
SCOPES: dict[str, str | Promise] = {
    "project": _("Project"),
    "domain": _("Domain"),
    "system": _("System"),
}
# Beginnings of rules by service; network and image names have none.
SERVICES = (
    ("os_compute_api:", "compute"),
    ("compute:", "compute"),
    ("identity:", "identity"),
    ("placement:", "placement"),
)


class PermissionForm(forms.Form):
    """Everything has a default: the caller, in the project of the page."""

    user = forms.CharField(label=_("User"), required=False, max_length=255, help_text=_("Name or id; empty means you."))
    scope = forms.ChoiceField(label=_("Where"), choices=list(SCOPES.items()), required=False)
    target = forms.CharField(
        label=_("Name of the project or domain"),
        required=False,
        max_length=255,
        help_text=_("Name or id; empty means this project."),
    )
    rule = forms.CharField(
        label=_("Rule"),
        required=False,
        max_length=255,
        help_text=_("Such as os_compute_api:servers:create; empty lists everything."),
        widget=forms.TextInput(attrs={"list": "rules", "autocomplete": "off", "spellcheck": "false"}),
    )


class PermissionsPage(Page):
    """Roles with the ways they came, and one rule explained or all that are allowed."""

    template = "identity/permissions.html"
    title = _("Permissions")
    nav = "identity:permissions"

    def get(self, request: HttpRequest) -> HttpResponse:
        form = PermissionForm({"scope": "project", **request.GET.dict()})
        shown: dict[str, Any] = {"form": form, "rules": sorted(policy.book.rules), "others": self._sees_others()}
        status = 200
        if form.is_valid():
            try:
                shown |= self._found(form.cleaned_data)
            except KumoError as error:
                put_error(form, error)
        if form.errors:
            status = 422
        return self.render(status=status, **shown)

    def _sees_others(self) -> bool:
        return self.allowed("identity:list_role_assignments")

    def _found(self, given: dict[str, str]) -> dict[str, Any]:
        scope, name = given["scope"] or "project", given["target"].strip()
        places: dict[str, dict[str, Any]] = {
            "project": {"project": name or self.ctx.project_id},
            "domain": {"domain": name or self.ctx.project_domain_id},
            "system": {"system": True},
        }
        place = places[scope]
        held = selectors.permissions(self.ctx, asked=selectors.Asked(user=given["user"].strip(), **place))
        shown: dict[str, Any] = {
            "held": held,
            "where": held.place.target.name if held.place.target else "",
            "scope": SCOPES[held.place.scope],
            "roles": [(role, [self.way(way) for way in role.ways]) for role in held.roles],
        }
        if given["rule"].strip():
            found = selectors.rule_explain(self.ctx, permissions=held, rule=given["rule"].strip())
            return shown | {"found": found, "tree": reasons((found.reason,)), "verdict": verdict(found.holds)}
        return shown | {"services": self._services(held)}

    def _services(self, held: selectors.Permissions) -> list[tuple[str, int, int, list[tuple[str, str]]]]:
        """Service, how many of its rules hold, how many there are, and those that hold with their addresses."""
        groups: dict[str, list[tuple[str, bool]]] = defaultdict(list)
        for name, holds in held.rules().items():
            groups[next((s for start, s in SERVICES if name.startswith(start)), gettext("others"))].append(
                (name, holds)
            )
        return [
            (service, sum(holds for _name, holds in found), len(found), [(n, self.here(n)) for n, may in found if may])
            for service, found in sorted(groups.items())
        ]

    def here(self, rule: str) -> str:
        """This page with that rule."""
        asked = {name: value for name, value in self.request.GET.items() if value} | {"rule": rule}
        return f"{self.request.path}?{urlencode(asked)}"

    @staticmethod
    def way(way: selectors.Way) -> SafeString:
        """One way as a chain of words: role, to whom, where, and what it implies."""
        to = gettext("to the group %s") % way.group_name if way.group_id else gettext("to the user")
        on = f"{SCOPES[way.scope]} {way.target_name}".strip()
        parts = [to, gettext("inherited from %s") % on if way.inherited else gettext("on %s") % on]
        chain = format_html_join(" → ", '<span class="tag">{}</span>', ((name,) for name in way.path))
        return format_html("{} {}", chain, " · ".join(parts))


def verdict(holds: bool) -> SafeString:
    """Allowed, or refused."""
    return cells.badge("ok", gettext("Allowed")) if holds else cells.badge("bad", gettext("Refused"))


def words(reason: policy.Reason) -> str:
    """One reason in the reader's language."""
    return str(REASONS[reason.kind]) % {str(place): word for place, word in enumerate(reason.words)}


def reasons(found: tuple[policy.Reason, ...]) -> SafeString:
    """The tree of reasons as nested lists; a word goes with each mark."""
    lines = (
        (
            "ok" if one.holds else "idle",
            gettext("yes") if one.holds else gettext("no"),
            words(one),
            reasons(one.parts) if one.parts else "",
        )
        for one in found
    )
    line = '<li><span class="state {}">{}</span> <span class="mono">{}</span>{}</li>'
    return format_html('<ul class="reasons">{}</ul>', format_html_join("", line, lines))
