"""The way from a host to its control plane: mutual TLS, kept connections, refusals told from outages."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from agents.control import ControlPlane
from agents.errors import Refused, Transient
from tests.agents.conftest import agent_config
from tests.kit.control_plane import ControlPlaneStub, control_plane


@pytest.fixture
def control(stub: ControlPlaneStub, tmp_path: Path) -> ControlPlane:
    return ControlPlane(agent_config(stub, tmp_path / "state"))


def test_host_shows_its_certificate(control: ControlPlane, stub: ControlPlaneStub) -> None:
    stub.answer_json("/config-drive/x", {"files": {"a": "Yg=="}})
    assert control.config_drive("x") == {"a": "Yg=="}
    assert stub.asked[0].host == "host-1"


def test_connection_is_kept_and_renewed_when_it_went_stale(control: ControlPlane, stub: ControlPlaneStub) -> None:
    stub.answer_json("/a", 1)
    assert control.get_json("/a") == 1
    kept = control._local.connection
    assert control.get_json("/a") == 1
    assert control._local.connection is kept
    kept.sock.shutdown(2)
    assert control.get_json("/a") == 1


@pytest.mark.parametrize("status", [403, 404, 410])
def test_no_is_refused_with_the_control_planes_words(
    control: ControlPlane, stub: ControlPlaneStub, status: int
) -> None:
    stub.answers["/config-drive/x"] = (status, b"it is not placed here")
    with pytest.raises(Refused, match=f"{status}.*not placed here"):
        control.config_drive("x")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_there_may_pass(control: ControlPlane, stub: ControlPlaneStub, status: int) -> None:
    stub.answers["/config-drive/x"] = (status, b"busy")
    with pytest.raises(Transient, match="busy"):
        control.config_drive("x")


def test_image_comes_in_pieces(control: ControlPlane, stub: ControlPlaneStub) -> None:
    content = bytes(range(256)) * 8192
    stub.answers["/image/i"] = (200, content)
    with control.image("i") as pieces:
        assert b"".join(pieces) == content
    stub.answer_json("/a", 1)
    assert control.get_json("/a") == 1


def test_image_that_breaks_off_is_short_and_the_next_request_works(
    control: ControlPlane, stub: ControlPlaneStub
) -> None:
    stub.answers["/image/i"] = (200, b"x" * 100_000)
    stub.broken_after = 10
    with control.image("i") as pieces:
        assert len(b"".join(pieces)) == 10
    stub.broken_after = None
    with control.image("i") as pieces:
        assert len(b"".join(pieces)) == 100_000


def test_image_left_in_the_middle_does_not_spoil_the_connection(control: ControlPlane, stub: ControlPlaneStub) -> None:
    stub.answers["/image/i"] = (200, b"x" * 5_000_000)
    with control.image("i") as pieces:
        next(pieces)
    stub.answer_json("/a", 1)
    assert control.get_json("/a") == 1


def test_unreachable_control_plane_is_transient(tmp_path: Path) -> None:
    with control_plane(tmp_path) as stub:
        config = agent_config(stub, tmp_path / "state")
    with pytest.raises(Transient, match="cannot be reached"):
        ControlPlane(config).get_json("/a")


def test_stranger_with_another_authority_is_not_talked_to(tmp_path: Path, stub: ControlPlaneStub) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with control_plane(other) as stranger:
        config = agent_config(stub, tmp_path / "state", control_url=stranger.url)
        stranger.answer_json("/a", 1)
        with pytest.raises(Transient, match="CERTIFICATE_VERIFY_FAILED"):
            ControlPlane(config).get_json("/a")
        assert stranger.asked == []


def test_host_that_is_not_enrolled_says_so(tmp_path: Path, stub: ControlPlaneStub) -> None:
    config = agent_config(stub, tmp_path / "state")
    config.certificate.unlink()
    with pytest.raises(Transient, match="certificate cannot be used"):
        ControlPlane(config).get_json("/a")


def test_old_tls_is_not_spoken(control: ControlPlane) -> None:
    assert control.context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert control.context.verify_mode == ssl.CERT_REQUIRED
    assert control.context.check_hostname
