"""The options of a directory: Keystone's names, so that its configuration files and API bodies can be taken over.

One table serves the file (`[identity.directories.NAME]`), the API (`/v3/domains/{id}/config`) and the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from apps.core.errors import Forbidden

SECRETS = frozenset({"password"})  # taken, never shown
_ATTRIBUTE = r"^[A-Za-z][A-Za-z0-9;.-]*$"
_PAIR = re.compile(r"[A-Za-z][A-Za-z0-9;.-]*:[A-Za-z_][A-Za-z0-9_]*")

Attribute = Annotated[str, msgspec.Meta(pattern=_ATTRIBUTE)]
MaybeAttribute = Annotated[str, msgspec.Meta(pattern=rf"^$|{_ATTRIBUTE}")]


class Ldap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A directory that holds the users and groups of the domain NAME."""

    url: Annotated[
        str, msgspec.Meta(description="`ldap://` or `ldaps://` addresses, separated by commas; tried in this order.")
    ] = "ldap://localhost"
    user: Annotated[str, msgspec.Meta(description="DN to read (and write) as. Empty: anonymous.")] = ""
    password: Annotated[str, msgspec.Meta(description="Password of that DN; never shown.")] = ""
    suffix: Annotated[str, msgspec.Meta(description="DN above everything.")] = "cn=example,cn=com"
    query_scope: Annotated[
        Literal["one", "sub"], msgspec.Meta(description="Look directly below the trees, or at any depth.")
    ] = "one"
    page_size: Annotated[
        int, msgspec.Meta(description="Entries asked for at a time. 0: no paging.", ge=0, le=10_000)
    ] = 500
    chase_referrals: Annotated[bool, msgspec.Meta(description="Follow referrals to other servers.")] = False
    connection_timeout: Annotated[int, msgspec.Meta(description="Seconds to connect.", ge=1, le=60)] = 3
    search_timeout: Annotated[int, msgspec.Meta(description="Seconds for one page of answers.", ge=1, le=120)] = 10

    use_tls: Annotated[bool, msgspec.Meta(description="StartTLS on an `ldap://` address.")] = False
    tls_cacertfile: Annotated[
        str, msgspec.Meta(description="File of certificate authorities. Empty: the system's.")
    ] = ""
    tls_cacertdir: Annotated[str, msgspec.Meta(description="Directory of certificate authorities.")] = ""
    tls_req_cert: Annotated[
        Literal["demand", "allow", "never"], msgspec.Meta(description="What is asked of the server's certificate.")
    ] = "demand"

    use_pool: Annotated[bool, msgspec.Meta(description="Keep connections.")] = True
    pool_size: Annotated[int, msgspec.Meta(description="Connections of one process, at most.", ge=1, le=100)] = 10
    pool_retry_max: Annotated[int, msgspec.Meta(description="New tries after a lost connection.", ge=0, le=10)] = 1
    pool_connection_timeout: Annotated[
        int, msgspec.Meta(description="Seconds to wait for a free connection.", ge=1, le=60)
    ] = 3
    pool_connection_lifetime: Annotated[
        int, msgspec.Meta(description="Seconds after which a kept connection is made anew.", ge=1)
    ] = 600

    user_tree_dn: Annotated[str, msgspec.Meta(description="DN above the users. Empty: `ou=Users,SUFFIX`.")] = ""
    user_filter: Annotated[str, msgspec.Meta(description="Filter that users must match too.")] = ""
    user_objectclass: Annotated[Attribute, msgspec.Meta(description="Object class of users.")] = "inetOrgPerson"
    user_id_attribute: Annotated[
        Attribute, msgspec.Meta(description="What never changes and is unique: ids are made of it.")
    ] = "cn"
    user_name_attribute: Annotated[Attribute, msgspec.Meta(description="What people sign in as.")] = "sn"
    user_description_attribute: Annotated[MaybeAttribute, msgspec.Meta(description="Description.")] = "description"
    user_mail_attribute: Annotated[MaybeAttribute, msgspec.Meta(description="Mail address: `email`.")] = "mail"
    user_enabled_attribute: Annotated[
        MaybeAttribute, msgspec.Meta(description="Whether a user may sign in. Empty: everybody may.")
    ] = ""
    user_enabled_invert: Annotated[bool, msgspec.Meta(description="The attribute says who may not.")] = False
    user_enabled_mask: Annotated[
        int, msgspec.Meta(description="Bit of the attribute that disables (Active Directory: 2). 0: a word.", ge=0)
    ] = 0
    user_enabled_default: Annotated[
        str, msgspec.Meta(description="Value of an entry without the attribute; 512 with Active Directory.")
    ] = "True"
    user_default_project_id_attribute: Annotated[MaybeAttribute, msgspec.Meta(description="Default project.")] = ""
    user_additional_attribute_mapping: Annotated[
        tuple[str, ...], msgspec.Meta(description="`ldap_attribute:name` of further attributes to show.")
    ] = ()
    user_allow_create: Annotated[bool, msgspec.Meta(description="Users may be made.")] = False
    user_allow_update: Annotated[bool, msgspec.Meta(description="Users may be changed, and their passwords.")] = False
    user_allow_delete: Annotated[bool, msgspec.Meta(description="Users may be removed.")] = False

    group_tree_dn: Annotated[str, msgspec.Meta(description="DN above the groups. Empty: `ou=UserGroups,SUFFIX`.")] = ""
    group_filter: Annotated[str, msgspec.Meta(description="Filter that groups must match too.")] = ""
    group_objectclass: Annotated[Attribute, msgspec.Meta(description="Object class of groups.")] = "groupOfNames"
    group_id_attribute: Annotated[Attribute, msgspec.Meta(description="As for users.")] = "cn"
    group_name_attribute: Annotated[Attribute, msgspec.Meta(description="Name of a group.")] = "ou"
    group_desc_attribute: Annotated[MaybeAttribute, msgspec.Meta(description="Description.")] = "description"
    group_member_attribute: Annotated[Attribute, msgspec.Meta(description="Who is in a group.")] = "member"
    group_members_are_ids: Annotated[
        bool, msgspec.Meta(description="Members are values of the users' id attribute (posixGroup), not DNs.")
    ] = False
    group_ad_nesting: Annotated[
        bool, msgspec.Meta(description="Active Directory resolves groups in groups itself.")
    ] = False
    group_nesting_levels: Annotated[
        int, msgspec.Meta(description="How deep groups in groups are followed with other servers.", ge=0, le=20)
    ] = 0
    group_additional_attribute_mapping: Annotated[
        tuple[str, ...], msgspec.Meta(description="`ldap_attribute:name` of further attributes to show.")
    ] = ()
    group_allow_create: Annotated[bool, msgspec.Meta(description="Groups may be made.")] = False
    group_allow_update: Annotated[bool, msgspec.Meta(description="Groups and membership may be changed.")] = False
    group_allow_delete: Annotated[bool, msgspec.Meta(description="Groups may be removed.")] = False
    use_dumb_member: Annotated[
        bool, msgspec.Meta(description="Keep `dumb_member` in groups that we make, for schemas that ask for a member.")
    ] = False
    dumb_member: Annotated[str, msgspec.Meta(description="DN of nobody.")] = "cn=dumb,dc=nonexistent"

    def __post_init__(self) -> None:
        for url in self.urls:
            if not url.startswith(("ldap://", "ldaps://", "ldapi://")):
                raise ValueError(f"`{url}` is no address of a directory: it begins with ldap://, ldaps:// or ldapi://")
        for pair in (*self.user_additional_attribute_mapping, *self.group_additional_attribute_mapping):
            if not _PAIR.fullmatch(pair):
                raise ValueError(f"`{pair}` is not of the form ldap_attribute:name")

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(part for part in re.split(r"[,\s]+", self.url) if part)

    @property
    def users_below(self) -> str:
        return self.user_tree_dn or f"ou=Users,{self.suffix}"

    @property
    def groups_below(self) -> str:
        return self.group_tree_dn or f"ou=UserGroups,{self.suffix}"


class Driver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a domain's users and groups are kept."""

    driver: Annotated[Literal["sql", "ldap"], msgspec.Meta(description="Our database, or a directory.")] = "sql"
    list_limit: Annotated[
        int, msgspec.Meta(description="Entries of a directory that one list reads, at most.", ge=0, le=100_000)
    ] = 20_000


GROUPS: Mapping[str, type[Driver] | type[Ldap]] = {"identity": Driver, "ldap": Ldap}


def known(group: str, option: str = "") -> None:
    """Raise Forbidden (as Keystone) for a group or option that cannot be configured for a domain."""
    if group not in GROUPS:
        raise refused(f"Group {group} is not supported for domain specific configurations")
    if option and option not in GROUPS[group].__struct_fields__:
        raise refused(f"Option {option} in group {group} is not supported for domain specific configurations")


def refused(reason: str) -> Forbidden:
    """Keystone's error for a configuration that will not do."""
    return Forbidden(f"Invalid domain specific configuration: {reason}.")


def read(group: str, values: Mapping[str, Any]) -> Any:
    """The options of a group, words taken for numbers and flags as a file would. Raises Forbidden, naming the key."""
    try:
        return msgspec.convert(dict(values), GROUPS[group], strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise refused(f"in group {group}: {error}") from error


def defaults() -> dict[str, dict[str, Any]]:
    """Every option that may be shown, with its default."""
    return {
        group: {k: v for k, v in msgspec.to_builtins(kind()).items() if k not in SECRETS}
        for group, kind in GROUPS.items()
    }
