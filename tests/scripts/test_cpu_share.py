"""The control group that a host's namespaces see."""

from __future__ import annotations

import os
import subprocess

import pytest

from scripts.local.cpu_share import TREE, CpuShare

SHARE = CpuShare(f"kumo-test-{os.getpid()}", TREE)


@pytest.mark.skipif(
    not SHARE.is_possible, reason="this machine does not hand on control groups: hosts leave them alone"
)
def test_a_host_sees_its_own_group_as_the_whole_tree_and_nothing_of_it_is_left(tmp_path):
    share = CpuShare(SHARE.name, tmp_path / "cpu")
    make = "mkdir -p /sys/fs/cgroup/cpu/machine/guest; ls /sys/fs/cgroup; grep -c cgroup /proc/mounts"
    script = "\n".join([*share.taken(), "mount -t sysfs sysfs /sys", *share.shown(), make])
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-euc", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["cpu", "2"]  # the read-only directory and the group in it
    assert (share.group / "machine/guest").is_dir()
    share.remove()
    assert not share.group.exists()
    share.remove()  # again is no error


def test_without_such_groups_nothing_is_touched(monkeypatch, tmp_path):
    monkeypatch.setattr("scripts.local.cpu_share.TREE", tmp_path)
    share = CpuShare(SHARE.name, tmp_path / "place")
    assert not share.is_possible
    share.remove()
    assert list(tmp_path.iterdir()) == []
