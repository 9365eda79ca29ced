"""What lists may be ordered and narrowed by: each key has an index, or a reason to need none.

An order is served by an index that begins with its column, or with a project (or user) and then the column; a filter
likewise. A filter by a flag or by one of a few words needs none: the list is read in its own order until a page is
full. A `Resource` whose lists stay short says so in `small`; single keys of the others stand in `UNINDEXED`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, models
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from apps.compute.models import Server, ServerDeleted
from apps.core.api import openapi
from apps.core.api.listing import fetch, parse
from apps.core.api.resource import Resource
from apps.core.api.views import ResourceView
from apps.core.context import RequestContext
from apps.core.web import paging
from apps.identity.models import Domain, Project
from apps.identity.resources import PROJECT
from apps.network.models import Network, Port, Subnet

pytestmark = pytest.mark.django_db

SCOPES = ("project_id", "user_id")

# One project has few enough rows, by its quota, to sort and filter them in memory. An administrator who lists those of
# all projects by such a key has one reading of the table to wait for.
WITHIN_A_PROJECT = {
    "floatingip": "description fixed_ip_address revision_number updated_at",
    "image": "container_format disk_format size status updated_at",
    "network": "admin_state_up description mtu provider:segmentation_id revision_number updated_at",
    "operation": "finished_at kind status",
    "port": "admin_state_up binding:host_id description device_id device_owner revision_number status updated_at",
    "router": "admin_state_up description revision_number updated_at",
    "security_group": "description revision_number updated_at",
    "security_group_rule": "description direction ethertype port_range_max port_range_min protocol remote_ip_prefix "
    "revision_number updated_at",
    "server": "access_ip_v4 access_ip_v6 availability_zone config_drive display_description display_name host hostname "
    "image_ref instance_type_id key_name launch_index launched_at locked locked_reason name node power_state "
    "root_device_name user_id vm_state",
    "subnet": "cidr description enable_dhcp gateway_ip ip_version ipv6_address_mode ipv6_ra_mode revision_number "
    "updated_at",
}
# A few dozen words, each of them frequent: a page fills soon, read in the list's own order.
FEW_WORDS = {
    "event": "action",
    "limit": "resource_name",
    "operation": "kind subject_type",
}
UNINDEXED = {
    member: {*WITHIN_A_PROJECT.get(member, "").split(), *FEW_WORDS.get(member, "").split()}
    for member in {*WITHIN_A_PROJECT, *FEW_WORDS}
}

FROM_SEVERAL: dict[str, tuple[type[models.Model], ...]] = {"server": (Server, ServerDeleted)}

INDEXES = """
SELECT t.relname, coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
       ARRAY(SELECT coalesce(a.attname::text, '') FROM unnest(i.indkey::int[]) WITH ORDINALITY AS k(number, place)
             LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number > 0
             WHERE k.place <= i.indnkeyatts ORDER BY k.place)
FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_am m ON m.oid = x.relam
WHERE i.indisvalid AND m.amname = 'btree' AND t.relnamespace = 'public'::regnamespace
"""
# Indexes that others of the same table begin with, save those that carry columns along or keep rows unique.
TWICE = """
WITH i AS (
    SELECT t.relname AS "table", x.relname AS name, i.indexrelid AS oid, i.indisunique AS is_unique,
           i.indnatts > i.indnkeyatts AS carries, coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS condition,
           i.indkey::int[] AS columns, i.indclass::oid[] AS classes, i.indnkeyatts AS count
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
    WHERE t.relname = ANY(%s) AND i.indexprs IS NULL
)
SELECT short.name, long.name FROM i short JOIN i long USING ("table", condition)
WHERE short.oid <> long.oid AND NOT short.is_unique AND NOT short.carries
  AND (short.count < long.count OR long.is_unique OR short.oid > long.oid)
  AND short.columns[0:short.count - 1] = long.columns[0:short.count - 1]
  AND short.classes[0:short.count - 1] = long.classes[0:short.count - 1]
"""
Indexes = dict[str, list[tuple[list[str], str]]]  # table → columns and condition of each


@pytest.fixture
def indexes() -> Indexes:
    found: Indexes = {}
    with connection.cursor() as cursor:
        cursor.execute(INDEXES)
        for table, condition, columns in cursor.fetchall():
            found.setdefault(table, []).append((columns, condition))
    return found


def listed() -> Iterator[tuple[Resource, type[models.Model]]]:
    """Each resource that has a collection, with the tables that it is read from."""
    for path, view, given in openapi.routes():
        if issubclass(view, ResourceView) and view.calls.list and "get" in openapi.methods(view, path, given):
            selector = inspect.unwrap(view.calls.list)
            if found := re.fullmatch(r"QuerySet\[(\w+)\]", str(inspect.get_annotations(selector)["return"])):
                model = selector.__globals__[found[1]]
                for one in FROM_SEVERAL[view.resource.member] if model is Any else (model,):
                    yield view.resource, one


LISTED = {(resource.member, model.__name__): (resource, model) for resource, model in listed()}
LONG = {key: (resource, model) for key, (resource, model) in sorted(LISTED.items()) if not resource.small}
every_long_list = pytest.mark.parametrize(("resource", "model"), LONG.values(), ids=["-".join(key) for key in LONG])


def field_of(model: type[models.Model], lookup: str) -> models.Field[Any, Any]:
    name = lookup.lstrip("-").split("__")[0]
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    assert isinstance(field, models.Field)
    return field


def served(
    indexes: Indexes, model: type[models.Model], lookup: str, *, scopes: tuple[str, ...], narrows: bool = False
) -> bool:
    """Whether an index serves it: of all rows, or for a filter (`narrows`) of all where the column is not empty."""
    column = field_of(model, lookup).column
    whole = {"", *(f"{column} IS NOT NULL", f"NOT {column} = ''", f"{column} <> ''") * narrows}
    return any(
        (columns[0] == column or (columns[0] in scopes and columns[1:2] == [column]))
        and re.sub(r"::text|[()]", "", condition) in whole
        for columns, condition in indexes[model._meta.db_table]
    )


def few_values(model: type[models.Model], lookup: str) -> bool:
    field = field_of(model, lookup)
    return isinstance(field, models.BooleanField) or bool(field.choices)


def unserved(indexes: Indexes, resource: Resource, model: type[models.Model]) -> set[str]:
    """Keys of a resource for which a query of this table has no index."""
    sorts = {**resource.sorts, **{f.name: f.sort for f in resource.fields if f.sort}}
    filters = {f.name: f.filter for f in resource.fields if f.filter and not few_values(model, f.filter)}
    return {key for key, by in sorts.items() if not served(indexes, model, by, scopes=SCOPES)} | {
        key for key, by in filters.items() if not served(indexes, model, by, scopes=SCOPES, narrows=True)
    }


@every_long_list
def test_each_key_has_an_index_or_a_reason(indexes: Indexes, resource: Resource, model: type[models.Model]) -> None:
    assert sorted(unserved(indexes, resource, model) - UNINDEXED.get(resource.member, set())) == []


@every_long_list
def test_a_list_has_an_index_in_its_own_order(indexes: Indexes, resource: Resource, model: type[models.Model]) -> None:
    first = resource.default_sort[0]
    assert served(indexes, model, first, scopes=()), f"{first} of all projects"


def test_no_index_is_the_beginning_of_another() -> None:
    """Each costs every write; Django makes one for a foreign key unless told that there is another."""
    with connection.cursor() as cursor:
        cursor.execute(TWICE, [[model._meta.db_table for _, model in LONG.values()]])
        assert cursor.fetchall() == []


def test_reasons_are_given_only_where_an_index_is_missing(indexes: Indexes) -> None:
    missing: dict[str, set[str]] = {}
    for resource, model in LONG.values():
        missing.setdefault(resource.member, set()).update(unserved(indexes, resource, model))
    assert {member: sorted(keys - missing.get(member, set())) for member, keys in UNINDEXED.items()} == {
        member: [] for member in UNINDEXED
    }


def test_what_an_index_serves(indexes: Indexes) -> None:
    assert served(indexes, Server, "-created_at", scopes=())
    assert not served(indexes, Server, "locked_reason", scopes=SCOPES)
    assert served(indexes, Port, "device_id", scopes=(), narrows=True)
    assert not served(indexes, Port, "device_id", scopes=()), "ports of no device are not in that index"
    assert {("server", "Server"), ("port", "Port"), ("event", "Event"), ("operation", "Operation")} <= set(LONG)


def plan(sql: str, params: Any = None, *, without: tuple[str, ...]) -> str:
    """How PostgreSQL would do it if it were to avoid some ways at nearly any cost."""
    with connection.cursor() as cursor:
        for way in without:
            cursor.execute(f"SET LOCAL enable_{way} = off")
        cursor.execute(f"EXPLAIN {sql}", params)
        return "\n".join(line for (line,) in cursor.fetchall())


@pytest.mark.parametrize("model", [Network, Subnet, Port])
def test_what_one_project_sees_of_others_is_found_by_indexes(model: Any) -> None:
    rows = model.objects.visible(RequestContext(project_id="0" * 32))
    found = plan(*rows.query.sql_with_params(), without=("seqscan", "indexscan", "indexonlyscan"))
    assert "BitmapOr" in found
    assert "Seq Scan" not in found


@pytest.fixture
def project() -> Project:
    domain = Domain.objects.create(name="d")
    return Project.objects.create(pk="a" * 32, name="a", domain=domain, parent=domain)


def begins_in_the_index(queries: list[dict[str, str]]) -> bool:
    found = plan(queries[-1]["sql"], without=("seqscan", "sort"))
    return bool(re.search(r"Index Cond: \(\(name\)::text [<>]= 'a'::text\)", found))


@pytest.mark.parametrize("query", ["", "page_reverse=True", "sort_key=name&sort_dir=desc"])
def test_a_later_page_begins_in_the_index(project: Project, query: str) -> None:
    listing = parse(
        QueryDict(f"{query}&marker={project.pk}"),
        resource=PROJECT, fields=PROJECT.fields, params=(), version=(3, 0), max_page=10, strict=False,
    )  # fmt: skip
    with CaptureQueriesContext(connection) as said:
        fetch(Project.objects.all(), listing, columns=("pk",), annotations={}, default_limit=10)
    assert begins_in_the_index(said.captured_queries)


@pytest.mark.parametrize("descending", [False, True])
def test_a_later_page_of_the_web_begins_in_the_index(descending: bool) -> None:
    domains = [Domain.objects.create(name=name) for name in ("d1", "d2", "d3")]
    Project.objects.bulk_create(Project(name="a", domain=domain, parent=domain) for domain in domains)
    rows = Project.objects.filter(is_domain=False)
    first = paging.cut(rows, sort="name", descending=descending, cursor="", size=2)
    with CaptureQueriesContext(connection) as said:
        second = paging.cut(rows, sort="name", descending=descending, cursor=first.after, size=2)
    assert begins_in_the_index(said.captured_queries)
    assert len({row.pk for row in (*first.rows, *second.rows)}) == 3
