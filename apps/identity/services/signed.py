"""Requests signed by OAuth 1.0a consumers: who sent them, and that nobody sends them again."""

from __future__ import annotations

import time

from django.utils import timezone

from apps.core.errors import Invalid, Unauthorized
from apps.core.transactions import internal
from apps.identity.backends import oauth1
from apps.identity.backends.oauth1 import SignedRequest
from apps.identity.models import AccessToken, Consumer, RequestToken, UsedNonce
from apps.identity.selectors.keys import opened_secret

_CLOCKS_APART = 600  # seconds that a timestamp may be off; nonces are kept as long


def required(request: SignedRequest, *names: str) -> dict[str, str]:
    """The parameters of a signed request, these among them. Raises Invalid."""
    try:
        given = oauth1.parameters(request)
    except oauth1.BadRequest as error:
        raise Invalid(str(error), field="Authorization") from error
    for name in ("oauth_consumer_key", *names):
        if not given.get(name):
            raise Invalid(f"Expecting to find {name} in request.", field=name)
    return given


def consumer_signed(request: SignedRequest, token: RequestToken | AccessToken | None = None) -> Consumer:
    """The consumer that signed the request, with the secret of a token where it needs one.

    Raises Invalid for what is no signed request, Unauthorized where the signature does not fit or was used before.
    """
    given = required(request, "oauth_signature", "oauth_timestamp", "oauth_nonce")
    consumer = Consumer.objects.filter(pk=given["oauth_consumer_key"]).first()
    if consumer is None or (token is not None and token.consumer_id != consumer.pk):
        raise Unauthorized("Invalid consumer or token.")
    try:
        right = oauth1.fits(
            request,
            client_secret=opened_secret(consumer.sealed_secret),
            token_secret=opened_secret(token.sealed_secret) if token else "",
        )
    except oauth1.BadRequest as error:
        raise Invalid(str(error), field="Authorization") from error
    if not right:
        raise Unauthorized("Invalid signature")
    _only_once(consumer, given)
    return consumer


def access_token_signed(request: SignedRequest) -> AccessToken:
    """The access token by which a request was signed. Raises Invalid, Unauthorized."""
    token_id = required(request, "oauth_token")["oauth_token"]
    token = AccessToken.objects.select_related("user__domain").filter(pk=token_id).first()
    if token is None:
        raise Unauthorized("Could not validate the access token")
    if token.expires_at is not None and token.expires_at <= timezone.now():
        raise Unauthorized("Access token is expired")
    consumer_signed(request, token)
    return token


@internal("a request that was signed is taken once")
def _only_once(consumer: Consumer, given: dict[str, str]) -> None:
    now = int(time.time())
    stamp, nonce = given["oauth_timestamp"], given["oauth_nonce"]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16 and abs(now - int(stamp)) <= _CLOCKS_APART):
        raise Unauthorized("The timestamp is too far from now.")
    if len(nonce) > 255:
        raise Invalid("A nonce has at most 255 characters.", field="oauth_nonce")
    UsedNonce.objects.filter(timestamp__lt=now - 2 * _CLOCKS_APART).delete()
    _, first = UsedNonce.objects.get_or_create(consumer=consumer, timestamp=int(stamp), nonce=nonce)
    if not first:
        raise Unauthorized("The nonce was used before.")
