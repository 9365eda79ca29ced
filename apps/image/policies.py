"""Rules of the image service, with OpenStack's names and defaults."""

from __future__ import annotations

from apps.core.policy import Rule, scoped

_SHARED = "project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s"
_READER = f"role:admin or (role:reader and (project_id:%(project_id)s or {_SHARED}))"
_MEMBER = "rule:project_member_or_admin"

_DEFINITIONS_READER = "role:admin or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"

_RULES = (
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
    Rule("tasks_api_access", "rule:admin", "See and make tasks.", ("GET /v2/tasks", "POST /v2/tasks")),
    Rule(
        "image_info",
        "rule:anyone",
        "See how much the project's images use.",
        ("GET /v2/info/usage",),
        scopes=("project", "domain", "system"),
    ),
    Rule(
        "get_metadef_namespaces",
        "rule:project_reader_or_admin",
        "List metadata definitions: one's own and the public ones.",
        ("GET /v2/metadefs/namespaces",),
    ),
    *(
        Rule(name, _DEFINITIONS_READER, "See metadata definitions.", ("GET /v2/metadefs/…",))
        for name in (
            "get_metadef_namespace",
            "get_metadef_object",
            "get_metadef_objects",
            "get_metadef_property",
            "get_metadef_properties",
            "get_metadef_tag",
            "get_metadef_tags",
            "get_metadef_resource_type",
            "list_metadef_resource_types",
        )
    ),
    *(
        Rule(name, "rule:admin", "Change metadata definitions.", ("POST|PUT|DELETE /v2/metadefs/…",))
        for name in (
            "add_metadef_namespace",
            "modify_metadef_namespace",
            "delete_metadef_namespace",
            "add_metadef_object",
            "modify_metadef_object",
            "delete_metadef_object",
            "add_metadef_property",
            "modify_metadef_property",
            "remove_metadef_property",
            "add_metadef_tag",
            "add_metadef_tags",
            "modify_metadef_tag",
            "delete_metadef_tag",
            "delete_metadef_tags",
            "add_metadef_resource_type_association",
            "remove_metadef_resource_type_association",
        )
    ),
)

RULES = scoped(("project",), _RULES)
