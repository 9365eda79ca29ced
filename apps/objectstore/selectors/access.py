"""Who may see and change what: the account's own people by rule, others by the container's access lists.

An entry of a list is `project:user` (either may be `*`, names count in the default domain), a role, or for reading
`.r:host` by the page that refers and `.rlistings` to let such callers list. Source: Swift's documentation of ACLs.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid
from apps.objectstore.models import Container
from apps.objectstore.states import MAX_ACL_BYTES

DEFAULT_DOMAIN = "default"
_REFERRER = re.compile(r"^\.r(?:ef(?:erer|errer)?)?$")


def is_owner(ctx: RequestContext, account: str) -> bool:
    """Whether the caller may do everything with the account."""
    return policy.allowed(ctx, "object_store:own", {"project_id": account})


def is_reseller(ctx: RequestContext) -> bool:
    return policy.allowed(ctx, "object_store:reseller")


def require_owner(ctx: RequestContext, account: str) -> None:
    """Raise Forbidden unless the caller may change the account."""
    policy.enforce(ctx, "object_store:own", {"project_id": account})


def require_reader(ctx: RequestContext, account: str) -> None:
    """Raise Forbidden unless the caller may see the account."""
    policy.enforce(ctx, "object_store:read", {"project_id": account})


def require_read(
    ctx: RequestContext, account: str, container: Container | None, *, referrer: str, listing: bool = False
) -> None:
    """Raise Forbidden unless the caller may read from the container, whether it exists or not."""
    if policy.allowed(ctx, "object_store:read", {"project_id": account}):
        return
    entries = _entries(container.read_acl) if container else []
    if _named(ctx, entries):
        return
    hosts = [entry.removeprefix(".r:") for entry in entries if entry.startswith(".r:")]
    if _refers(referrer, hosts) and (not listing or ".rlistings" in entries):
        return
    raise Forbidden("Access was denied to this resource.", rule="object_store:read")


def require_write(ctx: RequestContext, account: str, container: Container | None) -> None:
    """Raise Forbidden unless the caller may change objects of the container, whether it exists or not."""
    if not is_owner(ctx, account) and not _named(ctx, _entries(container.write_acl) if container else []):
        raise Forbidden("Access was denied to this resource.", rule="object_store:own")


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
