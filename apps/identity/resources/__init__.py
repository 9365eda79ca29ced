"""What identity's API shows and takes, noun by noun. Attributes that no table knows are kept, as Keystone does."""

from apps.identity.resources.base import TAG
from apps.identity.resources.catalog import ENDPOINT, ENDPOINT_GROUP, POLICY, REGION, SERVICE
from apps.identity.resources.credentials import (
    ACCESS_RULE,
    APPLICATION_CREDENTIAL,
    CREDENTIAL,
    EC2_CREDENTIAL,
    EC2_CREDENTIAL_CREATE,
)
from apps.identity.resources.federation import (
    FEDERATION_MAPPING,
    FEDERATION_PROTOCOL,
    IDENTITY_PROVIDER,
    SERVICE_PROVIDER,
)
from apps.identity.resources.limits import LIMIT, LIMITS, REGISTERED_LIMIT, REGISTERED_LIMITS
from apps.identity.resources.oauth import ACCESS_TOKEN, AUTHORIZE, CONSUMER
from apps.identity.resources.projects import DOMAIN, PROJECT
from apps.identity.resources.roles import ROLE
from apps.identity.resources.trusts import TRUST
from apps.identity.resources.users import GROUP, USER

__all__ = [
    "ACCESS_RULE",
    "ACCESS_TOKEN",
    "APPLICATION_CREDENTIAL",
    "AUTHORIZE",
    "CONSUMER",
    "CREDENTIAL",
    "DOMAIN",
    "EC2_CREDENTIAL",
    "EC2_CREDENTIAL_CREATE",
    "ENDPOINT",
    "ENDPOINT_GROUP",
    "FEDERATION_MAPPING",
    "FEDERATION_PROTOCOL",
    "GROUP",
    "IDENTITY_PROVIDER",
    "LIMIT",
    "LIMITS",
    "POLICY",
    "PROJECT",
    "REGION",
    "REGISTERED_LIMIT",
    "REGISTERED_LIMITS",
    "ROLE",
    "SERVICE",
    "SERVICE_PROVIDER",
    "TAG",
    "TRUST",
    "USER",
]
