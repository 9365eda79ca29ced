"""Policy documents, and which of them an endpoint has."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.identity.models import Endpoint, Policy, PolicyAssociation, Region, Service
from apps.identity.selectors.access import row_of


@selector("identity:list_policies")
def policy_list(ctx: RequestContext) -> QuerySet[Policy]:
    """All policy documents."""
    return Policy.objects.all()


@selector("identity:get_policy")
def policy_get(ctx: RequestContext, *, policy_id: str) -> QuerySet[Policy]:
    """One policy document."""
    return Policy.objects.filter(pk=policy_id)


@selector("identity:check_policy_association_for_endpoint")
def policy_endpoint_check(ctx: RequestContext, *, policy_id: str, endpoint_id: str) -> None:
    """Raise NotFound unless the policy is attached to the endpoint."""
    _check(policy_id, endpoint_id=endpoint_id)


@selector("identity:check_policy_association_for_service")
def policy_service_check(ctx: RequestContext, *, policy_id: str, service_id: str) -> None:
    """Raise NotFound unless the policy is attached to the service."""
    _check(policy_id, service_id=service_id)


@selector("identity:check_policy_association_for_region_and_service")
def policy_region_check(ctx: RequestContext, *, policy_id: str, service_id: str, region_id: str) -> None:
    """Raise NotFound unless the policy is attached to the service in the region."""
    _check(policy_id, service_id=service_id, region_id=region_id)


@selector("identity:get_policy_for_endpoint")
def endpoint_policy(ctx: RequestContext, *, endpoint_id: str) -> QuerySet[Policy]:
    """The policy of an endpoint: its own, else its service's in its region or one around that, else its service's.

    Raises NotFound for the endpoint, or where there is none.
    """
    endpoint = row_of(Endpoint, endpoint_id, "endpoint")
    places: list[dict[str, Any]] = [{"endpoint_id": endpoint.pk}]
    region = endpoint.region
    while region is not None:
        places.append({"service_id": endpoint.service_id, "region_id": region.pk})
        region = region.parent
    places.append({"service_id": endpoint.service_id, "region": None})
    for place in places:
        found = PolicyAssociation.objects.filter(**place).first()
        if found is not None:
            return Policy.objects.filter(pk=found.policy_id)
    raise NotFound("policy of endpoint", endpoint_id)


@selector("identity:list_endpoints_for_policy")
def policy_endpoints(ctx: RequestContext, *, policy_id: str) -> QuerySet[Endpoint]:
    """The endpoints that a policy is attached to, directly or by service and region. Raises NotFound."""
    policy = row_of(Policy, policy_id, "policy")
    within = Q(pk__in=[])
    for one in policy.associations.all():
        if one.endpoint_id:
            within |= Q(pk=one.endpoint_id)
        else:
            within |= Q(service_id=one.service_id, **({"region_id": one.region_id} if one.region_id else {}))
    return Endpoint.objects.filter(within)


def place_of(*, endpoint_id: str = "", service_id: str = "", region_id: str = "") -> dict[str, Any]:
    """Where a policy can be attached, as columns. Raises NotFound."""
    return {
        "endpoint": row_of(Endpoint, endpoint_id, "endpoint") if endpoint_id else None,
        "service": row_of(Service, service_id, "service") if service_id else None,
        "region": row_of(Region, region_id, "region") if region_id else None,
    }


def _check(policy_id: str, **ids: str) -> None:
    row_of(Policy, policy_id, "policy")
    if not PolicyAssociation.objects.filter(policy_id=policy_id, **place_of(**ids)).exists():
        raise NotFound("policy association")
