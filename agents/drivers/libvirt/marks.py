"""The mark every guest of ours carries in libvirt's domain metadata, in an XML namespace of our own.

It says whose the domain is and which wish it was made from, and keeps what must survive a restart of the
worker: the metadata endpoints of its networks. A domain without a mark is somebody else's and never touched.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

import msgspec

from agents.contracts import Domain, MetadataEndpoint

NAMESPACE = "urn:kumo:guest:1"
PREFIX = "kumo"


class MarkedNetwork(msgspec.Struct, frozen=True):
    """A network of the guest that has a metadata endpoint."""

    network_id: str
    endpoint: MetadataEndpoint


class Mark(msgspec.Struct, frozen=True):
    """Unknown fields of a later release are ignored, hence not a `Message`."""

    server_id: str
    generation: int
    operation_id: str
    request_id: str
    project_id: str
    shape: str  # fingerprint of the hardware the definition describes
    networks: tuple[MarkedNetwork, ...] = ()


_ATTRIBUTES = ("server_id", "generation", "operation_id", "request_id", "project_id", "shape")


def mark_of(wanted: Domain, shape: str) -> Mark:
    """The mark a wanted guest is to carry."""
    return Mark(
        server_id=wanted.server_id,
        generation=wanted.generation,
        operation_id=wanted.operation_id,
        request_id=wanted.request_id,
        project_id=wanted.project_id,
        shape=shape,
        networks=tuple(MarkedNetwork(nic.network_id, nic.metadata) for nic in wanted.nics if nic.metadata is not None),
    )


def element(mark: Mark, *, name: str = "guest") -> ET.Element:
    """The mark as XML; the networks are JSON in its text."""
    made = ET.Element(name, {key: str(getattr(mark, key)) for key in _ATTRIBUTES})
    made.text = msgspec.json.encode(mark.networks).decode()
    return made


def parse(text: str) -> Mark | None:
    """The mark in what libvirt returns for our namespace; None where it cannot be read as one."""
    try:
        found = ET.fromstring(text)  # noqa: S314 - written by us, kept by libvirt
        return msgspec.convert(
            {
                **{key: found.get(key) for key in _ATTRIBUTES},
                "networks": msgspec.json.decode(found.text or "[]"),
            },
            Mark,
            strict=False,
        )
    except (ET.ParseError, msgspec.MsgspecError):
        return None
