"""The authorization matrix: for every route the rule that OpenStack's source puts on it, and what the rule looks at.

A row names a method, a path below the service with `{names}` of the world in it, the rule, the target, and a body that
passes the schema, so that the rule is what decides. `""` for a rule: every valid token, in the service's scopes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.policy.oracle import Persona
from tests.policy.world import DOMAIN, ONE, PERSONAS, TWO

Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Row:
    """One call."""

    service: str
    method: str
    path: str
    rule: str
    target: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    fine: tuple[int, ...] = ()  # answers besides 2xx and 409 that show that the rule let the caller pass

    def __str__(self) -> str:
        action = f" ({next(iter(self.body))})" if self.path.endswith("/action") else ""
        return f"{self.method} {self.path}{action}"

    @property
    def action(self) -> str:
        """The action that the body names, on routes that take several."""
        return next(iter(self.body)) if self.path.endswith("/action") else ""

    def facts(self, persona: Persona) -> Facts:
        """The target in OpenStack's words, for this caller."""
        return _TARGETS[self.service](self.target, persona)


# --- targets ----------------------------------------------------------------------------------------


def _of_project(target: str, persona: Persona) -> Facts:
    """`one`: what the project one and its owner have; `own`: whatever is the caller's; `two`: shared with two."""
    mine = target == "own"
    project = persona.facts.get("project_id") if mine else ONE
    found: Facts = {
        "project_id": project,
        "owner": project,
        "user_id": persona.user_id if mine else "owner",
        "network:project_id": project,
        "ext_parent:project_id": project,
        "security_group:project_id": project,
        "visibility": "private",
    }
    return found | ({"member_id": TWO} if target == "two" else {})


_NOUNS: Mapping[str, Facts] = {
    "user": {"target.user.id": "{user}", "target.user.domain_id": DOMAIN, "user_id": "{user}"},
    "owner": {
        "target.user.id": "owner",
        "target.user.domain_id": DOMAIN,
        "user_id": "owner",
        "target.credential.user_id": "owner",
        "target.trust.trustor_user_id": "owner",
        "target.trust.trustee_user_id": "member",
    },
    "group": {"target.group.id": "{group}", "target.group.domain_id": DOMAIN},
    "project": {"target.project.id": "{project}", "target.project.domain_id": DOMAIN},
    "one": {"target.project.id": ONE, "target.project.domain_id": DOMAIN},
    "domain": {"target.domain.id": DOMAIN, "target.domain_id": DOMAIN},
    "role": {"target.role.name": "extra", "target.role.domain_id": None},
    "limit": {
        "target.limit.project_id": ONE,
        "target.limit.project.domain_id": DOMAIN,
    },
    "token": {"target.token.user_id": "owner"},
    "": {},
}


def _of_identity(target: str, persona: Persona) -> Facts:
    """The nouns that the rule looks at; `own` is the caller's domain, for lists."""
    found: Facts = {}
    for noun in target.split():
        if noun == "own":
            domain = persona.facts.get("domain_id")
            names = ("domain_id", "domain.id", "user.domain_id", "group.domain_id", "project.domain_id")
            found |= {f"target.{name}": domain for name in names} if domain else {}
        elif noun == "mine":
            found |= {"target.credential.user_id": persona.user_id}
        else:
            found |= _NOUNS[noun]
    return found


_TARGETS = {
    "identity": _of_identity,
    "image": _of_project,
    "network": _of_project,
    "compute": _of_project,
    "placement": _of_project,
}

# --- how rows are written ---------------------------------------------------------------------------

_PREFIX = {
    "identity": "/identity/v3",
    "image": "/image/v2",
    "network": "/networking/v2.0",
    "compute": "/compute/v2.1",
    "placement": "/placement",
}
_RULES = {"identity": "identity:", "compute": "os_compute_api:", "placement": "placement:"}


def rows(service: str, *lines: tuple[Any, ...], **given: Any) -> Iterator[Row]:
    """Rows from `("GET /path", "rule", "target", body)`; the rule without the service's prefix."""
    for line in lines:
        call, rule, target, *rest = line
        body = rest[0] if rest else None
        fine = rest[1] if len(rest) > 1 else ()
        method, path = call.split(" ", 1)
        prefix = _RULES.get(service, "")
        name = rule if not rule or rule.startswith("compute:") else prefix + rule
        yield Row(service, method, _PREFIX[service] + path, name, target, body, fine=fine, **given)


def members(
    service: str, path: str, ident: str, rules: tuple[str, str, str, str, str], target: str, **bodies: Any
) -> Iterator[Row]:
    """The usual rows of a collection and its members; rules of list, create, show, update, delete, "-" for none."""
    many, create, show, update, delete = rules
    found: list[tuple[Any, ...]] = [(f"GET {path}", many, "own"), (f"GET {path}/{ident}", show, target)]
    if create != "-":
        found.append((f"POST {path}", create, bodies.get("create_target", "own"), bodies["create"]))
    if update != "-":
        found.append((f"{bodies.get('verb', 'PUT')} {path}/{ident}", update, target, bodies["update"]))
    if delete != "-":
        found.append((f"DELETE {path}/{ident}", delete, target, None, bodies.get("fine", ())))
    yield from rows(service, *found)


# --- identity ---------------------------------------------------------------------------------------


def _identity_nouns() -> Iterator[Row]:
    kinds: tuple[tuple[str, str, str, Any, Any], ...] = (
        ("domain", "domains", "domain", {"name": "new"}, {"description": "x"}),
        ("project", "projects", "project", {"name": "new", "domain_id": DOMAIN}, {"description": "x"}),
        ("user", "users", "user", {"name": "new", "domain_id": DOMAIN}, {"description": "x"}),
        ("group", "groups", "group", {"name": "new", "domain_id": DOMAIN}, {"description": "x"}),
        ("region", "regions", "", {"id": "south"}, {"description": "x"}),
        ("service", "services", "", {"type": "tides"}, {"name": "x"}),
        (
            "endpoint",
            "endpoints",
            "",
            {"service_id": "{service}", "interface": "admin", "url": "http://x"},
            {"name": "x"},
        ),
    )
    for noun, path, target, create, update in kinds:
        delete = "-" if noun in {"domain", "region"} else f"delete_{noun}"
        rules = (f"list_{path}", f"create_{noun}", f"get_{noun}", f"update_{noun}", delete)
        yield from members(
            "identity", f"/{path}", f"{{{noun}}}", rules, target, verb="PATCH", create={noun: create},
            update={noun: update}, create_target=target,
        )  # fmt: skip


def _grants() -> Iterator[Row]:
    """Every address of a role."""
    for actor in ("user", "group"):
        for scope, ident in (("project", "{project}"), ("domain", "{domain}")):
            target = f"{actor} {scope}"
            for base, tail in ((f"/{scope}s", ""), (f"/OS-INHERIT/{scope}s", "/inherited_to_projects")):
                place = f"{base}/{ident}/{actor}s/{{{actor}}}/roles"
                yield from rows(
                    "identity",
                    (f"GET {place}{tail}", "list_grants", target),
                    (f"GET {place}/{{role}}{tail}", "check_grant", f"{target} role"),
                    (f"PUT {place}/{{role}}{tail}", "create_grant", f"{target} role"),
                    (f"DELETE {place}/{{role}}{tail}", "revoke_grant", f"{target} role"),
                )
        place = f"/system/{actor}s/{{{actor}}}/roles"
        yield from rows(
            "identity",
            (f"GET {place}", f"list_system_grants_for_{actor}", actor),
            (f"GET {place}/{{role}}", f"check_system_grant_for_{actor}", actor),
            (f"PUT {place}/{{role}}", f"create_system_grant_for_{actor}", actor),
            (f"DELETE {place}/{{role}}", f"revoke_system_grant_for_{actor}", actor),
        )


def _limits() -> Iterator[Row]:
    registered = {"registered_limits": [{"service_id": "{service}", "resource_name": "new", "default_limit": 1}]}
    limit = {"service_id": "{service}", "resource_name": "kept", "resource_limit": 1, "project_id": "{project}"}
    yield from rows(
        "identity",
        ("GET /registered_limits", "list_registered_limits", "own"),
        ("POST /registered_limits", "create_registered_limits", "", registered),
        ("GET /registered_limits/{registered}", "get_registered_limit", ""),
        (
            "PATCH /registered_limits/{registered}",
            "update_registered_limit",
            "",
            {"registered_limit": {"description": "x"}},
        ),
        ("DELETE /registered_limits/{registered}", "delete_registered_limit", ""),
        ("GET /limits", "list_limits", "own"),
        ("GET /limits/model", "get_limit_model", ""),
        ("POST /limits", "create_limits", "", {"limits": [limit]}),
        ("GET /limits/{limit}", "get_limit", "limit"),
        ("PATCH /limits/{limit}", "update_limit", "limit", {"limit": {"resource_limit": 2}}),
        ("DELETE /limits/{limit}", "delete_limit", "limit"),
    )


def _domain_configs() -> Iterator[Row]:
    whole = {"config": {"ldap": {"url": "ldap://new"}}}
    group, option = {"config": {"ldap": {"url": "ldap://new"}}}, {"config": {"url": "ldap://new"}}
    base = "/domains/{closed}/config"  # the one without users
    yield from rows(
        "identity",
        ("GET /domains/config/default", "get_domain_config_default", ""),
        ("GET /domains/config/ldap/default", "get_domain_config_default", ""),
        ("GET /domains/config/ldap/url/default", "get_domain_config_default", ""),
        (f"PUT {base}", "create_domain_config", "domain", whole),
    )
    for part, change in (("", whole), ("/ldap", group), ("/ldap/url", option)):
        yield from rows(
            "identity",
            (f"GET {base}{part}", "get_domain_config", "domain"),
            (f"PATCH {base}{part}", "update_domain_config", "domain", change),
            (f"DELETE {base}{part}", "delete_domain_config", "domain"),
        )


def _federation() -> Iterator[Row]:
    base = "/OS-FEDERATION"
    rules = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "x"}]}]
    clouds = {"auth_url": "https://b/auth", "sp_url": "https://b/sp"}
    nouns: tuple[tuple[str, str, Any, Any], ...] = (
        ("identity_provider", "identity_providers", {}, {"description": "x"}),
        ("mapping", "mappings", {"rules": rules}, {"rules": rules}),
        ("protocol", "identity_providers/acme/protocols", {"mapping_id": "acme"}, {"mapping_id": "acme"}),
        ("service_provider", "service_providers", clouds, {"description": "x"}),
    )
    for noun, place, new, change in nouns:
        path = f"{base}/{place}"
        yield from rows(
            "identity",
            (f"GET {path}", f"list_{noun}s", ""),
            (f"PUT {path}/new", f"create_{noun}", "", {noun: new}),
            (f"GET {path}/acme", f"get_{noun}", ""),
            (f"PATCH {path}/acme", f"update_{noun}", "", {noun: change}),
            (f"DELETE {path}/acme", f"delete_{noun}", ""),
        )
    yield from rows(
        "identity",
        (f"GET {base}/projects", "get_auth_projects", ""),
        (f"GET {base}/domains", "get_auth_domains", ""),
    )


def _endpoint_filter() -> Iterator[Row]:
    base, group = "/OS-EP-FILTER", "/OS-EP-FILTER/endpoint_groups/{endpointgroup}"
    new = {"endpoint_group": {"name": "new", "filters": {"interface": "public"}}}
    yield from rows(
        "identity",
        (f"GET {base}/endpoint_groups", "list_endpoint_groups", ""),
        (f"POST {base}/endpoint_groups", "create_endpoint_group", "", new),
        (f"GET {group}", "get_endpoint_group", ""),
        (f"PATCH {group}", "update_endpoint_group", "", {"endpoint_group": {"description": "x"}}),
        (f"DELETE {group}", "delete_endpoint_group", ""),
        (f"GET {group}/endpoints", "list_endpoints_associated_with_endpoint_group", ""),
        (f"GET {group}/projects", "list_projects_associated_with_endpoint_group", ""),
        (f"GET {group}/projects/{{project}}", "get_endpoint_group_in_project", ""),
        (f"PUT {group}/projects/{{two}}", "add_endpoint_group_to_project", ""),
        (f"DELETE {group}/projects/{{project}}", "remove_endpoint_group_from_project", ""),
        (f"GET {base}/endpoints/{{endpoint}}/projects", "list_projects_for_endpoint", ""),
        (f"GET {base}/projects/{{project}}/endpoint_groups", "list_endpoint_groups_for_project", ""),
        (f"GET {base}/projects/{{project}}/endpoints", "list_endpoints_for_project", ""),
        (f"GET {base}/projects/{{project}}/endpoints/{{endpoint}}", "check_endpoint_in_project", ""),
        (f"PUT {base}/projects/{{two}}/endpoints/{{endpoint}}", "add_endpoint_to_project", ""),
        (f"DELETE {base}/projects/{{project}}/endpoints/{{endpoint}}", "remove_endpoint_from_project", ""),
    )


def _policies() -> Iterator[Row]:
    one = "/policies/{policy}/OS-ENDPOINT-POLICY"
    yield from members(
        "identity", "/policies", "{policy}", ("list_policies", "create_policy", "get_policy", "update_policy",
        "delete_policy"), "", verb="PATCH", create={"policy": {"blob": "x", "type": "text/plain"}},
        update={"policy": {"blob": "y"}},
    )  # fmt: skip
    for path, noun in (
        ("endpoints/{endpoint}", "endpoint"),
        ("services/{service}", "service"),
        ("services/{service}/regions/{region}", "region_and_service"),
    ):
        yield from rows(
            "identity",
            (f"GET {one}/{path}", f"check_policy_association_for_{noun}", ""),
            (f"PUT {one}/{path}", f"create_policy_association_for_{noun}", ""),
            (f"DELETE {one}/{path}", f"delete_policy_association_for_{noun}", ""),
        )
    yield from rows(
        "identity",
        (f"GET {one}/endpoints", "list_endpoints_for_policy", ""),
        ("GET /endpoints/{endpoint}/OS-ENDPOINT-POLICY/policy", "get_policy_for_endpoint", ""),
    )


def _secrets() -> Iterator[Row]:
    """Credentials, access keys, trusts and OAuth."""
    trust = {
        "trustor_user_id": "owner", "trustee_user_id": "member", "impersonation": False, "project_id": ONE,
        "roles": [{"name": "reader"}],
    }  # fmt: skip
    keys, tokens = "/users/{owner}/credentials/OS-EC2", "/users/{owner}/OS-OAUTH1/access_tokens"
    cert = {"type": "cert", "blob": "x", "user_id": "owner"}
    signed = {"access": "{accesskey}", "signature": "y"}
    yield from rows(
        "identity",
        ("GET /credentials", "list_credentials", "mine"),
        ("POST /credentials", "create_credential", "owner", {"credential": cert}),
        ("GET /credentials/{cert}", "get_credential", "owner"),
        ("PATCH /credentials/{cert}", "update_credential", "owner", {"credential": {"blob": "y"}}),
        ("DELETE /credentials/{cert}", "delete_credential", "owner"),
        (f"GET {keys}", "ec2_list_credentials", "owner"),
        (f"POST {keys}", "ec2_create_credential", "owner", {"tenant_id": ONE}),
        (f"GET {keys}/{{accesskey}}", "ec2_get_credential", "owner"),
        (f"DELETE {keys}/{{accesskey}}", "ec2_delete_credential", "owner"),
        ("POST /ec2tokens", "ec2tokens_validate", "", {"credentials": signed}, (400, 401)),
        ("POST /s3tokens", "s3tokens_validate", "", {"credentials": {**signed, "token": "eA=="}}, (400, 401)),
        ("GET /OS-TRUST/trusts", "list_trusts", ""),
        ("POST /OS-TRUST/trusts", "create_trust", "owner", {"trust": trust}),
        ("GET /OS-TRUST/trusts/{trust}", "get_trust", "owner"),
        ("DELETE /OS-TRUST/trusts/{trust}", "delete_trust", "owner"),
        ("GET /OS-TRUST/trusts/{trust}/roles", "list_roles_for_trust", "owner"),
        ("GET /OS-TRUST/trusts/{trust}/roles/{memberrole}", "get_role_for_trust", "owner"),
        ("GET /OS-OAUTH1/consumers", "list_consumers", ""),
        ("POST /OS-OAUTH1/consumers", "create_consumer", "", {"consumer": {"description": "new"}}),
        ("GET /OS-OAUTH1/consumers/{consumer}", "get_consumer", ""),
        ("PATCH /OS-OAUTH1/consumers/{consumer}", "update_consumer", "", {"consumer": {"description": "x"}}),
        ("DELETE /OS-OAUTH1/consumers/{consumer}", "delete_consumer", ""),
        ("PUT /OS-OAUTH1/authorize/{requesttoken}", "authorize_request_token", "", {"roles": [{"name": "admin"}]}),
        (f"GET {tokens}", "list_access_tokens", "owner"),
        (f"GET {tokens}/{{accesstoken}}", "get_access_token", "owner"),
        (f"GET {tokens}/{{accesstoken}}/roles", "list_access_token_roles", "owner"),
        (f"GET {tokens}/{{accesstoken}}/roles/{{memberrole}}", "get_access_token_role", "owner"),
        (f"DELETE {tokens}/{{accesstoken}}", "delete_access_token", "owner"),
        ("DELETE /users/{owner}/tokens", "revoke_tokens_for_user", "owner"),
    )  # fmt: skip


_CREDENTIAL = {"application_credential": {"name": "new"}}

IDENTITY = (
    *_identity_nouns(),
    *_grants(),
    *_limits(),
    *_domain_configs(),
    *_federation(),
    *_endpoint_filter(),
    *_policies(),
    *_secrets(),
    *members(
        "identity", "/roles", "{role}", ("list_roles", "create_role", "get_role", "update_role", "delete_role"), "role",
        verb="PATCH", create={"role": {"name": "new"}}, update={"role": {"description": "x"}}, create_target="",
    ),
    *rows(
        "identity",
        ("GET /auth/catalog", "get_auth_catalog", "", None, (403,)),  # only projects have one, there too
        ("GET /auth/projects", "get_auth_projects", ""),
        ("GET /auth/domains", "get_auth_domains", ""),
        ("GET /auth/system", "get_auth_system", ""),
        ("DELETE /domains/{closed}", "delete_domain", ""),  # the one that is disabled
        ("PUT /regions/west", "create_region", "", {"region": {}}),
        ("DELETE /regions/{bare}", "delete_region", ""),
        ("GET /projects/{project}/tags", "list_project_tags", "project"),
        ("PUT /projects/{project}/tags", "update_project_tags", "project", {"tags": ["red"]}),
        ("DELETE /projects/{project}/tags", "delete_project_tags", "project"),
        ("GET /projects/{project}/tags/blue", "get_project_tag", "project"),
        ("PUT /projects/{project}/tags/red", "create_project_tag", "project"),
        ("DELETE /projects/{project}/tags/blue", "delete_project_tag", "project"),
        ("GET /users/{user}/projects", "list_user_projects", "user"),
        ("GET /users/{user}/groups", "list_groups_for_user", "user"),
        ("GET /groups/{group}/users", "list_users_in_group", "group"),
        ("GET /groups/{group}/users/{user}", "check_user_in_group", "group user"),
        ("PUT /groups/{group}/users/{outside}", "add_user_to_group", "group user"),
        ("DELETE /groups/{group}/users/{user}", "remove_user_from_group", "group user"),
        ("GET /users/{owner}/application_credentials", "list_application_credentials", "owner"),
        ("GET /users/{owner}/application_credentials/{credential}", "get_application_credential", "owner"),
        ("POST /users/{owner}/application_credentials", "create_application_credential", "owner", _CREDENTIAL),
        ("DELETE /users/{owner}/application_credentials/{credential}", "delete_application_credential", "owner"),
        ("GET /users/{owner}/access_rules", "list_access_rules", "owner"),
        ("GET /users/{owner}/access_rules/{accessrule}", "get_access_rule", "owner"),
        ("DELETE /users/{owner}/access_rules/{accessrule}", "delete_access_rule", "owner"),
        ("GET /roles/{role}/implies", "list_implied_roles", "role"),
        ("GET /roles/{role}/implies/{implied}", "get_implied_role", "role"),
        ("PUT /roles/{role}/implies/{more}", "create_implied_role", "role"),
        ("DELETE /roles/{role}/implies/{implied}", "delete_implied_role", "role"),
        ("GET /role_inferences", "list_role_inference_rules", ""),
        ("GET /role_assignments", "list_role_assignments", "own"),
        ("GET /auth/tokens/OS-PKI/revoked", "revocation_list", "", None, (403,)),  # there is none any more
    ),
)  # fmt: skip

# --- image ------------------------------------------------------------------------------------------

_PATCH = (("Content-Type", "application/openstack-images-v2.1-json-patch"),)
_BYTES = (("Content-Type", "application/octet-stream"),)
_IMAGE = {"name": "new", "container_format": "bare", "disk_format": "raw"}
_SPACE = "/metadefs/namespaces/{namespace}"
# kind: how its rules call it, one, many, how removal is called
_DEFINITIONS = (
    ("properties", "property", "properties", "remove", {"name": "new", "title": "New", "type": "string"}),
    ("objects", "object", "objects", "delete", {"name": "new"}),
    ("tags", "tag", "tags", "delete", {"name": "new"}),
)


def _definitions() -> Iterator[Row]:
    for kind, one, many, remove, body in _DEFINITIONS:
        path = f"{_SPACE}/{kind}"
        delete_all = "delete_metadef_tags" if kind == "tags" else "modify_metadef_namespace"
        create = {"tags": [body]} if kind == "tags" else body
        yield from rows(
            "image",
            (f"GET {path}", f"get_metadef_{many}", "one"),
            (f"POST {path}", f"add_metadef_{many if kind == 'tags' else one}", "one", create),
            (f"DELETE {path}", delete_all, "one"),
            (f"GET {path}/kept", f"get_metadef_{one}", "one"),
            (f"PUT {path}/kept", f"modify_metadef_{one}", "one", body),
            (f"DELETE {path}/kept", f"{remove}_metadef_{one}", "one"),
        )
    yield from rows("image", (f"POST {_SPACE}/tags/new", "add_metadef_tag", "one"))


IMAGE = (
    *members(
        "image", "/images", "{image}", ("get_images", "add_image", "get_image", "-", "delete_image"), "one",
        create=_IMAGE,
    ),
    *rows("image", ("PATCH /images/{image}", "modify_image", "one", [{"op": "replace", "path": "/name", "value": "x"}]),
          headers=_PATCH),
    *rows("image", ("PUT /images/{queued}/file", "upload_image", "one", b"0" * 512),
          ("PUT /images/{queued}/stage", "upload_image", "one", b"0" * 512), headers=_BYTES),
    *rows(
        "image",
        ("GET /images/{image}/file", "download_image", "one"),
        ("POST /images/{queued}/import", "modify_image", "one", {"method": {"name": "glance-direct"}}),
        ("GET /images/{image}/tasks", "get_image", "one"),
        ("POST /images/{image}/actions/deactivate", "deactivate", "one"),
        ("POST /images/{image}/actions/reactivate", "reactivate", "one"),
        ("PUT /images/{image}/tags/red", "modify_image", "one"),
        ("DELETE /images/{image}/tags/blue", "modify_image", "one"),
        ("GET /images/{shared}/members", "get_members", "two"),
        ("POST /images/{shared}/members", "add_member", "one", {"member": "three"}),
        ("GET /images/{shared}/members/two", "get_member", "two"),
        ("PUT /images/{shared}/members/two", "modify_member", "two", {"status": "accepted"}),
        ("DELETE /images/{shared}/members/two", "delete_member", "one"),
        ("GET /tasks", "tasks_api_access", "own"),
        ("POST /tasks", "tasks_api_access", "own", {}, (400,)),
        ("GET /info/import", "", "own"),
        ("GET /info/stores", "", "own"),
        ("GET /info/usage", "", "own"),
        ("GET /schemas/image", "", "own"),
        ("GET /metadefs/resource_types", "list_metadef_resource_types", "own"),
        ("GET /metadefs/namespaces", "get_metadef_namespaces", "own"),
        ("POST /metadefs/namespaces", "add_metadef_namespace", "own", {"namespace": "OS::New"}),
        (f"GET {_SPACE}", "get_metadef_namespace", "one"),
        (f"PUT {_SPACE}", "modify_metadef_namespace", "one", {"namespace": "OS::Ours", "description": "x"}),
        (f"DELETE {_SPACE}", "delete_metadef_namespace", "one"),
        (f"GET {_SPACE}/resource_types", "get_metadef_resource_type", "one"),
        (f"POST {_SPACE}/resource_types", "add_metadef_resource_type_association", "one", {"name": "OS::Nova::Flavor"}),
        (f"DELETE {_SPACE}/resource_types/kept", "remove_metadef_resource_type_association", "one"),
    ),
    *_definitions(),
)  # fmt: skip

# --- network ----------------------------------------------------------------------------------------


def _tags(collection: str, ident: str, noun: str) -> Iterator[Row]:
    path = f"/{collection}/{ident}/tags"
    yield from rows(
        "network",
        (f"GET {path}", f"get_{noun}:tags", "one"),
        (f"PUT {path}", f"update_{noun}:tags", "one", {"tags": ["red"]}),
        (f"DELETE {path}", f"delete_{noun}:tags", "one"),
        (f"PUT {path}/red", f"update_{noun}:tags", "one"),
    )


def _networks() -> Iterator[Row]:
    rule = {"security_group_id": "{sg}", "direction": "ingress", "protocol": "udp"}
    kinds: tuple[tuple[str, str, str, Any, Any], ...] = (
        ("network", "networks", "{empty}", {"name": "new"}, {"name": "x"}),
        (
            "subnet",
            "subnets",
            "{spare}",
            {"network_id": "{network}", "cidr": "10.9.0.0/24", "ip_version": 4},
            {"name": "x"},
        ),
        ("subnetpool", "subnetpools", "{pool}", {"name": "new", "prefixes": ["10.7.0.0/16"]}, {"name": "x"}),
        ("port", "ports", "{port}", {"network_id": "{network}"}, {"name": "x"}),
        ("router", "routers", "{router}", {"name": "new"}, {"name": "x"}),
        ("floatingip", "floatingips", "{floating}", {"floating_network_id": "{public}"}, {"description": "x"}),
        ("security_group", "security-groups", "{sg}", {"name": "new"}, {"name": "x"}),
        ("security_group_rule", "security-group-rules", "{sgrule}", rule, None),
    )
    below = {"subnet", "port", "security_group_rule"}
    for noun, path, ident, create, update in kinds:
        rules = (f"get_{noun}", f"create_{noun}", f"get_{noun}", f"update_{noun}" if update else "-", f"delete_{noun}")
        yield from members(
            "network", f"/{path}", ident, rules, "one", create={noun: create}, update={noun: update},
            create_target="one" if noun in below else "own",
        )  # fmt: skip
        if update:
            yield from _tags(path, ident, noun)


NETWORK = (
    *_networks(),
    *rows(
        "network",
        ("PUT /routers/{router}/add_router_interface", "add_router_interface", "one", {"subnet_id": "{spare}"}),
        ("PUT /routers/{router}/remove_router_interface", "remove_router_interface", "one", {"subnet_id": "{subnet}"}),
        ("PUT /routers/{router}/add_extraroutes", "add_extraroutes", "one", {"router": {"routes": []}}),
        ("PUT /routers/{router}/remove_extraroutes", "remove_extraroutes", "one", {"router": {"routes": []}}),
        ("GET /networks/{network}/tags/blue", "get_network:tags", "one"),
        ("DELETE /networks/{network}/tags/blue", "delete_network:tags", "one"),
        ("GET /quotas/one", "get_quota", "one"),
        ("GET /quotas/one/default", "get_quota", "one"),
        ("GET /quotas/one/details", "get_quota", "one"),
        ("GET /quotas/one/details.json", "get_quota", "one"),
        ("PUT /quotas/one", "update_quota", "one", {"quota": {"port": 5}}),
        ("DELETE /quotas/one", "delete_quota", "one"),
        ("GET /agents/{host}", "get_agent", "one"),
        ("GET /availability_zones", "get_availability_zone", "own"),
        ("GET /service-providers", "get_service_provider", "own"),
        ("GET /extensions", "", "own"),
        ("GET /extensions/router", "", "own"),
    ),
)

# --- compute ----------------------------------------------------------------------------------------

_SERVER = "/servers/{server}"
_ACT = f"POST {_SERVER}/action"
_LATEST = (("OpenStack-API-Version", "compute latest"),)
_NEW = {"name": "new", "imageRef": "{image}", "flavorRef": "{flavor}", "networks": [{"uuid": "{network}"}]}
_CONSOLE = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
_KEY = "os-keypairs"

COMPUTE = (
    *rows(
        "compute",
        ("GET /servers", "servers:index", "own"),
        ("GET /servers/detail", "servers:detail", "own"),
        ("GET /servers?all_tenants=1", "servers:index:get_all_tenants", "own"),
        ("POST /servers", "servers:create", "own", {"server": {**_NEW, "networks": [{"uuid": "{network}"}]}}, (400,)),
        (f"GET {_SERVER}", "servers:show", "one"),
        (f"PUT {_SERVER}", "servers:update", "one", {"server": {"name": "x"}}),
        (f"DELETE {_SERVER}", "servers:delete", "one"),
        (_ACT, "servers:start", "one", {"os-start": None}),
        (_ACT, "servers:stop", "one", {"os-stop": None}),
        (_ACT, "servers:reboot", "one", {"reboot": {"type": "HARD"}}),
        (_ACT, "servers:rebuild", "one", {"rebuild": {"imageRef": "{image}"}}, (400,)),
        (_ACT, "os-pause-server:pause", "one", {"pause": None}),
        (_ACT, "os-pause-server:unpause", "one", {"unpause": None}),
        (_ACT, "os-suspend-server:suspend", "one", {"suspend": None}),
        (_ACT, "os-suspend-server:resume", "one", {"resume": None}),
        (_ACT, "os-lock-server:lock", "one", {"lock": None}),
        (_ACT, "os-lock-server:unlock", "one", {"unlock": None}),
        (_ACT, "os-deferred-delete:force", "one", {"forceDelete": None}),
        (_ACT, "os-admin-actions:reset_state", "one", {"os-resetState": {"state": "error"}}),
        (_ACT, "os-security-groups:add", "one", {"addSecurityGroup": {"name": "web"}}),
        (_ACT, "os-security-groups:remove", "one", {"removeSecurityGroup": {"name": "default"}}),
        (_ACT, "os-floating-ips:add", "one", {"addFloatingIp": {"address": "{address}"}}),
        (_ACT, "os-floating-ips:remove", "one", {"removeFloatingIp": {"address": "{address}"}}),
        (_ACT, "os-console-output", "one", {"os-getConsoleOutput": {"length": 0}}),
        (_ACT, "os-remote-consoles", "one", {"os-getVNCConsole": {"type": "novnc"}}),
        (_ACT, "os-remote-consoles", "one", {"os-getSerialConsole": {"type": "serial"}}),
        (f"GET {_SERVER}/ips", "ips:index", "one"),
        (f"GET {_SERVER}/ips/net", "ips:show", "one"),
        (f"GET {_SERVER}/metadata", "server-metadata:index", "one"),
        (f"POST {_SERVER}/metadata", "server-metadata:create", "one", {"metadata": {"c": "d"}}),
        (f"PUT {_SERVER}/metadata", "server-metadata:update_all", "one", {"metadata": {"c": "d"}}),
        (f"GET {_SERVER}/metadata/a", "server-metadata:show", "one"),
        (f"PUT {_SERVER}/metadata/a", "server-metadata:update", "one", {"meta": {"a": "c"}}),
        (f"DELETE {_SERVER}/metadata/a", "server-metadata:delete", "one"),
        (f"GET {_SERVER}/os-interface", "os-attach-interfaces:list", "one"),
        (f"POST {_SERVER}/os-interface", "os-attach-interfaces:create", "one",
         {"interfaceAttachment": {"net_id": "{network}"}}),
        (f"GET {_SERVER}/os-interface/{{plugged}}", "os-attach-interfaces:show", "one"),
        (f"DELETE {_SERVER}/os-interface/{{plugged}}", "os-attach-interfaces:delete", "one"),
        (f"GET {_SERVER}/os-security-groups", "os-security-groups:list", "one"),
        (f"GET {_SERVER}/os-instance-actions", "os-instance-actions:list", "one"),
        ("GET /servers/{busy}/os-instance-actions/{request}", "os-instance-actions:show", "one"),
        ("GET /servers/{off}/diagnostics", "os-server-diagnostics", "one"),
        (f"GET {_SERVER}/os-server-password", "os-server-password:show", "one"),
        (f"DELETE {_SERVER}/os-server-password", "os-server-password:clear", "one"),
        ("GET /os-migrations", "os-migrations:index", "own"),
        ("GET /os-instance_usage_audit_log", "os-instance-usage-audit-log:list", "own"),
        ("GET /os-instance_usage_audit_log/2026-01-01%2000:00:00", "os-instance-usage-audit-log:show", "own"),
        ("POST /os-server-external-events", "os-server-external-events:create", "own",
         {"events": [{"name": "network-changed", "server_uuid": "{server}"}]}),
        ("GET /flavors", "", "own"),
        ("GET /flavors/detail", "", "own"),
        ("POST /flavors", "os-flavor-manage:create", "own",
         {"flavor": {"name": "n", "ram": 64, "vcpus": 1, "disk": 1}}),
        ("GET /flavors/{flavor}", "", "own"),
        ("DELETE /flavors/{flavor}", "os-flavor-manage:delete", "own"),
        ("POST /flavors/{closed_flavor}/action", "os-flavor-access:add_tenant_access", "own",
         {"addTenantAccess": {"tenant": TWO}}),
        ("POST /flavors/{closed_flavor}/action", "os-flavor-access:remove_tenant_access", "own",
         {"removeTenantAccess": {"tenant": ONE}}),
        ("GET /flavors/{closed_flavor}/os-flavor-access", "os-flavor-access", "own"),
        ("GET /flavors/{flavor}/os-extra_specs", "os-flavor-extra-specs:index", "own"),
        ("POST /flavors/{flavor}/os-extra_specs", "os-flavor-extra-specs:create", "own", {"extra_specs": {"c": "d"}}),
        ("GET /flavors/{flavor}/os-extra_specs/a", "os-flavor-extra-specs:show", "own"),
        ("PUT /flavors/{flavor}/os-extra_specs/a", "os-flavor-extra-specs:update", "own", {"a": "c"}),
        ("DELETE /flavors/{flavor}/os-extra_specs/a", "os-flavor-extra-specs:delete", "own"),
        ("GET /os-keypairs", "os-keypairs:index", "own"),
        ("POST /os-keypairs", "os-keypairs:create", "own", {"keypair": {"name": "new"}}),
        ("GET /os-server-groups", "os-server-groups:index", "own"),
        ("POST /os-server-groups", "os-server-groups:create", "own",
         {"server_group": {"name": "n", "policies": ["affinity"]}}),
        ("GET /os-server-groups/{servergroup}", "os-server-groups:show", "one"),
        ("DELETE /os-server-groups/{servergroup}", "os-server-groups:delete", "one"),
        ("GET /os-hypervisors", "os-hypervisors:list", "own"),
        ("GET /os-hypervisors/detail", "os-hypervisors:list-detail", "own"),
        ("GET /os-hypervisors/statistics", "os-hypervisors:statistics", "own"),
        ("GET /os-hypervisors/hv-1/search", "os-hypervisors:search", "own"),
        ("GET /os-hypervisors/hv-1/servers", "os-hypervisors:servers", "own"),
        ("GET /os-hypervisors/{hypervisor}", "os-hypervisors:show", "own"),
        ("GET /os-hypervisors/{hypervisor}/uptime", "os-hypervisors:uptime", "own", None, (400,)),
        ("GET /os-hosts", "os-hosts:list", "own"),
        ("GET /os-hosts/hv-1", "os-hosts:show", "own"),
        ("GET /os-services", "os-services:list", "own"),
        ("PUT /os-services/disable", "os-services:update", "own", {"host": "hv-1", "binary": "nova-compute"}),
        ("DELETE /os-services/{hypervisor}", "os-services:delete", "own", None, (503,)),  # without the broker it waits
        ("GET /os-availability-zone", "os-availability-zone:list", "own"),
        ("GET /os-availability-zone/detail", "os-availability-zone:detail", "own"),
        ("GET /os-aggregates", "os-aggregates:index", "own"),
        ("POST /os-aggregates", "os-aggregates:create", "own", {"aggregate": {"name": "new"}}),
        ("GET /os-aggregates/{aggregate}", "os-aggregates:show", "own"),
        ("PUT /os-aggregates/{aggregate}", "os-aggregates:update", "own", {"aggregate": {"name": "x"}}),
        ("DELETE /os-aggregates/{aggregate}", "os-aggregates:delete", "own"),
        ("POST /os-aggregates/{aggregate}/action", "os-aggregates:add_host", "own", {"add_host": {"host": "hv-1"}}),
        ("POST /os-aggregates/{aggregate}/action", "os-aggregates:remove_host", "own",
         {"remove_host": {"host": "hv-1"}}),
        ("POST /os-aggregates/{aggregate}/action", "os-aggregates:set_metadata", "own",
         {"set_metadata": {"metadata": {"a": "b"}}}),
        ("GET /limits", "limits", "own"),
        ("GET /limits?tenant_id=closed", "limits:other_project", "own"),
        ("GET /os-quota-sets/one", "os-quota-sets:show", "one"),
        ("PUT /os-quota-sets/one", "os-quota-sets:update", "one", {"quota_set": {"cores": 5}}),
        ("DELETE /os-quota-sets/one", "os-quota-sets:delete", "one"),
        ("GET /os-quota-sets/one/defaults", "os-quota-sets:defaults", "one"),
        ("GET /os-quota-sets/one/detail", "os-quota-sets:detail", "one"),
        ("GET /os-quota-class-sets/default", "os-quota-class-sets:show", "own"),
        ("PUT /os-quota-class-sets/default", "os-quota-class-sets:update", "own", {"quota_class_set": {"cores": 5}}),
        ("GET /os-simple-tenant-usage", "os-simple-tenant-usage:list", "own"),
        ("GET /os-simple-tenant-usage/one", "os-simple-tenant-usage:show", "one"),
        ("GET /os-security-groups", "os-security-groups:get", "own"),
        ("POST /os-security-groups", "os-security-groups:create", "own",
         {"security_group": {"name": "n", "description": "d"}}),
        ("GET /os-security-groups/{sg}", "os-security-groups:show", "one"),
        ("PUT /os-security-groups/{sg}", "os-security-groups:update", "one",
         {"security_group": {"name": "n", "description": "d"}}),
        ("DELETE /os-security-groups/{sg}", "os-security-groups:delete", "one"),
        ("POST /os-security-group-rules", "os-security-groups:rule:create", "one", {"security_group_rule": {
            "parent_group_id": "{sg}", "ip_protocol": "udp", "from_port": 1, "to_port": 2, "cidr": "10.0.0.0/8"}}),
        ("DELETE /os-security-group-rules/{sgrule}", "os-security-groups:rule:delete", "one"),
        ("GET /os-floating-ips", "os-floating-ips:list", "own"),
        ("POST /os-floating-ips", "os-floating-ips:create", "own", {"pool": "public"}),
        ("GET /os-floating-ips/{floating}", "os-floating-ips:show", "one"),
        ("DELETE /os-floating-ips/{floating}", "os-floating-ips:delete", "one"),
        ("GET /os-floating-ip-pools", "os-floating-ip-pools", "own"),
        ("GET /os-networks", "os-networks:list", "own"),
        ("GET /os-networks/{network}", "os-networks:show", "one"),
        ("GET /os-tenant-networks", "os-tenant-networks:list", "own"),
        ("GET /os-tenant-networks/{network}", "os-tenant-networks:show", "one"),
        ("GET /extensions", "extensions", "own"),
        ("GET /extensions/os-keypairs", "extensions", "own"),
    ),
    *rows(
        "compute",
        ("POST /servers/{server}/remote-consoles", "os-remote-consoles", "one", _CONSOLE),
        (f"GET {_SERVER}/topology", "compute:server:topology:index", "one"),
        (f"GET {_SERVER}/migrations", "servers:migrations:index", "one"),
        (f"GET {_SERVER}/migrations/1", "servers:migrations:show", "one", None, (404,)),  # there is none
        (f"DELETE {_SERVER}/migrations/1", "servers:migrations:delete", "one", None, (404,)),
        (f"POST {_SERVER}/migrations/1/action", "servers:migrations:force_complete", "one",
         {"force_complete": None}, (404,)),
        (f"GET {_SERVER}/tags", "os-server-tags:index", "one"),
        (f"PUT {_SERVER}/tags", "os-server-tags:update_all", "one", {"tags": ["red"]}),
        (f"DELETE {_SERVER}/tags", "os-server-tags:delete_all", "one"),
        (f"GET {_SERVER}/tags/blue", "os-server-tags:show", "one"),
        (f"PUT {_SERVER}/tags/red", "os-server-tags:update", "one"),
        (f"DELETE {_SERVER}/tags/blue", "os-server-tags:delete", "one"),
        ("PUT /flavors/{flavor}", "os-flavor-manage:update", "own", {"flavor": {"description": "x"}}),
        ("GET /os-keypairs/key?user_id=owner", "os-keypairs:show", "one"),
        ("DELETE /os-keypairs/key?user_id=owner", "os-keypairs:delete", "one"),
        headers=_LATEST,
    ),
)  # fmt: skip

# The image proxy of compute: Nova asks Glance, whose rules decide.
OLDER_IMAGES = tuple(
    Row("image", method, f"/compute/v2.1/images{path}", rule, target, body)
    for method, path, rule, target, body in (
        ("GET", "", "get_images", "own", None),
        ("GET", "/detail", "get_images", "own", None),
        ("GET", "/{image}", "get_image", "one", None),
        ("DELETE", "/{image}", "delete_image", "one", None),
        ("GET", "/{image}/metadata", "get_image", "one", None),
        ("POST", "/{image}/metadata", "modify_image", "one", {"metadata": {"c": "d"}}),
        ("PUT", "/{image}/metadata", "modify_image", "one", {"metadata": {"c": "d"}}),
        ("GET", "/{image}/metadata/kept", "get_image", "one", None),
        ("PUT", "/{image}/metadata/kept", "modify_image", "one", {"meta": {"kept": "x"}}),
        ("DELETE", "/{image}/metadata/kept", "modify_image", "one", None),
    )
)

# --- placement --------------------------------------------------------------------------------------

PLACEMENT = tuple(
    rows(
        "placement",
        ("GET /resource_providers", "resource_providers:list", "own"),
        ("GET /resource_providers/{host}", "resource_providers:show", "own"),
        ("GET /resource_providers/{host}/inventories", "resource_providers:inventories:list", "own"),
        ("GET /resource_providers/{host}/inventories/VCPU", "resource_providers:inventories:show", "own"),
        ("GET /resource_providers/{host}/usages", "resource_providers:usages", "own"),
        ("GET /resource_providers/{host}/allocations", "resource_providers:allocations:list", "own"),
        ("GET /resource_providers/{host}/traits", "resource_providers:traits:list", "own"),
        ("GET /resource_providers/{host}/aggregates", "resource_providers:aggregates:list", "own"),
        ("GET /allocations/{server}", "allocations:list", "own"),
        ("GET /usages?project_id=one", "usages", "one"),
        ("GET /resource_classes", "resource_classes:list", "own"),
        ("GET /resource_classes/VCPU", "resource_classes:show", "own"),
        ("GET /traits", "traits:list", "own"),
        ("GET /traits/HW_CPU_X86_VMX", "traits:show", "own"),
        ("GET /allocation_candidates?resources=VCPU:1", "allocation_candidates:list", "own"),
        headers=(("OpenStack-API-Version", "placement latest"),),
    )
)

# --- Kumo's own calls, which OpenStack has no rules for ------------------------------------------------

_READERS = {"reader", "owner", "member", "manager", "project admin"}
_EVERYBODY = {p.name for p in PERSONAS if p.role}
# call, who may
OWN: tuple[tuple[Row, set[str]], ...] = tuple(
    (Row("kumo", method, path, "", "", {} if method == "POST" else None, fine=fine), allowed)
    for method, path, allowed, fine in (
        ("GET", "/operations", _EVERYBODY - {"domain reader", "domain manager", "domain admin"}, ()),
        ("GET", "/operations/{operation}", _READERS | {"system admin"}, ()),
        ("GET", "/audit/v1/events", _EVERYBODY, ()),
        ("GET", "/audit/v1/events/{event}", {"owner", "manager", "project admin", "system reader", "system admin"}, ()),
        (
            "GET",
            "/identity/v3/users/{owner}/kumo-permissions?project_id=one",
            {
                "owner",
                "project admin",
                "domain reader",
                "domain manager",
                "domain admin",
                "system reader",
                "system admin",
            },
            (),
        ),
        ("POST", "/operations/{operation}/cancel", _READERS - {"reader"} | {"system admin"}, ()),
        ("POST", "/operations/{operation}/retry", {"project admin", "system admin"}, ()),
        ("POST", "/operations/{operation}/abandon", {"project admin", "system admin"}, ()),
        # Neutron answers these two by what it leaves out of the list, or by refusing in its code.
        ("GET", "/networking/v2.0/agents", _READERS | {"other project"}, ()),
        ("GET", "/networking/v2.0/quotas", {"project admin"}, ()),
        ("GET", "/compute/v2.1/servers/{busy}/kumo-decision", _READERS, ()),
    )
)

ROWS = (*IDENTITY, *IMAGE, *NETWORK, *COMPUTE, *OLDER_IMAGES, *PLACEMENT)
