"""Enrolment from the host's side: who is trusted, what is written, what a failure leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

from agents import enroll
from tests.kit.control_plane import ControlPlaneStub, control_plane


@pytest.fixture
def ca(stub: ControlPlaneStub) -> str:
    pem = stub.authority.public_bytes(Encoding.PEM)
    stub.answers["/ca"] = (200, pem)
    return pem.decode()


@pytest.fixture
def fingerprint(stub: ControlPlaneStub) -> str:
    return stub.authority.fingerprint(hashes.SHA256()).hex()


@pytest.fixture
def file(stub: ControlPlaneStub, tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(
        f'name = "host-7"\nstate = "{tmp_path}/state"\ncontrol_url = "{stub.url}"\nbroker_url = "redis://x"\n'
    )
    return path


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("once-only\n")
    return path


def answer(stub: ControlPlaneStub, ca: str) -> None:
    stub.answer_json(
        "/enroll",
        {
            "certificate_pem": "CERTIFICATE",
            "ca_pem": ca,
            "control_public_key_pem": "CONTROL",
            "broker_password": "PASSWORD",
        },
        201,
    )


def arguments(file: Path, token: Path, fingerprint: str) -> list[str]:
    return ["--config", str(file), "--token-file", str(token), "--ca-fingerprint", fingerprint]


def identity(file: Path) -> dict[str, str]:
    directory = file.parent / "state/identity"
    return {path.name: path.read_text() for path in directory.iterdir()} if directory.exists() else {}


def test_host_is_enrolled_and_its_keys_stay_with_it(
    stub: ControlPlaneStub, ca: str, fingerprint: str, file: Path, token: Path
) -> None:
    answer(stub, ca)
    assert enroll.main(arguments(file, token, "SHA256:" + fingerprint.upper())) == 0
    written = identity(file)
    assert written["host.crt"] == "CERTIFICATE"
    assert written["ca.crt"] == ca
    assert written["control.pub"] == "CONTROL"
    assert written["broker_password"] == "PASSWORD"
    sent = json.loads(stub.asked[-1].body)
    assert (sent["token"], sent["name"]) == ("once-only", "host-7")
    request = x509.load_pem_x509_csr(sent["csr_pem"].encode())
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "CN=host-7"
    assert isinstance(load_pem_public_key(sent["signing_public_key_pem"].encode()), Ed25519PublicKey)
    assert "PRIVATE" not in stub.asked[-1].body.decode()
    directory = file.parent / "state/identity"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_repeat_keeps_the_keys(stub: ControlPlaneStub, ca: str, fingerprint: str, file: Path, token: Path) -> None:
    answer(stub, ca)
    enroll.main(arguments(file, token, fingerprint))
    before = identity(file)
    assert enroll.main(arguments(file, token, fingerprint)) == 0
    assert identity(file) == before


def test_another_fingerprint_ends_it_before_the_token_is_shown(
    stub: ControlPlaneStub, ca: str, file: Path, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(stub, ca)
    assert enroll.main(arguments(file, token, "0" * 64)) == 1
    assert "fingerprint" in capsys.readouterr().err
    assert stub.paths() == ["/ca"]
    assert identity(file) == {}


def test_stranger_who_shows_our_authority_but_has_not_its_certificate_gets_no_token(
    stub: ControlPlaneStub, ca: str, fingerprint: str, file: Path, token: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with control_plane(other) as stranger:
        stranger.answers["/ca"] = (200, ca.encode())
        answer(stranger, ca)
        assert enroll.main([*arguments(file, token, fingerprint), "--url", stranger.url]) == 1
        assert stranger.paths() == ["/ca"]
    assert "host.crt" not in identity(file)


def test_used_token_is_explained_and_leaves_no_certificate(
    stub: ControlPlaneStub,
    ca: str,
    fingerprint: str,
    file: Path,
    token: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stub.answers["/enroll"] = (403, b"used")
    assert enroll.main(arguments(file, token, fingerprint)) == 1
    assert "manage.py host enroll" in capsys.readouterr().err
    assert set(identity(file)) == {"host.key", "signing.key"}


@pytest.mark.parametrize("given", ["", "xyz", "12:34"])
def test_what_is_no_fingerprint_is_refused_without_a_connection(
    stub: ControlPlaneStub, file: Path, token: Path, given: str
) -> None:
    assert enroll.main([*arguments(file, token, given or " ")]) == 1
    assert stub.asked == []


def test_authority_can_be_given_as_a_file(
    stub: ControlPlaneStub, ca: str, file: Path, token: Path, tmp_path: Path
) -> None:
    answer(stub, ca)
    kept = tmp_path / "ca.pem"
    kept.write_text(ca)
    assert enroll.main(["--config", str(file), "--token-file", str(token), "--ca-file", str(kept)]) == 0
    assert stub.paths() == ["/enroll"]


def test_missing_configuration_is_said(token: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert enroll.main(arguments(tmp_path / "absent.toml", token, "0" * 64)) == 1
    assert "absent.toml" in capsys.readouterr().err


def test_key_of_another_kind_is_refused(
    stub: ControlPlaneStub, ca: str, fingerprint: str, file: Path, token: Path
) -> None:
    answer(stub, ca)
    enroll.main(arguments(file, token, fingerprint))
    directory = file.parent / "state/identity"
    (directory / "signing.key").write_text((directory / "host.key").read_text())
    assert enroll.main(arguments(file, token, fingerprint)) == 1
