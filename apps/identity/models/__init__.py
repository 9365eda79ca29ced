"""The tables of identity, by noun."""

from apps.identity.models.base import Named
from apps.identity.models.catalog import (
    Endpoint,
    EndpointGroup,
    Policy,
    PolicyAssociation,
    ProjectEndpoint,
    ProjectEndpointGroup,
    Region,
    Service,
)
from apps.identity.models.credentials import AccessRule, ApplicationCredential, Credential
from apps.identity.models.federation import (
    FederatedMembership,
    FederatedUser,
    FederationMapping,
    FederationProtocol,
    IdentityProvider,
    RemoteId,
    ServiceProvider,
)
from apps.identity.models.ldap import DomainOption, IdMapping
from apps.identity.models.limits import Limit
from apps.identity.models.oauth import AccessToken, Consumer, RequestToken, UsedNonce
from apps.identity.models.projects import Domain, Project, ProjectOwned
from apps.identity.models.roles import Assignment, ImpliedRole, Role
from apps.identity.models.tokens import CredentialKey, Epoch, RevokedToken, TokenKey, WrappedKey
from apps.identity.models.trusts import Trust
from apps.identity.models.users import FormerPassword, Group, Membership, User

__all__ = [
    "AccessRule",
    "AccessToken",
    "ApplicationCredential",
    "Assignment",
    "Consumer",
    "Credential",
    "CredentialKey",
    "Domain",
    "DomainOption",
    "Endpoint",
    "EndpointGroup",
    "Epoch",
    "FederatedMembership",
    "FederatedUser",
    "FederationMapping",
    "FederationProtocol",
    "FormerPassword",
    "Group",
    "IdMapping",
    "IdentityProvider",
    "ImpliedRole",
    "Limit",
    "Membership",
    "Named",
    "Policy",
    "PolicyAssociation",
    "Project",
    "ProjectEndpoint",
    "ProjectEndpointGroup",
    "ProjectOwned",
    "Region",
    "RemoteId",
    "RequestToken",
    "RevokedToken",
    "Role",
    "Service",
    "ServiceProvider",
    "TokenKey",
    "Trust",
    "UsedNonce",
    "User",
    "WrappedKey",
]
