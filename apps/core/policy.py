"""Who may do what: rules with OpenStack's names and grammar, enforced at services and selectors.

Each app's `policies.py` holds a table of `Rule`; an operator overrides any of them by name in one YAML file.
A check is text in the grammar of OpenStack's `policy.yaml`: `role:admin`, `rule:name`, `@`, `!`,
`project_id:%(project_id)s`, `'value':%(key)s`, joined by `and`, `or`, `not` and parentheses. It is
compiled once into a tree that decides and can also say why.

Source of the grammar: the documentation of oslo.policy, which the tests use as the oracle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import yaml

from apps.core.context import RequestContext
from apps.core.errors import Forbidden

Target = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a policy table."""

    name: str
    check: str
    description: str = ""
    operations: tuple[str, ...] = ()  # "POST /servers"; documentation only
    scopes: tuple[str, ...] = ()  # scopes of tokens it takes: "project", "domain", "system"; empty: any


def scoped(scopes: Iterable[str], rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules, taking tokens of these scopes only where a rule does not say its own."""
    wanted = tuple(scopes)
    return tuple(rule if rule.scopes else replace(rule, scopes=wanted) for rule in rules)


class PolicyError(Exception):
    """A rule that cannot be read or names something that does not exist; found at start, not at use."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a check held or failed: its text, the outcome, and the same of its parts."""

    text: str
    holds: bool
    parts: tuple[Reason, ...] = ()

    def lines(self, depth: int = 0) -> list[str]:
        """The tree as indented lines, for people."""
        mark = "yes" if self.holds else "no "
        return [f"{'  ' * depth}{mark} {self.text}", *(s for p in self.parts for s in p.lines(depth + 1))]


class Check(Protocol):
    """A compiled check. `decide` is the hot path; `explain` evaluates every part."""

    def decide(self, ctx: RequestContext, target: Target) -> bool: ...
    def explain(self, ctx: RequestContext, target: Target) -> Reason: ...


@dataclass(frozen=True, slots=True)
class _Constant:
    value: bool

    def decide(self, ctx: RequestContext, target: Target) -> bool:
        return self.value

    def explain(self, ctx: RequestContext, target: Target) -> Reason:
        return Reason("everybody" if self.value else "nobody", self.value)


@dataclass(frozen=True, slots=True)
class _Role:
    name: str

    def decide(self, ctx: RequestContext, target: Target) -> bool:
        return ctx.has_role(self.name)

    def explain(self, ctx: RequestContext, target: Target) -> Reason:
        return Reason(f"has the role {self.name}", self.decide(ctx, target))


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    book: PolicyBook

    def decide(self, ctx: RequestContext, target: Target) -> bool:
        return self.book.check(self.name).decide(ctx, target)

    def explain(self, ctx: RequestContext, target: Target) -> Reason:
        inner = self.book.check(self.name).explain(ctx, target)
        return Reason(f"rule {self.name}", inner.holds, (inner,))


@dataclass(frozen=True, slots=True)
class _Compare:
    """`kind:match`: an attribute of the caller (or a quoted literal) against text with `%(key)s` filled in."""

    kind: str
    match: str

    def _sides(self, ctx: RequestContext, target: Target) -> tuple[str | None, str | None]:
        try:
            right: str | None = self.match % _Lenient(target)
        except KeyError:
            right = None
        if self.kind[:1] in {"'", '"'}:
            return self.kind[1:-1], right
        if self.kind in {"True", "False", "None"}:
            return self.kind, right
        value = getattr(ctx, self.kind, None)
        return (str(value) if value not in (None, "") else None), right

    def decide(self, ctx: RequestContext, target: Target) -> bool:
        left, right = self._sides(ctx, target)
        return ctx.is_system or (left is not None and left == right)

    def explain(self, ctx: RequestContext, target: Target) -> Reason:
        left, right = self._sides(ctx, target)
        return Reason(f"{self.kind} is {self.match} ({left} and {right})", self.decide(ctx, target))


class _Lenient(dict[str, Any]):
    """Looks up dotted keys (`target.user.id`) in nested mappings; what is None counts as absent."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)

    def __getitem__(self, key: str) -> Any:
        node: Any = self
        if dict.__contains__(self, key):
            node = dict.__getitem__(self, key)
        else:
            for part in key.split("."):
                if not isinstance(node, Mapping) or part not in node:
                    raise KeyError(key)
                node = dict.__getitem__(node, part) if isinstance(node, dict) else node[part]
        if node is None:
            raise KeyError(key)
        return node


@dataclass(frozen=True, slots=True)
class _Not:
    part: Check

    def decide(self, ctx: RequestContext, target: Target) -> bool:
        return not self.part.decide(ctx, target)

    def explain(self, ctx: RequestContext, target: Target) -> Reason:
        inner = self.part.explain(ctx, target)
        return Reason("not", not inner.holds, (inner,))


@dataclass(frozen=True, slots=True)
class _Joined:
    word: str  # "and" | "or"
    parts: tuple[Check, ...]

    def decide(self, ctx: RequestContext, target: Target) -> bool:
        quantify = all if self.word == "and" else any
        return quantify(part.decide(ctx, target) for part in self.parts)

    def explain(self, ctx: RequestContext, target: Target) -> Reason:
        parts = tuple(part.explain(ctx, target) for part in self.parts)
        quantify = all if self.word == "and" else any
        return Reason("all of" if self.word == "and" else "any of", quantify(p.holds for p in parts), parts)


_TOKEN = re.compile(r"\s*(\(|\)|(?:'[^']*'|\"[^\"]*\"|%\([^)]*\)s|[^\s()])+)")


class _Parser:
    """Recursive descent over `or` < `and` < `not` < atom."""

    def __init__(self, text: str, book: PolicyBook) -> None:
        self.text, self.book = text, book
        self.tokens = _TOKEN.findall(text)
        self.at = 0

    def parse(self) -> Check:
        if not self.tokens:
            return _Constant(True)
        check = self._joined("or", lambda: self._joined("and", self._unary))
        if self.at != len(self.tokens):
            raise PolicyError(f"cannot read {self.text!r} from {self.tokens[self.at]!r} on")
        return check

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise PolicyError(f"{self.text!r} ends too early")
        self.at += 1
        return token

    def _joined(self, word: str, operand: Any) -> Check:
        parts = [operand()]
        while self._peek().lower() == word:
            self._next()
            parts.append(operand())
        return parts[0] if len(parts) == 1 else _Joined(word, tuple(parts))

    def _unary(self) -> Check:
        if self._peek().lower() == "not":
            self._next()
            return _Not(self._unary())
        return self._atom(self._next())

    def _atom(self, token: str) -> Check:
        if token == "(":
            inner = self._joined("or", lambda: self._joined("and", self._unary))
            if self._next() != ")":
                raise PolicyError(f"a parenthesis is not closed in {self.text!r}")
            return inner
        if token in {"@", "!"}:
            return _Constant(token == "@")
        kind, colon, match = token.partition(":")
        if not colon:
            raise PolicyError(f"{token!r} in {self.text!r} is not of the form kind:match")
        if kind == "role":
            return _Role(match)
        if kind == "rule":
            return _Named(match, self.book)
        return _Compare(kind, match)


@dataclass
class PolicyBook:
    """All rules in force: the tables of the apps, with the operator's overrides on top."""

    rules: dict[str, Rule] = field(default_factory=dict)
    overrides: dict[str, str] = field(default_factory=dict)
    compiled: dict[str, Check] = field(default_factory=dict)

    def register(self, rules: Iterable[Rule]) -> None:
        """Add a table; a name may be registered once."""
        for rule in rules:
            if rule.name in self.rules and self.rules[rule.name] != rule:
                raise PolicyError(f"rule {rule.name} is defined twice")
            self.rules[rule.name] = rule

    def override(self, text: str) -> None:
        """Take an operator's YAML (a mapping of rule name to check).

        Raises PolicyError when it is not a mapping of text or names a rule that does not exist.
        """
        loaded = yaml.safe_load(text) or {}
        if not isinstance(loaded, dict) or not all(isinstance(v, str) for v in loaded.values()):
            raise PolicyError("the policy file must map rule names to checks, both text")
        unknown = sorted(set(loaded) - set(self.rules))
        if unknown:
            raise PolicyError(f"the policy file names rules that do not exist: {', '.join(unknown)}")
        self.overrides = dict(loaded)
        self.compiled.clear()
        self.verify()

    def check(self, name: str) -> Check:
        """The compiled check of a rule. Raises PolicyError for a name that no table holds."""
        found = self.compiled.get(name)
        if found is None:
            if name not in self.rules:
                raise PolicyError(f"no rule is named {name}")
            found = _Parser(self.overrides.get(name, self.rules[name].check), self).parse()
            self.compiled[name] = found
        return found

    def takes(self, name: str, ctx: RequestContext) -> bool:
        """Does the rule take tokens of the caller's scope? As in OpenStack, only the rule asked for is looked at."""
        rule = self.rules.get(name)
        return rule is None or not rule.scopes or ctx.scope in rule.scopes

    def verify(self) -> None:
        """Compile every rule and follow every reference, so that a mistake is found at start."""
        for name in self.rules:
            self._walk(self.check(name), (name,))

    def _walk(self, check: Check, path: tuple[str, ...]) -> None:
        if isinstance(check, _Named):
            if check.name in path:
                raise PolicyError(f"rules refer to each other in a circle: {' → '.join((*path, check.name))}")
            self._walk(self.check(check.name), (*path, check.name))
        for part in getattr(check, "parts", ()) or ([check.part] if isinstance(check, _Not) else ()):
            self._walk(part, path)


# Named checks that the tables of the apps build on: OpenStack's personas and scopes.
BASE_RULES = (
    Rule("admin", "role:admin", "The cloud's administrators."),
    Rule("service_or_admin", "role:service or role:admin", "Other services of the cloud, and its administrators."),
    Rule("anyone", "@", "Everybody with a valid token."),
    Rule("nobody", "!", "No caller; Kumo's own work only."),
    Rule("owner", "user_id:%(user_id)s", "The user whom the target belongs to."),
    Rule("project_member", "role:member and project_id:%(project_id)s"),
    Rule("project_reader", "role:reader and project_id:%(project_id)s"),
    Rule("project_manager", "role:manager and project_id:%(project_id)s"),
    Rule("project_member_or_admin", "rule:project_member or rule:admin", "May change what the project has."),
    Rule("project_reader_or_admin", "rule:project_reader or rule:admin", "May see what the project has."),
    Rule("project_manager_or_admin", "rule:project_manager or rule:admin", "May manage the project."),
)

book = PolicyBook()
book.register(BASE_RULES)


# Names under which an app's targets hold the project of what a row belongs to, such as a port's network.
PARENTS: set[str] = set()


def own_target(ctx: RequestContext) -> Target:
    """The target of calls that name no row yet: the caller's own project and user, in whatever is above the row."""
    own = {"project_id": ctx.project_id, "user_id": ctx.user_id, "domain_id": ctx.domain_id}
    return own | dict.fromkeys(PARENTS, ctx.project_id)


def allowed(ctx: RequestContext, rule: str, target: Target | None = None) -> bool:
    """Does the rule hold for this caller and target?"""
    if ctx.is_system:
        return True
    return book.takes(rule, ctx) and book.check(rule).decide(ctx, own_target(ctx) if target is None else target)


def enforce(ctx: RequestContext, rule: str, target: Target | None = None) -> None:
    """Raise Forbidden, naming the rule, unless it holds."""
    if not allowed(ctx, rule, target):
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.", rule=rule)


def explain(ctx: RequestContext, rule: str, target: Target | None = None) -> Reason:
    """Why the rule holds or not: the tree of its checks with each outcome."""
    inner = book.check(rule).explain(ctx, own_target(ctx) if target is None else target)
    taken = book.takes(rule, ctx)
    scopes = book.rules[rule].scopes
    parts = (Reason(f"the token's scope is {' or '.join(scopes)} ({ctx.scope})", taken), inner) if scopes else (inner,)
    return Reason(f"rule {rule}", taken and inner.holds, parts)
