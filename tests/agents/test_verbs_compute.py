"""Verbs on guests, on a host with pretended guests and a real way to its control plane."""

from __future__ import annotations

import base64
import socket
from pathlib import Path

import pytest

from agents.contracts import (
    ImageSource,
    OpenConsole,
    Power,
    ReadConsoleLog,
    RebootDomain,
    RemoveDisks,
    RemoveDomain,
)
from agents.errors import Refused, Transient, Unsupported
from agents.host import Host
from agents.verbs import VERBS
from tests.kit.control_plane import ControlPlaneStub
from tests.kit.images import make_image, source_of
from tests.kit.verbs import RunningVerb, new_id, wanted_disks, wanted_domain


@pytest.fixture
def source(stub: ControlPlaneStub, tmp_path: Path) -> ImageSource:
    """An image that the control plane hands out."""
    path = make_image(tmp_path / "image.qcow2")
    made = source_of(path)
    stub.answers[f"/image/{made.image_id}"] = (200, path.read_bytes())
    return made


@pytest.fixture
def server_id(job: RunningVerb, source: ImageSource) -> str:
    """A server that runs."""
    made = new_id()
    job.do("compute.ensure_disks", wanted_disks(made, source))
    job.do("compute.ensure_domain", wanted_domain(made))
    return made


def test_image_and_config_drive_come_from_the_control_plane(
    job: RunningVerb, host: Host, stub: ControlPlaneStub, source: ImageSource
) -> None:
    server_id = new_id()
    content = base64.b64encode(b"#!/bin/sh\n").decode()
    stub.answer_json(f"/config-drive/{server_id}", {"files": {"openstack/latest/user_data": content}})
    job.do("compute.ensure_disks", wanted_disks(server_id, source, config_drive=True))
    assert stub.paths() == [f"/image/{source.image_id}", f"/config-drive/{server_id}"]
    assert b"#!/bin/sh\n" in host.layout.guest(server_id).config_drive.read_bytes()


@pytest.mark.parametrize(("status", "error"), [(403, Refused), (404, Refused), (503, Transient)])
def test_image_that_is_not_given_fails_as_the_control_plane_says(
    job: RunningVerb, host: Host, stub: ControlPlaneStub, source: ImageSource, status: int, error: type[Exception]
) -> None:
    stub.answers[f"/image/{source.image_id}"] = (status, b"no")
    with pytest.raises(error):
        job.do("compute.ensure_disks", wanted_disks(new_id(), source))
    assert [path for path in host.layout.images.iterdir() if path.suffix != ".lock"] == []


def test_disks_of_a_running_guest_stay(job: RunningVerb, host: Host, server_id: str) -> None:
    with pytest.raises(Refused, match="remove the domain first"):
        job.do("compute.remove_disks", RemoveDisks(server_id=server_id))
    assert host.layout.guest(server_id).root_disk.exists()


def test_server_goes_with_everything_that_was_its(job: RunningVerb, host: Host, server_id: str) -> None:
    for _ in range(2):
        job.do("compute.remove_domain", RemoveDomain(server_id=server_id))
        job.do("compute.remove_disks", RemoveDisks(server_id=server_id))
    assert host.hypervisor.list() == []
    assert list(host.layout.guests()) == []


def test_reboot_brings_a_stopped_guest_up(job: RunningVerb, server_id: str) -> None:
    job.do("compute.ensure_domain", wanted_domain(server_id, generation=2, power=Power.SHUTOFF))
    assert job.do("compute.reboot_domain", RebootDomain(server_id=server_id, hard=True)).power == Power.RUNNING


def test_end_of_the_console_log_is_read(job: RunningVerb, host: Host, server_id: str) -> None:
    host.layout.guest(server_id).console_log.write_text("one\ntwo\nthree\n")
    request = ReadConsoleLog(server_id=server_id, lines=2)
    assert job.do("compute.read_console_log", request).text == "two\nthree\n"


def test_console_log_of_an_unknown_server_is_empty(job: RunningVerb) -> None:
    assert job.do("compute.read_console_log", ReadConsoleLog(server_id=new_id())).text == ""


def test_console_of_an_unknown_kind_is_unsupported(job: RunningVerb, server_id: str) -> None:
    request = OpenConsole(server_id=server_id, session_id=new_id(), kind="spice")
    with pytest.raises(Unsupported, match="spice"):
        job.do("compute.open_console", request)


def test_console_is_joined_to_the_waiting_session(
    job: RunningVerb, host: Host, server_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[tuple[str, bytes]] = []

    def join(session_id: str, stream: socket.socket) -> None:
        with stream:
            joined.append((session_id, stream.recv(12)))

    monkeypatch.setattr(host.consoles, "open", join)
    session_id = new_id()
    job.do("compute.open_console", OpenConsole(server_id=server_id, session_id=session_id, kind="vnc"))
    assert joined == [(session_id, b"RFB 003.008\n")]


def test_firmware_the_host_lacks_is_unsupported_and_nothing_is_made(
    job: RunningVerb, host: Host, source: ImageSource
) -> None:
    server_id = new_id()
    job.do("compute.ensure_disks", wanted_disks(server_id, source))
    with pytest.raises(Unsupported, match="riscv"):
        job.do("compute.ensure_domain", wanted_domain(server_id, firmware="riscv"))
    assert host.hypervisor.list() == []


def test_one_server_is_one_resource_for_all_that_changes_it() -> None:
    server_id = new_id()
    requests = {
        "compute.ensure_disks": wanted_disks(server_id, None),
        "compute.remove_disks": RemoveDisks(server_id=server_id),
        "compute.ensure_domain": wanted_domain(server_id),
        "compute.remove_domain": RemoveDomain(server_id=server_id),
        "compute.reboot_domain": RebootDomain(server_id=server_id),
    }
    assert {VERBS[name].resource(request) for name, request in requests.items()} == {f"server/{server_id}"}
    reading = VERBS["compute.read_console_log"].resource(ReadConsoleLog(server_id=server_id))
    assert reading != f"server/{server_id}"


def test_acts_that_cannot_be_repeated_are_answered_from_the_journal() -> None:
    assert {name for name, verb in VERBS.items() if verb.once} == {
        "compute.reboot_domain",
        "compute.open_console",
    }
