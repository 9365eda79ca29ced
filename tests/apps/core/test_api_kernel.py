"""Field tables, schemas, microversions and listing, over identity's users as rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict
from django.test import RequestFactory

from apps.core.api import listing, microversions
from apps.core.api import resource as r
from apps.core.api import types as t
from apps.core.api.resource import F, Resource
from apps.core.api.schema import validate
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotAcceptable
from apps.identity.models import Domain, User

THING = Resource(
    "thing",
    "things",
    (
        F("id", t.text(64), on=(r.LIST, *r.READ), sort="id"),
        F("name", t.text(10, least=1), on=(r.LIST, *r.READ, *r.WRITE), filter="name", sort="name", required=True),
        F("nick", t.text(10), source="description", on=(*r.READ, r.CREATE), since=(2, 5), sort="default_project_id"),
        F("secret", t.text(), source="description", on=(r.SHOW,), rule="admin"),
        F("shout", t.text(), value=lambda row, env: row["name"].upper(), needs=("name",)),
        F("flavorRef", t.text(), on=(r.CREATE,)),
        F("enabled", t.flag, filter="enabled"),
    ),
    default_sort=("name",),
)
ADMIN = RequestContext(roles=frozenset({"admin"}))
READER = RequestContext(roles=frozenset({"reader"}))


def parsed(query: str, **changes: Any) -> listing.Listing:
    options: dict[str, Any] = {"params": (), "version": (2, 9), "max_page": 1000, "strict": False}
    fields = THING.visible(r.DETAIL, (2, 9), ADMIN)
    return listing.parse(QueryDict(query), resource=THING, fields=fields, **(options | changes))


@pytest.fixture
def users(db: None) -> list[User]:
    domain = Domain.objects.create(id="d" * 32, name="Things")
    rows = [("a", "x"), ("b", None), ("c", "y"), ("d", None), ("e", "x")]
    return [
        User.objects.create(id=f"{n}" * 32, name=n, domain=domain, default_project_id=p, enabled=n != "c")
        for n, p in rows
    ]


def names(query: str, default_limit: int = 1000) -> tuple[list[str], bool]:
    found = listing.fetch(
        User.objects.filter(domain__name="Things"),
        parsed(query),
        columns=("pk", "name"),
        annotations={},
        default_limit=default_limit,
    )
    return [row["name"] for row in found.rows], found.more


def test_fields_follow_version_and_rule() -> None:
    assert "nick" not in [f.name for f in THING.visible(r.SHOW, (2, 4), ADMIN)]
    assert "nick" in [f.name for f in THING.visible(r.SHOW, (2, 5), ADMIN)]
    assert "secret" not in [f.name for f in THING.visible(r.SHOW, (2, 5), READER)]


def test_overlapping_fields_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Resource("x", "xs", (F("a", until=(2, 5)), F("a", since=(2, 5))))


def test_renderer_reads_columns_and_computes() -> None:
    fields = THING.visible(r.SHOW, (2, 5), ADMIN)
    row = {"pk": 1, "id": "1", "name": "n", "description": "d", "enabled": True}
    shown = THING.renderer(fields)(row, r.Env(ADMIN, (2, 5), "http://x"))
    assert shown == {"id": "1", "name": "n", "nick": "d", "secret": "d", "shout": "N", "enabled": True}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "thing"),
        ({"thing": {}}, "name"),
        ({"thing": {"name": 5}}, "name"),
        ({"thing": {"name": "x" * 11}}, "name"),
        ({"thing": {"name": "x", "new": 1}}, "new"),
        ({"thing": {"name": "x", "nick": "y"}}, "nick"),
        ([], "object"),
        (None, "object"),
    ],
)
def test_bodies_that_do_not_fit_are_refused_by_name(body: Any, word: str) -> None:
    with pytest.raises(Invalid, match=word):
        validate(THING.schema(r.CREATE, (2, 4)), body)


def test_arguments_are_snake_case_keywords() -> None:
    body = {"thing": {"name": "x", "flavorRef": "1"}}
    validate(THING.schema(r.CREATE, (2, 4)), body)
    assert THING.arguments(r.CREATE, (2, 4), body) == {"name": "x", "flavor_ref": "1"}


@pytest.mark.parametrize("key", ["name", "nick"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_join_to_the_whole_in_order(users: list[User], key: str, direction: str, size: int) -> None:
    order = f"sort_key={key}&sort_dir={direction}"
    whole, _ = names(order)
    seen: list[str] = []
    marker = ""
    while True:
        page, more = names(f"{order}&limit={size}{marker}")
        seen += page
        if not more:
            break
        marker = f"&marker={page[-1] * 32}"
    assert seen == whole
    assert sorted(seen) == ["a", "b", "c", "d", "e"]


def test_page_reverse_goes_back(users: list[User]) -> None:
    assert names(f"marker={'d' * 32}&limit=2&page_reverse=True") == (["b", "c"], True)


def test_filters_read_their_type(users: list[User]) -> None:
    assert names("enabled=False")[0] == ["c"]
    assert names("name=a&name=e")[0] == ["a", "e"]


def test_limit_zero_is_an_empty_page(users: list[User]) -> None:
    assert names("limit=0") == ([], False)


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=x", "sort_key=none", "sort_key=name&sort_dir=up", "enabled=perhaps"]
)
def test_bad_queries_are_invalid(query: str) -> None:
    with pytest.raises(Invalid):
        parsed(query)


def test_unknown_marker_is_invalid(users: list[User]) -> None:
    with pytest.raises(Invalid, match="marker"):
        names("marker=nobody")


def test_unknown_filters_are_refused_where_the_api_is_strict() -> None:
    with pytest.raises(Invalid):
        parsed("colour=red", strict=True)
    parsed("colour=red")


NOVA = microversions.Microversions("compute", (2, 1), (2, 90), legacy="X-OpenStack-Nova-API-Version")


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, (2, 1)),
        ({"OpenStack-API-Version": "compute 2.10"}, (2, 10)),
        ({"OpenStack-API-Version": "volume 3.5, compute 2.11"}, (2, 11)),
        ({"OpenStack-API-Version": "volume 3.5"}, (2, 1)),
        ({"OpenStack-API-Version": "compute latest"}, (2, 90)),
        ({"X-OpenStack-Nova-API-Version": "2.12"}, (2, 12)),
    ],
)
def test_version_is_negotiated(headers: dict[str, str], version: tuple[int, int]) -> None:
    assert NOVA.negotiate(RequestFactory().get("/", headers=headers)) == version


@pytest.mark.parametrize(
    ("asked", "error"), [("2.91", NotAcceptable), ("2.0", NotAcceptable), ("two", Invalid), ("2", Invalid)]
)
def test_versions_out_of_range_are_refused(asked: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        NOVA.negotiate(RequestFactory().get("/", headers={"OpenStack-API-Version": f"compute {asked}"}))
