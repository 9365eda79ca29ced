"""The libvirt document: pure, so told without libvirt."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from agents.contracts import Domain, MetadataEndpoint
from agents.drivers.libvirt import document, marks
from agents.drivers.libvirt.document import Traits
from agents.layout import Base, GuestFiles
from tests.kit.verbs import new_id, wanted_domain, wanted_nic

FILES = GuestFiles(Path("/state/servers/s"))
BASE = Base(Path("/state/images/abc"), "qcow2")
EMULATED = Traits(virtualization="qemu", userspace_datapath=True, integration_bridge="br-int", direct_io=True)
REAL = replace(EMULATED, virtualization="kvm", userspace_datapath=False)


def build(wanted: Domain, traits: Traits = EMULATED) -> ET.Element:
    return ET.fromstring(document.build(wanted, FILES, BASE, traits)[0])


def shape(wanted: Domain, traits: Traits = EMULATED) -> str:
    return document.build(wanted, FILES, BASE, traits)[1]


@pytest.fixture
def wanted() -> Domain:
    return wanted_domain(new_id(), nics=(wanted_nic(),), config_drive=True)


def test_name_and_id_follow_from_the_server(wanted: Domain) -> None:
    made = build(wanted)
    assert made.findtext("name") == f"kumo-{wanted.server_id}"
    assert made.findtext("uuid") == wanted.server_id
    assert made.findtext("title") == wanted.name


def test_mark_survives_the_way_through_xml(wanted: Domain) -> None:
    endpoint = MetadataEndpoint(port_id=new_id(), mac="0a:00:00:00:00:02", cidrs=("10.0.0.2/24",))
    nic = msgspec.structs.replace(wanted.nics[0], metadata=endpoint)
    marked = msgspec.structs.replace(wanted, nics=(nic,), request_id='req-"<&>')
    found = build(marked).find(f"metadata/{{{marks.NAMESPACE}}}guest")
    assert found is not None
    assert marks.parse(ET.tostring(found, encoding="unicode")) == marks.mark_of(marked, shape(marked))


@pytest.mark.parametrize("text", ["", "<guest/>", "<guest generation='x'>[]</guest>", "<guest>{</guest>"])
def test_what_is_no_mark_is_none(text: str) -> None:
    assert marks.parse(text) is None


def test_mark_of_a_later_release_is_read(wanted: Domain) -> None:
    made = marks.element(marks.mark_of(wanted, "s"))
    made.set("invented_later", "1")
    assert marks.parse(ET.tostring(made, encoding="unicode")) == marks.mark_of(wanted, "s")


@pytest.mark.parametrize(
    "change",
    [{"generation": 9}, {"name": "other"}, {"operation_id": new_id()}, {"nics": ()}, {"request_id": "req-x"}],
    ids=lambda change: next(iter(change)),
)
def test_shape_ignores_what_needs_no_restart(wanted: Domain, change: dict[str, object]) -> None:
    # With another number of interfaces the number of free slots differs, which a restart may bring.
    changed = msgspec.structs.replace(wanted, **change)
    assert (shape(changed) == shape(wanted)) is ("nics" not in change)


@pytest.mark.parametrize("change", [{"vcpus": 2}, {"ram_mib": 512}, {"firmware": "uefi"}, {"has_swap": True}])
def test_shape_tells_other_hardware(wanted: Domain, change: dict[str, object]) -> None:
    assert shape(msgspec.structs.replace(wanted, **change)) != shape(wanted)


def test_disks_come_in_the_order_guests_expect(wanted: Domain) -> None:
    made = build(msgspec.structs.replace(wanted, ephemeral_disks=2, has_swap=True))
    found = [(disk.find("target"), disk.find("source")) for disk in made.iterfind("devices/disk")]
    assert [(target.get("dev"), source.get("file")) for target, source in found] == [  # type: ignore[union-attr]
        ("vda", "/state/servers/s/root.qcow2"),
        ("vdb", "/state/servers/s/ephemeral0.raw"),
        ("vdc", "/state/servers/s/ephemeral1.raw"),
        ("vdd", "/state/servers/s/swap.raw"),
        ("sda", "/state/servers/s/config-drive.iso"),
    ]


def test_shared_image_is_named_with_its_format_and_not_given_away(wanted: Domain) -> None:
    store = build(wanted).find("devices/disk/backingStore")
    assert store is not None
    assert store.find("format").get("type") == "qcow2"  # type: ignore[union-attr]
    label = store.find("source/seclabel")
    assert label is not None
    assert (label.get("model"), label.get("relabel")) == ("dac", "no")
    assert store.find("backingStore") is not None  # the chain ends here: nothing is probed


def test_userspace_datapath_leaves_no_checksum_undone(wanted: Domain) -> None:
    for end in ("host", "guest"):
        flags = build(wanted).find(f"devices/interface/driver/{end}")
        assert flags is not None
        assert {flags.get(name) for name in ("csum", "tso4", "tso6", "ecn", "ufo")} == {"off"}
    assert build(wanted, REAL).find("devices/interface/driver") is None


def test_interface_is_the_logical_port(wanted: Domain) -> None:
    (nic,) = wanted.nics
    (made,) = document.interface_ports(ET.tostring(build(wanted), encoding="unicode")).items()
    assert made[0] == nic.port_id
    assert made[1].find("mac").get("address") == nic.mac  # type: ignore[union-attr]
    assert made[1].find("mtu").get("size") == str(nic.mtu)  # type: ignore[union-attr]
    assert len(made[1].find("target").get("dev") or "") <= 15  # type: ignore[union-attr]


def test_emulation_bounds_its_code_cache_and_kvm_shows_the_hosts_processor(wanted: Domain) -> None:
    assert build(wanted).findtext("features/tcg/tb-cache") == "32"
    assert build(wanted, REAL).find("features/tcg") is None
    assert build(wanted, REAL).find("cpu").get("mode") == "host-model"  # type: ignore[union-attr]


def test_page_cache_is_used_only_where_it_cannot_be_gone_around(wanted: Domain) -> None:
    for direct_io, cache in ((True, "none"), (False, "writeback")):
        made = build(wanted, replace(EMULATED, direct_io=direct_io))
        assert made.find("devices/disk/driver").get("cache") == cache  # type: ignore[union-attr]


def test_guest_listens_on_no_network(wanted: Domain) -> None:
    graphics = build(wanted).find("devices/graphics")
    assert graphics is not None
    assert graphics.get("port") is None
    assert graphics.find("listen").get("type") == "socket"  # type: ignore[union-attr]


def test_uefi_is_asked_for_without_secure_boot(wanted: Domain) -> None:
    made = build(msgspec.structs.replace(wanted, firmware="uefi"))
    assert made.find("os").get("firmware") == "efi"  # type: ignore[union-attr]
    feature = made.find("os/firmware/feature")
    assert feature is not None
    assert (feature.get("name"), feature.get("enabled")) == ("secure-boot", "no")
