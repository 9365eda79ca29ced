"""Security groups with their rules."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.errors import KumoError
from apps.core.web import cells
from apps.core.web.forms import ChoiceForm, DescribedForm, named
from apps.core.web.pages import DetailPage, FormPage, ListPage, one, put_error, said
from apps.core.web.tables import AGE, Column, Empty, Table, deletes, name_column
from apps.network import selectors, services
from apps.network.models import SecurityGroup, SecurityGroupRule

# Name of a preset → what it lets in: protocol, first port, last port.
PRESETS: dict[str, tuple[Any, str | None, int | None, int | None]] = {
    "ssh": ("SSH", "tcp", 22, 22),
    "http": ("HTTP", "tcp", 80, 80),
    "https": ("HTTPS", "tcp", 443, 443),
    "rdp": ("RDP", "tcp", 3389, 3389),
    "dns": ("DNS", "udp", 53, 53),
    "icmp": (_("Ping (ICMP)"), "icmp", None, None),
    "tcp": (_("All TCP"), "tcp", 1, 65535),
    "udp": (_("All UDP"), "udp", 1, 65535),
    "any": (_("Everything"), None, None, None),
    "own": (_("Other: protocol and ports below"), None, None, None),
}

TABLE = Table(
    columns=(
        name_column("network:security-group"),
        Column(key="description", label=_("Description")),
        Column(key="rules", label=_("Rules"), number=True, cell=cells.text("rule_count")),
        Column(key="ports", label=_("Used by"), number=True, cell=lambda row, page: _("%d ports") % row.port_count),
        AGE,
    ),
    sort="name",
    search=("name__icontains", "description__icontains", "id__startswith"),
    actions=(
        deletes(
            lambda ctx, row: services.security_group_delete(ctx, security_group_id=str(row.pk)),
            rule="delete_security_group",
            when=lambda row: not row.is_default,
            loses=lambda ctx, row: [gettext("%d rules") % row.rules.count()],
        ),
    ),
    live="security_group",
    empty=Empty(
        icon="shield",
        title=_("No security groups yet"),
        text=_("A security group says who may reach the servers in it. The group “default” comes with the first port."),
        link="network:security-group-create",
        label=_("Create a security group"),
    ),
)


class SecurityGroups(ListPage):
    title = _("Security groups")
    nav = "network:security-groups"
    table = TABLE
    create = ("network:security-group-create", _("Create"), "create_security_group")

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[SecurityGroup]:
        mine = selectors.security_group_list(ctx).filter(project_id=ctx.project_id)
        return mine.annotate(rule_count=Count("rules", distinct=True), port_count=Count("ports", distinct=True))


class GroupCreate(FormPage):
    title = _("Create a security group")
    list_page = SecurityGroups
    form = DescribedForm
    submit = _("Create")

    def save(self, form: forms.Form) -> tuple[str, str]:
        made = services.security_group_create(self.ctx, **form.cleaned_data)
        return self.url("network:security-group", made.pk), said(_("Created"), made)


class RuleForm(ChoiceForm):
    """One rule: a preset, or protocol and ports of one's own."""

    preset = forms.ChoiceField(label=_("Lets in"), choices=[(k, v[0]) for k, v in PRESETS.items()])
    direction = forms.ChoiceField(
        label=_("Direction"), choices=[("ingress", _("to the servers")), ("egress", _("from the servers"))]
    )
    protocol = forms.CharField(
        label=_("Protocol"), max_length=16, required=False, help_text=_("tcp, udp, icmp or a number")
    )
    ports = forms.RegexField(
        r"^\s*\d{1,5}\s*(-\s*\d{1,5}\s*)?$", label=_("Ports"), required=False, help_text=_("Such as 8080 or 8000-8100.")
    )
    remote = forms.CharField(
        label=_("Whom"), max_length=64, required=False, help_text=_("A range such as 203.0.113.0/24; empty: anybody.")
    )
    group = forms.ChoiceField(label=_("Or members of"), required=False)

    def values(self) -> dict[str, Any]:
        """Arguments of the service."""
        given = self.cleaned_data
        _label, protocol, low, high = PRESETS[given["preset"]]
        if given["preset"] == "own":
            protocol = given["protocol"] or None
            low, high = _span(given["ports"])
        remote = given["remote"] or None
        return {
            "direction": given["direction"],
            "ethertype": "IPv6" if remote and ":" in remote else "IPv4",
            "protocol": protocol,
            "port_range_min": low,
            "port_range_max": high,
            "remote_ip_prefix": remote,
            "remote_group_id": given["group"] or None,
        }


def _span(text: str) -> tuple[int | None, int | None]:
    if not text:
        return None, None
    first, _dash, last = text.partition("-")
    return int(first), int(last or first)


def rule_words(rule: SecurityGroupRule) -> Any:
    """Protocol and ports as people say them."""
    if rule.protocol is None:
        return _("everything")
    if rule.port_range_min is None:
        return rule.protocol.upper()
    same = rule.port_range_min == rule.port_range_max
    ports = rule.port_range_min if same else f"{rule.port_range_min}–{rule.port_range_max}"
    return f"{rule.protocol.upper()} {ports}"


def remote_words(rule: SecurityGroupRule, page: Any) -> Any:
    """Whom it is about."""
    if rule.remote_group_id:
        url = page.url("network:security-group", rule.remote_group_id)
        group = format_html('<a href="{}">{}</a>', url, rule.remote_group)
        return format_html('{} {} <span class="muted">({})</span>', _("members of"), group, rule.ethertype)
    if rule.remote_ip_prefix and rule.remote_ip_prefix not in {"0.0.0.0/0", "::/0"}:
        return format_html('<span class="mono">{}</span>', rule.remote_ip_prefix)
    return format_html('{} <span class="muted">({})</span>', _("anybody"), rule.ethertype)


class GroupPage(DetailPage):
    """A group with its rules, and the form for one more."""

    template = "network/security_group.html"
    list_page = SecurityGroups
    live = "security_group"

    def row(self, ident: Any) -> SecurityGroup:
        return one(selectors.security_group_list(self.ctx), _("security group"), ident)

    def facts(self, row: SecurityGroup) -> list[tuple[Any, Any]]:
        return [
            (_("Description"), row.description),
            (_("Created at"), cells.time_ago(row.created_at)),
            (_("Id"), cells.copied(row.pk)),
        ]

    def rule_form(self, data: Any = None) -> RuleForm:
        groups = named(SecurityGroups.rows(self.ctx).order_by("name").values_list("pk", "name", named=True))
        return RuleForm(data, choices={"group": [("", "–"), *groups]})

    def more(self, row: SecurityGroup) -> dict[str, Any]:
        rules = row.rules.select_related("remote_group").order_by("-direction", "protocol", "port_range_min", "pk")
        shown = [{"row": r, "what": rule_words(r), "whom": remote_words(r, self)} for r in rules]
        return {
            "into": [r for r in shown if r["row"].direction == "ingress"],
            "out_of": [r for r in shown if r["row"].direction == "egress"],
            "form": self.rule_form(),
            "may_change": self.allowed("create_security_group_rule"),
        }

    def post(self, request: HttpRequest, ident: Any) -> HttpResponse:
        here = self.url("network:security-group", ident)
        if request.POST.get("remove"):
            services.security_group_rule_delete(self.ctx, security_group_rule_id=request.POST["remove"])
            return self.answer(here, ("success", gettext("Rule removed")))
        form = self.rule_form(request.POST)
        if form.is_valid():
            try:
                services.security_group_rule_create(self.ctx, security_group_id=str(ident), **form.values())
                return self.answer(here, ("success", gettext("Rule added")))
            except KumoError as error:
                put_error(form, error)
        return self.render(**(self.shown(self.row(ident), ident) | {"form": form, "status": 422}))
