"""The content of a token: packed into few bytes, sealed with Fernet, no longer than 255 characters.

A token carries ids and the generations of its user and project, nothing that could become wrong: roles, names
and whether it still holds are looked up when it is used.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from apps.identity.states import Method, Scope

MAX_TOKEN_LENGTH = 255
_VERSION = 1
_HEX = frozenset("0123456789abcdef")
_HEX_LENGTHS = {32, 64}  # our ids, and a directory's (sha256)
# Positions are part of tokens in use: only append.
_SCOPES = (Scope.UNSCOPED, Scope.PROJECT, Scope.DOMAIN, Scope.SYSTEM)
_METHODS = (Method.PASSWORD, Method.TOKEN, Method.APPLICATION_CREDENTIAL)


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


def new_audit_id() -> str:
    """22 characters, 128 random bits, as Keystone's."""
    return _audit_text(secrets.token_bytes(16))


def seal(claims: Claims, key: Fernet) -> str:
    """The token's text."""
    packed = msgspec.msgpack.encode(
        (
            _VERSION,
            _pack_id(claims.user_id),
            claims.user_generation,
            _SCOPES.index(claims.scope),
            _pack_id(claims.target_id),
            claims.target_generation,
            sum(1 << _METHODS.index(method) for method in claims.methods),
            claims.issued_at,
            claims.expires_at,
            [_audit_bytes(audit_id) for audit_id in claims.audit_ids],
            _pack_id(claims.credential_id),
        )
    )
    return key.encrypt(packed).decode().rstrip("=")


def unseal(token: str, keys: MultiFernet) -> Claims:
    """What the token says. Raises BadToken; does not look at times or revocations."""
    if not token or len(token) > MAX_TOKEN_LENGTH:
        raise BadToken
    try:
        packed = keys.decrypt(token.encode() + b"=" * (-len(token) % 4))
        fields: list[Any] = msgspec.msgpack.decode(packed)
    except (InvalidToken, UnicodeEncodeError, msgspec.DecodeError) as error:
        raise BadToken from error
    version, user, user_generation, scope, target, target_generation, methods, issued, expires, audits, credential = (
        fields
    )
    if version != _VERSION:
        raise BadToken
    return Claims(
        user_id=_unpack_id(user),
        user_generation=user_generation,
        scope=_SCOPES[scope],
        target_id=_unpack_id(target),
        target_generation=target_generation,
        methods=tuple(method for bit, method in enumerate(_METHODS) if methods & 1 << bit),
        issued_at=issued,
        expires_at=expires,
        audit_ids=tuple(_audit_text(audit) for audit in audits),
        credential_id=_unpack_id(credential),
    )


def _pack_id(ident: str) -> bytes | str:
    return bytes.fromhex(ident) if len(ident) in _HEX_LENGTHS and _HEX.issuperset(ident) else ident


def _unpack_id(packed: bytes | str) -> str:
    return packed.hex() if isinstance(packed, bytes) else packed


def _audit_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _audit_bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")
