"""A small Ceph on loopback: one monitor, three OSDs in memory, and on demand its S3 gateway. No manager.

Everybody has a key (cephx); that of the object store may do what its documentation says and no more.

It needs Debian's packages of `scripts/packages/ceph.txt`. Everything dies with the test, by its process.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.objectstore.backends.rados import binding
from tests.kit.brokers import Process, free_port, until

OSDS = 3
POOL = "blobs"
USER = "client.kumo"

CONF = """
[global]
fsid = {fsid}
mon_host = v1:127.0.0.1:{port}
ms_bind_msgr2 = false
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = {root}
admin_socket = {root}/$name.asok
pid_file =
log_file =
log_to_stderr = true
crash_dir = {root}
osd_pool_default_size = {osds}
osd_pool_default_min_size = 2
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 2000
mon_data_avail_warn = 1
mon_data_avail_crit = 1
ms_async_op_threads = 1
[client]
admin_socket =
[client.admin]
keyring = {root}/client.admin.keyring
[client.rgw]
keyring = {root}/client.rgw.keyring
rgw_data = {root}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{gateway}
rgw_thread_pool_size = 16
[mon]
mon_data = {root}/mon
mon_initial_members = a
[osd]
osd_data = {root}/osd$id
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
"""


class Ceph:
    """A running cluster."""

    def __init__(self, root: Path) -> None:
        self.root, self.conf = root, root / "ceph.conf"
        self._port, self._gateway = free_port(), free_port()
        self._fsid = str(uuid.uuid4())
        self.processes: dict[str, Process] = {}
        self.cluster: Any = None  # a connection

    def start(self) -> None:
        text = CONF.format(root=self.root, fsid=self._fsid, port=self._port, gateway=self._gateway, osds=OSDS)
        self.conf.write_text(text)
        for name in ("mon", "rgw", *(f"osd{n}" for n in range(OSDS))):
            (self.root / name).mkdir()
        address = f"[v1:127.0.0.1:{self._port}]"
        monmap = str(self.root / "monmap")
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", address, monmap)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", str(self._first_keys()))
        self._daemon("mon", "ceph-mon", "-i", "a")
        until(self._connects, 120, "monitor")
        for number in range(OSDS):
            identity = str(uuid.uuid4())
            self.command("osd new", uuid=identity)
            self._key(f"osd.{number}", self.root / f"osd{number}/keyring", mon="allow profile osd", osd="allow *")
            self._run("ceph-osd", "-i", str(number), "--mkfs", "--osd-uuid", identity)
            self._daemon(f"osd{number}", "ceph-osd", "-i", str(number))
        self.wait()
        self.command("osd pool create", pool=POOL, pg_num=8)
        self._key(USER, self.keyring, mon="profile simple-rados-client", osd=f"allow rwx pool={POOL}")

    @property
    def keyring(self) -> Path:
        """The object store's own."""
        return self.root / f"{USER}.keyring"

    def _first_keys(self) -> Path:
        """The keys that a monitor begins with: its own, and the administrator's."""
        monitors, administrator = self.root / "first.keyring", self.root / "client.admin.keyring"
        every = [word for service in ("mon", "osd", "mgr") for word in ("--cap", service, "allow *")]
        for path, name, may in ((monitors, "mon.", every[:3]), (administrator, "client.admin", every)):
            self._run("ceph-authtool", "--create-keyring", str(path), "--gen-key", "-n", name, *may)
        self._run("ceph-authtool", str(monitors), "--import-keyring", str(administrator))
        return monitors

    def _key(self, name: str, path: Path, **may: str) -> None:
        """Let somebody in, by a key in a file."""
        found = self.command("auth get-or-create", entity=name, caps=[word for pair in may.items() for word in pair])
        path.write_text(f"[{name}]\nkey = {found[0]['key']}\n")
        path.chmod(0o600)

    def wait(self) -> None:
        """Until all OSDs are up."""
        until(self._osds_are_up, 120, "OSDs")

    def start_gateway(self) -> tuple[str, str, str]:
        """Ceph's own S3 service: its address, and the keys of a user."""
        self._key("client.rgw", self.root / "client.rgw.keyring", mon="allow rw", osd="allow rwx")
        self._daemon("rgw", "radosgw", "-n", "client.rgw")
        until(lambda: _is_open(self._gateway), 120, "gateway")
        keys = ("--access-key", "kumo", "--secret", "cloud")
        self._run("radosgw-admin", "user", "create", "--uid", "kumo", "--display-name", "kumo", *keys)
        return f"http://127.0.0.1:{self._gateway}", "kumo", "cloud"

    def command(self, prefix: str, **words: object) -> Any:
        """Have the monitor do something; its answer."""
        text = json.dumps({"prefix": prefix, "format": "json", **words})
        code, output, status = self.cluster.mon_command(text, b"", timeout=30)
        assert code == 0, f"{prefix}: {status}"
        return json.loads(output) if output else {}

    def flags(self, pool: str) -> list[str]:
        """What the monitors say of a pool, as `full`."""
        pools = self.command("osd dump")["pools"]
        return [word for found in pools if found["pool_name"] == pool for word in found["flags_names"].split(",")]

    def _osds_are_up(self) -> bool:
        """One that starts right after another now and then ends: it takes its own registration for a stranger's."""
        for name, process in self.processes.items():
            if process.running is not None and process.running.poll() is not None:
                assert name.startswith("osd"), f"{name} ended"
                process.restart()
        return bool(self.command("osd stat")["num_up_osds"] == OSDS)

    def _connects(self) -> bool:
        self.cluster = binding().Rados(conffile=str(self.conf), conf={"client_mount_timeout": "10"})
        try:
            self.cluster.connect()
            return bool(self.command("mon stat"))
        except (AssertionError, binding().Error):
            self.cluster.shutdown()
            return False

    def _run(self, *words: str) -> str:
        alone = words[0] in {"monmaptool", "ceph-authtool"}
        words = words if alone else (words[0], "-c", str(self.conf), *words[1:])
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    def _daemon(self, name: str, *words: str) -> None:
        self.processes[name] = Process([*words, "-f", "-c", str(self.conf)], self.root / f"{name}.log")
        self.processes[name].start()

    def stop(self) -> None:
        if self.cluster is not None:
            self.cluster.shutdown()
        for process in reversed(self.processes.values()):
            process.kill()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def ceph(root: Path) -> Iterator[Ceph]:
    """A cluster in an empty directory of its own, which is removed at the end."""
    root.mkdir(parents=True)
    cluster = Ceph(root)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(root, ignore_errors=True)
