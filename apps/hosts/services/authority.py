"""Kumo's own certificate authority: hosts and the control plane's host port prove themselves with its certificates.

Keys are EC P-256. The authority's key is a file of the secrets' directory and never leaves it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.conf import settings

from apps.core.errors import Invalid

AUTHORITY_YEARS = 20
CERTIFICATE_DAYS = 3 * 365
RENEW_BEFORE = datetime.timedelta(days=60)
_BACKDATED = datetime.timedelta(hours=1)  # so that a host whose clock is a little behind accepts what it was given
_LEAST_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority's key and certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, lower-case hex; what an operator gives a new host to recognise us by."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


@dataclass(frozen=True, slots=True)
class Issued:
    """A new certificate."""

    pem: str
    serial: str  # lower-case hex, as nginx's $ssl_client_serial without case
    expires_at: datetime.datetime


def authority() -> Authority:
    """The authority, made at first use. Two processes that make it at once agree on one."""
    directory: Path = settings.CONFIG.secrets
    bundle = _kept(directory / "host_ca.pem", _new_authority)
    key = serialization.load_pem_private_key(bundle, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Authority(key, x509.load_pem_x509_certificate(bundle[bundle.index(b"-----BEGIN CERTIFICATE") :]))


def host_certificate(name: str, csr_pem: str) -> Issued:
    """Sign a host's request as client certificate with `CN=name`, whatever name the request holds.

    Raises Invalid for a request that is not one, is not signed by its own key, or has a weak key.
    """
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        key = request.public_key()
        proven = request.is_signature_valid
    except (ValueError, InvalidSignature) as error:
        raise Invalid(f"The certificate request cannot be read: {error}", field="csr_pem") from error
    if not proven:
        raise Invalid("The certificate request is not signed by its own key.", field="csr_pem")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        raise Invalid(f"The key is too short: at least {_LEAST_RSA_BITS} bits.", field="csr_pem")
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise Invalid("The key must be elliptic-curve or RSA.", field="csr_pem")
    return _issue(key, name, ExtendedKeyUsageOID.CLIENT_AUTH, [x509.DNSName(name)])


def server_certificate(addresses: list[str], directory: Path) -> tuple[Path, Path, Path]:
    """Certificate, key and authority for the port that hosts reach, as files in `directory`.

    What is there already is kept while it names the same addresses and is not about to expire.
    Raises Invalid without an address.
    """
    if not addresses:
        raise Invalid("Name at least one address by which hosts reach the control plane.", field="address")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate, key, ca = (directory / name for name in ("server.crt", "server.key", "ca.crt"))
    ours = authority()
    names = [_general_name(a) for a in addresses]
    if not (key.exists() and _still_good(certificate, names, ours)):
        fresh = ec.generate_private_key(ec.SECP256R1())
        issued = _issue(fresh.public_key(), addresses[0], ExtendedKeyUsageOID.SERVER_AUTH, names)
        _write(key, _private_pem(fresh), 0o600)
        _write(certificate, issued.pem.encode(), 0o644)
    _write(ca, ours.pem.encode(), 0o644)
    return certificate, key, ca


def _issue(
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    name: str,
    usage: x509.ObjectIdentifier,
    names: list[x509.GeneralName],
) -> Issued:
    ours = authority()
    now = datetime.datetime.now(datetime.UTC)
    expires = now + datetime.timedelta(days=CERTIFICATE_DAYS)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(ours.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(expires)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ours.key.public_key()), critical=False)
        .sign(ours.key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    return Issued(pem, f"{made.serial_number:x}", made.not_valid_after_utc)


def _new_authority() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Kumo hosts")])
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"),
        False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=AUTHORITY_YEARS * 365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _private_pem(key) + made.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _still_good(path: Path, names: list[x509.GeneralName], ours: Authority) -> bool:
    try:
        held = x509.load_pem_x509_certificate(path.read_bytes())
        held.verify_directly_issued_by(ours.certificate)
        covered = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    fresh = held.not_valid_after_utc - datetime.datetime.now(datetime.UTC) > RENEW_BEFORE
    return fresh and set(names) <= set(covered)


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    """The file's content; if there is no file yet, what `make` gives, unless another process was first."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    _write(draft, make(), 0o600)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_bytes()


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
