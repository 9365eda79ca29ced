"""Policy documents and what they are attached to: kept for clients that still manage them here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import service
from apps.identity.models import Policy, PolicyAssociation
from apps.identity.selectors.access import row_of
from apps.identity.selectors.policy_documents import place_of


@service("identity:create_policy")
def policy_create(ctx: RequestContext, *, blob: str, type: str, extra: Mapping[str, Any] | None = None) -> Policy:
    """Keep a policy document."""
    return Policy.objects.create(blob=blob, type=type, extra=dict(extra or {}))


@service("identity:update_policy")
def policy_update(
    ctx: RequestContext, *, policy_id: str, extra: Mapping[str, Any] | None = None, **changes: Any
) -> Policy:
    """Change a policy document. Raises NotFound."""
    policy = row_of(Policy, policy_id, "policy")
    for name, value in {**changes, "extra": {**policy.extra, **(extra or {})}}.items():
        setattr(policy, name, value)
    policy.save(update_fields=[*changes, "extra"])
    return policy


@service("identity:delete_policy")
def policy_delete(ctx: RequestContext, *, policy_id: str) -> None:
    """Remove a policy document from wherever it is attached. Raises NotFound."""
    row_of(Policy, policy_id, "policy").delete()


@service("identity:create_policy_association_for_endpoint")
def policy_endpoint_set(ctx: RequestContext, *, policy_id: str, endpoint_id: str) -> None:
    """Attach a policy to an endpoint, in place of another. Raises NotFound."""
    _attach(policy_id, endpoint_id=endpoint_id)


@service("identity:delete_policy_association_for_endpoint")
def policy_endpoint_remove(ctx: RequestContext, *, policy_id: str, endpoint_id: str) -> None:
    """Detach it. Raises NotFound, also if it was not attached."""
    _detach(policy_id, endpoint_id=endpoint_id)


@service("identity:create_policy_association_for_service")
def policy_service_set(ctx: RequestContext, *, policy_id: str, service_id: str) -> None:
    """Attach a policy to a service, in place of another. Raises NotFound."""
    _attach(policy_id, service_id=service_id)


@service("identity:delete_policy_association_for_service")
def policy_service_remove(ctx: RequestContext, *, policy_id: str, service_id: str) -> None:
    """Detach it. Raises NotFound, also if it was not attached."""
    _detach(policy_id, service_id=service_id)


@service("identity:create_policy_association_for_region_and_service")
def policy_region_set(ctx: RequestContext, *, policy_id: str, service_id: str, region_id: str) -> None:
    """Attach a policy to a service in a region, in place of another. Raises NotFound."""
    _attach(policy_id, service_id=service_id, region_id=region_id)


@service("identity:delete_policy_association_for_region_and_service")
def policy_region_remove(ctx: RequestContext, *, policy_id: str, service_id: str, region_id: str) -> None:
    """Detach it. Raises NotFound, also if it was not attached."""
    _detach(policy_id, service_id=service_id, region_id=region_id)


def _attach(policy_id: str, **ids: str) -> None:
    policy = row_of(Policy, policy_id, "policy")
    PolicyAssociation.objects.update_or_create(**place_of(**ids), defaults={"policy": policy})


def _detach(policy_id: str, **ids: str) -> None:
    row_of(Policy, policy_id, "policy")
    if not PolicyAssociation.objects.filter(policy_id=policy_id, **place_of(**ids)).delete()[0]:
        raise NotFound("policy association")
