"""Reads of the object store."""

from apps.objectstore.selectors.browsing import Below, container_rows, folder_totals, uploads_unfinished
from apps.objectstore.selectors.buckets import bucket_get, bucket_list, bucket_row
from apps.objectstore.selectors.facts import (
    AccountFacts,
    ContainerFacts,
    Totals,
    account_get,
    account_totals,
    container_expected,
    container_get,
    container_list,
    container_origins,
    container_row,
    container_site,
    container_size,
    container_totals,
    object_get,
    object_list,
    object_row,
    policy_totals,
    signing_keys,
)
from apps.objectstore.selectors.links import link_of
from apps.objectstore.selectors.listing import LAST, Entry, Page
from apps.objectstore.selectors.lists import acl_cleaned
from apps.objectstore.selectors.symlinks import Found, object_find, object_followed
from apps.objectstore.selectors.uploads import UploadListing, UploadPage, upload_list, upload_part_list
from apps.objectstore.selectors.versions import (
    VersionEntry,
    marker_row,
    version_entries,
    version_list,
    version_row,
)

__all__ = [
    "AccountFacts", "Below", "ContainerFacts", "Entry", "Found", "LAST", "Page", "Totals", "UploadListing",
    "UploadPage", "VersionEntry", "account_get", "account_totals", "acl_cleaned", "bucket_get", "bucket_list",
    "bucket_row", "container_expected", "container_get", "container_list", "container_origins", "container_row",
    "container_rows", "container_site", "container_size", "container_totals", "folder_totals", "link_of",
    "marker_row", "object_find", "object_followed", "object_get", "object_list", "object_row", "policy_totals",
    "signing_keys", "upload_list", "upload_part_list", "uploads_unfinished", "version_entries", "version_get",
    "version_list", "version_row",
]  # fmt: skip
