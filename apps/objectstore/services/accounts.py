"""Accounts made and closed by whoever runs the cloud. What is in a closed one is removed in the background."""

from __future__ import annotations

import logging

from django.db.models.functions import Now

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Gone, NotFound
from apps.core.transactions import internal, service
from apps.objectstore.models import Account, Bucket, Container, Delta, Object, Version
from apps.objectstore.services.containers import account_ensured
from apps.objectstore.services.uploads import uploads_end
from apps.objectstore.services.versions import object_purge

logger = logging.getLogger("kumo.objectstore")

AT_ONCE = 500  # objects


@service("object_store:reseller")
def account_put(ctx: RequestContext, *, account: str) -> bool:
    """Make an account unless it is there; returns whether it is new. Raises Forbidden, Gone."""
    return account_ensured(account)


@service("object_store:reseller")
def account_delete(ctx: RequestContext, *, account: str) -> None:
    """Close an account at once and for all; the collector removes its containers and objects, then itself.

    Raises Forbidden, NotFound, Gone, Conflict where object lock protects what is in it.
    """
    row = Account.objects.select_for_update(no_key=True).filter(pk=account).first()
    if row is None:
        raise NotFound("account", account)
    if row.deleted_at is not None:
        raise Gone("account", account)
    if Bucket.objects.filter(container__account_id=account, lock_enabled=True).exists():
        raise Conflict("The account has buckets with object lock.", hint="Remove these first.")
    Account.objects.filter(pk=account).update(deleted_at=Now())


@internal("the collector", atomic=False)
def accounts_reap(ctx: RequestContext) -> int:
    """Remove some of what is in closed accounts, and those that are empty; returns how many are left."""
    closed = Account.objects.filter(deleted_at__isnull=False)
    for account in list(closed):
        found = Container.objects.filter(account=account).first()
        if found is not None:
            _tried(found)
        elif not Delta.objects.filter(account_id=account.pk).exists():  # else they would count for the next of its name
            account.delete()
    return closed.count()


def _tried(row: Container) -> None:
    try:
        container_reap(row)
    except Forbidden as error:  # locked by somebody who was faster than the one who closed the account
        logger.warning("what is in a closed account stays", extra={"container": str(row.pk), "reason": str(error)})


@internal("those who remove all that a project has", atomic=False)
def container_reap(row: Container) -> bool:
    """Remove some objects of a container with all their versions, and the container when it is empty; whether it was.

    Raises Forbidden for what object lock protects.
    """
    for kind in (Object, Version):
        names = kind.objects.filter(container_id=row.pk).order_by("name").values_list("name", flat=True)[:AT_ONCE]
        if found := dict.fromkeys(names):
            for name in found:
                object_purge(row, name)
            return False
    return _removed(row)


@internal("second part of container_reap")
def _removed(row: Container) -> bool:
    # Writers hold a key share of the row until they commit: from here on none can add an object.
    if Container.objects.select_for_update().filter(pk=row.pk).first() is None:
        return True
    if any(kind.objects.filter(container_id=row.pk).exists() for kind in (Object, Version)):
        return False
    uploads_end(row)
    row.delete()
    return True
