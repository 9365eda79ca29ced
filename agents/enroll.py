"""Makes this machine a host of a cloud: `python -m agents.enroll --url … --token-file … --ca-fingerprint …`.

The keys are made here and never leave; the control plane gets a certificate request and the public half of the
signing key, against a join token that counts once. The authority's certificate is fetched first and must have
the fingerprint the operator was told, so that neither the token nor the host's name is shown to a stranger.
What cannot be completed leaves no half-enrolled host: keys stay for the next attempt, the rest is written last.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import http.client
import json
import os
import ssl
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from agents import config
from agents.config import AgentConfig, AgentConfigError
from agents.control import PREFIX

TIMEOUT_S = 30
LARGEST_ANSWER = 1 << 20


class EnrollError(Exception):
    """Enrolment was not possible; the text says why and what to do."""


class Enrolled(msgspec.Struct, frozen=True):
    """What the control plane gives a new host."""

    certificate_pem: str
    ca_pem: str
    control_public_key_pem: str
    broker_password: str


def enroll(settings: AgentConfig, url: str, token: str, *, ca_fingerprint: str = "", ca_pem: str = "") -> None:
    """Enrol this machine under its configured name. Raises EnrollError."""
    ca_pem = ca_pem or fetch_authority(url, ca_fingerprint)
    settings.identity.mkdir(parents=True, exist_ok=True)
    settings.identity.chmod(0o700)
    host_key = _private_key(settings.private_key, _new_host_key)
    signing_key = _private_key(settings.signing_key, ed25519.Ed25519PrivateKey.generate)
    answer = _post(
        url,
        ca_pem,
        {
            "token": token,
            "name": settings.name,
            "csr_pem": _request(settings.name, host_key),
            "signing_public_key_pem": _public_pem(signing_key),
        },
    )
    for path, text in (
        (settings.authority, answer.ca_pem),
        (settings.control_key, answer.control_public_key_pem),
        (settings.broker_password, answer.broker_password),
        (settings.certificate, answer.certificate_pem),
    ):
        _write(path, text.encode())


def fetch_authority(url: str, fingerprint: str) -> str:
    """The authority's certificate, from an address that is not trusted yet. Raises EnrollError."""
    wanted = fingerprint.lower().removeprefix("sha256:").replace(":", "").strip()
    if len(wanted) != hashlib.sha256().digest_size * 2:
        raise EnrollError("the fingerprint must be the 64 hexadecimal digits of a SHA-256 sum")
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE  # what comes is judged by its fingerprint
    status, body = _call(url, unverified, "GET", "/ca", b"")
    if status != 200:
        raise EnrollError(f"{url} did not tell its authority's certificate (status {status})")
    try:
        found = x509.load_pem_x509_certificate(body)
    except ValueError as error:
        raise EnrollError(f"{url} answered with something that is not a certificate") from error
    if not hmac.compare_digest(found.fingerprint(hashes.SHA256()).hex(), wanted):
        raise EnrollError(
            f"the certificate of {url} has another fingerprint than given: check the address and the fingerprint"
        )
    return found.public_bytes(Encoding.PEM).decode()


def _post(url: str, ca_pem: str, message: dict[str, str]) -> Enrolled:
    status, body = _call(
        url, ssl.create_default_context(cadata=ca_pem), "POST", "/enroll", json.dumps(message).encode()
    )
    if status in (200, 201):
        try:
            return msgspec.json.decode(body, type=Enrolled)
        except msgspec.MsgspecError as error:
            raise EnrollError(f"the control plane's answer cannot be read: {error}") from error
    words = body[:500].decode(errors="replace").strip()
    if status in (401, 403):
        raise EnrollError(
            f"the join token is not accepted: it counts once and for one hour; make another with "
            f"`manage.py host enroll`. The control plane said: {words}"
        )
    raise EnrollError(f"the control plane answered {status}: {words}")


def _call(url: str, context: ssl.SSLContext, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise EnrollError(f"{url!r} is not an address like https://ADDRESS:PORT")
    connection = http.client.HTTPSConnection(parts.hostname, parts.port or 443, timeout=TIMEOUT_S, context=context)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, PREFIX + path, body=body or None, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(LARGEST_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        raise EnrollError(f"the control plane cannot be reached at {url}: {error}") from error
    finally:
        connection.close()


Key = TypeVar("Key", ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)


def _new_host_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _private_key(path: Path, make: Callable[[], Key]) -> Key:
    """The key in `path`, made where there is none yet, so that a repeat keeps it."""
    made = make()
    if not path.exists():
        _write(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made
    kept = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(kept, type(made)):
        raise EnrollError(f"{path} holds a key of another kind; remove it")
    return kept


def _request(name: str, key: ec.EllipticCurvePrivateKey) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode()


def _public_pem(key: ed25519.Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _write(path: Path, content: bytes) -> None:
    """Put `content` in `path` at once and for root only."""
    made = path.with_name(f".{path.name}.part")
    handle = os.open(made, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    made.rename(path)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the status is 0 when the host is enrolled."""
    parser = argparse.ArgumentParser(prog="python -m agents.enroll", description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, help="the host's TOML file")
    parser.add_argument("--url", help="https://ADDRESS:PORT of the control plane; else the file's control_url")
    parser.add_argument("--token-file", type=Path, required=True, help="file with the join token, - for stdin")
    trust = parser.add_mutually_exclusive_group(required=True)
    trust.add_argument("--ca-fingerprint", default="", help="SHA-256 of the authority's certificate, hex")
    trust.add_argument("--ca-file", type=Path, help="the authority's certificate itself")
    options = parser.parse_args(argv)
    try:
        settings = config.load(options.config)
        token = sys.stdin.read() if str(options.token_file) == "-" else options.token_file.read_text()
        enroll(
            settings,
            options.url or settings.control_url,
            token.strip(),
            ca_fingerprint=options.ca_fingerprint,
            ca_pem=options.ca_file.read_text() if options.ca_file else "",
        )
    except (EnrollError, AgentConfigError, OSError) as error:
        sys.stderr.write(f"enrolment failed: {error}\n")
        return 1
    sys.stdout.write(f"host {settings.name} is enrolled; its identity is in {settings.identity}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
