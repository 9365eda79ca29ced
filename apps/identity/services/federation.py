"""Who may vouch for users, and how what they say is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import RestrictedError
from django.db.models.functions import Now

from apps.core import sealing
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.transactions import on_violation, service
from apps.identity.backends import federation_rules, oidc
from apps.identity.models import (
    Domain,
    FederatedMembership,
    FederatedUser,
    FederationMapping,
    FederationProtocol,
    IdentityProvider,
    Membership,
    RemoteId,
    ServiceProvider,
)
from apps.identity.selectors.access import row_of
from apps.identity.services.epoch import change_epoch
from apps.identity.services.tokens import end_tokens_of_user
from apps.identity.states import new_id

Rules = Sequence[Mapping[str, Any]]

# --- identity providers -------------------------------------------------------------------------------


@service("identity:create_identity_provider")
def identity_provider_create(
    ctx: RequestContext,
    *,
    provider_id: str,
    description: str | None = None,
    enabled: bool = False,
    domain_id: str | None = None,
    authorization_ttl: int | None = None,
    remote_ids: Sequence[str] | None = None,
) -> IdentityProvider:
    """Trust somebody's word. Without a domain a new one is made for their users, as in Keystone.

    Raises NotFound for the domain, Conflict for the id or a remote id of another provider.
    """
    if domain_id is None:
        home = Domain(
            name=new_id(), description=f"Auto generated federated domain for Identity Provider: {provider_id}"
        )
        home.save(force_insert=True)
        domain_id = home.pk
    row_of(Domain, domain_id, "domain")
    made = IdentityProvider(
        pk=provider_id,
        description=description,
        enabled=enabled,
        domain_id=domain_id,
        authorization_ttl=authorization_ttl,
    )
    made.save(force_insert=True)
    _remotes(made, remote_ids or ())
    return made


@service("identity:update_identity_provider")
def identity_provider_update(
    ctx: RequestContext, *, provider_id: str, remote_ids: Sequence[str] | None = None, **changes: Any
) -> IdentityProvider:
    """Change a provider; disabling it ends the tokens of its users. Raises NotFound, Conflict."""
    provider = row_of(IdentityProvider, provider_id, "identity provider")
    ends = changes.get("enabled") is False and provider.enabled
    _set(provider, changes)
    if remote_ids is not None:
        RemoteId.objects.filter(provider=provider).delete()
        _remotes(provider, remote_ids)
    if ends:
        _end(provider)
    return provider


@service("identity:delete_identity_provider")
def identity_provider_delete(ctx: RequestContext, *, provider_id: str) -> None:
    """Trust it no longer: its protocols go, and the tokens of its users end. Raises NotFound."""
    provider = row_of(IdentityProvider, provider_id, "identity provider")
    _end(provider)
    provider.delete()


def _remotes(provider: IdentityProvider, remote_ids: Iterable[str]) -> None:
    RemoteId.objects.bulk_create([RemoteId(remote_id=ident, provider=provider) for ident in remote_ids])


def _end(provider: IdentityProvider) -> None:
    """What its word gave is taken back."""
    for given in FederatedMembership.objects.filter(provider=provider):
        Membership.objects.filter(user_id=given.user_id, group_id=given.group_id).delete()
    FederatedMembership.objects.filter(provider=provider).delete()
    for user_id in FederatedUser.objects.filter(provider=provider).values_list("user_id", flat=True):
        end_tokens_of_user(user_id)
    change_epoch()


# --- mappings -----------------------------------------------------------------------------------------


@service("identity:create_mapping")
def mapping_create(
    ctx: RequestContext, *, mapping_id: str, rules: Rules, schema_version: str | None = None
) -> FederationMapping:
    """New rules. Raises Invalid where they contradict themselves, Conflict for the id."""
    federation_rules.check(rules)
    made = FederationMapping(pk=mapping_id, rules=rules, schema_version=schema_version or "1.0")
    made.save(force_insert=True)
    return made


@service("identity:update_mapping")
def mapping_update(ctx: RequestContext, *, mapping_id: str, **changes: Any) -> FederationMapping:
    """Change rules; they hold for the next sign-in. Raises NotFound, Invalid."""
    mapping = row_of(FederationMapping, mapping_id, "mapping")
    if "rules" in changes:
        federation_rules.check(changes["rules"])
    return _set(mapping, {name: value for name, value in changes.items() if value is not None})


@service("identity:delete_mapping")
def mapping_delete(ctx: RequestContext, *, mapping_id: str) -> None:
    """Remove rules. Raises NotFound, Conflict while a protocol uses them."""
    mapping = row_of(FederationMapping, mapping_id, "mapping")
    try:
        mapping.delete()
    except RestrictedError as error:
        raise Conflict(f"Mapping {mapping_id} is in use by a protocol.") from error


# --- protocols ----------------------------------------------------------------------------------------


@service("identity:create_protocol")
def protocol_create(
    ctx: RequestContext,
    *,
    provider_id: str,
    protocol_id: str,
    mapping_id: str,
    remote_id_attribute: str | None = None,
    oidc: Mapping[str, Any] | None = None,
) -> FederationProtocol:
    """A way to sign in. Raises NotFound for the provider, Invalid for the mapping or `oidc`, Conflict."""
    row_of(IdentityProvider, provider_id, "identity provider")
    made = FederationProtocol(
        provider_id=provider_id,
        name=protocol_id,
        mapping=_mapping(mapping_id),
        remote_id_attribute=remote_id_attribute,
        **_reached(oidc),
    )
    made.save(force_insert=True)
    return made


@service("identity:update_protocol")
def protocol_update(ctx: RequestContext, *, provider_id: str, protocol_id: str, **changes: Any) -> FederationProtocol:
    """Change a way to sign in; a new `oidc` takes the place of the old one, its secret too unless it names none."""
    protocol = _protocol(provider_id, protocol_id)
    if "mapping_id" in changes:
        changes["mapping_id"] = _mapping(changes["mapping_id"]).pk
    if "oidc" in changes:
        given = changes.pop("oidc")
        changes |= _reached(given, kept=protocol)
    return _set(protocol, changes)


@service("identity:delete_protocol")
def protocol_delete(ctx: RequestContext, *, provider_id: str, protocol_id: str) -> None:
    """Close a way to sign in. Raises NotFound."""
    _protocol(provider_id, protocol_id).delete()


def _protocol(provider_id: str, protocol_id: str) -> FederationProtocol:
    found = FederationProtocol.objects.filter(provider_id=provider_id, name=protocol_id).first()
    if found is None:
        raise NotFound("federation protocol", protocol_id)
    return found


def _mapping(mapping_id: str) -> FederationMapping:
    found = FederationMapping.objects.filter(pk=mapping_id).first()
    if found is None:
        raise Invalid(f"Mapping {mapping_id} could not be found.", field="mapping_id")
    return found


def _reached(given: Mapping[str, Any] | None, *, kept: FederationProtocol | None = None) -> dict[str, Any]:
    """`oidc` as columns, its secret sealed. The secret belongs to its issuer: for another one it is not kept."""
    if given is None:
        return {"oidc": None, "oidc_secret": None}
    oidc.read(given)
    shown = {name: value for name, value in given.items() if name != "client_secret"}
    columns: dict[str, Any] = {"oidc": shown}
    if "client_secret" in given:
        columns["oidc_secret"] = sealing.seal(str(given["client_secret"]).encode())
    elif kept is None or (kept.oidc or {}).get("issuer") != given["issuer"]:
        columns["oidc_secret"] = None
    return columns


# --- service providers --------------------------------------------------------------------------------


@service("identity:create_service_provider")
def service_provider_create(ctx: RequestContext, *, provider_id: str, **given: Any) -> ServiceProvider:
    """Name another cloud. Raises Conflict."""
    made = ServiceProvider(pk=provider_id, **given)
    made.save(force_insert=True)
    return made


@service("identity:update_service_provider")
def service_provider_update(ctx: RequestContext, *, provider_id: str, **changes: Any) -> ServiceProvider:
    """Change it. Raises NotFound."""
    return _set(row_of(ServiceProvider, provider_id, "service provider"), changes)


@service("identity:delete_service_provider")
def service_provider_delete(ctx: RequestContext, *, provider_id: str) -> None:
    """Forget it. Raises NotFound."""
    row_of(ServiceProvider, provider_id, "service provider").delete()


def _set(row: Any, changes: Mapping[str, Any]) -> Any:
    for name, value in changes.items():
        setattr(row, name, value)
    row.updated_at = Now()
    row.save()
    return row


for _noun, _constraint in (
    ("identity_provider", "identity_identityprovider_pkey"),
    ("mapping", "identity_federationmapping_pkey"),
    ("federation_protocol", "identity_protocol_once"),
    ("service_provider", "identity_serviceprovider_pkey"),
    ("remote_id", "identity_remoteid_pkey"),
    ("federated_user", "identity_federated_user_once"),  # two first sign-ins at once
):
    on_violation(
        _constraint,
        lambda detail, noun=_noun: Conflict(f"Conflict occurred attempting to store {noun} - {detail or 'duplicate'}"),  # type: ignore[misc]
    )
