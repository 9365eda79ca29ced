"""Flavors, key pairs and server groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import selectors, services
from apps.compute.api.base import ComputeResourceView, ComputeView, Query
from apps.compute.models import ServerGroup
from apps.compute.resources import FLAVOR, KEY_PAIR, SERVER_GROUP
from apps.compute.resources.flavors import ACCESS_BODY, EXTRA_SPEC_BODY, EXTRA_SPECS_BODY
from apps.compute.selectors.groups import MEMBERS
from apps.core.api import resource as r
from apps.core.api import types as t
from apps.core.api.listing import Param
from apps.core.api.resource import Env
from apps.core.api.views import Act, Crud
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound

# --- flavors ---------------------------------------------------------------------------------------


def _access(rows: Any, env: Env) -> dict[str, Any]:
    return {"flavor_access": rows}


_FLAVORS = Query(dict.fromkeys(("limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir"), r.FIRST))


class Flavors(ComputeResourceView):
    """`/flavors`, `/flavors/detail`, `/flavors/{id}` and its actions."""

    resource = FLAVOR
    brief = True
    update_methods = ("put",)
    create_status = 200
    delete_status = 202
    calls = Crud(
        list=selectors.flavor_list,
        get=selectors.flavor_get_query,
        create=services.flavor_create,
        update=services.flavor_update,
        delete=services.flavor_delete,
    )
    params = (
        Param("is_public", t.text()),
        Param("minRam", t.integer(), arg="min_ram_mib"),
        Param("minDisk", t.integer(), arg="min_disk_gib"),
    )
    actions = {
        "addTenantAccess": Act(services.flavor_access_add, body=ACCESS_BODY, status=200, render=_access),
        "removeTenantAccess": Act(services.flavor_access_remove, body=ACCESS_BODY, status=200, render=_access),
    }

    def takes_now(self) -> Query | None:
        return _FLAVORS if self.list_view in {r.LIST, r.DETAIL} else None

    def update(self, request: Request, **kwargs: Any) -> Response:
        if self.version < (2, 55):
            raise NotFound("The resource")
        return super().update(request, **kwargs)

    def act(self, request: Request, **kwargs: Any) -> Response:
        try:
            return super().act(request, **kwargs)
        except Conflict as refused:
            if self.version < (2, 7) and "public flavor" in refused.message:
                raise Invalid(refused.message) from refused
            raise


class FlavorAccesses(ComputeView):
    """`GET /flavors/{id}/os-flavor-access`."""

    def get(self, request: Request, flavor_id: str) -> Response:
        return Response({"flavor_access": selectors.flavor_access_list(self.ctx, flavor_id=flavor_id)})


class ExtraSpecs(ComputeView):
    """`/flavors/{id}/os-extra_specs`."""

    def get(self, request: Request, flavor_id: str) -> Response:
        return Response({"extra_specs": selectors.flavor_extra_spec_list(self.ctx, flavor_id=flavor_id)})

    def post(self, request: Request, flavor_id: str) -> Response:
        specs = self.body(EXTRA_SPECS_BODY)["extra_specs"]
        kept = services.flavor_extra_specs_add(
            self.ctx, flavor_id=flavor_id, extra_specs=specs, checked=self.version >= (2, 86)
        )
        return Response({"extra_specs": kept})


class ExtraSpec(ComputeView):
    """`/flavors/{id}/os-extra_specs/{key}`."""

    def get(self, request: Request, flavor_id: str, key: str) -> Response:
        return Response(selectors.flavor_extra_spec_get(self.ctx, flavor_id=flavor_id, key=key))

    def put(self, request: Request, flavor_id: str, key: str) -> Response:
        kept = services.flavor_extra_spec_update(
            self.ctx,
            flavor_id=flavor_id,
            key=key,
            extra_specs=self.body(EXTRA_SPEC_BODY),
            checked=self.version >= (2, 86),
        )
        return Response(kept)

    def delete(self, request: Request, flavor_id: str, key: str) -> Response:
        services.flavor_extra_spec_delete(self.ctx, flavor_id=flavor_id, key=key)
        return Response(status=200)


# --- key pairs -------------------------------------------------------------------------------------

_KEY_COLUMNS = ("name", "public_key", "fingerprint", "type", "user_id")


def _key_rows(ctx: RequestContext, **arguments: Any) -> list[dict[str, Any]]:
    """Key pairs as rows named by their names, since these are their markers."""
    rows = selectors.key_pair_list(ctx, **arguments).order_by("name").values(*_KEY_COLUMNS)
    return [{**row, "id": row["name"], "pk": row["name"]} for row in rows]


class KeyPairs(ComputeResourceView):
    """`/os-keypairs` and `/os-keypairs/{name}`; each member of the list has an envelope of its own."""

    resource = KEY_PAIR
    calls = Crud(
        list=_key_rows,
        get=selectors.key_pair_get_query,
        create=services.key_pair_create,
        delete=services.key_pair_delete,
    )
    params = (Param("user_id", t.text(64), since=(2, 10)),)

    def wrap_list(self, members: Any, page: Any) -> Any:
        listed = {"keypairs": [{"keypair": member} for member in members]}
        return listed | dict(self.api.links(page)) if self.version >= (2, 35) else listed

    @property
    def target(self) -> dict[str, Any]:
        return {"name": self.kwargs["ident"], "user_id": self.query.get("user_id", "")}

    def takes_now(self) -> Query | None:
        paging = {} if "ident" in self.kwargs else {"limit": (2, 35), "marker": (2, 35)}
        return Query({"user_id": (2, 10)} | paging)

    def create(self, request: Request, **_: Any) -> Response:
        made = services.key_pair_create(self.ctx, **self._arguments(r.CREATE, request.data))
        row = {name: getattr(made.key_pair, name) for name in _KEY_COLUMNS}
        body = self._render_one(row, r.CREATED)
        if made.private_key:
            body["keypair"]["private_key"] = made.private_key
        return Response(body, status=201 if self.version >= (2, 2) else 200)

    def destroy(self, request: Request, **_: Any) -> Response:
        services.key_pair_delete(self.ctx, **self.target)
        return Response(status=204 if self.version >= (2, 2) else 202)


# --- server groups ---------------------------------------------------------------------------------


def _with_members(rows: QuerySet[ServerGroup]) -> QuerySet[ServerGroup]:
    return rows.annotate(members=MEMBERS)


def _group_list(ctx: RequestContext, *, all_projects: Any = False, **rest: Any) -> QuerySet[ServerGroup]:
    return _with_members(selectors.server_group_list(ctx, all_projects=bool(all_projects)))


def _group_get(ctx: RequestContext, *, server_group_id: str) -> QuerySet[ServerGroup]:
    return _with_members(selectors.server_group_get_query(ctx, server_group_id=server_group_id))


class ServerGroups(ComputeResourceView):
    """`/os-server-groups` and its members. The list is cut by offset, as Nova does it."""

    resource = SERVER_GROUP
    create_status = 200
    calls = Crud(
        list=_group_list,
        get=_group_get,
        create=services.server_group_create,
        delete=services.server_group_delete,
    )
    takes = Query(dict.fromkeys(("all_projects", "limit", "offset"), r.FIRST))
    params = (
        Param("all_projects", t.Type({}, parse=lambda text: text == "" or t.parse_flag(text))),
        Param("offset", t.integer(0)),
    )

    def wrap_list(self, members: Any, page: Any) -> Mapping[str, Any]:
        start = int(self.query.get("offset", 0))
        return {"server_groups": members[start:]}
