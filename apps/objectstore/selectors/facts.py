"""Accounts, containers and objects as they are now, for callers who may see them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.db.models import Q
from django.db.models.functions import Now

from apps.core.combining import Combiner
from apps.core.context import RequestContext
from apps.core.errors import Gone, NotFound
from apps.core.prepared import Prepared
from apps.core.transactions import internal, selector
from apps.objectstore.models import Account, Bucket, Container, Object
from apps.objectstore.selectors import listing
from apps.objectstore.selectors.access import bucket_of, is_owner, require_read, require_reader
from apps.objectstore.selectors.listing import Entry, Page

# Of objects: those whose time is not over.
THERE = Q(delete_at=None) | Q(delete_at__gt=Now())


@dataclass(frozen=True, slots=True)
class Totals:
    """What is in an account or container at this moment."""

    objects: int
    bytes: int
    containers: int = 0


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """An account; one in which nothing was ever kept is empty and has no time."""

    project_id: str
    totals: Totals
    metadata: dict[str, str] = field(default_factory=dict)
    created_at: datetime.datetime | None = None
    is_own: bool = False  # the caller may see its secrets
    by_policy: dict[str, Totals] = field(default_factory=dict)
    access: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """A container with its totals."""

    container: Container
    totals: Totals
    is_own: bool
    is_bucket: bool = False  # S3 reaches it, under its own name


_CONTAINER_TOTALS = """
SELECT c.base_objects + coalesce(sum(d.objects_change), 0), c.base_bytes + coalesce(sum(d.bytes_change), 0)
FROM objectstore_container c LEFT JOIN objectstore_delta d ON d.container_id = c.id
WHERE c.id = %s GROUP BY c.id
"""
_ACCOUNT_TOTALS = """
SELECT a.base_objects + coalesce(sum(d.objects_change), 0), a.base_bytes + coalesce(sum(d.bytes_change), 0),
  (SELECT count(*) FROM objectstore_container c WHERE c.account_id = a.project_id)
FROM objectstore_account a LEFT JOIN objectstore_delta d ON d.account_id = a.project_id
WHERE a.project_id = %s GROUP BY a.project_id
"""
_POLICY_TOTALS = """
SELECT c.policy, count(*), sum(c.base_objects + coalesce(d.objects, 0)), sum(c.base_bytes + coalesce(d.size, 0))
FROM objectstore_container c LEFT JOIN (
  SELECT container_id, sum(objects_change) AS objects, sum(bytes_change) AS size
  FROM objectstore_delta WHERE account_id = %s GROUP BY container_id
) d ON d.container_id = c.id WHERE c.account_id = %s GROUP BY c.policy
"""


def container_totals(container_id: UUID) -> Totals:
    """The base and the deltas that are not folded in yet, of one moment."""
    with connection.cursor() as cursor:
        cursor.execute(_CONTAINER_TOTALS, [container_id])
        objects, size = cursor.fetchone() or (0, 0)
    return Totals(int(objects), int(size))


def account_totals(account: str) -> Totals:
    """The same for an account; zeros for one that has no row."""
    with connection.cursor() as cursor:
        cursor.execute(_ACCOUNT_TOTALS, [account])
        objects, size, containers = cursor.fetchone() or (0, 0, 0)
    return Totals(int(objects), int(size), int(containers))


def policy_totals(account: str) -> dict[str, Totals]:
    """The totals of what an account keeps under each storage policy."""
    with connection.cursor() as cursor:
        cursor.execute(_POLICY_TOTALS, [account, account])
        return {policy: Totals(int(objects), int(size), count) for policy, count, objects, size in cursor.fetchall()}


@selector("object_store:public")
def account_get(ctx: RequestContext, *, account: str) -> AccountFacts:
    """An account of a project. Raises Forbidden."""
    require_reader(ctx, account)
    row = Account.objects.filter(pk=account).first()
    own = is_owner(ctx, account)
    if row is None:
        return AccountFacts(account, Totals(0, 0), is_own=own)
    if row.deleted_at is not None:
        raise Gone("account", account)
    totals, by_policy = account_totals(account), policy_totals(account)
    return AccountFacts(account, totals, row.metadata, row.created_at, own, by_policy, row.access)


@selector("object_store:public")
def container_list(ctx: RequestContext, *, account: str, page: Page) -> list[Entry]:
    """An account's containers in the order of their names. Raises Forbidden."""
    require_reader(ctx, account)
    return listing.containers(account, page)


@selector("object_store:public")
def container_get(
    ctx: RequestContext, *, account: str, container: str, referrer: str = "", page: Page | None = None
) -> ContainerFacts:
    """A container that the caller may read from, or list that page of. Raises Forbidden, NotFound."""
    row = container_row(account, container)
    require_read(ctx, account, row, referrer=referrer, facts=facts_of(page))
    if row is None:
        raise NotFound("container", container)
    is_bucket = bucket_of(row) is not None
    return ContainerFacts(row, container_totals(row.pk), is_owner(ctx, account), is_bucket)


@selector("object_store:public")
def object_list(ctx: RequestContext, *, account: str, container: str, page: Page, referrer: str = "") -> list[Entry]:
    """A container's objects in the order of their names. Raises Forbidden, NotFound."""
    row = container_row(account, container)
    require_read(ctx, account, row, referrer=referrer, facts=facts_of(page))
    if row is None:
        raise NotFound("container", container)
    return listing.objects(row.pk, page)


def facts_of(page: Page | None) -> dict[str, list[str]]:
    """What conditions of policies can say about a listing."""
    if page is None:
        return {}
    page = listing.resolved(page)
    facts = {"s3:prefix": [page.prefix], "s3:max-keys": [str(page.limit)]}
    return facts | ({"s3:delimiter": [page.delimiter]} if page.delimiter else {})


@selector("object_store:public")
def object_get(ctx: RequestContext, *, account: str, container: str, name: str, referrer: str = "") -> Object:
    """An object's facts. Raises Forbidden, NotFound."""
    row = container_row(account, container)
    require_read(ctx, account, row, referrer=referrer, name=name)
    found = object_row(row.pk, name) if row else None
    if found is None:
        raise NotFound("object", name)
    return found


@internal("the signature of an address is checked with the keys before there is any caller", atomic=False)
def signing_keys(ctx: RequestContext, *, account: str, container: str) -> tuple[list[str], list[str]]:
    """The keys for addresses that carry a signature: those that open the account, and those for the container alone."""
    row = Account.objects.filter(pk=account).values_list("metadata", flat=True).first() or {}
    below = container_row(account, container)
    names = ("Temp-Url-Key", "Temp-Url-Key-2")
    return (
        [row[name] for name in names if row.get(name)],
        [below.metadata[name] for name in names if below and below.metadata.get(name)],
    )


@internal("a browser asks before there is any caller, and only what its page may do", atomic=False)
def container_origins(ctx: RequestContext, *, account: str, container: str) -> dict[str, str]:
    """What a container's metadata says of pages of other origins."""
    return _metadata(account, container, "Access-Control-")


@internal("how a site is shown is looked at before what of it the caller may read", atomic=False)
def container_site(ctx: RequestContext, *, account: str, container: str) -> dict[str, str]:
    """What a container's metadata says of it as a web site."""
    return _metadata(account, container, "Web-")


@internal("how fast requests may come is looked at before who asks", atomic=False)
def container_size(ctx: RequestContext, *, account: str, container: str) -> int:
    """How many objects a container has; 0 for none."""
    row = container_row(account, container)
    return container_totals(row.pk).objects if row else 0


def _metadata(account: str, container: str, prefix: str) -> dict[str, str]:
    row = container_row(account, container)
    return {name: value for name, value in row.metadata.items() if name.startswith(prefix)} if row else {}


class _Rows:
    """Rows of a model among the columns of a query, as the ORM gives them."""

    def __init__(self, table: str, model: type[models.Model]) -> None:
        fields = model._meta.concrete_fields
        self.columns = [f"{table}.{f.column}" for f in fields]
        self._model, self._names = model, [f.attname for f in fields]
        self._key = self._names.index(model._meta.pk.attname)
        self._read = [(n, f.from_db_value) for n, f in enumerate(fields) if hasattr(f, "from_db_value")]

    def row(self, values: Iterator[Any]) -> Any:
        """The next one; None where an outer join found none."""
        own = list(islice(values, len(self._names)))
        if own[self._key] is None:
            return None
        for n, read in self._read:
            own[n] = read(own[n], None, connection)
        return self._model.from_db(connection.alias, self._names, own)


# Every call looks for its container: for the ORM to say it anew each time was a fifth of the work of a small PUT.
_ROWS = (_Rows("c", Container), _Rows("a", Account), _Rows("b", Bucket))
_CONTAINER_ROWS = Prepared(
    "containers",
    ["text[]", "text[]"],
    f"""
SELECT c.account_id, c.name, {", ".join(column for rows in _ROWS for column in rows.columns)}
FROM unnest($1, $2) wanted (account, name)
JOIN objectstore_container c ON c.account_id = wanted.account AND c.name = wanted.name
JOIN objectstore_account a ON a.project_id = c.account_id LEFT JOIN objectstore_bucket b ON b.container_id = c.id
""",  # noqa: S608
)
_BUCKET = Container._meta.get_field("bucket")


def container_row(account: str, name: str) -> Container | None:
    """A container's row with its account's and its bucket's, whoever asks. Raises Gone where the account was closed."""
    wanted = (account, name)
    values = _values_of([wanted])[0] if connection.in_atomic_block else _values_together(wanted)
    if values is None:
        return None
    rest = iter(values)
    found: Container
    found, found.account, bucket = (rows.row(rest) for rows in _ROWS)
    _BUCKET.set_cached_value(found, bucket)
    return opened(found)


def _values_of(wanted: list[tuple[str, str]]) -> list[tuple[Any, ...] | None]:
    """Of each account and name what the columns of its rows have."""
    found = {row[:2]: row[2:] for row in _CONTAINER_ROWS.rows(*map(list, zip(*set(wanted), strict=True)))}
    return [found.get(key) for key in wanted]


_values_together = Combiner(_values_of, again=True)


def container_expected(account: str, name: str) -> AbstractContextManager[None]:
    """Within it a container's row will be looked for: it is read with the check of the token."""
    return _values_together.expecting((account, name))


def opened(row: Container | None) -> Container | None:
    """The same container. Raises Gone where its account was closed."""
    if row is not None and row.account.deleted_at is not None:
        raise Gone("account", row.account_id)
    return row


def object_row(container_id: UUID, name: str) -> Object | None:
    """An object's row, unless its time is over."""
    return Object.objects.filter(THERE, container_id=container_id, name=name).first()
