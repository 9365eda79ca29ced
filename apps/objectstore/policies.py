"""Rules of the object store. Swift has none by name: these say what its Keystone middleware decides by roles.

Access lists of containers come on top: they let others in whom these rules do not.
"""

from __future__ import annotations

from apps.core.policy import Rule

RULES = (
    Rule("object_store:public", "@", "Ask; what may be seen, access lists decide too.", ("GET|PUT|POST|DELETE /v1/…",)),
    Rule(
        "object_store:own",
        "role:member and project_id:%(project_id)s or rule:object_store:reseller",
        "Do everything with an account that a project may do with its own.",
        ("PUT|POST|DELETE /v1/{account}/…",),
    ),
    Rule(
        "object_store:read",
        "role:reader and project_id:%(project_id)s or rule:object_store:own",
        "See an account, its containers and objects.",
        ("GET|HEAD /v1/{account}/…",),
    ),
    Rule(
        "object_store:rescue",
        "role:manager and project_id:%(project_id)s or rule:object_store:reseller",
        "See, replace and remove a bucket's policy whatever the policy denies.",
        ("GET|PUT|DELETE /s3/{bucket}?policy",),
    ),
    Rule(
        "object_store:bypass_retention",
        "role:manager and project_id:%(project_id)s or rule:object_store:reseller",
        "Shorten or pass over a retention in governance mode, if asked to.",
        ("DELETE /s3/{bucket}/{key}", "PUT /s3/{bucket}/{key}?retention"),
    ),
    Rule(
        "object_store:operate",
        "rule:admin",
        "See storage policies and disks, and empty disks.",
        scopes=("project", "system"),
    ),
    Rule(
        "object_store:reseller",
        "role:admin or role:ResellerAdmin",
        "Do everything with every account, set the quotas of accounts, make and close them.",
        ("PUT|POST|DELETE /v1/{account}",),
        scopes=("project", "domain", "system"),
    ),
)
