"""Views: a table says what a resource can do, this module does it.

`ApiView` negotiates the version, knows the caller and turns errors into the API's faults. `ResourceView` adds the
usual calls on a collection and its members, and `POST …/action`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import URLPattern, path
from django.utils.module_loading import import_string
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.api import listing as lists
from apps.core.api import resource as r
from apps.core.api import schema as schemas
from apps.core.api.listing import Listing, Param
from apps.core.api.resource import Env, F, Resource, Row, Version
from apps.core.api.service import Api, Page
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound, Unauthorized
from apps.core.transactions import enforce_before

Call = Callable[..., Any]


class ApiView(APIView):
    """Base of every API view. `public` views need no token and take none into account."""

    api: ClassVar[Api]
    public: ClassVar[bool] = False
    version: Version = r.FIRST

    def get_authenticators(self) -> list[Any]:
        return [] if self.public else [import_string(settings.KUMO_AUTHENTICATION)()]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if self.api.versions is not None:
            self.version = self.api.versions.minimum
            self.version = self.api.versions.negotiate(request)
        super().initial(request, *args, **kwargs)
        if not self.public and not isinstance(request.user, RequestContext):
            raise Unauthorized("The request you have made requires authentication.")

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        answered = super().finalize_response(request, response, *args, **kwargs)
        if self.api.versions is not None:
            for name, value in self.api.versions.headers(self.version).items():
                answered[name] = value
        return answered

    @property
    def ctx(self) -> RequestContext:
        user: RequestContext = self.request.user  # type: ignore[assignment]
        return user

    @property
    def query(self) -> QueryDict:
        """The parameters of the query string, as far as this call takes them."""
        return self.request.query_params

    @property
    def base(self) -> str:
        """scheme://host[:port] as the client reached the cloud."""
        return f"{self.request.scheme}://{self.request.get_host()}"

    @property
    def env(self) -> Env:
        return Env(self.ctx, self.version, self.base)

    def body(self, schema: Mapping[str, Any]) -> Any:
        """The request's body, validated. Raises Invalid."""
        schemas.validate(schema, self.request.data)
        return self.request.data


@dataclass(frozen=True, slots=True)
class Crud:
    """The calls behind a collection. What is None answers 405.

    `list` and `get` are selectors: `list(ctx, **parents, **params)` returns a query set (or a list of rows),
    `get(ctx, **parents, <noun>_id=…)` a query set of at most one row (or one row). `create`, `update` and `delete`
    are services; the first two return a model instance (or a row).
    """

    list: Call | None = None
    get: Call | None = None
    create: Call | None = None
    update: Call | None = None
    delete: Call | None = None

    @classmethod
    def of(cls, noun: str, selectors: ModuleType, services: ModuleType, *, without: Sequence[str] = ()) -> Crud:
        """The calls of an app for a noun, by their names: `<noun>_list` and so on. Each is there unless left out."""
        rooms = {"list": selectors, "get": selectors, "create": services, "update": services, "delete": services}
        return cls(**{verb: getattr(room, f"{noun}_{verb}") for verb, room in rooms.items() if verb not in without})


@dataclass(frozen=True, slots=True, eq=False)
class Act:
    """One action of `POST …/action`.

    `body` is the schema of the action's value (None: null or an empty object are taken), `args` maps its members to
    keywords of the service, `render` makes the answer's body from what the service returned and the Env.
    """

    call: Call
    body: Mapping[str, Any] | None = None
    args: Mapping[str, str] | None = None
    since: Version = r.FIRST
    until: Version = r.LAST
    status: int = 202
    render: Callable[[Any, Env], Any] | None = None


NO_BODY: Mapping[str, Any] = {"anyOf": [{"type": "null"}, {"type": "object"}, {"type": "string", "maxLength": 0}]}


class ResourceView(ApiView):
    """Collection and members of one resource, by its table and its calls."""

    resource: ClassVar[Resource]
    calls: ClassVar[Crud]
    actions: ClassVar[Mapping[str, Act]] = {}
    params: ClassVar[Sequence[Param]] = ()
    brief: ClassVar[bool] = False  # the plain collection shows LIST, `/detail` shows DETAIL
    create_status: ClassVar[int] = 201
    update_status: ClassVar[int] = 200
    delete_status: ClassVar[int] = 204
    update_methods: ClassVar[tuple[str, ...]] = ("put", "patch")
    show_view: ClassVar[str] = r.SHOW
    list_view: str = ""  # set by the URL

    http_method_names = ["get", "head", "post", "put", "patch", "delete", "options"]

    def params_now(self) -> Sequence[Param]:
        """Those of `params` that this caller may use at this version."""
        return self.params

    # --- URLs --------------------------------------------------------------------------------------

    @classmethod
    def urls(cls, root: str, *, converter: str = "str", actions: str = "action") -> list[URLPattern]:
        """The usual paths below `root`, such as `servers` or `flavors/<str:flavor_id>/os-extra_specs`."""
        name = root.split("/")[-1]
        found = []
        if cls.brief:
            found.append(path(f"{root}/detail", cls.as_view(list_view=r.DETAIL), name=f"{name}-detail"))
        plain = r.LIST if cls.brief else r.DETAIL
        found.append(path(root, cls.as_view(list_view=plain), name=name))
        found.append(path(f"{root}/<{converter}:ident>", cls.as_view(), name=f"{name}-member"))
        if cls.actions:
            found.append(
                path(
                    f"{root}/<{converter}:ident>/{actions}",
                    cls.as_view(list_view="action"),
                    name=f"{name}-action",
                )
            )
        return found

    @property
    def allowed_methods(self) -> list[str]:
        return [m.upper() for m in self.http_method_names if self._handler(m) is not None]

    def _handler(self, method: str) -> Callable[..., Response] | None:
        """What answers this method here; None is a 405."""
        ident = "ident" in self.kwargs
        if method == "head":
            method = "get"
        if method == "options":
            return self.options
        if self.list_view == "action":
            return self.act if method == "post" else None
        if self.brief and self.list_view == r.DETAIL:
            table: dict[str, tuple[Call | None, Any]] = {"get": (self.calls.list, self.list)}
        elif not ident:
            table = {"get": (self.calls.list, self.list), "post": (self.calls.create, self.create)}
        else:
            table = {"get": (self.calls.get, self.show), "delete": (self.calls.delete, self.destroy)}
            table |= {m: (self.calls.update, self.update) for m in self.update_methods}
        call, handler = table.get(method, (None, None))
        return handler if call is not None else None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        self.kwargs = kwargs
        handler = self._handler((request.method or "").lower()) or self.http_method_not_allowed
        for method in self.http_method_names:
            setattr(self, method, handler)
        return super().dispatch(request, *args, **kwargs)

    @property
    def parents(self) -> dict[str, Any]:
        """What the URL says besides the id."""
        return {k: v for k, v in self.kwargs.items() if k != "ident"}

    @property
    def target(self) -> dict[str, Any]:
        return self.parents | {self.resource.id_keyword: self.kwargs["ident"]}

    # --- reading -----------------------------------------------------------------------------------

    def list(self, request: Request, **_: Any) -> Response:
        fields = self.resource.visible(self.list_view, self.version, self.ctx)
        query = lists.parse(
            self.query,
            resource=self.resource,
            fields=self.resource.visible(r.DETAIL, self.version, self.ctx) or fields,
            params=self.params_now(),
            version=self.version,
            max_page=self.api.max_page,
            strict=self.api.strict_filters,
        )
        assert self.calls.list is not None
        rows = self.calls.list(self.ctx, **self.parents, **query.arguments)
        fields = self._wanted(fields, query.wanted)
        found = self._fetch(rows, query, fields)
        render, env = self.resource.renderer(fields), self.env
        members = [render(row, env) for row in found.rows]
        return Response(self.wrap_list(members, self._page(found, query)))

    def _wanted(self, fields: tuple[F, ...], wanted: tuple[str, ...]) -> tuple[F, ...]:
        if not wanted:
            return fields
        return tuple(f for f in fields if f.name in wanted)

    def _fetch(self, rows: Any, query: Listing, fields: tuple[F, ...]) -> lists.Found:
        if not isinstance(rows, QuerySet):
            return lists.page_of(list(rows), query, self.api.max_page)
        columns = self.resource.columns(fields)
        annotations = self.resource.annotated(columns, self.ctx)
        return lists.fetch(
            rows,
            query,
            columns=columns,
            annotations=annotations,
            default_limit=self.api.max_page,
            ident=self.resource.ident,
        )

    def _page(self, found: lists.Found, query: Listing) -> Page:
        parameters = self.query
        ids = [row.get(self.resource.ident, row.get("id")) for row in (found.rows[:1] + found.rows[-1:])]
        forward = found.more or query.reverse
        backward = bool(query.marker and not query.reverse) or (query.reverse and found.more)
        return Page(
            collection=self.resource.collection,
            path=f"{self.base}{self.request.path}",
            base=self.base,
            next_query=lists.next_query(parameters, ids[-1]) if forward and ids else "",
            previous_query=lists.next_query(parameters, ids[0], reverse=True) if backward and ids else "",
        )

    def wrap_list(self, members: Sequence[Any], page: Page) -> Any:
        """The collection's envelope; an API with another form overrides it."""
        return {self.resource.collection: members, **self.api.links(page)}

    def wrap(self, member: Mapping[str, Any]) -> Any:
        """One member's envelope."""
        return member if self.resource.bare else {self.resource.member: member}

    def show(self, request: Request, **_: Any) -> Response:
        assert self.calls.get is not None
        wanted = tuple(self.query.getlist("fields"))
        return Response(self._render_one(self.calls.get(self.ctx, **self.target), self.show_view, wanted))

    def _render_one(self, found: Any, view: str, wanted: tuple[str, ...] = ()) -> Any:
        fields = self._wanted(self.resource.visible(view, self.version, self.ctx), wanted)
        row = self._row(found, fields)
        return self.wrap(self.resource.renderer(fields)(row, self.env))

    def _row(self, found: Any, fields: tuple[F, ...]) -> Row:
        if isinstance(found, Mapping):
            return found
        columns = self.resource.columns(fields)
        row = found.annotate(**self.resource.annotated(columns, self.ctx)).values(*columns).first()
        if row is None:
            raise NotFound(self.resource.label, self.kwargs.get("ident", ""))
        return row

    # --- writing -----------------------------------------------------------------------------------

    def create(self, request: Request, **_: Any) -> Response:
        assert self.calls.create is not None
        arguments = self._arguments(r.CREATE, request.data)
        made = self.calls.create(self.ctx, **self.parents, **arguments)
        view = r.CREATED if any(r.CREATED in f.on for f in self.resource.fields) else self.show_view
        return Response(self._written(made, view), status=self.create_status)

    def update(self, request: Request, **_: Any) -> Response:
        assert self.calls.update is not None
        arguments = self._arguments(r.UPDATE, request.data)
        made = self.calls.update(self.ctx, **self.target, **arguments)
        return Response(self._written(made, self.show_view), status=self.update_status)

    def destroy(self, request: Request, **_: Any) -> Response:
        assert self.calls.delete is not None
        self.calls.delete(self.ctx, **self.target)
        return Response(status=self.delete_status)

    def _arguments(self, view: str, body: Any) -> dict[str, Any]:
        schemas.validate(self.resource.schema(view, self.version), body)
        arguments = self.resource.arguments(view, self.version, body)
        if rules := self.resource.guarded(view, self.version, body):
            call = self.calls.create if view == r.CREATE else self.calls.update
            named = self.target if "ident" in self.kwargs else self.parents
            enforce_before(call, self.ctx, rules, {**named, **arguments})
        return arguments

    def _written(self, made: Any, view: str) -> Any:
        """What a writing service returned, rendered: a row as it is, an instance read again through the selector."""
        if made is None or isinstance(made, Mapping) or self.calls.get is None:
            return self._render_one(made or {}, view)
        key = {self.resource.id_keyword: made.pk}
        return self._render_one(self.calls.get(self.ctx, **self.parents, **key), view)

    # --- actions -----------------------------------------------------------------------------------

    def act(self, request: Request, **_: Any) -> Response:
        name, value = self._action(request.data)
        action = self.actions[name]
        schemas.validate(action.body if action.body is not None else NO_BODY, value)
        arguments: dict[str, Any] = {}
        if isinstance(value, Mapping):
            names = action.args or {}
            known = (action.body or {}).get("properties", {})
            arguments = {names.get(k, r.snake(k)): v for k, v in value.items() if k in known}
        result = action.call(self.ctx, **self.target, **arguments)
        body = action.render(result, self.env) if action.render is not None else None
        return Response(body, status=action.status)

    def _action(self, body: Any) -> tuple[str, Any]:
        if not isinstance(body, dict) or len(body) != 1:
            raise Invalid('The body must name exactly one action, such as {"os-stop": null}.')
        name, value = next(iter(body.items()))
        action = self.actions.get(name)
        if action is None:
            raise Invalid(f"There is no such action: {name}. Known here: {', '.join(sorted(self.actions))}.")
        if not action.since <= self.version <= action.until:
            raise NotFound(f"The action {name}")
        return name, value
