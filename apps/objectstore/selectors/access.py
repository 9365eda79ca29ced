"""Who may see and change what: the account's own people by rule, others by the container's access lists.

An entry of a list is `project:user` (either may be `*`, names count in the default domain), a role, or for reading
`.r:host` by the page that refers and `.rlistings` to let such callers list. An account's own list grants users one of
three levels. Who holds a signed address may do with objects what its key's account or container allows, nothing else.
Source: Swift's documentation of ACLs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid
from apps.objectstore.models import Account, Container
from apps.objectstore.states import MAX_ACL_BYTES

DEFAULT_DOMAIN = "default"
_REFERRER = re.compile(r"^\.r(?:ef(?:erer|errer)?)?$")


READ, WRITE, ADMIN = LEVELS = ("read-only", "read-write", "admin")  # of an account's own list, each with those before


@dataclass(frozen=True, slots=True)
class SignedContext(RequestContext):
    """Whoever holds a signed address or form: objects of one account, or of the one container whose key signed it."""

    account: str = ""
    container: str = ""

    def reaches(self, account: str, container: Container | None) -> bool:
        """Whether the signature is good for objects there."""
        named = not self.container or (container is not None and container.name == self.container)
        return account == self.account and named


def is_owner(ctx: RequestContext, account: str) -> bool:
    """Whether the caller may do everything with the account."""
    return policy.allowed(ctx, "object_store:own", {"project_id": account}) or _level(ctx, account) == ADMIN


def is_reseller(ctx: RequestContext) -> bool:
    return policy.allowed(ctx, "object_store:reseller")


def require_owner(ctx: RequestContext, account: str) -> None:
    """Raise Forbidden unless the caller may change the account and who else may."""
    if not is_owner(ctx, account):
        policy.enforce(ctx, "object_store:own", {"project_id": account})


def require_writer(ctx: RequestContext, account: str) -> None:
    """Raise Forbidden unless the caller may make, change and remove containers of the account."""
    if not _writes(ctx, account):
        policy.enforce(ctx, "object_store:own", {"project_id": account})


def require_reader(ctx: RequestContext, account: str) -> None:
    """Raise Forbidden unless the caller may see the account."""
    if not _reads(ctx, account):
        policy.enforce(ctx, "object_store:read", {"project_id": account})


def _reads(ctx: RequestContext, account: str) -> bool:
    return policy.allowed(ctx, "object_store:read", {"project_id": account}) or bool(_level(ctx, account))


def _writes(ctx: RequestContext, account: str) -> bool:
    own = policy.allowed(ctx, "object_store:own", {"project_id": account})
    return own or _level(ctx, account) in {WRITE, ADMIN}


def _level(ctx: RequestContext, account: str) -> str:
    """What an account's own list grants a user: the highest level, or nothing. One query."""
    if not ctx.user_id:
        return ""
    access = Account.objects.filter(pk=account).values_list("access", flat=True).first() or {}
    return next((level for level in reversed(LEVELS) if _named(ctx, access.get(level, []))), "")


def require_read(
    ctx: RequestContext, account: str, container: Container | None, *, referrer: str, listing: bool = False
) -> None:
    """Raise Forbidden unless the caller may read from the container, whether it exists or not."""
    if isinstance(ctx, SignedContext) and ctx.reaches(account, container):
        return
    entries = _entries(container.read_acl) if container else []
    if _named(ctx, entries) or _reads(ctx, account):
        return
    hosts = [entry.removeprefix(".r:") for entry in entries if entry.startswith(".r:")]
    if _refers(referrer, hosts) and (not listing or ".rlistings" in entries):
        return
    raise Forbidden("Access was denied to this resource.", rule="object_store:read")


def require_write(ctx: RequestContext, account: str, container: Container | None) -> None:
    """Raise Forbidden unless the caller may change objects of the container, whether it exists or not."""
    if isinstance(ctx, SignedContext) and ctx.reaches(account, container):
        return
    if not _named(ctx, _entries(container.write_acl) if container else []) and not _writes(ctx, account):
        raise Forbidden("Access was denied to this resource.", rule="object_store:own")


def account_acl_cleaned(text: str) -> dict[str, list[str]]:
    """An account's own list from JSON: level → entries as in lists of containers, but no roles. Raises Invalid."""
    field = "X-Account-Access-Control"
    if len(text.encode()) > MAX_ACL_BYTES:
        raise Invalid(f"{field} is longer than {MAX_ACL_BYTES} bytes.", field=field)
    try:
        found = json.loads(text or "{}")
    except ValueError:
        raise Invalid(f"{field} is no JSON.", field=field) from None
    if not isinstance(found, dict) or not set(found) <= set(LEVELS):
        raise Invalid(f"{field} maps {', '.join(LEVELS)} to lists.", field=field)
    for entries in found.values():
        if not isinstance(entries, list) or not all(isinstance(e, str) and _is_user(e) for e in entries):
            raise Invalid(f"Entries of {field} are of the form project:user.", field=field)
    return {level: found[level] for level in LEVELS if found.get(level)}


def account_acl_shown(access: Mapping[str, list[str]]) -> str:
    """The reverse, as the header shows it: ASCII."""
    return json.dumps(access)


def _is_user(entry: str) -> bool:
    project, colon, user = entry.rpartition(":")
    return bool(colon and project and user)


def acl_cleaned(text: str, *, field: str, referrers: bool) -> str:
    """An access list in its plain form. Raises Invalid."""
    found = []
    for raw in filter(None, (part.strip() for part in text.split(","))):
        first, _, rest = (part.strip() for part in raw.partition(":"))
        if not first.startswith(".") or first == ".rlistings":
            found.append(raw)
            continue
        if not _REFERRER.match(first):
            raise Invalid(f"{field}: unknown designator {first!r}.", field=field)
        if not referrers:
            raise Invalid(f"{field}: referrers cannot be let write: {raw!r}.", field=field)
        found.append(f".r:{_host(rest, raw, field)}")
    cleaned = ",".join(found)
    if len(cleaned.encode()) > MAX_ACL_BYTES:
        raise Invalid(f"{field} is longer than {MAX_ACL_BYTES} bytes.", field=field)
    return cleaned


def _host(text: str, raw: str, field: str) -> str:
    minus, host = ("-", text[1:].strip()) if text.startswith("-") else ("", text)
    if host not in {"", "*"} and host.startswith("*"):
        host = host[1:].strip()
    if host in {"", "."}:
        raise Invalid(f"{field}: no host in {raw!r}.", field=field)
    return minus + host


def _entries(acl: str) -> list[str]:
    return acl.split(",") if acl else []


def _named(ctx: RequestContext, entries: list[str]) -> bool:
    if not entries or not ctx.user_id:
        return False
    projects, users = {"*", ctx.project_id}, {"*", ctx.user_id}
    if ctx.project_domain_id == ctx.user_domain_id == DEFAULT_DOMAIN:
        projects.add(ctx.project_name)
        users.add(ctx.user_name)
    for entry in entries:
        project, colon, user = entry.rpartition(":")
        if (colon and project in projects and user in users) or (not colon and ctx.has_role(entry)):
            return True
    return False


def _refers(referrer: str, hosts: list[str]) -> bool:
    try:
        caller = urlsplit(referrer).hostname or "unknown"
    except ValueError:
        caller = "unknown"
    allowed = False
    for host in hosts:
        bare = host.removeprefix("-")
        if bare == "*" or bare == caller or (bare.startswith(".") and caller.endswith(bare)):
            allowed = not host.startswith("-")
    return allowed
