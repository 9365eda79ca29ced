"""The content of a token: packed into few bytes, sealed with Fernet, no longer than 255 characters; or as a JWS.

A token carries ids and the generations of its user and project, nothing that could become wrong: roles, names
and whether it still holds are looked up when it is used.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.identity.backends import jws
from apps.identity.states import Method, Scope

MAX_TOKEN_LENGTH = 255
MAX_JWS_LENGTH = 2048
_VERSION = 1
_RECEIPT_VERSION = 101
_HEX = frozenset("0123456789abcdef")
_HEX_LENGTHS = {32, 64}  # our ids, and a directory's (sha256)
# Positions are part of tokens in use: only append.
_SCOPES = (Scope.UNSCOPED, Scope.PROJECT, Scope.DOMAIN, Scope.SYSTEM)
_METHODS = (
    Method.PASSWORD,
    Method.TOKEN,
    Method.APPLICATION_CREDENTIAL,
    Method.TOTP,
    Method.OAUTH1,
    Method.EC2_CREDENTIAL,
    Method.OPENID,
    Method.MAPPED,
)
# What a token may be limited by, at most one.
_DELEGATIONS = ("credential_id", "trust_id", "access_token_id")


class BadToken(Exception):
    """Not a token of ours, or sealed with a key that is gone."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. `issued_at` is in microseconds and `expires_at` in seconds since 1970; `audit_ids` are its own
    and that of the first in its chain."""

    user_id: str
    user_generation: int
    scope: Scope
    target_id: str  # of the project or domain; empty for the others
    target_generation: int
    methods: tuple[Method, ...]
    issued_at: int
    expires_at: int
    audit_ids: tuple[str, ...]
    credential_id: str = ""  # application credential, for tokens made by one
    trust_id: str = ""  # `user_id` is then the trustee, `user_generation` the sum of trustee's and trustor's
    access_token_id: str = ""  # of OAuth 1.0a


def new_audit_id() -> str:
    """22 characters, 128 random bits, as Keystone's."""
    return _audit_text(secrets.token_bytes(16))


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Proof of some factors of somebody who needs more. Times as in `Claims`."""

    user_id: str
    user_generation: int
    methods: tuple[Method, ...]
    issued_at: int
    expires_at: int


def seal(claims: Claims, key: Fernet) -> str:
    """The token's text."""
    return _sealed(_packed(claims), key)


def unseal(token: str, keys: MultiFernet) -> Claims:
    """What the token says. Raises BadToken; does not look at times or revocations."""
    return _unpacked(_opened(token, keys))


def sign(claims: Claims, key: Ed25519PrivateKey) -> str:
    """The token as a JWS, which others can read and check."""
    content = msgspec.to_builtins(claims)
    return jws.sign({"sub": claims.user_id, "exp": claims.expires_at, "kumo": content}, key)


def verified(token: str, keys: Iterable[Ed25519PrivateKey]) -> Claims:
    """What a signed token says. Raises BadToken."""
    if len(token) > MAX_JWS_LENGTH:
        raise BadToken
    try:
        return msgspec.convert(jws.verified(token, keys).get("kumo"), Claims)
    except (jws.BadSignature, msgspec.ValidationError) as error:
        raise BadToken from error


def seal_receipt(receipt: Receipt, key: Fernet) -> str:
    """The text of a receipt."""
    packed = [
        _RECEIPT_VERSION,
        _pack_id(receipt.user_id),
        receipt.user_generation,
        _mask(receipt.methods),
        receipt.issued_at,
        receipt.expires_at,
    ]
    return _sealed(packed, key)


def unseal_receipt(text: str, keys: MultiFernet) -> Receipt:
    """What a receipt says. Raises BadToken."""
    version, *fields = _opened(text, keys)
    if version != _RECEIPT_VERSION:
        raise BadToken
    user, generation, methods, issued, expires = fields
    return Receipt(
        user_id=_unpack_id(user),
        user_generation=generation,
        methods=_unmask(methods),
        issued_at=issued,
        expires_at=expires,
    )


def _sealed(packed: list[Any], key: Fernet) -> str:
    return key.encrypt(msgspec.msgpack.encode(packed)).decode().rstrip("=")


def _opened(text: str, keys: MultiFernet) -> list[Any]:
    if not text or len(text) > MAX_TOKEN_LENGTH:
        raise BadToken
    try:
        fields: list[Any] = msgspec.msgpack.decode(keys.decrypt(text.encode() + b"=" * (-len(text) % 4)))
    except (InvalidToken, UnicodeEncodeError, msgspec.DecodeError) as error:
        raise BadToken from error
    return fields


def _packed(claims: Claims) -> list[Any]:
    kind = next((index for index, name in enumerate(_DELEGATIONS) if getattr(claims, name)), 0)
    fields = [
        _VERSION,
        _pack_id(claims.user_id),
        claims.user_generation,
        _SCOPES.index(claims.scope),
        _pack_id(claims.target_id),
        claims.target_generation,
        _mask(claims.methods),
        claims.issued_at,
        claims.expires_at,
        [_audit_bytes(audit_id) for audit_id in claims.audit_ids],
        _pack_id(getattr(claims, _DELEGATIONS[kind])),
    ]
    return [*fields, kind] if kind else fields


def _unpacked(fields: list[Any]) -> Claims:
    if fields[0] != _VERSION:
        raise BadToken
    _, user, user_generation, scope, target, target_generation, methods, issued, expires, audits, delegation, *kind = (
        fields
    )
    return Claims(
        user_id=_unpack_id(user),
        user_generation=user_generation,
        scope=_SCOPES[scope],
        target_id=_unpack_id(target),
        target_generation=target_generation,
        methods=_unmask(methods),
        issued_at=issued,
        expires_at=expires,
        audit_ids=tuple(_audit_text(audit) for audit in audits),
        **{_DELEGATIONS[kind[0] if kind else 0]: _unpack_id(delegation)},
    )


def _mask(methods: Iterable[Method]) -> int:
    return sum(1 << _METHODS.index(method) for method in methods)


def _unmask(mask: int) -> tuple[Method, ...]:
    return tuple(method for bit, method in enumerate(_METHODS) if mask & 1 << bit)


def _pack_id(ident: str) -> bytes | str:
    return bytes.fromhex(ident) if len(ident) in _HEX_LENGTHS and _HEX.issuperset(ident) else ident


def _unpack_id(packed: bytes | str) -> str:
    return packed.hex() if isinstance(packed, bytes) else packed


def _audit_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _audit_bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")
