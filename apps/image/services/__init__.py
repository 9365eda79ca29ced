"""Writes of images: records, and bytes."""

from apps.image.services.placed import host_needs, host_use_check
from apps.image.services.records import (
    Change,
    image_create,
    image_deactivate,
    image_delete,
    image_for_boot,
    image_reactivate,
    image_update,
    member_add,
    member_remove,
    member_update,
    tag_add,
    tag_remove,
)
from apps.image.services.uploads import (
    Download,
    Incoming,
    image_bytes,
    image_download,
    image_import,
    image_stage,
    image_upload,
    store_sweep,
    uploads_expire,
)

__all__ = [
    "Change",
    "Download",
    "Incoming",
    "host_needs",
    "host_use_check",
    "image_bytes",
    "image_create",
    "image_deactivate",
    "image_delete",
    "image_download",
    "image_for_boot",
    "image_import",
    "image_reactivate",
    "image_stage",
    "image_update",
    "image_upload",
    "member_add",
    "member_remove",
    "member_update",
    "store_sweep",
    "tag_add",
    "tag_remove",
    "uploads_expire",
]
