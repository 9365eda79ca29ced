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

    PASSWORD = "password"  # noqa: S105 - the name of a method
    TOKEN = "token"  # noqa: S105 - the name of a method


class Interface(enum.StrEnum):
    """The three addresses of a service in the catalogue."""

    PUBLIC = "public"
    INTERNAL = "internal"
    ADMIN = "admin"


def new_id() -> str:
    """32 hexadecimal characters, the form of identity's ids."""
    return uuid.uuid4().hex
