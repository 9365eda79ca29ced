"""The pages everything is made of: list, detail, form, act. Apps declare, these do.

A page runs with the caller's context (`request.ctx`, put there by identity's middleware) and calls the same
selectors and services as the API. Where the browser asks for a fragment (`HX-Target`), only that is rendered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from django import forms
from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views import View

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Invalid, KumoError, NotFound
from apps.core.web import navigation, paging
from apps.core.web.tables import Action, Column, Table, Text

PAGE_SIZE = 25
MOST_AT_ONCE = 100  # rows of one bulk action


class Page(View):
    """A page inside the frame. `nav` names the link of the left column that is lit."""

    template: ClassVar[str] = ""
    title: ClassVar[Text] = ""
    nav: ClassVar[str] = ""
    tabs: ClassVar[tuple[tuple[str, Text], ...]] = ()  # URL name and label of pages that stand side by side
    list_page: ClassVar[type[ListPage] | None] = None  # the list that it belongs to; its link is lit

    ctx: RequestContext
    project: str  # as it stands in the address: a name or an id

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.project = kwargs.pop("project", "")
        super().setup(request, *args, **kwargs)
        self.ctx = getattr(request, "ctx", RequestContext())
        if self.list_page:
            self.nav = self.list_page.nav  # type: ignore[misc]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        kwargs.pop("project", None)
        return super().dispatch(request, *args, **kwargs)

    @property
    def fragment(self) -> str:
        """Id of the element that the browser wants alone, or nothing."""
        return self.request.headers.get("HX-Target", "") if self.request.headers.get("HX-Request") else ""

    def url(self, name: str, *args: Any) -> str:
        """Address of a page of the same project."""
        return reverse(name, args=(self.project, *args))

    def tab_links(self, *args: Any) -> list[tuple[str, Text, bool]]:
        """Address, label and whether it is this page, of each tab; `args` follow the project."""
        current = self.request.resolver_match.view_name if self.request.resolver_match else ""
        return [(self.url(name, *args), label, name == current) for name, label in self.tabs]

    def allowed(self, rule: str) -> bool:
        return policy.allowed(self.ctx, rule)

    def render(self, template: str = "", status: int = 200, **context: Any) -> HttpResponse:
        shown = {"page": self, "ctx": self.ctx, "project": self.project, "title": self.title, **context}
        if "tabs" not in shown:
            shown["tabs"] = self.tab_links()
        if not self.fragment:
            shown["sections"] = navigation.sections(self.ctx, self.project, self.nav)
        return HttpResponse(render_to_string(template or self.template, shown, self.request), status=status)

    def answer(self, to: str, *words: tuple[str, str], follow: bool = False) -> HttpResponse:
        """After a change: words and a fresh page; scripts get the words in a header and refresh in place.

        `follow` makes scripts go to `to` as well.
        """
        if not self.request.headers.get("X-Kumo-Act"):
            for tone, text in words:
                messages.add_message(self.request, messages.constants.DEFAULT_LEVELS[tone.upper()], text)
            return redirect(to)
        response = HttpResponse(status=204)
        if follow:
            for tone, text in words:
                messages.add_message(self.request, messages.constants.DEFAULT_LEVELS[tone.upper()], text)
            response["X-Kumo-Location"] = to
        else:
            response["X-Kumo-Toasts"] = quote(json.dumps(words))
        return response


class ListPage(Page):
    """A table with filter, order, pages and actions."""

    template = "core/list.html"
    table: ClassVar[Table]
    create: ClassVar[tuple[str, Text, str] | None] = None  # URL name, label, rule
    list_nav: ClassVar[str] = ""  # URL name of the list, where another link of the left column is lit
    note: ClassVar[Text] = ""

    @classmethod
    def address(cls) -> str:
        """URL name of the list."""
        return cls.list_nav or cls.nav

    @classmethod
    def act(cls) -> str:
        """URL name of what is done to rows."""
        return f"{cls.address()}-act"

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Any]:
        """What the caller may see of it."""
        raise NotImplementedError

    def queryset(self) -> QuerySet[Any]:
        return self.rows(self.ctx)

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        table, asked = self.table, request.GET
        sort = asked.get("sort") or table.sort
        column = table.column(sort.lstrip("-"))
        if column is None:
            sort, column = table.sort, table.column(table.sort.lstrip("-"))
        assert column is not None
        piece, total = self.piece(column, descending=sort.startswith("-"), cursor=asked.get("at", ""))
        narrowed = bool(asked.get("q")) or any(asked.get(f.name) for f in table.filters)
        return self.render(
            "core/list_body.html" if self.fragment == "list" else "",
            rows=self.decorate(piece.rows),
            columns=self._heads(sort),
            total=total,
            before=self.here(at=piece.before) if piece.before else "",
            after=self.here(at=piece.after) if piece.after else "",
            paged=bool(asked.get("at")),
            narrowed=narrowed,
            all_url=request.path,
            q=asked.get("q", ""),
            filters=[(f, asked.get(f.name, "")) for f in table.filters],
            bulk=[(a, self.act_url(a)) for a in self._may() if a.bulk],
            create_url=self._create_url(),
            empty_url=self.url(table.empty.link) if table.empty.link else "",
            here=request.get_full_path(),
            **({} if self.fragment == "list" else self.around()),
        )

    def piece(self, column: Column, *, descending: bool, cursor: str) -> tuple[paging.Slice, Any]:
        """The rows that this page shows, and how many there are in all."""
        rows = self._filtered(self.queryset())
        found = paging.cut(
            rows, sort=column.sort, descending=descending, cursor=cursor, size=PAGE_SIZE, key=self.table.key
        )
        return found, self.total(rows)

    def around(self) -> dict[str, Any]:
        """What a template of the page's own shows besides the list."""
        return {}

    def total(self, rows: QuerySet[Any]) -> Any:
        """How many there are, as the page says it."""
        return rows.count()

    def decorate(self, rows: list[Any]) -> list[dict[str, Any]]:
        """Each row with its cells and the actions that fit its state now."""
        may = [(a, self.act_url(a)) for a in self._may()]
        return [
            {
                "id": row["id"] if isinstance(row, dict) else row.pk,
                "cells": [(column, column.show(row, self)) for column in self.table.columns],
                "actions": [(action, url) for action, url in may if action.when(row)],
            }
            for row in rows
        ]

    def _may(self) -> list[Action]:
        return [a for a in self.table.actions if not a.rule or self.allowed(a.rule)]

    def here(self, **changes: str) -> str:
        """This list with other settings; an empty value removes one."""
        asked = {k: v for k, v in self.request.GET.items() if v} | changes
        return f"{self.request.path}?{urlencode({k: v for k, v in asked.items() if v})}"

    def act_url(self, action: Action) -> str:
        return self.url(self.act(), action.name)

    def _create_url(self) -> str:
        if not self.create or (self.create[2] and not self.allowed(self.create[2])):
            return ""
        return self.url(self.create[0])

    def _filtered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        words = self.request.GET.get("q", "").replace("\0", "").split()
        for word in words[:8]:
            rows = rows.filter(self.matching(word)) if self.table.search else rows
        for choice in self.table.filters:
            picked = choice.choices.get(self.request.GET.get(choice.name, ""))
            rows = rows.filter(**picked[1]) if picked else rows
        return rows

    def matching(self, word: str) -> Q:
        """Rows that this word, typed as a filter, finds."""
        found = Q()
        for lookup in self.table.search:
            found |= Q(**{lookup: word})
        return found

    def _heads(self, sort: str) -> list[dict[str, Any]]:
        down, key = sort.startswith("-"), sort.lstrip("-")
        return [
            {
                "column": c,
                "order": ("descending" if down else "ascending") if c.key == key else "",
                "url": self.here(sort=c.key if c.key != key or down else f"-{c.key}", at="") if c.sort else "",
            }
            for c in self.table.columns
        ]


class ActPage(Page):
    """Does one of a list's actions to the rows that were picked: asks first where something will be lost.

    Each row is a call of its own, so one that is refused does not stop the others.
    """

    template = "core/act.html"
    list_page: ClassVar[type[ListPage]] = ListPage

    def get(self, request: HttpRequest, action: str, **kwargs: Any) -> HttpResponse:
        chosen, rows = self._action(action), self.picked(self._wanted(request.GET.getlist("id")))
        fitting = [row for row in rows if chosen.when(row)]
        return self.render(
            "core/act_dialog.html" if self.fragment == "modal" else "",
            title=chosen.label,
            action=chosen,
            rows=[{"id": r.pk, "name": _name(r), "loses": self._losses(chosen, r)} for r in fitting],
            unfit=len(rows) - len(fitting),
            act_url=request.path,
            back=self.back(),
        )

    def post(self, request: HttpRequest, action: str, **kwargs: Any) -> HttpResponse:
        chosen = self._action(action)
        picked = request.POST.getlist("only") or request.POST.getlist("id")
        rows = self.picked(self._wanted(picked))
        if chosen.asks and "sure" not in request.POST:
            return redirect(f"{request.path}?{urlencode([('id', i) for i in picked])}")
        words, done = [], 0
        for row in rows:
            try:
                chosen.call(self.ctx, row)
                done += 1
            except KumoError as error:
                words.append(("error", f"{_name(row)}: {error}"))
        if done and (word := chosen.said(rows)):
            words.insert(0, ("success", said(word, _name(rows[0]) if len(rows) == 1 else done)))
        follow = bool(request.POST.get("next")) and done == len(rows)
        return self.answer(self._return_to(chosen), *words, follow=follow)

    def back(self) -> str:
        """Where the list is."""
        return self.url(self.list_page.address())

    def _return_to(self, action: Action) -> str:
        wanted = "" if action.danger else self.request.POST.get("next", "")  # what is gone has no page
        return wanted if wanted.startswith(f"/p/{quote(self.project)}/") else self.back()

    def _action(self, name: str) -> Action:
        found = next((a for a in self.list_page.table.actions if a.name == name), None)
        if found is None:
            raise NotFound(_("action"), name)
        return found

    def _wanted(self, ids: Iterable[str]) -> list[str]:
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            raise Invalid(_("Nothing is selected."), field="id")
        if len(wanted) > MOST_AT_ONCE:
            raise Invalid(_("At most %d at once.") % MOST_AT_ONCE, field="id")
        return wanted

    def picked(self, wanted: list[str]) -> list[Any]:
        """The rows of those ids that the caller may see; raises NotFound for none."""
        page = self.list_page()
        page.setup(self.request, project=self.project)
        try:
            rows = list(page.queryset().filter(pk__in=wanted))
        except (ValueError, forms.ValidationError) as error:
            raise Invalid(_("That is not an id."), field="id") from error
        if not rows:
            raise NotFound(ngettext("The selected row", "The selected rows", len(wanted)))
        return rows

    def _losses(self, action: Action, row: Any) -> list[Any]:
        return list(action.loses(self.ctx, row)) if action.loses else []


def list_paths(address: str, page: type[ListPage]) -> list[URLPattern]:
    """The addresses of a list and of what can be done to its rows; their names are what the page says."""
    return [
        path(address, page.as_view(), name=page.address().split(":")[1]),
        path(f"{address}/act/<slug:action>", ActPage.as_view(list_page=page), name=page.act().split(":")[1]),
    ]


def one(rows: QuerySet[Any], noun: Any, ident: Any) -> Any:
    """The row of that key among those the caller may see. Raises NotFound."""
    found = rows.filter(pk=ident).first()
    if found is None:
        raise NotFound(noun, ident)
    return found


def _name(row: Any) -> str:
    return str(getattr(row, "name", "") or str(row.pk)[:8])


class DetailPage(Page):
    """One thing: a head with its state and actions, tabs with an address each, facts."""

    template = "core/detail.html"
    live: ClassVar[str] = ""
    icon: ClassVar[str] = "info"

    def row(self, ident: Any) -> Any:
        raise NotImplementedError

    def facts(self, row: Any) -> Iterable[tuple[Text, Any]]:
        """Label and value of each line."""
        return ()

    def state(self, row: Any) -> Any:
        return ""

    def more(self, row: Any) -> dict[str, Any]:
        return {}

    def get(self, request: HttpRequest, ident: Any) -> HttpResponse:
        return self.render(**self.shown(self.row(ident), ident))

    def shown(self, row: Any, ident: Any) -> dict[str, Any]:
        """Everything the template gets."""
        known = {"title": _name(row), "row": row, "ident": ident, "facts": list(self.facts(row))}
        return known | self.head(row, ident) | self.more(row)

    def head(self, row: Any, ident: Any) -> dict[str, Any]:
        """What stands above the tabs."""
        actions = self.list_page.table.actions if self.list_page else ()
        acts = self._acts(actions, row)
        return {
            "state": self.state(row),
            "acts": acts,
            "rarer": [(action, url) for action, url in acts if not action.bulk],
            "tabs": self.tab_links(ident),
            "parent": (self.url(self.list_page.address()), self.list_page.title) if self.list_page else None,
        }

    def _acts(self, actions: Iterable[Action], row: Any) -> list[tuple[Action, str]]:
        if not self.list_page:
            return []
        fitting = (a for a in actions if a.when(row) and (not a.rule or self.allowed(a.rule)))
        return [(a, self.url(self.list_page.act(), a.name)) for a in fitting]


class FormPage(Page):
    """A form whose errors stand at their fields, whether the form or the service found them."""

    template = "core/form.html"
    form: ClassVar[type[forms.Form]]
    submit: ClassVar[Text] = ""
    back: ClassVar[str] = ""  # URL name, where it is not the list that one comes from

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        return self.form(data, files)

    def save(self, form: forms.Form) -> tuple[str, str]:
        """Call the service. Returns where to go and what to say."""
        raise NotImplementedError

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.show(self.make())

    def around(self) -> dict[str, Any]:
        """What the template shows besides the form."""
        return {}

    def show(self, form: forms.Form, status: int = 200, **more: Any) -> HttpResponse:
        back = self.back or (self.list_page.address() if self.list_page else "")
        shown = {"form": form, "submit": self.submit, "back_url": self.url(back) if back else ""}
        return self.render(status=status, **shown | self.around() | more)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = self.make(request.POST, request.FILES)
        if form.is_valid():
            try:
                return self.finish(form)
            except KumoError as error:
                put_error(form, error)
        return self.show(form, 422)

    def finish(self, form: forms.Form) -> HttpResponse:
        """Do what the form says and answer. What the service refuses is said at the form."""
        to, words = self.save(form)
        return self.answer(to, ("success", words), follow=True)


def said(word: Any, what: object) -> str:
    """`Created · web-1`: what was done, and to what."""
    return f"{word} · {what}"


def put_error(form: forms.Form, error: KumoError) -> None:
    """A service's refusal at the field it names, else above the form."""
    name = getattr(error, "field", "")
    form.add_error(name if name in form.fields else None, str(error))
