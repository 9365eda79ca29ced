"""Fixed words of identity: scopes, interfaces, sign-in methods and the names of the default roles."""

from __future__ import annotations

import enum
import uuid

DEFAULT_DOMAIN_ID = "default"
ADMIN_ROLE = "admin"


class Scope(enum.StrEnum):
    """What an assignment gives a role on, and what a token is for."""

    PROJECT = "project"
    DOMAIN = "domain"
    SYSTEM = "system"
    UNSCOPED = "unscoped"


class Method(enum.StrEnum):
    """How somebody proved who they are; a token carries the set of them."""

    PASSWORD = "password"
    TOKEN = "token"
    APPLICATION_CREDENTIAL = "application_credential"
    TOTP = "totp"
    OAUTH1 = "oauth1"
    EC2_CREDENTIAL = "ec2credential"
    OPENID = "openid"
    MAPPED = "mapped"


# Methods by which a program acts for a user, with what that user let it have.
FEDERATED_METHODS = frozenset({Method.OPENID, Method.MAPPED})
DELEGATED_METHODS = frozenset({Method.APPLICATION_CREDENTIAL, Method.OAUTH1, Method.EC2_CREDENTIAL})


class Interface(enum.StrEnum):
    """The three addresses of a service in the catalogue."""

    PUBLIC = "public"
    INTERNAL = "internal"
    ADMIN = "admin"


def new_id() -> str:
    """32 hexadecimal characters, the form of identity's ids."""
    return uuid.uuid4().hex


DEFAULT_ROLES = (
    ADMIN_ROLE,
    "manager",
    "member",
    "reader",
    "service",
    "ResellerAdmin",  # of object storage
    "heat_stack_owner",
    "creator",  # of secrets
)
IMPLIED_ROLES = ((ADMIN_ROLE, "manager"), ("manager", "member"), ("member", "reader"))  # prior, implied

# The services of this cloud: type, name and path below the public address.
CATALOGUE = (
    ("identity", "keystone", "/identity"),
    ("image", "glance", "/image"),
    ("object-store", "swift", "/object-store/v1/AUTH_$(project_id)s"),
    ("s3", "s3", "/s3"),
    ("network", "neutron", "/networking"),
    ("compute", "nova", "/compute/v2.1"),
    ("placement", "placement", "/placement"),
    ("audit", "kumo-audit", "/audit"),
)

_BUILT_IN = uuid.UUID("3f1d0c7e-6a0f-4b7e-9a55-6b756d6f0001")


def built_in_id(name: str) -> str:
    """The id of a row that every cloud has: made from its name, so that it is found again."""
    return uuid.uuid5(_BUILT_IN, name).hex


def service_name(kind: str) -> str:
    """The name under which a type of service stands in the catalogue."""
    return next((name for known, name, _ in CATALOGUE if known == kind), kind)


MAX_TAGS = 80
