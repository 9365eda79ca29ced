"""KVM is chosen only where the device answers and the processor can."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents import virtualization
from agents.virtualization import KVM_API_VERSION, choose, cpu_facts


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text("processor : 0\nmodel name\t: Test CPU: the second\nflags\t\t: fpu svm sse2\n")
    return path


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    return path


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    given = [KVM_API_VERSION]
    monkeypatch.setattr(virtualization.fcntl, "ioctl", lambda handle, request: given[0])
    monkeypatch.setattr(virtualization.platform, "machine", lambda: "x86_64")
    return given


def test_device_that_answers_on_a_capable_processor_is_used(device: Path, cpuinfo: Path, answers: list[int]) -> None:
    assert choose(device=device, cpuinfo=cpuinfo) == "kvm"


def test_processor_without_the_flag_means_emulation(device: Path, cpuinfo: Path, answers: list[int]) -> None:
    cpuinfo.write_text("flags : fpu sse2\n")
    assert choose(device=device, cpuinfo=cpuinfo) == "qemu"


def test_device_of_another_version_means_emulation(device: Path, cpuinfo: Path, answers: list[int]) -> None:
    answers[0] = 11
    assert choose(device=device, cpuinfo=cpuinfo) == "qemu"


def test_device_that_is_absent_or_no_device_means_emulation(tmp_path: Path, device: Path, cpuinfo: Path) -> None:
    assert choose(device=tmp_path / "absent", cpuinfo=cpuinfo) == "qemu"
    assert choose(device=device, cpuinfo=cpuinfo) == "qemu"


@pytest.mark.parametrize("setting", ["kvm", "qemu"])
def test_setting_overrides(setting: str, tmp_path: Path) -> None:
    assert choose(setting, device=tmp_path / "absent", cpuinfo=tmp_path / "absent") == setting


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="auto, kvm, qemu"):
        choose("xen")


def test_facts_of_the_processor(cpuinfo: Path) -> None:
    assert cpu_facts(cpuinfo) == ("Test CPU: the second", ("fpu", "sse2", "svm"))
