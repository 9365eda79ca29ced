"""What needs no account: what this store can do, and whether it is there."""

from __future__ import annotations

import orjson
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views import View

from apps.objectstore import backends
from apps.objectstore import states as s
from apps.objectstore.api.swift import bulk, formpost, ratelimit, tempurl
from apps.objectstore.api.swift.base import answer, finished
from apps.objectstore.selectors.symlinks import MOST_LINKS
from apps.objectstore.services import large

_CROSS_DOMAIN = """<?xml version="1.0"?>
<!DOCTYPE cross-domain-policy SYSTEM "http://www.adobe.com/xml/dtds/cross-domain-policy.dtd" >
<cross-domain-policy>"""


def capabilities() -> dict[str, object]:
    """Exactly what is served: clients skip what they do not find here."""
    return {
        "swift": {
            "version": "2.38.0",
            "max_file_size": s.MAX_FILE_BYTES,
            "max_meta_name_length": s.MAX_META_NAME,
            "max_meta_value_length": s.MAX_META_VALUE,
            "max_meta_count": s.MAX_META_COUNT,
            "max_meta_overall_size": s.MAX_META_OVERALL,
            "max_object_name_length": s.MAX_OBJECT_NAME,
            "max_container_name_length": s.MAX_CONTAINER_NAME,
            "max_account_name_length": s.MAX_ACCOUNT_NAME,
            "account_listing_limit": s.MAX_LISTING,
            "container_listing_limit": s.MAX_LISTING,
            "valid_api_versions": ["v1", "v1.0"],
            "account_autocreate": True,
            "allow_account_management": True,
            "allow_open_expired": False,
            "strict_cors_mode": True,
            "policies": [
                {"name": name, "default": True, "aliases": name} if not n else {"name": name, "aliases": name}
                for n, name in enumerate(backends.policies())
            ],
        },
        "bulk_delete": {"max_deletes_per_request": bulk.MOST_DELETES, "max_failed_deletes": bulk.MOST_DELETES},
        "bulk_upload": {
            "max_containers_per_extraction": bulk.MOST_CONTAINERS,
            "max_failed_extractions": bulk.MOST_FAILURES,
        },
        "slo": {
            "max_manifest_segments": large.MOST_SEGMENTS,
            "max_manifest_size": large.MOST_BYTES,
            "min_segment_size": 1,
            "allow_async_delete": True,
        },
        "dlo": {"max_segments": large.MOST_PARTS},
        "formpost": {"allowed_digests": list(formpost.DIGESTS), "deprecated_digests": ["sha1"]},
        "staticweb": {},
        "crossdomain": {},
        "object_versioning": {},
        "versioned_writes": {"allowed_flags": ["x-versions-location", "x-history-location"]},
        "symlink": {"symloop_max": MOST_LINKS, "static_links": True},
        "account_quotas": {},
        "container_quotas": {},
        "tempurl": {
            "methods": list(tempurl.METHODS),
            "allowed_digests": list(tempurl.DIGESTS),
            "incoming_allow_headers": [],
            "incoming_remove_headers": ["x-timestamp"],
            "outgoing_allow_headers": ["x-object-meta-public-*"],
            "outgoing_remove_headers": ["x-object-meta-*"],
        },
    } | ratelimit.told()


class Info(View):
    """`GET /info`, for everybody."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return finished(answer(200, {}, orjson.dumps(capabilities()), "application/json"))


class CrossDomain(View):
    """`GET /crossdomain.xml`, for players in browsers that ask what pages of other hosts may do."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        body = f"{_CROSS_DOMAIN}\n{settings.CONFIG.objectstore.cross_domain_policy}\n</cross-domain-policy>"
        return finished(answer(200, {}, body.encode(), "application/xml"))


class Healthcheck(View):
    """`GET /healthcheck`, for whatever balances load."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return finished(answer(200, {}, b"OK", "text/plain"))
