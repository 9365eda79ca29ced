"""Writes of the object store: containers, objects, upkeep and disks."""

from apps.objectstore.services.accounts import account_delete, account_put, accounts_reap, container_reap
from apps.objectstore.services.audit import Pace, Seen, account_verify, copies_audit, policy_audit
from apps.objectstore.services.balance import rebalance, rebalance_plan
from apps.objectstore.services.buckets import bucket_create
from apps.objectstore.services.containers import (
    account_post,
    container_delete,
    container_post,
    container_put,
    limits_checked,
)
from apps.objectstore.services.copies import Pieces, Place, object_copy, object_move
from apps.objectstore.services.disks import (
    closed_disks,
    disk_activate,
    disk_add,
    disk_drain,
    disk_list,
    disk_lost,
    disk_only,
    disk_preview,
    disk_replace,
    disks_away,
    draining_mark,
    foreign_disks,
    places_forget,
    policies_unknown,
    unknown_places,
)
from apps.objectstore.services.documents import bucket_document_delete, bucket_document_put
from apps.objectstore.services.emptying import OBJECTS_DELETE, objects_delete
from apps.objectstore.services.export import account_export
from apps.objectstore.services.large import (
    DYNAMIC,
    Content,
    Part,
    Reader,
    Wanted,
    WrongSegmentsError,
    content_lent,
    content_of,
    content_pieces,
    manifest_paths,
    object_manifest_expire,
    object_manifest_put,
)
from apps.objectstore.services.lifecycle import lifecycle_step
from apps.objectstore.services.links import links_revoke, object_address, object_share
from apps.objectstore.services.marks import object_acl_put, object_hold_put, object_retention_put, object_tags_put
from apps.objectstore.services.objects import (
    Incoming,
    New,
    Removed,
    copy_damaged,
    md5_of,
    object_delete,
    object_pieces,
    object_post,
    object_put,
    stored_of,
)
from apps.objectstore.services.rates import rates_forget, request_count
from apps.objectstore.services.symlinks import Target, symlink_put
from apps.objectstore.services.upkeep import (
    Repaired,
    copies_repair,
    deltas_fold,
    health,
    numbers,
    objects_expire,
    strays_remove,
    unused_remove,
)
from apps.objectstore.services.uploads import (
    Listed,
    Sums,
    Whole,
    upload_abort,
    upload_complete,
    upload_create,
    upload_expire,
    upload_part_put,
)
from apps.objectstore.services.versions import Gone, Keeping, container_versioning, version_delete, version_restore

__all__ = [
    "Content", "DYNAMIC", "Gone", "Incoming", "Keeping", "Listed", "New", "OBJECTS_DELETE", "Pace", "Part",
    "Pieces", "Place", "Reader", "Removed", "Repaired", "Seen", "Sums", "Target", "Wanted", "Whole",
    "WrongSegmentsError", "account_delete", "account_export", "account_post", "account_put", "account_verify",
    "accounts_reap", "bucket_create", "bucket_document_delete", "bucket_document_put", "closed_disks",
    "container_delete", "container_post", "container_put", "container_reap", "container_versioning", "content_lent",
    "content_of", "content_pieces", "copies_audit", "copies_repair", "copy_damaged", "deltas_fold", "disk_activate",
    "disk_add", "disk_drain", "disk_list", "disk_lost", "disk_only", "disk_preview", "disk_replace", "disks_away",
    "draining_mark", "foreign_disks", "health", "lifecycle_step", "limits_checked", "links_revoke",
    "manifest_paths", "md5_of", "numbers", "object_acl_put", "object_address", "object_copy", "object_delete",
    "object_hold_put", "object_manifest_expire", "object_manifest_put", "object_move", "object_pieces",
    "object_post", "object_put", "object_retention_put", "object_share", "object_tags_put", "objects_delete",
    "objects_expire", "places_forget", "policies_unknown", "policy_audit", "rates_forget", "rebalance",
    "rebalance_plan", "request_count", "stored_of", "strays_remove", "symlink_put", "unknown_places",
    "unused_remove", "upload_abort", "upload_complete", "upload_create", "upload_expire", "upload_part_put",
    "version_delete", "version_restore",
]  # fmt: skip
