"""Who may do what with a container and its objects: one decision for S3, Swift and pages.

In this order: an explicit Deny of the bucket's policy; the caller's roles in the account's project, or a signed
address; an Allow of the policy; the container's access lists; S3's grants on bucket and object; the account's own list.
What none of them allows is refused. The public access block takes public lists, grants and policies out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from apps.core import policy
from apps.core.context import RequestContext, origin
from apps.core.errors import Forbidden
from apps.objectstore.models import Account, Bucket, Container, Object, ObjectFields, Version
from apps.objectstore.selectors import grants, lists
from apps.objectstore.selectors.bucket_policy import Ask, Effect, Verdict, Whom, policy_of, principal_arn
from apps.objectstore.selectors.conditions import Values
from apps.objectstore.states import version_of

DENIED = "Access was denied to this resource."
GET, PUT, LIST = "s3:GetObject", "s3:PutObject", "s3:ListBucket"
BYPASS = "s3:BypassGovernanceRetention"
READ, WRITE, ADMIN = lists.LEVELS
# What a project's managers may do whatever the policy says, so that no policy locks its bucket for ever.
_RESCUE = frozenset({"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"})
_LIST_READS = frozenset({GET, "s3:GetObjectVersion", "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"})
_LIST_LISTS = frozenset({LIST, "s3:ListBucketVersions"})
_LIST_WRITES = frozenset(
    {
        PUT,
        "s3:AbortMultipartUpload",
        "s3:DeleteObject",
        "s3:DeleteObjectTagging",
        "s3:DeleteObjectVersion",
        "s3:ListBucketMultipartUploads",
        "s3:ListMultipartUploadParts",
        "s3:PutObjectTagging",
    }
)
_SIGNED = _LIST_READS | _LIST_LISTS | _LIST_WRITES
_CONTAINERS = frozenset({"s3:CreateBucket", "s3:DeleteBucket", "s3:PutBucketVersioning"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What the API that was called knows of the request for conditions of policies: key in lower case → values.

    What names the thing that is asked for (a prefix, a version) is not here: one request may ask for several.
    """

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)


# Set by an API for the time of one request; conditions on what is not in it hold as for a request that lacks it.
asked: ContextVar[Asked] = ContextVar("asked", default=Asked())  # noqa: B039 - it is frozen


class Why(StrEnum):
    """What a decision rests on."""

    SYSTEM = "system"
    ROLE = "role"
    SIGNATURE = "signature"
    POLICY = "policy"
    LIST = "list"
    GRANT = "grant"
    ACCOUNT = "account"  # its own list
    DENIED = "denied"  # the policy says so
    NOTHING = "nothing"  # nothing allows it


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether, and why; `sid` is the statement of a policy that decided."""

    allowed: bool
    why: Why
    sid: str = ""


@dataclass(frozen=True, slots=True)
class SignedContext(RequestContext):
    """Whoever holds a signed address or form: objects of one account, or of the one container whose key signed it."""

    account: str = ""
    container: str = ""

    def reaches(self, account: str, container: Container | None) -> bool:
        """Whether the signature is good for objects there."""
        named = not self.container or (container is not None and container.name == self.container)
        return account == self.account and named


@dataclass(frozen=True, slots=True)
class LinkContext(RequestContext):
    """Whoever has a link that somebody gave out: they read what that person may read now, and do nothing else."""

    maker: RequestContext = field(default_factory=RequestContext)


def is_owner(ctx: RequestContext, account: str) -> bool:
    """Whether the caller may do everything with the account."""
    return _has(ctx, "own", account) or _level(ctx, account) == ADMIN


def is_reseller(ctx: RequestContext) -> bool:
    return policy.allowed(ctx, "object_store:reseller")


def require_owner(ctx: RequestContext, account: str) -> None:
    """Raise Forbidden unless the caller may change the account and who else may."""
    if not is_owner(ctx, account):
        policy.enforce(ctx, "object_store:own", {"project_id": account})


def require_writer(ctx: RequestContext, account: str) -> None:
    """Raise Forbidden unless the caller may make, change and remove containers of the account."""
    if not _has(ctx, "own", account) and _level(ctx, account) not in {WRITE, ADMIN}:
        policy.enforce(ctx, "object_store:own", {"project_id": account})


def require_reader(ctx: RequestContext, account: str) -> None:
    """Raise Forbidden unless the caller may see the account."""
    if not _has(ctx, "read", account) and not _level(ctx, account):
        policy.enforce(ctx, "object_store:read", {"project_id": account})


def require_read(
    ctx: RequestContext,
    account: str,
    container: Container | None,
    *,
    referrer: str = "",
    name: str = "",
    facts: Values | None = None,
) -> None:
    """Raise Forbidden unless the caller may read the named object, or see what the container holds.

    The container need not exist.
    """
    require(ctx, account, container, GET if name else LIST, name, referrer=referrer, facts=facts)


def require_write(
    ctx: RequestContext, account: str, container: Container | None, name: str = "", action: str = PUT
) -> None:
    """Raise Forbidden unless the caller may change objects of the container, whether it exists or not."""
    require(ctx, account, container, action, name)


def require(
    ctx: RequestContext,
    account: str,
    container: Container | None,
    action: str,
    name: str = "",
    *,
    referrer: str = "",
    facts: Values | None = None,
) -> None:
    """Raise Forbidden unless the caller may do `action` (S3's name of it) with the container or the named object."""
    decided = decide(ctx, account, container, action, name, referrer=referrer, facts=facts)
    if not decided.allowed:
        raise Forbidden(DENIED, rule="object_store:read" if _only_reads(action) else "object_store:own")


def decide(
    ctx: RequestContext,
    account: str,
    container: Container | None,
    action: str,
    name: str = "",
    *,
    referrer: str = "",
    facts: Values | None = None,
) -> Decision:
    """Whether the caller may do `action` with the container or, with a name, its object. Changes nothing.

    `facts` are values of condition keys that the caller of this function knows, such as the prefix of a listing or
    the id of a version. They count before what the request says.
    """
    if ctx.is_system:
        return Decision(True, Why.SYSTEM)
    if isinstance(ctx, LinkContext):
        if action not in _LIST_READS | _LIST_LISTS:
            return Decision(False, Why.NOTHING)
        return decide(ctx.maker, account, container, action, name, referrer=referrer, facts=facts)
    bucket = bucket_of(container)
    block = grants.block_of(bucket)
    verdict = Verdict(Effect.NONE)
    if bucket is not None and "policy" in bucket.documents:
        verdict = _verdict(ctx, bucket, action, name, referrer, facts or {})
        if verdict.effect == Effect.DENY and not (action in _RESCUE and _has(ctx, "rescue", account)):
            return Decision(False, Why.DENIED, verdict.sid)
    if _by_role(ctx, account, action):
        return Decision(True, Why.ROLE)
    if isinstance(ctx, SignedContext) and action in _SIGNED and ctx.reaches(account, container):
        return Decision(True, Why.SIGNATURE)
    if verdict.effect == Effect.ALLOW and bucket and _counts(ctx, account, action, bucket, verdict):
        return Decision(True, Why.POLICY, verdict.sid)
    if container is not None and _listed(ctx, container, action, referrer, ignore=block.ignore_acls):
        return Decision(True, Why.LIST)
    if bucket is not None and _granted(ctx, bucket, action, name, facts or {}, ignore=block.ignore_acls):
        return Decision(True, Why.GRANT)
    if action != BYPASS and _level(ctx, account) in _levels_for(action):
        return Decision(True, Why.ACCOUNT)
    return Decision(False, Why.NOTHING)


def bucket_of(container: Container | None) -> Bucket | None:
    """The bucket of a container; None for one that S3 does not reach."""
    return getattr(container, "bucket", None)


def object_or_version(container_id: UUID, name: str, values: Values) -> ObjectFields | None:
    """The row that a request is about: the current object, or the very version it names."""
    current = Object.objects.filter(container_id=container_id, name=name).first()
    wanted = next(iter(values.get("s3:versionid", ())), "")
    if not wanted:
        return current
    try:
        ident = version_of(wanted)
    except ValueError:
        return None
    if current is not None and current.version_id == ident:
        return current
    return Version.objects.filter(container_id=container_id, name=name, version_id=ident).first()


def _only_reads(action: str) -> bool:
    return action.startswith(("s3:Get", "s3:List", "s3:Head"))


def _has(ctx: RequestContext, rule: str, account: str) -> bool:
    """Whether the caller's roles say so."""
    return policy.allowed(ctx, f"object_store:{rule}", {"project_id": account})


def _by_role(ctx: RequestContext, account: str, action: str) -> bool:
    rule = "bypass_retention" if action == BYPASS else "read" if _only_reads(action) else "own"
    return _has(ctx, rule, account)


def _level(ctx: RequestContext, account: str) -> str:
    """What an account's own list grants a user: the highest level, or nothing. One query."""
    if not ctx.user_id:
        return ""
    access = Account.objects.filter(pk=account).values_list("access", flat=True).first() or {}
    return next((level for level in reversed(lists.LEVELS) if lists.named(ctx, access.get(level, []))), "")


def _levels_for(action: str) -> tuple[str, ...]:
    """Levels that allow an action: who may write does not say who else may."""
    return lists.LEVELS if _only_reads(action) else (WRITE, ADMIN) if action in _LIST_WRITES | _CONTAINERS else (ADMIN,)


# --- the bucket's policy ---------------------------------------------------------------------------


def _verdict(ctx: RequestContext, bucket: Bucket, action: str, name: str, referrer: str, facts: Values) -> Verdict:
    said = asked.get().values
    values: dict[str, Sequence[str]] = {**_values(ctx, referrer), **said, **facts}
    if "s3:max-keys" in said:  # what was asked for: a selector looks one entry further
        values["s3:max-keys"] = said["s3:max-keys"]
    found = policy_of(bucket.documents["policy"], bucket.name)
    if name and found.asks_for_tags:
        row = object_or_version(bucket.container_id, name, facts)
        values |= {f"s3:existingobjecttag/{tag}": [value] for tag, value in ((row and row.tags) or {}).items()}
    resource = f"{bucket.name}/{name}" if name else bucket.name
    return found.decide(Ask(action, resource, ctx.project_id, ctx.user_id, values))


def _values(ctx: RequestContext, referrer: str) -> Values:
    """What is known of every request, in the names of condition keys; what is empty is absent."""
    came, now = origin.get(), datetime.now(UTC)
    found = {
        "aws:sourceip": came.address,
        "aws:securetransport": str(came.is_secure).lower(),
        "aws:useragent": came.agent,
        "aws:referer": referrer,
        "aws:username": ctx.user_name if ctx.user_id else "",
        "aws:userid": ctx.user_id,
        "aws:principalaccount": ctx.project_id,
        "aws:principaltype": "User" if ctx.user_id else "" if ctx.project_id else "Anonymous",
        "aws:principalarn": principal_arn(ctx.project_id, ctx.user_id) if ctx.user_id else "",
        "aws:currenttime": now.isoformat(),
        "aws:epochtime": str(int(now.timestamp())),
    }
    return {key: [value] for key, value in found.items() if value}


def _counts(ctx: RequestContext, account: str, action: str, bucket: Bucket, verdict: Verdict) -> bool:
    """Whether an Allow lets this caller in: a project's people need the role for it in their own project."""
    is_restricted = ctx.project_id != account and grants.block_of(bucket).restrict_policy
    if is_restricted and policy_of(bucket.documents["policy"], bucket.name).is_public:
        return False
    if verdict.whom == Whom.EVERYBODY:
        return True
    if ctx.project_id == account:
        return verdict.whom == Whom.USER  # who names the own project leaves it to roles
    return _may_at_home(ctx, action)


def _may_at_home(ctx: RequestContext, action: str) -> bool:
    return bool(ctx.project_id) and _by_role(ctx, ctx.project_id, action)


# --- lists and grants ------------------------------------------------------------------------------


def _listed(ctx: RequestContext, container: Container, action: str, referrer: str, *, ignore: bool) -> bool:
    if action in _LIST_WRITES and lists.named(ctx, _counting(container.write_acl, ignore)):
        return True
    if action not in _LIST_READS | _LIST_LISTS:
        return False
    entries = list(_counting(container.read_acl, ignore))
    if lists.named(ctx, entries):
        return True
    hosts = [entry.removeprefix(".r:") for entry in entries if entry.startswith(".r:")]
    return lists.refers(referrer, hosts) and (action in _LIST_READS or lists.LISTINGS in entries)


def _counting(acl: str, ignore: bool) -> list[str]:
    return [entry for entry in lists.entries_of(acl) if not (ignore and lists.is_public(entry))]


def _granted(ctx: RequestContext, bucket: Bucket, action: str, name: str, facts: Values, *, ignore: bool) -> bool:
    if not grants.are_used(bucket):
        return False
    given = grants.of_document(bucket.documents.get("acl"))
    if grants.allow(ctx, grants.BUCKET.get(action, ()), given, ignore=ignore) and _may_with(ctx, action):
        return True
    if not name or action not in grants.OBJECT:
        return False
    row = object_or_version(bucket.container_id, name, facts)
    given = grants.of_document(row.acl if row else None)
    return grants.allow(ctx, grants.OBJECT[action], given, ignore=ignore) and _may_with(ctx, action)


def _may_with(ctx: RequestContext, action: str) -> bool:
    """A caller without identity came by a grant to everybody; others need the role at home."""
    return not ctx.user_id or _may_at_home(ctx, action)
