"""Rules of identity, with the names and defaults of OpenStack's Keystone (its personas: admin, domain manager,
readers of system and domain, the user themself).

A check compares the caller's scope with `target.<noun>.…`, which the services fill from the row. Where Keystone
writes `token.domain.id` it means the caller's domain scope, `domain_id` here; a role without a domain counts as
being in the domain "None", as there.
"""

from __future__ import annotations

from apps.core.policy import Rule, scoped

ADMIN = "rule:admin_required"
SYSTEM_READER = "(role:reader and system_scope:all)"
ADMIN_OR_SYSTEM_READER = f"{ADMIN} or {SYSTEM_READER}"


def _reader(of: str) -> str:
    """Readers of the system or of the domain that `of` names."""
    return f"{ADMIN_OR_SYSTEM_READER} or (role:reader and domain_id:%({of})s)"


def _manager(*of: str) -> str:
    """Managers of the domain that each of `of` names."""
    return f"{ADMIN} or (role:manager and {' and '.join(f'domain_id:%({one})s' for one in of)})"


_USER = "target.user.domain_id"
_GROUP = "target.group.domain_id"
_PROJECT = "target.project.domain_id"
_PROJECT_SEEN = f"{_reader(_PROJECT)} or project_id:%(target.project.id)s"
_PROJECT_MANAGED = _manager(_PROJECT)
_SAME_ROLE_DOMAIN = "(domain_id:%(target.role.domain_id)s or 'None':%(target.role.domain_id)s)"


def _grant(role: str) -> str:
    """Somebody with this role on the domain that holds both the user or group and the target."""
    pairs = [(actor, target) for actor in (_USER, _GROUP) for target in (_PROJECT, "target.domain.id")]
    return " or ".join(f"(role:{role} and domain_id:%({a})s and domain_id:%({t})s)" for a, t in pairs)


_GRANT_CHANGE = (
    f"{ADMIN} or (({_grant('admin')}) and {_SAME_ROLE_DOMAIN})"
    f" or (({_grant('manager')}) and rule:domain_managed_target_role)"
)


def _crud(noun: str, plural: str, *, get: str, list_: str, write: str, path: str = "") -> tuple[Rule, ...]:
    """The five rules that nearly every noun has."""
    path = path or f"/v3/{plural}"
    member = f"{path}/{{{noun}_id}}"
    return (
        Rule(f"identity:get_{noun}", get, f"Show a {noun}.", (f"GET {member}",)),
        Rule(f"identity:list_{plural}", list_, f"List {plural}.", (f"GET {path}",)),
        Rule(f"identity:create_{noun}", write, f"Create a {noun}.", (f"POST {path}",)),
        Rule(f"identity:update_{noun}", write, f"Update a {noun}.", (f"PATCH {member}",)),
        Rule(f"identity:delete_{noun}", write, f"Delete a {noun}.", (f"DELETE {member}",)),
    )


def _table(about: str, *rows: tuple[str, str, str]) -> tuple[Rule, ...]:
    """Rules of one noun: name, check, operation."""
    return tuple(Rule(f"identity:{name}", check, about, (operation,)) for name, check, operation in rows)


_SERVICE = f"{ADMIN} or rule:service_role"
_OWN_CREDENTIAL = "user_id:%(target.credential.user_id)s"
_CREDENTIAL_READ = f"{ADMIN_OR_SYSTEM_READER} or {_OWN_CREDENTIAL}"
_CREDENTIAL_WRITE = f"{ADMIN} or {_OWN_CREDENTIAL}"
_KEY_WRITE = f"{ADMIN} or (role:member and {_OWN_CREDENTIAL})"
_TRUSTOR = "user_id:%(target.trust.trustor_user_id)s"
_TRUSTEE = "user_id:%(target.trust.trustee_user_id)s"

_RULES: tuple[Rule, ...] = (
    Rule("admin_required", "rule:admin", "Keystone's name for the cloud's administrators."),
    Rule("service_role", "role:service", "Services that check the tokens of others."),
    Rule("token_subject", "user_id:%(target.token.user_id)s", "The user whom a token belongs to."),
    Rule(
        "domain_managed_target_role",
        "'manager':%(target.role.name)s or 'member':%(target.role.name)s or 'reader':%(target.role.name)s",
        "Roles that the manager of a domain may give.",
    ),
    *_crud(
        "domain",
        "domains",
        get=f"{ADMIN_OR_SYSTEM_READER} or domain_id:%(target.domain.id)s or project_domain_id:%(target.domain.id)s",
        list_=_reader("target.domain.id"),
        write=ADMIN,
    ),
    *(
        rule
        for noun, plural, path in (
            ("identity_provider", "identity_providers", "/v3/OS-FEDERATION/identity_providers"),
            ("mapping", "mappings", "/v3/OS-FEDERATION/mappings"),
            ("protocol", "protocols", "/v3/OS-FEDERATION/identity_providers/{provider_id}/protocols"),
            ("service_provider", "service_providers", "/v3/OS-FEDERATION/service_providers"),
        )
        for rule in _crud(
            noun, plural, get=ADMIN_OR_SYSTEM_READER, list_=ADMIN_OR_SYSTEM_READER, write=ADMIN, path=path
        )
    ),
    *(
        Rule(f"identity:{verb}_domain_config{tail}", check, "Where a domain's users live.", (f"{method} {path}",))
        for verb, tail, check, method, path in (
            ("create", "", ADMIN, "PUT", "/v3/domains/{domain_id}/config"),
            ("get", "", ADMIN_OR_SYSTEM_READER, "GET", "/v3/domains/{domain_id}/config"),
            ("update", "", ADMIN, "PATCH", "/v3/domains/{domain_id}/config"),
            ("delete", "", ADMIN, "DELETE", "/v3/domains/{domain_id}/config"),
            ("get", "_default", ADMIN_OR_SYSTEM_READER, "GET", "/v3/domains/config/default"),
        )
    ),
    *_crud("project", "projects", get=_PROJECT_SEEN, list_=_reader("target.domain_id"), write=_PROJECT_MANAGED),
    Rule(
        "identity:list_user_projects",
        f"{_reader(_USER)} or user_id:%(target.user.id)s",
        "List the projects of a user.",
        ("GET /v3/users/{user_id}/projects",),
    ),
    Rule("identity:list_project_tags", _PROJECT_SEEN, "List tags.", ("GET /v3/projects/{project_id}/tags",)),
    Rule("identity:get_project_tag", _PROJECT_SEEN, "Check a tag.", ("GET /v3/projects/{project_id}/tags/{value}",)),
    Rule("identity:update_project_tags", _PROJECT_MANAGED, "Set tags.", ("PUT /v3/projects/{project_id}/tags",)),
    Rule(
        "identity:create_project_tag", _PROJECT_MANAGED, "Add a tag.", ("PUT /v3/projects/{project_id}/tags/{value}",)
    ),
    Rule("identity:delete_project_tags", _PROJECT_MANAGED, "Drop tags.", ("DELETE /v3/projects/{project_id}/tags",)),
    Rule(
        "identity:delete_project_tag",
        _PROJECT_MANAGED,
        "Drop a tag.",
        ("DELETE /v3/projects/{project_id}/tags/{value}",),
    ),
    *_crud(
        "user",
        "users",
        get=f"{_reader(_USER)} or user_id:%(target.user.id)s",
        list_=_reader("target.domain_id"),
        write=_manager(_USER),
    ),
    *_crud("group", "groups", get=_reader(_GROUP), list_=_reader(_GROUP), write=_manager(_GROUP)),
    Rule(
        "identity:list_groups_for_user",
        f"{_reader(_USER)} or user_id:%(user_id)s",
        "List the groups of a user.",
        ("GET /v3/users/{user_id}/groups",),
    ),
    Rule("identity:list_users_in_group", _reader(_GROUP), "List members.", ("GET /v3/groups/{group_id}/users",)),
    Rule(
        "identity:check_user_in_group",
        f"{ADMIN_OR_SYSTEM_READER} or (role:reader and domain_id:%({_GROUP})s and domain_id:%({_USER})s)",
        "Check a member.",
        ("HEAD /v3/groups/{group_id}/users/{user_id}",),
    ),
    Rule(
        "identity:add_user_to_group",
        _manager(_GROUP, _USER),
        "Add a member.",
        ("PUT /v3/groups/{group_id}/users/{user_id}",),
    ),
    Rule(
        "identity:remove_user_from_group",
        _manager(_GROUP, _USER),
        "Remove a member.",
        ("DELETE /v3/groups/{group_id}/users/{user_id}",),
    ),
    *_crud(
        "role",
        "roles",
        get=f"{ADMIN_OR_SYSTEM_READER} or (role:manager and rule:domain_managed_target_role)",
        list_=f"{ADMIN_OR_SYSTEM_READER} or (role:manager and domain_id:%(domain_id)s)",
        write=ADMIN,
    ),
    *_crud(
        "domain_role",
        "domain_roles",
        get=ADMIN_OR_SYSTEM_READER,
        list_=ADMIN_OR_SYSTEM_READER,
        write=ADMIN,
        path="/v3/roles",
    ),
    *(
        Rule(
            f"identity:{verb}_implied_role{'s' if verb == 'list' else ''}", check, "Roles that come with a role.", paths
        )
        for verb, check, paths in (
            ("get", ADMIN_OR_SYSTEM_READER, ("GET /v3/roles/{prior_role_id}/implies/{implied_role_id}",)),
            ("check", ADMIN_OR_SYSTEM_READER, ("HEAD /v3/roles/{prior_role_id}/implies/{implied_role_id}",)),
            ("list", ADMIN_OR_SYSTEM_READER, ("GET /v3/roles/{prior_role_id}/implies",)),
            ("create", ADMIN, ("PUT /v3/roles/{prior_role_id}/implies/{implied_role_id}",)),
            ("delete", ADMIN, ("DELETE /v3/roles/{prior_role_id}/implies/{implied_role_id}",)),
        )
    ),
    Rule(
        "identity:list_role_inference_rules", ADMIN_OR_SYSTEM_READER, "All implied roles.", ("GET /v3/role_inferences",)
    ),
    Rule(
        "identity:check_grant",
        f"{ADMIN_OR_SYSTEM_READER} or (({_grant('reader')}) and {_SAME_ROLE_DOMAIN})",
        "Check an assignment.",
        ("HEAD /v3/projects/{project_id}/users/{user_id}/roles/{role_id}",),
    ),
    Rule(
        "identity:list_grants",
        f"{ADMIN_OR_SYSTEM_READER} or {_grant('reader')}",
        "List the roles of a user or group somewhere.",
        ("GET /v3/projects/{project_id}/users/{user_id}/roles",),
    ),
    Rule(
        "identity:create_grant",
        _GRANT_CHANGE,
        "Give a role.",
        ("PUT /v3/projects/{project_id}/users/{user_id}/roles/{role_id}",),
    ),
    Rule(
        "identity:revoke_grant",
        _GRANT_CHANGE,
        "Take a role away.",
        ("DELETE /v3/projects/{project_id}/users/{user_id}/roles/{role_id}",),
    ),
    *(
        Rule(
            f"identity:{verb}_system_grant{'s' if verb == 'list' else ''}_for_{actor}",
            ADMIN if verb in {"create", "revoke"} else ADMIN_OR_SYSTEM_READER,
            "Roles on the system.",
            (f"{method} /v3/system/{actor}s/{{{actor}_id}}/roles{'' if verb == 'list' else '/{role_id}'}",),
        )
        for actor in ("user", "group")
        for verb, method in (("list", "GET"), ("check", "HEAD"), ("create", "PUT"), ("revoke", "DELETE"))
    ),
    Rule(
        "identity:list_role_assignments",
        _reader("target.domain_id"),
        "List assignments.",
        ("GET /v3/role_assignments",),
    ),
    Rule(
        "identity:list_role_assignments_for_tree",
        _reader("target.domain_id"),
        "List assignments of a project and those below it.",
        ("GET /v3/role_assignments?include_subtree",),
    ),
    *_crud("region", "regions", get="@", list_="@", write=ADMIN),
    *_crud("service", "services", get=ADMIN_OR_SYSTEM_READER, list_=ADMIN_OR_SYSTEM_READER, write=ADMIN),
    *_crud("endpoint", "endpoints", get=ADMIN_OR_SYSTEM_READER, list_=ADMIN_OR_SYSTEM_READER, write=ADMIN),
    Rule(
        "identity:get_application_credential",
        f"{ADMIN_OR_SYSTEM_READER} or rule:owner",
        "Show an application credential.",
        ("GET /v3/users/{user_id}/application_credentials/{application_credential_id}",),
    ),
    Rule(
        "identity:list_application_credentials",
        f"{ADMIN_OR_SYSTEM_READER} or rule:owner",
        "List application credentials.",
        ("GET /v3/users/{user_id}/application_credentials",),
    ),
    Rule(
        "identity:create_application_credential",
        "user_id:%(user_id)s",
        "Make an application credential, for oneself only.",
        ("POST /v3/users/{user_id}/application_credentials",),
    ),
    Rule(
        "identity:delete_application_credential",
        f"{ADMIN} or rule:owner",
        "Delete an application credential.",
        ("DELETE /v3/users/{user_id}/application_credentials/{application_credential_id}",),
    ),
    *(
        Rule(
            f"identity:{name}",
            f"{check} or user_id:%(target.user.id)s",
            "Access rules of application credentials.",
            (f"{method} /v3/users/{{user_id}}/access_rules{tail}",),
        )
        for name, check, method, tail in (
            ("list_access_rules", SYSTEM_READER, "GET", ""),
            ("get_access_rule", SYSTEM_READER, "GET", "/{access_rule_id}"),
            ("delete_access_rule", "(role:admin and system_scope:all)", "DELETE", "/{access_rule_id}"),
        )
    ),
    Rule("identity:get_auth_catalog", "@", "The caller's catalogue.", ("GET /v3/auth/catalog",)),
    Rule("identity:get_auth_projects", "@", "Projects the caller may choose.", ("GET /v3/auth/projects",)),
    Rule("identity:get_auth_domains", "@", "Domains the caller may choose.", ("GET /v3/auth/domains",)),
    Rule("identity:get_auth_system", "@", "May the caller choose the system?", ("GET /v3/auth/system",)),
    Rule(
        "identity:check_token",
        f"{ADMIN_OR_SYSTEM_READER} or rule:token_subject",
        "Check a token.",
        ("HEAD /v3/auth/tokens",),
    ),
    Rule(
        "identity:validate_token",
        f"{ADMIN_OR_SYSTEM_READER} or rule:service_role or rule:token_subject",
        "Show what a token says.",
        ("GET /v3/auth/tokens",),
    ),
    Rule("identity:revoke_token", f"{ADMIN} or rule:token_subject", "End a token.", ("DELETE /v3/auth/tokens",)),
    *_table(
        "Registered limits: what every project has.",
        ("get_registered_limit", "@", "GET /v3/registered_limits/{registered_limit_id}"),
        ("list_registered_limits", "@", "GET /v3/registered_limits"),
        ("create_registered_limits", ADMIN, "POST /v3/registered_limits"),
        ("update_registered_limit", ADMIN, "PATCH /v3/registered_limits/{registered_limit_id}"),
        ("delete_registered_limit", ADMIN, "DELETE /v3/registered_limits/{registered_limit_id}"),
    ),
    *_table(
        "Limits of projects and domains.",
        ("get_limit_model", "@", "GET /v3/limits/model"),
        (
            "get_limit",
            f"{ADMIN_OR_SYSTEM_READER} or domain_id:%(target.limit.domain.id)s"
            " or domain_id:%(target.limit.project.domain_id)s or project_id:%(target.limit.project_id)s",
            "GET /v3/limits/{limit_id}",
        ),
        ("list_limits", "@", "GET /v3/limits"),
        ("create_limits", ADMIN, "POST /v3/limits"),
        ("update_limit", ADMIN, "PATCH /v3/limits/{limit_id}"),
        ("delete_limit", ADMIN, "DELETE /v3/limits/{limit_id}"),
    ),
    *_table(
        "Credentials: secrets of users, of any type.",
        ("get_credential", _CREDENTIAL_READ, "GET /v3/credentials/{credential_id}"),
        ("list_credentials", _CREDENTIAL_READ, "GET /v3/credentials"),
        ("create_credential", _CREDENTIAL_WRITE, "POST /v3/credentials"),
        ("update_credential", _CREDENTIAL_WRITE, "PATCH /v3/credentials/{credential_id}"),
        ("delete_credential", _CREDENTIAL_WRITE, "DELETE /v3/credentials/{credential_id}"),
    ),
    *_table(
        "Access keys of users.",
        ("ec2_get_credential", _CREDENTIAL_READ, "GET /v3/users/{user_id}/credentials/OS-EC2/{credential_id}"),
        (
            "ec2_list_credentials",
            f"{ADMIN_OR_SYSTEM_READER} or rule:owner",
            "GET /v3/users/{user_id}/credentials/OS-EC2",
        ),
        ("ec2_create_credential", _KEY_WRITE, "POST /v3/users/{user_id}/credentials/OS-EC2"),
        ("ec2_delete_credential", _KEY_WRITE, "DELETE /v3/users/{user_id}/credentials/OS-EC2/{credential_id}"),
    ),
    *_table(
        "Check a signature by an access key.",
        ("ec2tokens_validate", _SERVICE, "POST /v3/ec2tokens"),
    ),
    *_table(
        "Check a signature by an access key.",
        ("s3tokens_validate", _SERVICE, "POST /v3/s3tokens"),
    ),
    *_table(
        "Trusts: roles that one user lends to another.",
        ("create_trust", _TRUSTOR, "POST /v3/OS-TRUST/trusts"),
        ("list_trusts", ADMIN_OR_SYSTEM_READER, "GET /v3/OS-TRUST/trusts"),
        (
            "list_trusts_for_trustor",
            f"{ADMIN_OR_SYSTEM_READER} or {_TRUSTOR}",
            "GET /v3/OS-TRUST/trusts?trustor_user_id={trustor_user_id}",
        ),
        (
            "list_trusts_for_trustee",
            f"{ADMIN_OR_SYSTEM_READER} or {_TRUSTEE}",
            "GET /v3/OS-TRUST/trusts?trustee_user_id={trustee_user_id}",
        ),
        (
            "list_roles_for_trust",
            f"{ADMIN_OR_SYSTEM_READER} or {_TRUSTOR} or {_TRUSTEE}",
            "GET /v3/OS-TRUST/trusts/{trust_id}/roles",
        ),
        (
            "get_role_for_trust",
            f"{ADMIN_OR_SYSTEM_READER} or {_TRUSTOR} or {_TRUSTEE}",
            "GET /v3/OS-TRUST/trusts/{trust_id}/roles/{role_id}",
        ),
        ("delete_trust", f"{ADMIN} or {_TRUSTOR}", "DELETE /v3/OS-TRUST/trusts/{trust_id}"),
        ("get_trust", f"{ADMIN_OR_SYSTEM_READER} or {_TRUSTOR} or {_TRUSTEE}", "GET /v3/OS-TRUST/trusts/{trust_id}"),
    ),
    *_table(
        "OAuth 1.0a consumers.",
        ("get_consumer", ADMIN_OR_SYSTEM_READER, "GET /v3/OS-OAUTH1/consumers/{consumer_id}"),
        ("list_consumers", ADMIN_OR_SYSTEM_READER, "GET /v3/OS-OAUTH1/consumers"),
        ("create_consumer", ADMIN, "POST /v3/OS-OAUTH1/consumers"),
        ("update_consumer", ADMIN, "PATCH /v3/OS-OAUTH1/consumers/{consumer_id}"),
        ("delete_consumer", ADMIN, "DELETE /v3/OS-OAUTH1/consumers/{consumer_id}"),
    ),
    *_table(
        "OAuth 1.0a access tokens of users.",
        ("authorize_request_token", ADMIN, "PUT /v3/OS-OAUTH1/authorize/{request_token_id}"),
        ("get_access_token", ADMIN, "GET /v3/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}"),
        (
            "get_access_token_role",
            ADMIN,
            "GET /v3/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}/roles/{role_id}",
        ),
        ("list_access_tokens", ADMIN, "GET /v3/users/{user_id}/OS-OAUTH1/access_tokens"),
        ("list_access_token_roles", ADMIN, "GET /v3/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}/roles"),
        ("delete_access_token", ADMIN, "DELETE /v3/users/{user_id}/OS-OAUTH1/access_tokens/{access_token_id}"),
    ),
    *_table(
        "Policy documents, kept for old clients.",
        ("get_policy", ADMIN_OR_SYSTEM_READER, "GET /v3/policies/{policy_id}"),
        ("list_policies", ADMIN_OR_SYSTEM_READER, "GET /v3/policies"),
        ("create_policy", ADMIN, "POST /v3/policies"),
        ("update_policy", ADMIN, "PATCH /v3/policies/{policy_id}"),
        ("delete_policy", ADMIN, "DELETE /v3/policies/{policy_id}"),
    ),
    *_table(
        "Which policy document an endpoint has.",
        (
            "create_policy_association_for_endpoint",
            ADMIN,
            "PUT /v3/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints/{endpoint_id}",
        ),
        (
            "check_policy_association_for_endpoint",
            ADMIN_OR_SYSTEM_READER,
            "GET /v3/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints/{endpoint_id}",
        ),
        (
            "delete_policy_association_for_endpoint",
            ADMIN,
            "DELETE /v3/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints/{endpoint_id}",
        ),
        (
            "create_policy_association_for_service",
            ADMIN,
            "PUT /v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}",
        ),
        (
            "check_policy_association_for_service",
            ADMIN_OR_SYSTEM_READER,
            "GET /v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}",
        ),
        (
            "delete_policy_association_for_service",
            ADMIN,
            "DELETE /v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}",
        ),
        (
            "create_policy_association_for_region_and_service",
            ADMIN,
            "PUT /v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}/regions/{region_id}",
        ),
        (
            "check_policy_association_for_region_and_service",
            ADMIN_OR_SYSTEM_READER,
            "GET /v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}/regions/{region_id}",
        ),
        (
            "delete_policy_association_for_region_and_service",
            ADMIN,
            "DELETE /v3/policies/{policy_id}/OS-ENDPOINT-POLICY/services/{service_id}/regions/{region_id}",
        ),
        (
            "get_policy_for_endpoint",
            ADMIN_OR_SYSTEM_READER,
            "GET /v3/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy",
        ),
        (
            "list_endpoints_for_policy",
            ADMIN_OR_SYSTEM_READER,
            "GET /v3/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints",
        ),
    ),
    *_table(
        "Groups of endpoints, and the projects that have them.",
        ("create_endpoint_group", ADMIN, "POST /v3/OS-EP-FILTER/endpoint_groups"),
        ("list_endpoint_groups", ADMIN_OR_SYSTEM_READER, "GET /v3/OS-EP-FILTER/endpoint_groups"),
        ("get_endpoint_group", ADMIN_OR_SYSTEM_READER, "GET /v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}"),
        ("update_endpoint_group", ADMIN, "PATCH /v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}"),
        ("delete_endpoint_group", ADMIN, "DELETE /v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}"),
        (
            "list_projects_associated_with_endpoint_group",
            ADMIN_OR_SYSTEM_READER,
            "GET /v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects",
        ),
        (
            "list_endpoints_associated_with_endpoint_group",
            ADMIN_OR_SYSTEM_READER,
            "GET /v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/endpoints",
        ),
        (
            "get_endpoint_group_in_project",
            ADMIN_OR_SYSTEM_READER,
            "GET /v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}",
        ),
        (
            "list_endpoint_groups_for_project",
            ADMIN_OR_SYSTEM_READER,
            "GET /v3/OS-EP-FILTER/projects/{project_id}/endpoint_groups",
        ),
        (
            "add_endpoint_group_to_project",
            ADMIN,
            "PUT /v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}",
        ),
        (
            "remove_endpoint_group_from_project",
            ADMIN,
            "DELETE /v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}",
        ),
    ),
    *_table(
        "Endpoints of certain projects.",
        ("list_projects_for_endpoint", ADMIN_OR_SYSTEM_READER, "GET /v3/OS-EP-FILTER/endpoints/{endpoint_id}/projects"),
        ("add_endpoint_to_project", ADMIN, "PUT /v3/OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}"),
        (
            "check_endpoint_in_project",
            ADMIN_OR_SYSTEM_READER,
            "GET /v3/OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}",
        ),
        ("list_endpoints_for_project", ADMIN_OR_SYSTEM_READER, "GET /v3/OS-EP-FILTER/projects/{project_id}/endpoints"),
        (
            "remove_endpoint_from_project",
            ADMIN,
            "DELETE /v3/OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}",
        ),
    ),
    *_table(
        "Tokens that were ended before their time.",
        ("revocation_list", _SERVICE, "GET /v3/auth/tokens/OS-PKI/revoked"),
    ),
    *_table(
        "End every token of a user.",
        ("revoke_tokens_for_user", f"{ADMIN} or rule:owner", "DELETE /v3/users/{user_id}/tokens"),
    ),
)

# What Keystone has no call for, and hence no rule.
OWN_RULES = (
    Rule(
        "projects:purge",
        "rule:admin",
        "See all that a project has, remove it, and the project with it.",
        scopes=("project", "system"),
    ),
)

# Which tokens a rule takes: those of projects and the system, and of domains where it looks at a domain, but for these.
_EVERY_SCOPE = {
    "get_role", "list_roles", "get_region", "list_regions", "check_token", "validate_token", "revoke_token",
    "get_auth_catalog", "get_auth_projects", "get_auth_domains", "get_auth_system", "get_registered_limit",
    "list_registered_limits", "get_limit_model", "list_limits", "get_credential", "list_credentials",
    "create_credential", "update_credential", "delete_credential", "ec2tokens_validate", "s3tokens_validate",
    "revoke_tokens_for_user",
}  # fmt: skip
_PROJECTS_ONLY = {
    "create_application_credential", "create_trust", "authorize_request_token", "get_access_token",
    "get_access_token_role", "list_access_tokens", "list_access_token_roles", "delete_access_token",
}  # fmt: skip


def _scopes(rule: Rule) -> tuple[str, ...]:
    _, _, name = rule.name.partition(":")
    if not name:  # other rules refer to it
        return ()
    if name in _PROJECTS_ONLY:
        return ("project",)
    of_domains = "domain_id:%" in rule.check or name in _EVERY_SCOPE
    return ("project", "domain", "system") if of_domains else ("project", "system")


RULES: tuple[Rule, ...] = tuple(one for rule in _RULES for one in scoped(_scopes(rule), (rule,)))
