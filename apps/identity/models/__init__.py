"""The tables of identity, by noun."""

from apps.identity.models.base import Named
from apps.identity.models.catalog import Endpoint, Region, Service
from apps.identity.models.credentials import AccessRule, ApplicationCredential
from apps.identity.models.limits import Limit
from apps.identity.models.projects import Domain, Project, ProjectOwned
from apps.identity.models.roles import Assignment, ImpliedRole, Role
from apps.identity.models.tokens import Epoch, RevokedToken, TokenKey
from apps.identity.models.users import FormerPassword, Group, Membership, User

__all__ = [
    "AccessRule",
    "ApplicationCredential",
    "Assignment",
    "Domain",
    "Endpoint",
    "Epoch",
    "FormerPassword",
    "Group",
    "ImpliedRole",
    "Limit",
    "Membership",
    "Named",
    "Project",
    "ProjectOwned",
    "Region",
    "RevokedToken",
    "Role",
    "Service",
    "TokenKey",
    "User",
]
