"""Writing key pairs. A generated private key is handed out once and forgotten."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apps.compute.models import KeyPair
from apps.compute.selectors._common import key_owner
from apps.compute.services.quotas import key_pair_claim
from apps.compute.states import KeyType
from apps.core import live
from apps.core.clock import database_time
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.transactions import on_violation, service

RSA_BITS = 2048
CERTIFICATE_LIFE = timedelta(days=3650)
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")  # Microsoft's user principal name, a UTF8String

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
    private_key = ""
    if public_key is None:
        private_key, public_key = _generate() if type == KeyType.SSH else _generate_certificate(owner)
    fingerprint = _ssh_fingerprint(public_key) if type == KeyType.SSH else _x509_fingerprint(public_key)
    key_pair_claim(ctx, user_id=owner)
    row = KeyPair.objects.create(user_id=owner, name=name, type=type, public_key=public_key, fingerprint=fingerprint)
    live.notify(ctx.project_id, "key_pair", row.pk)
    return Made(row, private_key)


def _generate() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} Generated-by-Kumo"


def _generate_certificate(user_id: str) -> tuple[str, str]:
    """A certificate for signing in to Windows by WinRM, and its key as PKCS #12 in Base64, as Nova makes them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64])])
    now = database_time()
    upn = x509.OtherName(UPN, b"\x0c" + bytes([len(f"{user_id}@localhost")]) + f"{user_id}@localhost".encode())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + CERTIFICATE_LIFE)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([upn]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = pkcs12.serialize_key_and_certificates(None, key, certificate, None, serialization.NoEncryption())
    return base64.b64encode(private).decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


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
    live.notify(ctx.project_id, "key_pair", name)
