"""Who may do what: rules with OpenStack's names and grammar, enforced at services and selectors.

Each app's `policies.py` holds a table of `Rule`; an operator overrides any of them by name in one YAML file.
A check is text in the grammar of OpenStack's `policy.yaml`: `role:admin`, `rule:name`, `@`, `!`,
`project_id:%(project_id)s`, `'value':%(key)s`, joined by `and`, `or`, `not` and parentheses. It is
compiled once into a tree that decides and can also say why.

Source of the grammar: the documentation of oslo.policy, which the tests use as the oracle.
"""

from __future__ import annotations

import difflib
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


# Kinds of reasons in English, with `words` filled in; pages have their own table.
REASONS = {
    "everybody": "everybody",
    "nobody": "nobody",
    "role": "has the role {0}",
    "rule": "rule {0}",
    "compare": "{0} is {1} ({2} and {3})",
    "scope": "the token's scope is {0} ({1})",
    "not": "not",
    "all": "all of",
    "any": "any of",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a check held or failed: what kind of check it is and its words, the outcome, and the same of its parts."""

    kind: str
    holds: bool
    words: tuple[str, ...] = ()
    parts: tuple[Reason, ...] = ()

    @property
    def text(self) -> str:
        return REASONS[self.kind].format(*self.words)

    def lines(self, depth: int = 0) -> list[str]:
        """The tree as indented lines, for people."""
        mark = "yes" if self.holds else "no "
        return [f"{'  ' * depth}{mark} {self.text}", *(s for p in self.parts for s in p.lines(depth + 1))]

    def tree(self) -> dict[str, Any]:
        """The tree for programs."""
        return {"check": self.text, "holds": self.holds, "parts": [part.tree() for part in self.parts]}


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
        return Reason("role", self.decide(ctx, target), (self.name,))


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    book: PolicyBook

    def decide(self, ctx: RequestContext, target: Target) -> bool:
        return self.book.check(self.name).decide(ctx, target)

    def explain(self, ctx: RequestContext, target: Target) -> Reason:
        inner = self.book.check(self.name).explain(ctx, target)
        return Reason("rule", inner.holds, (self.name,), (inner,))


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
        return Reason("compare", self.decide(ctx, target), (self.kind, self.match, str(left), str(right)))


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
        return Reason("not", not inner.holds, (), (inner,))


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
        return Reason("all" if self.word == "and" else "any", quantify(p.holds for p in parts), (), parts)


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
        """Take an operator's YAML (a mapping of rule name to check). Raises PolicyError with everything wrong in it."""
        wrong = self.problems(text)
        if wrong:
            raise PolicyError("\n".join(wrong))
        self.overrides = yaml.safe_load(text) or {}
        self.compiled.clear()

    def problems(self, text: str) -> list[str]:
        """What is wrong with an operator's YAML, each in one sentence; empty if it can be taken."""
        try:
            loaded = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            return [f"This is not YAML: {error}"]
        if not isinstance(loaded, dict) or not all(isinstance(part, str) for pair in loaded.items() for part in pair):
            return ["The file must map names of rules to checks, both text."]
        wrong = [self._unknown(name) for name in loaded if name not in self.rules]
        book = PolicyBook(self.rules, {name: check for name, check in loaded.items() if name in self.rules})
        for name in book.overrides:
            try:
                book._walk(book.check(name), (name,))
            except PolicyError as error:
                wrong.append(f"{name}: {error}")
        return wrong

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.rules, 1)
        return f"{name}: no rule has this name" + (f"; did you mean {near[0]}?" if near else "")

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
    taken, scopes = book.takes(rule, ctx), book.rules[rule].scopes
    parts = (Reason("scope", taken, (" or ".join(scopes), ctx.scope)), inner) if scopes else (inner,)
    return Reason("rule", taken and inner.holds, (rule,), parts)
