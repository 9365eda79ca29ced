"""Conditions of bucket policies: what may be asked about a request, and how values compare.

Two tables say everything. A key or operator that is not in them is refused when the policy is put, so that no
condition is ever kept and not enforced. Source: AWS's references of policy elements and of S3's condition keys.
"""

from __future__ import annotations

import functools
import ipaddress
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

Values = Mapping[str, Sequence[str]]  # what is known of a request: key in lower case → its values


class Kind(StrEnum):
    """What a value is; an operator takes keys of its kind only."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    FLAG = "flag"
    ADDRESS = "address"
    ARN = "arn"


@dataclass(frozen=True, slots=True)
class Key:
    """A condition key: its kinds, and the actions (in lower case, without `s3:`) whose requests can have it."""

    name: str
    kinds: tuple[Kind, ...] = (Kind.TEXT,)
    on: frozenset[str] = frozenset()  # empty: all
    many: bool = False


def _on(*names: str) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


_LISTS = _on("ListBucket", "ListBucketVersions", "ListBucketMultipartUploads")
_PUTS = _on("PutObject", "PutObjectAcl", "PutObjectVersionAcl", "CreateBucket", "PutBucketAcl")
_PUT = _on("PutObject")
_LOCKS = _on("PutObject", "PutObjectRetention", "PutObjectLegalHold", "BypassGovernanceRetention")
_TAGGED = _on("GetObject", "GetObjectVersion", "GetObjectAcl", "GetObjectVersionAcl", "PutObjectAcl",
              "PutObjectVersionAcl", "GetObjectTagging", "GetObjectVersionTagging", "PutObjectTagging",
              "PutObjectVersionTagging", "DeleteObjectTagging", "DeleteObjectVersionTagging", "GetObjectAttributes",
              "GetObjectVersionAttributes", "DeleteObject", "DeleteObjectVersion")  # fmt: skip
_TAGGING = _on("PutObject", "PutObjectTagging", "PutObjectVersionTagging")
_VERSIONED = _on("GetObjectVersion", "DeleteObjectVersion", "GetObjectVersionAcl", "PutObjectVersionAcl",
                 "GetObjectVersionTagging", "PutObjectVersionTagging", "DeleteObjectVersionTagging",
                 "GetObjectVersionAttributes", "GetObjectRetention", "PutObjectRetention", "GetObjectLegalHold",
                 "PutObjectLegalHold", "PutObject")  # fmt: skip
GRANT_HEADERS = ("read", "write", "read-acp", "write-acp", "full-control")

KEYS = (
    Key("aws:SourceIp", (Kind.ADDRESS,)),
    Key("aws:SecureTransport", (Kind.FLAG, Kind.TEXT)),
    Key("aws:Referer"),
    Key("aws:UserAgent"),
    Key("aws:username"),
    Key("aws:userid"),
    Key("aws:PrincipalAccount"),
    Key("aws:PrincipalType"),
    Key("aws:PrincipalArn", (Kind.ARN, Kind.TEXT)),
    Key("aws:CurrentTime", (Kind.DATE,)),
    Key("aws:EpochTime", (Kind.DATE, Kind.NUMBER)),
    Key("s3:prefix", on=_LISTS),
    Key("s3:delimiter", on=_LISTS),
    Key("s3:max-keys", (Kind.NUMBER,), _LISTS),
    Key("s3:x-amz-acl", on=_PUTS),
    *(Key(f"s3:x-amz-grant-{name}", on=_PUTS) for name in GRANT_HEADERS),
    Key("s3:x-amz-server-side-encryption", on=_PUT),
    Key("s3:x-amz-server-side-encryption-customer-algorithm", on=_PUT | _on("GetObject", "GetObjectVersion")),
    Key("s3:x-amz-copy-source", on=_PUT),
    Key("s3:x-amz-metadata-directive", on=_PUT),
    Key("s3:x-amz-content-sha256"),
    Key("s3:authType"),
    Key("s3:signatureversion"),
    Key("s3:signatureAge", (Kind.NUMBER,)),
    Key("s3:if-match", on=_PUT | _on("DeleteObject")),
    Key("s3:if-none-match", on=_PUT),
    Key("s3:VersionId", on=_VERSIONED),
    Key("s3:RequestObjectTagKeys", on=_TAGGING, many=True),
    Key("s3:object-lock-mode", on=_LOCKS),
    Key("s3:object-lock-retain-until-date", (Kind.DATE,), _LOCKS),
    Key("s3:object-lock-remaining-retention-days", (Kind.NUMBER,), _LOCKS),
    Key("s3:object-lock-legal-hold", on=_LOCKS),
)
# Followed by the name of a tag, which is compared byte by byte.
TAG_KEYS = (
    Key("s3:ExistingObjectTag/", on=_TAGGED),
    Key("s3:RequestObjectTag/", on=_TAGGING),
)
_BY_NAME = {key.name.lower(): key for key in KEYS}


def key_named(name: str) -> tuple[str, Key] | None:
    """A condition key and how it is looked up: in lower case, but for the name of a tag. None for an unknown one."""
    if found := _BY_NAME.get(name.lower()):
        return name.lower(), found
    for key in TAG_KEYS:
        start, tag = name[: len(key.name)], name[len(key.name) :]
        if start.lower() == key.name.lower() and tag:
            return start.lower() + tag, key
    return None


# --- values ----------------------------------------------------------------------------------------


def _number(text: str) -> float:
    if not re.fullmatch(r"[+-]?\d{1,18}(\.\d{1,9})?", text, re.ASCII):
        raise ValueError(text)
    return float(text)


def date(text: str) -> datetime:
    """A date of ISO 8601, or seconds since 1970. Raises ValueError."""
    if re.fullmatch(r"\d{1,11}", text, re.ASCII):
        return datetime.fromtimestamp(int(text), UTC)
    if not text.isascii() or ("T" not in text and len(text) != 10):
        raise ValueError(text)
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _flag(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(text)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


@functools.lru_cache(maxsize=2048)
def wildcard(pattern: str) -> re.Pattern[str]:
    """A pattern with `*` and `?` as an expression that takes time in proportion to pattern and text.

    Each part between two stars is looked for once, from the left, and never again further on.
    """
    first, *rest = (_literal(part) for part in re.split(r"\*+", pattern))
    if not rest:
        return re.compile(first, re.DOTALL)
    *middle, last = rest
    return re.compile(f"{first}{''.join(f'(?>.*?{part})' for part in middle if part)}.*{last}", re.DOTALL)


def _literal(part: str) -> str:
    return "".join("." if character == "?" else _quoted(character) for character in part)


def _quoted(character: str) -> str:
    """Characters that stand for themselves come from variables; see `plain`."""
    return re.escape(_PLAIN.get(character, character))


# A value of a variable, and `${*}`, `${?}`, `${$}`, are no wildcards: their stars and marks travel under other names.
_HIDDEN = {"*": "\U0010fff0", "?": "\U0010fff1"}
_PLAIN = {hidden: character for character, hidden in _HIDDEN.items()}
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_SPECIAL = frozenset("*?$")


def plain(text: str) -> str:
    """Text as part of a pattern that means itself."""
    return "".join(_HIDDEN.get(character, character) for character in text)


def shown(text: str) -> str:
    """The reverse of `plain`."""
    return "".join(_PLAIN.get(character, character) for character in text)


def variables(text: str) -> list[str]:
    """Names of the variables in a text: `${aws:username}` or `${aws:username, 'default'}`."""
    return [found.partition(",")[0].strip() for found in _VARIABLE.findall(text) if found not in _SPECIAL]


def filled(text: str, values: Values) -> str | None:
    """The text with values in place of variables, which are then plain; None where one has none."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        inner = match.group(1)
        if inner in _SPECIAL:
            return plain(inner)
        name, comma, default = inner.partition(",")
        known = key_named(name.strip())
        found = values.get(known[0], ()) if known else ()
        if len(found) == 1:
            return plain(found[0])
        missing = missing or not comma
        return plain(default.strip().strip("'"))

    made = _VARIABLE.sub(value, text)
    return None if missing else made


# --- operators -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Operator:
    """How one value of a request compares with one of a policy."""

    kind: Kind
    have: Callable[[str], Any]  # a request's value, read; raises ValueError
    want: Callable[[str], Any]  # a policy's
    holds: Callable[[Any, Any], bool]
    negated: bool = False


def _same(text: str) -> str:
    return text


def _pair(
    names: str,
    kind: Kind,
    holds: Callable[[Any, Any], bool],
    have: Callable[[str], Any] = _same,
    want: Callable[[str], Any] = _same,
) -> dict[str, Operator]:
    """An operator and its negation."""
    name, negation = names.split()
    return {
        name: Operator(kind, have, want, holds),
        negation: Operator(kind, have, want, holds, negated=True),
    }


def _is(have: str, want: str) -> bool:
    return have == shown(want)


def _is_nearly(have: str, want: str) -> bool:
    return have.casefold() == shown(want).casefold()


def _is_like(have: str, want: str) -> bool:
    return wildcard(want).fullmatch(have) is not None


def _is_arn(have: str, want: str) -> bool:
    """Part by part: a star does not reach over a colon, but in the last of six parts."""
    ours, theirs = have.split(":", 5), want.split(":", 5)
    return len(ours) == len(theirs) and all(map(_is_like, ours, theirs))


def _is_in(have: Any, want: Any) -> bool:
    return bool(have in want)


_ORDERS = {
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}

OPERATORS: dict[str, Operator] = {
    **_pair("StringEquals StringNotEquals", Kind.TEXT, _is),
    **_pair("StringEqualsIgnoreCase StringNotEqualsIgnoreCase", Kind.TEXT, _is_nearly),
    **_pair("StringLike StringNotLike", Kind.TEXT, _is_like),
    **_pair("ArnEquals ArnNotEquals", Kind.ARN, _is_arn),
    **_pair("ArnLike ArnNotLike", Kind.ARN, _is_arn),
    **_pair("NumericEquals NumericNotEquals", Kind.NUMBER, operator.eq, _number, _number),
    **_pair("DateEquals DateNotEquals", Kind.DATE, operator.eq, date, date),
    **_pair("IpAddress NotIpAddress", Kind.ADDRESS, _is_in, _address, _network),
    **{f"Numeric{name}": Operator(Kind.NUMBER, _number, _number, holds) for name, holds in _ORDERS.items()},
    **{f"Date{name}": Operator(Kind.DATE, date, date, holds) for name, holds in _ORDERS.items()},
    "Bool": Operator(Kind.FLAG, _flag, _flag, operator.eq),
}
NULL, IF_EXISTS = "Null", "IfExists"


class Over(StrEnum):
    """Which of a key's several values an operator is about."""

    ONE = ""
    ANY = "ForAnyValue"
    ALL = "ForAllValues"


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one key. Values of the policy are alternatives."""

    operator: str
    key: str  # as looked up
    wanted: tuple[str, ...]
    over: Over = Over.ONE
    if_exists: bool = False

    def holds(self, values: Values) -> bool:
        """Whether the request meets it. One that lacks the key meets negated operators only, and `IfExists`."""
        have = values.get(self.key, ())
        if self.operator == NULL:
            return _flag(self.wanted[0]) == (not have)
        found = OPERATORS[self.operator]
        if not have:
            return self.if_exists or self.over == Over.ALL or (found.negated and self.over == Over.ONE)
        quantify = any if self.over == Over.ANY else all
        wanted = list(self._wanted(values, found))
        return quantify(self._one(found, text, wanted) for text in have)

    def _wanted(self, values: Values, found: Operator) -> Iterable[Any]:
        for text in self.wanted:
            if (made := filled(text, values)) is not None:
                yield found.want(made)

    def _one(self, found: Operator, text: str, wanted: Sequence[Any]) -> bool:
        try:
            have = found.have(text)
        except ValueError:  # the request says something else than, say, a number: it equals nothing
            return found.negated
        return any(found.holds(have, want) for want in wanted) != found.negated


class ConditionError(Exception):
    """What is wrong with a condition."""


def condition(name: str, key: str, wanted: Sequence[str]) -> Condition:
    """A condition as a policy writes it. Raises ConditionError for what is not known, or does not fit together."""
    over, bare = _over(name)
    bare, if_exists = (bare.removesuffix(IF_EXISTS), True) if bare.endswith(IF_EXISTS) else (bare, False)
    known = key_named(key)
    if known is None:
        raise ConditionError(f"the condition key {key} is not known here")
    looked_up, about = known
    if about.many != (over != Over.ONE) and bare != NULL:
        raise ConditionError(
            f"{key} has several values: ForAnyValue or ForAllValues must be said"
            if about.many
            else f"{key} has one value, so that {over} says nothing"
        )
    if bare == NULL and (if_exists or over != Over.ONE or len(wanted) != 1):
        raise ConditionError("Null takes one value, true or false")
    _checked(bare, key, about, wanted)
    return Condition(bare, looked_up, tuple(wanted), over, if_exists)


def _over(name: str) -> tuple[Over, str]:
    before, colon, after = name.partition(":")
    if not colon:
        return Over.ONE, name
    if before not in {Over.ANY, Over.ALL}:
        raise ConditionError(f"the condition operator {name} is not known here")
    return Over(before), after


def _checked(name: str, key: str, about: Key, wanted: Sequence[str]) -> None:
    """Raise ConditionError unless the operator exists, takes the key, and can read the values."""
    found = OPERATORS.get(name) or (OPERATORS["Bool"] if name == NULL else None)
    if found is None:
        raise ConditionError(f"the condition operator {name} is not known here")
    if name != NULL and found.kind not in about.kinds:
        raise ConditionError(f"{name} cannot be said of {key}, which is a {about.kinds[0]}")
    for text in wanted:
        names = variables(text)
        if unknown := [variable for variable in names if key_named(variable) is None]:
            raise ConditionError(f"the variable {unknown[0]} is not known here")
        if names and found.want is not _same:
            raise ConditionError(f"{name} takes no variables")
        try:
            found.want(text)
        except ValueError:
            raise ConditionError(f"{text!r} is not a value for {name}") from None
