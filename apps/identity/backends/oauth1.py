"""OAuth 1.0a requests (RFC 5849): their parameters, and whether a signature fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from oauthlib.oauth1.rfc5849 import signature, utils

_METHODS = {"HMAC-SHA1": signature.verify_hmac_sha1, "HMAC-SHA256": signature.verify_hmac_sha256}


class BadRequest(Exception):
    """Not a signed request, or one signed in a way that is not taken."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as the client sent it: method, absolute URL with query, header `Authorization`."""

    method: str
    url: str
    authorization: str


@dataclass(slots=True)
class _Signed:
    """What the library's verification looks at."""

    http_method: str
    uri: str
    signature: str
    params: list[tuple[str, str]] = field(default_factory=list)


def parameters(request: SignedRequest) -> dict[str, str]:
    """The `oauth_…` parameters of the header. Raises BadRequest."""
    if not request.authorization.lower().startswith("oauth "):
        raise BadRequest("Error retrieving OAuth headers")
    try:
        found = dict(utils.parse_authorization_header(request.authorization))
    except ValueError as error:
        raise BadRequest("Malformed Authorization header.") from error
    return {name: utils.unescape(value) for name, value in found.items()}


def fits(request: SignedRequest, *, client_secret: str, token_secret: str = "") -> bool:
    """Was the request signed with these secrets? Raises BadRequest."""
    given = parameters(request)
    verify = _METHODS.get(given.get("oauth_signature_method", ""))
    if verify is None:
        raise BadRequest("The signature's method must be HMAC-SHA1 or HMAC-SHA256.")
    signed = _Signed(request.method, request.url, given.get("oauth_signature", ""))
    signed.params = signature.collect_parameters(
        uri_query=urlsplit(request.url).query, headers={"Authorization": request.authorization}
    )
    try:
        return bool(verify(signed, client_secret, token_secret))
    except ValueError as error:
        raise BadRequest("The request cannot have been signed.") from error
