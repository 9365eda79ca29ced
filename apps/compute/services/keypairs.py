"""Writing key pairs. A generated private key is handed out once and forgotten."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from apps.compute.models import KeyPair
from apps.compute.selectors._common import key_owner
from apps.compute.services.quotas import key_pair_claim
from apps.compute.states import KeyType
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.transactions import on_violation, service

RSA_BITS = 2048

on_violation("compute_key_pair_name", lambda detail: Conflict("A key pair with this name exists already."))


@dataclass(frozen=True, slots=True)
class Made:
    """A new key pair and, where Kumo generated it, the private key in PEM."""

    key_pair: KeyPair
    private_key: str = ""


@service("os_compute_api:os-keypairs:create")
def key_pair_create(
    ctx: RequestContext, *, name: str, public_key: str | None = None, type: str = KeyType.SSH, user_id: str = ""
) -> Made:
    """Import a public key, or without one generate a pair.

    Raises Invalid for a name of blanks or an unusable key, Conflict for a taken name, OverQuota.
    """
    owner = key_owner(ctx, user_id, "os_compute_api:os-keypairs:create")
    if name != name.strip():
        raise Invalid("The name of a key pair must not begin or end with a blank.", field="name")
    if public_key is None and type != KeyType.SSH:
        raise Invalid("Only SSH keys are generated; give the certificate as public_key.", field="public_key")
    private_key = ""
    if public_key is None:
        private_key, public_key = _generate()
    fingerprint = _ssh_fingerprint(public_key) if type == KeyType.SSH else _x509_fingerprint(public_key)
    key_pair_claim(ctx, user_id=owner)
    row = KeyPair.objects.create(user_id=owner, name=name, type=type, public_key=public_key, fingerprint=fingerprint)
    return Made(row, private_key)


def _generate() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} Generated-by-Kumo"


def _ssh_fingerprint(text: str) -> str:
    """MD5 of the key's blob in pairs of hexadecimal digits, as OpenStack shows it. Raises Invalid."""
    parts = text.strip().split()
    try:
        serialization.load_ssh_public_key(" ".join(parts[:2]).encode())
        blob = base64.b64decode(parts[1], validate=True)
    except (ValueError, IndexError, UnsupportedAlgorithm) as error:
        raise Invalid(
            "Keypair data is invalid: failed to generate fingerprint.",
            field="public_key",
            hint="Give one line such as the content of ~/.ssh/id_ed25519.pub.",
        ) from error
    return _pairs(hashlib.md5(blob, usedforsecurity=False).hexdigest())


def _x509_fingerprint(text: str) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise Invalid("Keypair data is invalid: not a certificate in PEM.", field="public_key") from error
    return _pairs(certificate.fingerprint(hashes.SHA1()).hex())  # noqa: S303 - what OpenStack shows, not a signature


def _pairs(digits: str) -> str:
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))


@service("os_compute_api:os-keypairs:delete")
def key_pair_delete(ctx: RequestContext, *, name: str, user_id: str = "") -> None:
    """Forget a public key; servers that got it keep it. Raises NotFound."""
    owner = key_owner(ctx, user_id, "os_compute_api:os-keypairs:delete")
    gone, _ = KeyPair.objects.filter(user_id=owner, name=name).delete()
    if not gone:
        raise NotFound("key pair", name)
