"""Bucket policies: read strictly, and evaluated for one request.

A policy is kept as the JSON that its owner wrote; what cannot be enforced is refused when it is put. An explicit Deny
wins over everything; an Allow adds to what roles and access lists allow (see `decisions`).
Source: AWS's reference of policy elements and of S3's actions.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from apps.core.errors import Invalid
from apps.objectstore.selectors.conditions import (
    Condition,
    ConditionError,
    Over,
    Values,
    condition,
    filled,
    key_named,
    variables,
    wildcard,
)

MAX_BYTES = 20 * 2**10
VERSIONS = ("2008-10-17", "2012-10-17")
ARN = "arn:aws:s3:::"
_TAGS = "s3:existingobjecttag/"

_OBJECT = """
AbortMultipartUpload BypassGovernanceRetention DeleteObject DeleteObjectTagging DeleteObjectVersion
DeleteObjectVersionTagging GetObject GetObjectAcl GetObjectAttributes GetObjectLegalHold GetObjectRetention
GetObjectTagging GetObjectTorrent GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes
GetObjectVersionForReplication GetObjectVersionTagging ListMultipartUploadParts PutObject PutObjectAcl
PutObjectLegalHold PutObjectRetention PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging ReplicateDelete
ReplicateObject ReplicateTags RestoreObject
"""
_BUCKET = """
CreateBucket DeleteBucket DeleteBucketPolicy DeleteBucketWebsite GetAccelerateConfiguration GetAnalyticsConfiguration
GetBucketAcl GetBucketCORS GetBucketLocation GetBucketLogging GetBucketNotification GetBucketObjectLockConfiguration
GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus GetBucketPublicAccessBlock GetBucketRequestPayment
GetBucketTagging GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration GetIntelligentTieringConfiguration
GetInventoryConfiguration GetLifecycleConfiguration GetMetricsConfiguration GetReplicationConfiguration ListBucket
ListBucketMultipartUploads ListBucketVersions PutAccelerateConfiguration PutAnalyticsConfiguration PutBucketAcl
PutBucketCORS PutBucketLogging PutBucketNotification PutBucketObjectLockConfiguration PutBucketOwnershipControls
PutBucketPolicy PutBucketPublicAccessBlock PutBucketRequestPayment PutBucketTagging PutBucketVersioning
PutBucketWebsite PutEncryptionConfiguration PutIntelligentTieringConfiguration PutInventoryConfiguration
PutLifecycleConfiguration PutMetricsConfiguration PutReplicationConfiguration
"""
# S3's names of what may be done; those that this store does not serve may be named, and are never asked for.
OBJECT_ACTIONS = frozenset(_OBJECT.split())
BUCKET_ACTIONS = frozenset(_BUCKET.split())
_LEVEL = {f"s3:{name}".lower(): "object" for name in OBJECT_ACTIONS} | {
    f"s3:{name}".lower(): "bucket" for name in BUCKET_ACTIONS
}


class Effect(StrEnum):
    """What a statement says of what it matches; for a whole policy, also that it says nothing."""

    ALLOW = "Allow"
    DENY = "Deny"
    NONE = ""


class Whom(StrEnum):
    """By what a statement names the caller."""

    EVERYBODY = "*"
    PROJECT = "project"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Principal:
    """One that a statement names; a user without a project is that user in any of them."""

    whom: Whom
    project_id: str = ""
    user_id: str = ""

    def matches(self, ask: Ask) -> bool:
        if self.whom == Whom.EVERYBODY:
            return True
        if self.project_id and self.project_id != ask.project_id:
            return False
        return not self.user_id or self.user_id == ask.user_id


@dataclass(frozen=True, slots=True)
class Ask:
    """What a policy is asked: who wants to do what to what. An anonymous caller has empty ids."""

    action: str  # "s3:GetObject"
    resource: str  # "bucket" or "bucket/key"
    project_id: str
    user_id: str
    values: Values


@dataclass(frozen=True, slots=True)
class Patterns:
    """Alternatives with wildcards; `but` is true for NotAction and NotResource: what none of them matches."""

    texts: tuple[str, ...]
    but: bool = False

    def match(self, text: str, values: Values | None) -> bool:
        """Whether they match; variables are filled in where `values` are given."""
        made = self.texts if values is None else [filled(one, values) for one in self.texts]
        return any(one is not None and wildcard(one).fullmatch(text) is not None for one in made) != self.but


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy."""

    sid: str
    effect: Effect
    principals: tuple[Principal, ...]
    others: bool  # NotPrincipal: all but them
    actions: Patterns
    resources: Patterns
    conditions: tuple[Condition, ...]
    has_variables: bool  # in its resources

    def names(self, ask: Ask) -> Whom | None:
        """By what it names the caller, the narrowest first; None if not at all."""
        if self.others:
            return None if any(p.matches(ask) for p in self.principals) else Whom.EVERYBODY
        found = {p.whom for p in self.principals if p.matches(ask)}
        return next((whom for whom in (Whom.USER, Whom.PROJECT, Whom.EVERYBODY) if whom in found), None)

    def applies(self, ask: Ask) -> bool:
        """Whether action, resource and conditions match, whoever asks."""
        return (
            self.actions.match(ask.action.lower(), None)
            and self.resources.match(ask.resource, ask.values if self.has_variables else None)
            and all(one.holds(ask.values) for one in self.conditions)
        )

    def texts(self) -> Iterator[str]:
        """All in which keys of conditions are named."""
        yield from self.resources.texts
        for one in self.conditions:
            yield from (one.key, *one.wanted)

    @property
    def is_public(self) -> bool:
        """Whether it lets in whoever comes: AWS's meaning of public, with the keys that are known here."""
        everybody = self.others or any(p.whom == Whom.EVERYBODY for p in self.principals)
        return self.effect == Effect.ALLOW and everybody and not any(map(_is_narrow, self.conditions))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of a request, and by which statement."""

    effect: Effect
    whom: Whom | None = None
    sid: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The statements of a bucket."""

    statements: tuple[Statement, ...]

    def decide(self, ask: Ask) -> Verdict:
        """Deny wins; of several that allow, the one that names the caller most narrowly counts."""
        best = Verdict(Effect.NONE)
        order = (Whom.EVERYBODY, Whom.PROJECT, Whom.USER)
        for one in self.statements:
            whom = one.names(ask)
            if whom is None or not one.applies(ask):
                continue
            if one.effect == Effect.DENY:
                return Verdict(Effect.DENY, whom, one.sid)
            if best.whom is None or order.index(whom) > order.index(best.whom):
                best = Verdict(Effect.ALLOW, whom, one.sid)
        return best

    @property
    def is_public(self) -> bool:
        return any(one.is_public for one in self.statements)

    @property
    def asks_for_tags(self) -> bool:
        """Whether tags of the object decide anything, so that its row must be read."""
        return any(_TAGS in text.lower() for one in self.statements for text in one.texts())


_NARROW = {"aws:principalarn", "aws:principalaccount", "aws:userid", "aws:username"}
_EXACT = {"StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike"}


def _is_narrow(one: Condition) -> bool:
    """Whether a condition lets only callers in whom the policy itself names."""
    if one.if_exists or one.over != Over.ONE:
        return False
    if one.key == "aws:sourceip" and one.operator == "IpAddress":
        networks = [ipaddress.ip_network(text, strict=False) for text in one.wanted]
        return all(network.prefixlen >= (8 if network.version == 4 else 32) for network in networks)
    return one.key in _NARROW and one.operator in _EXACT and not any(set("*?$") & set(text) for text in one.wanted)


# --- reading ---------------------------------------------------------------------------------------


def malformed(text: str) -> Invalid:
    """The error of S3 for a policy that cannot be kept."""
    return Invalid(text, code="MalformedPolicy", field="policy")


def policy_document(text: str, bucket: str) -> dict[str, Any]:
    """A policy's JSON, as it is kept. Raises Invalid (MalformedPolicy) for all that cannot be enforced."""
    if len(text.encode()) > MAX_BYTES:
        raise malformed(f"A policy has at most {MAX_BYTES} bytes.")
    try:
        found = json.loads(text, object_pairs_hook=_no_doubles, parse_constant=_finite, parse_float=_finite)
        _kept_checked(found)
    except (ValueError, TypeError, RecursionError) as error:
        raise malformed(f"This is not a JSON document: {error}") from None
    if not isinstance(found, dict):
        raise malformed("Policies must be valid JSON and the first byte must be '{'.")
    _policy(found, bucket)
    return found


def _finite(text: str) -> float:
    if not math.isfinite(found := float(text)):
        raise ValueError(f"{text} is no value")
    return found


def _kept_checked(found: Any) -> None:
    """Raise ValueError, TypeError for what JSON can say and no row can keep: NULs, half characters, huge numbers."""
    if b"\\u0000" in orjson.dumps(found).replace(rb"\\", b""):  # what is left of backslashes are escapes
        raise ValueError("a text has a NUL")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is there twice")
    return made


def policy_of(document: Mapping[str, Any], bucket: str) -> Policy:
    """A kept policy, ready to decide."""
    return _cached(orjson.dumps(document), bucket)


@functools.lru_cache(maxsize=256)
def _cached(text: bytes, bucket: str) -> Policy:
    return _policy(orjson.loads(text), bucket)


def _policy(document: Mapping[str, Any], bucket: str) -> Policy:
    _only(document, {"Version", "Id", "Statement"}, "policy")
    version = document.get("Version", VERSIONS[0])
    if version not in VERSIONS:
        raise malformed(f"The policy must have a version of {' or '.join(VERSIONS)}.")
    if not isinstance(document.get("Id", ""), str):
        raise malformed("Id is a text.")
    found = document.get("Statement")
    statements = [found] if isinstance(found, dict) else found
    if not isinstance(statements, list) or not statements:
        raise malformed("Missing required field Statement.")
    read = tuple(_statement(one, bucket) for one in statements)
    if version == VERSIONS[0] and any(variables(text) for one in read for text in one.texts()):
        raise malformed(f"Variables need the version {VERSIONS[1]}.")
    sids = [one.sid for one in read if one.sid]
    if len(set(sids)) != len(sids):
        raise malformed("Statement IDs (SID) must be unique in a policy.")
    return Policy(read)


_FIELDS = {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}


def _statement(found: Any, bucket: str) -> Statement:
    if not isinstance(found, dict):
        raise malformed("A statement is an object.")
    _only(found, _FIELDS, "statement")
    sid, effect = found.get("Sid", ""), found.get("Effect")
    if not isinstance(sid, str):
        raise malformed("Sid is a text.")
    if effect not in {Effect.ALLOW, Effect.DENY}:
        raise malformed(f"Invalid effect: {effect}.")
    principal, others = _either(found, "Principal", "NotPrincipal")
    if others and effect == Effect.ALLOW:
        raise malformed("Allow with NotPrincipal would let in everybody else.")
    actions, not_actions = _either(found, "Action", "NotAction")
    resources, not_resources = _either(found, "Resource", "NotResource")
    where = tuple(_resource(text, bucket) for text in _texts(resources, "Resource"))
    made = Statement(
        sid,
        Effect(effect),
        tuple(_principals(principal)),
        others,
        Patterns(tuple(map(_action, _texts(actions, "Action"))), not_actions),
        Patterns(where, not_resources),
        tuple(_conditions(found.get("Condition", {}))),
        any("${" in text for text in where),
    )
    _fits_together(made, bucket)
    return made


def _only(found: Mapping[str, Any], known: set[str], what: str) -> None:
    if unknown := sorted(set(found) - known):
        raise malformed(f"Unknown field {unknown[0]} in a {what}.")


def _either(found: Mapping[str, Any], name: str, negated: str) -> tuple[Any, bool]:
    if (name in found) == (negated in found):
        raise malformed(f"A statement must have {name} or {negated}, and not both.")
    return (found[name], False) if name in found else (found[negated], True)


def _texts(found: Any, what: str) -> list[str]:
    """One text or a list of at least one."""
    made = [found] if isinstance(found, str) else found
    if not isinstance(made, list) or not made or not all(isinstance(one, str) and one for one in made):
        raise malformed(f"{what} is a text or a list of texts.")
    return made


_ID = r"[A-Za-z0-9_.@-]{1,64}"
_PRINCIPAL = re.compile(rf"arn:aws:iam::({_ID})?:(?:root|user/({_ID}))")


def _principals(found: Any) -> Iterator[Principal]:
    if found == "*":
        yield Principal(Whom.EVERYBODY)
        return
    if not isinstance(found, dict) or not found:
        raise malformed("Principal is * or an object.")
    _only(found, {"AWS", "CanonicalUser"}, "principal")
    for text in _texts(found.get("CanonicalUser", []), "CanonicalUser") if "CanonicalUser" in found else []:
        if not re.fullmatch(_ID, text):
            raise malformed(f"Invalid principal in policy: {text}")
        yield Principal(Whom.PROJECT, text)
    for text in _texts(found["AWS"], "AWS") if "AWS" in found else []:
        yield principal_of(text)


def principal_of(text: str) -> Principal:
    """`*`, a project's id, `arn:aws:iam::{project}:root`, or `arn:aws:iam::[{project}]:user/{user}`. Raises Invalid."""
    if text == "*":
        return Principal(Whom.EVERYBODY)
    if re.fullmatch(_ID, text):
        return Principal(Whom.PROJECT, text)
    match = _PRINCIPAL.fullmatch(text)
    if match is None or not any(match.groups()):
        raise malformed(f"Invalid principal in policy: {text}")
    project, user = match.group(1) or "", match.group(2) or ""
    return Principal(Whom.USER if user else Whom.PROJECT, project, user)


def principal_arn(project_id: str, user_id: str) -> str:
    """How a caller is called in policies."""
    return f"arn:aws:iam::{project_id}:user/{user_id}"


def _action(text: str) -> str:
    pattern = wildcard(text.lower())
    if not any(pattern.fullmatch(name) for name in _LEVEL):
        raise malformed(f"Policy has invalid action: {text}")
    return text.lower()


def _resource(text: str, bucket: str) -> str:
    """The pattern behind `arn:aws:s3:::`, which must be able to match the bucket or something in it."""
    if unknown := [name for name in variables(text) if key_named(name) is None]:
        raise malformed(f"The variable {unknown[0]} is not known here.")
    rest = text if text == "*" else text.removeprefix(ARN)
    own = rest == bucket or rest.startswith(f"{bucket}/")
    if (rest == text and text != "*") or not (own or _spans(rest, bucket)):
        raise malformed(f"Policy has invalid resource: {text}")
    return rest


def _spans(rest: str, bucket: str) -> bool:
    """Whether wildcards in the bucket's part match the bucket."""
    return wildcard(rest.partition("/")[0]).fullmatch(bucket) is not None


def _conditions(found: Any) -> Iterator[Condition]:
    if not isinstance(found, dict):
        raise malformed("Condition is an object.")
    for name, keys in found.items():
        if not isinstance(keys, dict) or not keys:
            raise malformed(f"{name} is an object of condition keys.")
        for key, wanted in keys.items():
            try:
                yield condition(name, key, [_scalar(one) for one in _list(wanted)])
            except ConditionError as error:
                raise malformed(f"Policy has an invalid condition: {error}.") from None


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) and found else [found]


def _scalar(found: Any) -> str:
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, str | int | float):
        return str(found)
    raise malformed("A value of a condition is a text, a number, true or false.")


def _fits_together(one: Statement, bucket: str) -> None:
    """Raise Invalid for a statement that can never apply: its author means something else."""
    actions = [name for name in _LEVEL if one.actions.match(name, None)]
    if not one.actions.but and not one.resources.but:
        levels = {level for text in one.resources.texts for level in _levels(text, bucket)}
        for text in one.actions.texts:
            if not any(_LEVEL[name] in levels for name in _LEVEL if wildcard(text).fullmatch(name)):
                raise malformed("Action does not apply to any resource(s) in statement.")
    for found in one.conditions:
        known = key_named(found.key)
        on = known[1].on if known else frozenset()
        if on and not any(name.removeprefix("s3:") in on for name in actions):
            raise malformed("Conditions do not apply to combination of actions and resources in statement.")


def _levels(text: str, bucket: str) -> Iterable[str]:
    """Whether a pattern can match a bucket, objects, or both."""
    head, slash, _ = text.partition("/")
    if not slash and wildcard(head).fullmatch(bucket):
        yield "bucket"
    if slash or head.endswith("*"):
        yield "object"


def policy_is_public(document: Mapping[str, Any] | None, bucket: str) -> bool:
    """What GetBucketPolicyStatus says."""
    return document is not None and policy_of(document, bucket).is_public
