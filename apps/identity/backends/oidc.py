"""An OpenID Connect provider as a protocol names it, a browser's attempt to sign in by it, and claims as an assertion.

What talks to providers is `apps.identity.backends.relying_party`, which loads libraries that most clouds never need.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from apps.core.errors import Invalid


class Oidc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenID Connect provider, as a protocol of an identity provider names it."""

    issuer: Annotated[str, msgspec.Meta(max_length=1024)]
    client_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    client_secret: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    scopes: Annotated[tuple[str, ...], msgspec.Meta(max_length=32)] = ("openid", "profile", "email")
    audiences: Annotated[tuple[str, ...], msgspec.Meta(max_length=32)] = ()  # besides the client id

    def __post_init__(self) -> None:
        secure_address(self.issuer)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that a browser has begun; kept with the browser, where nobody else can finish it."""

    provider: str
    protocol: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    started: float
    origin: str = ""


ATTEMPT_S = 600.0


def secure_address(url: str) -> None:
    """Raise ValueError unless the address is https, or http on this very machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
        return
    raise ValueError(f"`{url}` is no https address")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# --- as an assertion ----------------------------------------------------------------------------------


def assertion_of(claims: Mapping[str, Any]) -> dict[str, list[str]]:
    """Claims under the names that Apache's module gives them, so that Keystone's mappings can be taken over.

    `email` is `OIDC-email` and `HTTP_OIDC_EMAIL`; members of an object have their path, `OIDC-address.country`.
    """
    found: dict[str, list[str]] = {}
    for name, value in _flat("", claims):
        texts = [_text(one) for one in value] if isinstance(value, list) else [_text(value)]
        found[f"OIDC-{name}"] = texts
        found[f"HTTP_OIDC_{name.upper().replace('-', '_')}"] = texts
    user = claims.get("preferred_username") or claims.get("sub")
    return found | ({"REMOTE_USER": [str(user)]} if user else {})


def _flat(above: str, claims: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in claims.items():
        if isinstance(value, Mapping):
            found += _flat(f"{above}{name}.", value)
        elif value is not None:
            found.append((f"{above}{name}", value))
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def read(values: Mapping[str, Any]) -> Oidc:
    """A body's `oidc` member. Raises Invalid."""
    try:
        return msgspec.convert(dict(values), Oidc)
    except (msgspec.ValidationError, ValueError) as error:
        raise Invalid(f"oidc: {error}", field="oidc") from error
