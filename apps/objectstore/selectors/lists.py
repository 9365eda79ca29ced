"""Access lists of containers and accounts in Swift's form.

An entry of a list is `project:user` (either may be `*`, names count in the default domain), a role, or for reading
`.r:host` by the page that refers and `.rlistings` to let such callers list. An account's own list grants users one of
three levels. Source: Swift's documentation of ACLs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from apps.core.context import RequestContext
from apps.core.errors import Invalid
from apps.objectstore.states import MAX_ACL_BYTES

DEFAULT_DOMAIN = "default"
EVERYBODY = "*:*"  # who has a token
LISTINGS = ".rlistings"  # pages that refer may list, too
LEVELS = ("read-only", "read-write", "admin")  # of an account's own list, each with those before
_REFERRER = re.compile(r"^\.r(?:ef(?:erer|errer)?)?$")


def acl_cleaned(text: str, *, field: str, referrers: bool) -> str:
    """An access list in its plain form. Raises Invalid."""
    found = []
    for raw in filter(None, (part.strip() for part in text.split(","))):
        first, _, rest = (part.strip() for part in raw.partition(":"))
        if not first.startswith(".") or first == LISTINGS:
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


def entries_of(acl: str) -> list[str]:
    return acl.split(",") if acl else []


def named(ctx: RequestContext, entries: list[str]) -> bool:
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


def refers(referrer: str, hosts: list[str]) -> bool:
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
    return bool(colon and project and user) and entry.isprintable()  # the database keeps no NULs, nor half characters


def is_public(entry: str) -> bool:
    """Whether an entry lets in more than it names: pages that refer, all who have a token, or who have a role in
    whatever project."""
    return entry.startswith(".r:") or entry == EVERYBODY or (":" not in entry and entry != LISTINGS)


def project_of(entry: str) -> str:
    """The id of the project of which an entry lets in everybody; "" for other entries."""
    project, colon, user = entry.rpartition(":")
    return project if colon and user == "*" and project not in {"*", ".r"} else ""
