"""Rules of the image service, with OpenStack's names and defaults."""

from __future__ import annotations

from apps.core.policy import Rule

_SHARED = "project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s"
_READER = f"role:admin or (role:reader and (project_id:%(project_id)s or {_SHARED}))"
_MEMBER = "rule:project_member_or_admin"

RULES = (
    Rule("add_image", _MEMBER, "Register an image.", ("POST /v2/images",)),
    Rule("delete_image", _MEMBER, "Delete an image.", ("DELETE /v2/images/{image_id}",)),
    Rule("get_image", _READER, "See an image.", ("GET /v2/images/{image_id}",)),
    Rule("get_images", "rule:project_reader_or_admin", "List images.", ("GET /v2/images",)),
    Rule("modify_image", _MEMBER, "Change an image.", ("PATCH /v2/images/{image_id}", "PUT …/tags/{tag}")),
    Rule("publicize_image", "rule:admin", "Let everybody see an image.", ("PATCH /v2/images/{image_id}",)),
    Rule("communitize_image", _MEMBER, "Let everybody use an image who knows it.", ("PATCH /v2/images/{image_id}",)),
    Rule(
        "download_image",
        f"role:admin or (role:member and (project_id:%(project_id)s or {_SHARED}))",
        "Read an image's bytes.",
        ("GET /v2/images/{image_id}/file",),
    ),
    Rule(
        "upload_image",
        _MEMBER,
        "Give an image its bytes.",
        ("PUT /v2/images/{image_id}/file", "PUT /v2/images/{image_id}/stage", "POST /v2/images/{image_id}/import"),
    ),
    Rule("add_member", _MEMBER, "Share an image.", ("POST /v2/images/{image_id}/members",)),
    Rule("delete_member", _MEMBER, "Stop sharing an image.", ("DELETE /v2/images/{image_id}/members/{member_id}",)),
    Rule(
        "get_member",
        "role:admin or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)",
        "See a member.",
        ("GET /v2/images/{image_id}/members/{member_id}",),
    ),
    Rule(
        "get_members",
        "role:admin or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)",
        "List members.",
        ("GET /v2/images/{image_id}/members",),
    ),
    Rule(
        "modify_member",
        "role:admin or (role:member and project_id:%(member_id)s)",
        "Accept or reject a shared image.",
        ("PUT /v2/images/{image_id}/members/{member_id}",),
    ),
    Rule("deactivate", _MEMBER, "Stop giving an image out.", ("POST /v2/images/{image_id}/actions/deactivate",)),
    Rule("reactivate", _MEMBER, "Give an image out again.", ("POST /v2/images/{image_id}/actions/reactivate",)),
    Rule("stores_info", "rule:anyone", "See where images can be kept.", ("GET /v2/info/stores",)),
    Rule("image_info", "rule:anyone", "See what the service offers.", ("GET /v2/info/import", "GET /v2/info/usage")),
)
