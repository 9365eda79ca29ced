"""A relying party of OpenID Connect: the code flow for browsers, and access tokens that clients bring.

Sources: OpenID Connect Core 1.0 and Discovery 1.0, RFC 7636 (PKCE), RFC 7662 (introspection), RFC 9068 (JWT access
tokens). Only signatures by public keys are taken, and only tokens made for us.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from urllib3.exceptions import HTTPError

from apps.core.errors import KumoError, Unauthorized, Unavailable
from apps.identity.backends.oidc import ATTEMPT_S, Attempt, Oidc, secure_address

logger = logging.getLogger("kumo.identity")

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
REFUSED = "The request you have made requires authentication."
TIMEOUT = (3, 5)  # seconds to connect, and to answer
_FRESH_S = 300.0  # how long a provider's documents are kept
_LEAST_S = 10.0  # how soon keys may be asked for again because of an unknown one
_LEEWAY_S = 60  # clocks differ
_MOST_BYTES = 1024 * 1024
_MOST_TOKEN = 16 * 1024

# --- a provider's documents ---------------------------------------------------------------------------

_documents: dict[str, tuple[float, dict[str, Any]]] = {}
_lock = threading.Lock()


def metadata(issuer: str) -> dict[str, Any]:
    """The discovery document. Raises Unavailable."""
    found = _fetched(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if str(found.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
        raise Unavailable(f"The identity provider {issuer} says it is {found.get('issuer')!r}.", hint="Check `issuer`.")
    return found


def _keys(issuer: str, *, again: bool = False) -> KeySet:
    address = _endpoint(issuer, "jwks_uri")
    found = _fetched(address, _LEAST_S if again else _FRESH_S)
    try:
        return KeySet.import_key_set(found)  # type: ignore[arg-type]
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"The identity provider {issuer} has keys that cannot be read.") from error


def _endpoint(issuer: str, name: str) -> str:
    address = metadata(issuer).get(name)
    if not isinstance(address, str):
        raise Unavailable(f"The identity provider {issuer} has no {name}.")
    try:
        secure_address(address)
    except ValueError as error:
        raise Unavailable(f"The identity provider {issuer} has a {name} that is not secure.") from error
    return address


def _fetched(url: str, fresh: float = _FRESH_S) -> dict[str, Any]:
    with _lock:
        held = _documents.get(url)
    if held is not None and time.monotonic() - held[0] < fresh:
        return held[1]
    found = _json(requests.get(url, timeout=TIMEOUT, allow_redirects=False, stream=True), url) if url else {}
    with _lock:
        if len(_documents) > 200:
            _documents.clear()
        _documents[url] = (time.monotonic(), found)
    return found


def _json(answer: requests.Response, url: str) -> dict[str, Any]:
    with answer:
        body = answer.raw.read(_MOST_BYTES + 1, decode_content=True)
    if answer.status_code != 200 or len(body) > _MOST_BYTES:
        raise Unavailable(f"The identity provider answered {answer.status_code} at {url}.")
    try:
        return dict(msgspec.json.decode(body))
    except (msgspec.DecodeError, TypeError, ValueError) as error:
        raise Unavailable(f"The identity provider answered without JSON at {url}.") from error


def forget() -> None:
    """Drop what is kept of providers."""
    with _lock:
        _documents.clear()


class _Provider:
    """Talking to one provider: its errors are ours to explain, a caller's are 401."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, requests.RequestException | HTTPError):  # the second while a body is read
            raise Unavailable("The identity provider does not answer.", hint="Try again in a moment.") from error


# --- the code flow ------------------------------------------------------------------------------------


def begin(oidc: Oidc, *, provider: str, protocol: str, redirect_uri: str, origin: str = "") -> tuple[str, Attempt]:
    """Where to send a browser, and what to keep of it until it comes back. Raises Unavailable."""
    attempt = Attempt(
        provider=provider,
        protocol=protocol,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        redirect_uri=redirect_uri,
        started=time.time(),
        origin=origin,
    )
    with _Provider():
        url, _ = _session(oidc, redirect_uri).create_authorization_url(
            _endpoint(oidc.issuer, "authorization_endpoint"),
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
    return url, attempt


def finish(oidc: Oidc, attempt: Attempt, *, state: str, code: str) -> dict[str, Any]:
    """What the provider says of somebody who came back with a code. Raises Unauthorized, Unavailable."""
    if not hmac.compare_digest(state.encode(), attempt.state.encode()) or not code:
        raise _refused(oidc, "the browser came back with another state, or without a code")
    if time.time() - attempt.started > ATTEMPT_S:
        raise Unauthorized("This sign-in took too long; begin again.")
    with _Provider():
        session = _session(oidc, attempt.redirect_uri)
        try:
            tokens = session.fetch_token(
                _endpoint(oidc.issuer, "token_endpoint"),
                grant_type="authorization_code",
                code=code,
                code_verifier=attempt.verifier,
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        except (requests.RequestException, KumoError):
            raise
        except Exception as error:  # the library has an exception for each of the provider's error codes
            raise _refused(oidc, f"its token endpoint said {error}") from error
        claims = _verified(oidc, str(tokens.get("id_token", "")), audiences=(oidc.client_id,))
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), attempt.nonce.encode()):
            raise _refused(oidc, "the ID token has another nonce")
        if claims.get("azp", oidc.client_id) != oidc.client_id:
            raise _refused(oidc, "the ID token is for another party")
        return {**claims, **_userinfo(oidc, str(tokens.get("access_token", "")), claims["sub"])}


def _session(oidc: Oidc, redirect_uri: str) -> OAuth2Session:
    return OAuth2Session(
        client_id=oidc.client_id,
        client_secret=oidc.client_secret or None,
        scope=" ".join(oidc.scopes),
        redirect_uri=redirect_uri,
        token_endpoint_auth_method="client_secret_basic" if oidc.client_secret else "none",
        default_timeout=TIMEOUT[1],
    )


# --- tokens that clients bring ------------------------------------------------------------------------


def bearer(oidc: Oidc, token: str) -> dict[str, Any]:
    """What the provider says of the owner of an access token that was made for us.

    A signed one is checked with the provider's keys, any other by introspection; a provider that offers neither
    cannot tell us for whom it made a token, so its tokens are refused. Raises Unauthorized, Unavailable.
    """
    if not token or len(token) > _MOST_TOKEN:
        raise _refused(oidc, "the access token is empty or too long")
    audiences = (oidc.client_id, *oidc.audiences)
    with _Provider():
        if token.count(".") == 2:
            claims = _verified(oidc, token, audiences=audiences)
        else:
            claims = _introspected(oidc, token, audiences)
        if not isinstance(claims.get("sub"), str):
            raise _refused(oidc, "the access token names no subject")
        return {"iss": oidc.issuer, **claims, **_userinfo(oidc, token, claims["sub"])}


def _verified(oidc: Oidc, token: str, *, audiences: Sequence[str]) -> dict[str, Any]:
    """The claims of a signed token, its signature, issuer, audience and times checked."""
    try:
        try:
            claims = jwt.decode(token, _keys(oidc.issuer), algorithms=ALGORITHMS).claims
        except (JoseError, ValueError):  # signed with a key that is new, perhaps
            claims = jwt.decode(token, _keys(oidc.issuer, again=True), algorithms=ALGORITHMS).claims
        jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "values": [oidc.issuer, oidc.issuer.rstrip("/"), f"{oidc.issuer.rstrip('/')}/"]},
            sub={"essential": True},
            exp={"essential": True},
        ).validate(claims)
    except (JoseError, ValueError) as error:
        raise _refused(oidc, f"its token does not hold: {error}") from error
    if not set(_listed(claims.get("aud"))) & set(audiences):
        raise _refused(oidc, f"its token is for {claims.get('aud')!r}, not for us")
    return dict(claims)


def _introspected(oidc: Oidc, token: str, audiences: Sequence[str]) -> dict[str, Any]:
    if "introspection_endpoint" not in metadata(oidc.issuer):
        raise _refused(oidc, "the access token is no JWT, and the provider has no introspection")
    address = _endpoint(oidc.issuer, "introspection_endpoint")
    answer = requests.post(
        address,
        data={"token": token, "token_type_hint": "access_token"},
        auth=(oidc.client_id, oidc.client_secret),
        timeout=TIMEOUT,
        allow_redirects=False,
        stream=True,
    )
    claims = _json(answer, address)
    for_whom = {*_listed(claims.get("aud")), *_listed(claims.get("client_id"))}
    if claims.get("active") is not True or not for_whom & set(audiences):
        raise _refused(oidc, "introspection says that the access token is not active, or not for us")
    expires = claims.get("exp")
    if isinstance(expires, int | float) and expires + _LEEWAY_S < time.time():
        raise _refused(oidc, "the access token has expired")
    return claims


def _userinfo(oidc: Oidc, token: str, subject: str) -> dict[str, Any]:
    """What userinfo adds; it must speak of the same subject. A provider without it adds nothing."""
    if not token or "userinfo_endpoint" not in metadata(oidc.issuer):
        return {}
    address = _endpoint(oidc.issuer, "userinfo_endpoint")
    answer = requests.get(
        address, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT, allow_redirects=False, stream=True
    )
    if answer.status_code in {401, 403}:
        return {}  # a token that is good for us need not be good for that
    claims = _json(answer, address)
    if claims.get("sub") != subject:
        raise _refused(oidc, "userinfo speaks of somebody else")
    return {name: value for name, value in claims.items() if name not in {"iss", "aud", "exp", "iat", "nonce", "azp"}}


def _refused(oidc: Oidc, reason: str) -> Unauthorized:
    """The same 401 for every reason; the log says which."""
    logger.info("a sign-in by an identity provider was refused", extra={"issuer": oidc.issuer, "reason": reason[:500]})
    return Unauthorized(REFUSED)


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)] if value else []
