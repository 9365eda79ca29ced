"""Writes of identity, one module per noun."""

from apps.identity.services.assignments import assignment_create, assignment_delete
from apps.identity.services.bootstrap import bootstrap
from apps.identity.services.catalogue import (
    endpoint_create,
    endpoint_delete,
    endpoint_update,
    region_create,
    region_delete,
    region_update,
    service_create,
    service_delete,
    service_update,
)
from apps.identity.services.credentials import (
    access_rule_delete,
    application_credential_create,
    application_credential_delete,
)
from apps.identity.services.groups import (
    group_create,
    group_delete,
    group_update,
    group_user_add,
    group_user_remove,
)
from apps.identity.services.keys import key_ring_ensured, token_keys_rotate
from apps.identity.services.limits import (
    UNLIMITED,
    limit_get,
    limit_set,
    limits_of,
    limits_register,
    limits_reset,
    quota_claim,
)
from apps.identity.services.projects import (
    domain_create,
    domain_delete,
    domain_update,
    project_create,
    project_delete,
    project_tag_add,
    project_tag_remove,
    project_tags_clear,
    project_tags_set,
    project_update,
)
from apps.identity.services.roles import (
    implied_role_create,
    implied_role_delete,
    role_create,
    role_delete,
    role_update,
)
from apps.identity.services.tokens import REQUIRED, sign_in, token_issue, token_revoke
from apps.identity.services.users import user_change_password, user_create, user_delete, user_update

__all__ = [
    "REQUIRED",
    "UNLIMITED",
    "access_rule_delete",
    "application_credential_create",
    "application_credential_delete",
    "assignment_create",
    "assignment_delete",
    "bootstrap",
    "domain_create",
    "domain_delete",
    "domain_update",
    "endpoint_create",
    "endpoint_delete",
    "endpoint_update",
    "group_create",
    "group_delete",
    "group_update",
    "group_user_add",
    "group_user_remove",
    "implied_role_create",
    "implied_role_delete",
    "key_ring_ensured",
    "limit_get",
    "limit_set",
    "limits_of",
    "limits_register",
    "limits_reset",
    "project_create",
    "project_delete",
    "project_tag_add",
    "project_tag_remove",
    "project_tags_clear",
    "project_tags_set",
    "project_update",
    "quota_claim",
    "region_create",
    "region_delete",
    "region_update",
    "role_create",
    "role_delete",
    "role_update",
    "service_create",
    "service_delete",
    "service_update",
    "sign_in",
    "token_issue",
    "token_keys_rotate",
    "token_revoke",
    "user_change_password",
    "user_create",
    "user_delete",
    "user_update",
]
