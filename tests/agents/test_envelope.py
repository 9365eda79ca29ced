from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents import envelope as wire

KEY = wire.private_key(wire.new_private_key())
OTHER = wire.private_key(wire.new_private_key())


def sealed(**changes: object) -> str:
    fields = {"sender": "hv-1", "to": "control", "verb": "host.answer", "body": {"reply": {}}, "operation": "o1",
              "step": "domain", "attempt": 2, "fence": 7} | changes  # fmt: skip
    return wire.seal(KEY, wire.envelope(**fields))  # type: ignore[arg-type]


def unsealed(text: str, to: str = "control") -> wire.Envelope:
    return wire.unseal(text, to=to, key_of={"hv-1": KEY.public_key(), "hv-2": OTHER.public_key()}.get)


def test_round_trip() -> None:
    opened = unsealed(sealed())
    assert (opened.sender, opened.operation, opened.step, opened.attempt, opened.fence) == (
        "hv-1",
        "o1",
        "domain",
        2,
        7,
    )


def test_any_changed_byte_is_noticed() -> None:
    text = sealed()
    for at in range(len(text)):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(wire.EnvelopeError):
            unsealed(changed)


def test_a_host_cannot_speak_for_another() -> None:
    with pytest.raises(wire.EnvelopeError, match="not signed by 'hv-2'"):
        unsealed(sealed(sender="hv-2"))


def test_message_for_somebody_else_is_refused() -> None:
    with pytest.raises(wire.EnvelopeError, match="addressed to 'hv-9'"):
        unsealed(sealed(to="hv-9"))


def test_stranger_is_refused() -> None:
    with pytest.raises(wire.EnvelopeError, match="not known"):
        unsealed(sealed(sender="hv-7"))


@pytest.mark.parametrize("text", ["", ".", "x", "a.b", "!!.{}", "AAAA.{}", "." + "{" * 10_000, "A" * 20_000_000])
def test_rubbish_is_refused(text: str) -> None:
    with pytest.raises(wire.EnvelopeError):
        unsealed(text)


def test_unknown_fields_are_refused() -> None:
    signature, _, payload = sealed().partition(".")
    with pytest.raises(wire.EnvelopeError, match="cannot be read"):
        unsealed(f'{signature}.{payload[:-1]},"extra":1}}')


def test_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "signing_key"
    first = wire.public_pem(wire.key_file(path))
    assert wire.public_pem(wire.key_file(path)) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["signing_key"]


def test_only_ed25519_keys_are_taken() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = ec.generate_private_key(ec.SECP256R1()).public_key()
    text = pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(ValueError, match=re.escape("not an Ed25519 key")):
        wire.public_key(text)
