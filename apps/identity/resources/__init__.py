"""What identity's API shows and takes, noun by noun. Attributes that no table knows are kept, as Keystone does."""

from apps.identity.resources.base import TAG
from apps.identity.resources.catalog import ENDPOINT, REGION, SERVICE
from apps.identity.resources.credentials import ACCESS_RULE, APPLICATION_CREDENTIAL
from apps.identity.resources.limits import LIMIT, LIMITS, REGISTERED_LIMIT, REGISTERED_LIMITS
from apps.identity.resources.projects import DOMAIN, PROJECT
from apps.identity.resources.roles import ROLE
from apps.identity.resources.users import GROUP, USER

__all__ = [
    "ACCESS_RULE",
    "APPLICATION_CREDENTIAL",
    "DOMAIN",
    "ENDPOINT",
    "GROUP",
    "LIMIT",
    "LIMITS",
    "PROJECT",
    "REGION",
    "REGISTERED_LIMIT",
    "REGISTERED_LIMITS",
    "ROLE",
    "SERVICE",
    "TAG",
    "USER",
]
