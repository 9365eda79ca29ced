"""The baseline of server creation: the same domain defined and started by libvirt alone, on the same host."""

from __future__ import annotations

import os
import time
import uuid
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

import libvirt

from agents.runner import Limits
from scripts.local.host import Host
from scripts.local.site import from_environment
from tests.bench.cloud import Cloud

PARALLEL = Limits().short  # as many at once as the host's worker runs


class Bare:
    """Copies of one guest of the cloud, without the cloud; removed on exit."""

    def __init__(self, cloud: Cloud, server_id: str) -> None:
        os.environ["KUMO_STATE"] = str(cloud.state)
        self.host = Host(from_environment())
        self.connection = libvirt.open(self.host.libvirt_uri)
        self.template = self.connection.lookupByUUIDString(server_id).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        self.domains: list[libvirt.virDomain] = []
        self.files: list[str] = []

    def __enter__(self) -> Bare:
        return self

    def __exit__(self, *_: object) -> None:
        for domain in self.domains:
            if domain.isActive():
                domain.destroy()
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        for path in self.files:
            self.host.exec("rm", "-f", path)
        self.connection.close()

    def start(self, count: int) -> float:
        """Seconds from the first definition to the last start; disks are made before the clock runs."""
        texts = [self._copy() for _ in range(count)]
        started = time.perf_counter()
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(self._launch, texts))
        return time.perf_counter() - started

    def _launch(self, text: str) -> None:
        domain = self.connection.defineXML(text)
        self.domains.append(domain)
        domain.create()

    def _copy(self) -> str:
        root = ET.fromstring(self.template)
        ident = str(uuid.uuid4())
        for tag, value in (("uuid", ident), ("name", f"bare-{ident[:8]}"), ("title", "baseline")):
            found = root.find(tag)
            if found is not None:
                found.text = value
        for entry in root.findall("./sysinfo/system/entry[@name='uuid']"):
            entry.text = ident
        metadata = root.find("metadata")
        if metadata is not None:
            root.remove(metadata)  # without the cloud's mark the worker leaves it alone
        for index, disk in enumerate(root.findall("./devices/disk")):
            self._own_disk(disk, ident, index, root)
        for interface in root.findall("./devices/interface"):
            parameters = interface.find("./virtualport/parameters")
            if parameters is not None:
                parameters.set("interfaceid", str(uuid.uuid4()))
            target = interface.find("target")
            if target is not None:
                interface.remove(target)  # libvirt names a tap of its own
            mac = interface.find("mac")
            if mac is not None:
                mac.set("address", "fa:16:3e:" + ":".join(f"{b:02x}" for b in os.urandom(3)))
        for log in root.iter("log"):
            log.set("file", self._file(ident, "console.log"))
        return ET.tostring(root, encoding="unicode")

    def _own_disk(self, disk: ET.Element, ident: str, index: int, root: ET.Element) -> None:
        source = disk.find("source")
        driver = disk.find("driver")
        if source is None or driver is None or driver.get("type") != "qcow2":
            root.find("devices").remove(disk)  # type: ignore[union-attr]
            return
        info = self.host.exec("qemu-img", "info", "-U", source.get("file", ""))
        base = next(
            line.split(": ")[1].split(" (")[0] for line in info.splitlines() if line.startswith("backing file:")
        )
        path = self._file(ident, f"{index}.qcow2")
        self.host.exec("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path)
        self.host.exec("chown", "libvirt-qemu:kvm", path)
        source.set("file", path)

    def _file(self, ident: str, name: str) -> str:
        path = f"/var/lib/libvirt/bench-{ident}-{name}"
        self.files.append(path)
        return path
