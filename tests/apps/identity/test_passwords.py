"""Password hashes: what they cost in a running cloud, and which are made anew."""

from __future__ import annotations

import pytest

from apps.identity.backends import passwords
from cloud.settings import base


@pytest.fixture
def cost_of_a_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", passwords.hasher_at(base.KUMO_PASSWORD_COST))


@pytest.mark.usefixtures("cost_of_a_cloud")
def test_a_running_cloud_hashes_as_owasp_asks() -> None:
    stored = passwords.hash_password("battery staple")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.verify_password("battery staple", stored)
    assert not passwords.verify_password("battery stapler", stored)
    assert not passwords.needs_rehash(stored)


def test_a_cheaper_hash_still_fits_and_is_made_anew(request: pytest.FixtureRequest) -> None:
    cheap = passwords.hash_password("battery staple")
    assert not passwords.needs_rehash(cheap)
    request.getfixturevalue("cost_of_a_cloud")
    assert passwords.needs_rehash(cheap)
    assert passwords.verify_password("battery staple", cheap)
