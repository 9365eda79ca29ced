"""Identity providers, mappings, protocols and service providers."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.identity.models import FederatedUser, FederationMapping, FederationProtocol, IdentityProvider, ServiceProvider
from apps.identity.selectors.access import row_of


@selector("identity:list_identity_providers")
def identity_provider_list(ctx: RequestContext) -> QuerySet[IdentityProvider]:
    """All identity providers."""
    return IdentityProvider.objects.all()


@selector("identity:get_identity_provider")
def identity_provider_get(ctx: RequestContext, *, provider_id: str) -> QuerySet[IdentityProvider]:
    """One identity provider."""
    return IdentityProvider.objects.filter(pk=provider_id)


@selector("identity:list_mappings")
def mapping_list(ctx: RequestContext) -> QuerySet[FederationMapping]:
    """All mappings."""
    return FederationMapping.objects.all()


@selector("identity:get_mapping")
def mapping_get(ctx: RequestContext, *, mapping_id: str) -> QuerySet[FederationMapping]:
    """One mapping."""
    return FederationMapping.objects.filter(pk=mapping_id)


@selector("identity:list_protocols")
def protocol_list(ctx: RequestContext, *, provider_id: str) -> QuerySet[FederationProtocol]:
    """The protocols of an identity provider. Raises NotFound."""
    row_of(IdentityProvider, provider_id, "identity provider")
    return FederationProtocol.objects.filter(provider_id=provider_id)


@selector("identity:get_protocol")
def protocol_get(ctx: RequestContext, *, provider_id: str, protocol_id: str) -> QuerySet[FederationProtocol]:
    """One protocol of an identity provider."""
    return FederationProtocol.objects.filter(provider_id=provider_id, name=protocol_id)


@selector("identity:list_service_providers")
def service_provider_list(ctx: RequestContext) -> QuerySet[ServiceProvider]:
    """All service providers."""
    return ServiceProvider.objects.all()


@selector("identity:get_service_provider")
def service_provider_get(ctx: RequestContext, *, provider_id: str) -> QuerySet[ServiceProvider]:
    """One service provider."""
    return ServiceProvider.objects.filter(pk=provider_id)


def protocol_in_use(provider_id: str, protocol_id: str) -> FederationProtocol:
    """The protocol somebody wants to sign in by, with its provider. Raises NotFound, also for a disabled one."""
    protocol = (
        FederationProtocol.objects.select_related("provider__domain", "mapping")
        .filter(provider_id=provider_id, name=protocol_id, provider__enabled=True, provider__domain__enabled=True)
        .first()
    )
    if protocol is None:
        raise NotFound("federation protocol", f"{provider_id}/{protocol_id}")
    return protocol


def protocol_of(remote_id: str, protocol_id: str) -> FederationProtocol:
    """The protocol of that name of the provider with that remote id, or of the only one where none is given."""
    named = FederationProtocol.objects.filter(name=protocol_id, provider__enabled=True, oidc__isnull=False)
    if remote_id:
        named = named.filter(provider__remotes__remote_id=remote_id)
    found = list(named.values_list("provider_id", flat=True)[:2])
    if len(found) != 1:
        raise NotFound(
            "identity provider", remote_id, hint="Name it in the address: …/identity_providers/ID/protocols/…"
        )
    return protocol_in_use(found[0], protocol_id)


def web_sign_ins() -> list[tuple[str, str, str]]:
    """What the sign-in page offers: identity provider, protocol, and what the button says."""
    rows = FederationProtocol.objects.filter(
        provider__enabled=True, provider__domain__enabled=True, oidc__isnull=False
    ).order_by("provider_id", "name")
    return [
        (provider, name, description or provider)
        for provider, name, description in rows.values_list("provider_id", "name", "provider__description")
    ]


def federation_of(user_id: str) -> dict[str, Any] | None:
    """The part of a token's document that says where a federated user came from."""
    found = FederatedUser.objects.filter(user_id=user_id).order_by("-pk").first()
    if found is None:
        return None
    groups = found.user.groups.order_by("pk").values_list("pk", flat=True)
    return {
        "groups": [{"id": pk} for pk in groups],
        "identity_provider": {"id": found.provider_id},
        "protocol": {"id": found.protocol},
    }
