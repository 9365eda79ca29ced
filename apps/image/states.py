"""Words of images, in glance's spelling."""

from __future__ import annotations

from enum import StrEnum


class ImageStatus(StrEnum):
    """How far an image's bytes are."""

    QUEUED = "queued"  # registered, without bytes
    SAVING = "saving"  # bytes are coming
    UPLOADING = "uploading"  # bytes are coming to, or lie in, the staging area
    IMPORTING = "importing"  # staged bytes are being inspected
    ACTIVE = "active"
    DEACTIVATED = "deactivated"  # kept, but given to administrators only


class Visibility(StrEnum):
    """Who sees an image."""

    PUBLIC = "public"  # everybody, in lists
    COMMUNITY = "community"  # everybody who asks for it
    SHARED = "shared"  # its project and its members
    PRIVATE = "private"  # its project


class MemberStatus(StrEnum):
    """What a project thinks of an image shared with it: decides whether lists show it."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class DefinitionKind(StrEnum):
    """What a definition of a metadata namespace is about."""

    PROPERTY = "property"
    OBJECT = "object"
    TAG = "tag"
    RESOURCE_TYPE = "resource_type"


# Types of things that definitions may be meant for, besides those that a namespace itself names.
RESOURCE_TYPES = (
    "OS::Cinder::Volume",
    "OS::Glance::Image",
    "OS::Nova::Aggregate",
    "OS::Nova::Flavor",
    "OS::Nova::Server",
)

CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop", "gpt")

# Declared format → what the inspector may find. What names no format of its own must look like none; a bootable
# ISO carries a partition table too.
ACCEPTED_CONTENT = {
    "raw": ({"raw"}, {"gpt"}),
    "gpt": ({"gpt"},),
    "iso": ({"iso"}, {"iso", "gpt"}),
    "qcow2": ({"qcow2"},),
    "vhd": ({"vhd"},),
    "vhdx": ({"vhdx"},),
    "vmdk": ({"vmdk"},),
    "vdi": ({"vdi"},),
    "ami": ({"raw"}, {"gpt"}),
    "ari": ({"raw"},),
    "aki": ({"raw"},),
    "ploop": ({"raw"},),
}

# Fetching from an address of the user's choice would let guests reach what only the control plane may reach.
IMPORT_METHODS = ("glance-direct",)

HASH = "sha512"
LIMITS = {"images": 100, "image_size_total_gib": 1000}
MAX_PROPERTIES = MAX_TAGS = MAX_MEMBERS = 128
RESERVED_PREFIX = "os_glance_"  # the service's own properties
MAX_VIRTUAL_BYTES = 64 * 2**40  # larger disks are taken for an attack or a mistake
