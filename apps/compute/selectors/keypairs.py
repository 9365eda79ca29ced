"""Reading key pairs, which belong to users, not to projects."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.compute.models import KeyPair
from apps.compute.selectors._common import key_owner, one
from apps.core.context import RequestContext
from apps.core.transactions import selector


@selector("os_compute_api:os-keypairs:index")
def key_pair_list(ctx: RequestContext, *, user_id: str = "") -> QuerySet[KeyPair]:
    """Key pairs of the caller, or of a user that an administrator names."""
    return KeyPair.objects.filter(user_id=key_owner(ctx, user_id, "os_compute_api:os-keypairs:index"))


@selector("os_compute_api:os-keypairs:show")
def key_pair_get_query(ctx: RequestContext, *, name: str, user_id: str = "") -> QuerySet[KeyPair]:
    """One of them by name."""
    return KeyPair.objects.filter(user_id=key_owner(ctx, user_id, "os_compute_api:os-keypairs:show"), name=name)


@selector("os_compute_api:os-keypairs:show")
def key_pair_get(ctx: RequestContext, *, name: str, user_id: str = "") -> KeyPair:
    """The same as an instance. Raises NotFound."""
    return one(key_pair_get_query(ctx, name=name, user_id=user_id), "key pair", name)
