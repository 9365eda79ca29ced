"""Reads the tables of Keystone out of a database dump: `mysqldump`, or `pg_dump` in plain form with COPY or INSERT.

Only the statements that carry rows of wanted tables are understood; everything else is passed over. MySQL's texts
escape by backslashes and its names stand in backquotes; in PostgreSQL's a backslash means itself, but for `E'…'`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

TABLES = frozenset(
    {
        "project", "user", "local_user", "nonlocal_user", "federated_user", "password", "group",
        "user_group_membership", "role", "implied_role", "assignment", "system_assignment",
    }
)  # fmt: skip

Row = dict[str, Any]

_CREATE = re.compile(r'^CREATE TABLE (?:IF NOT EXISTS )?(?:[\w"`]+\.)?[`"]?(\w+)[`"]?\s*\(\s*$', re.IGNORECASE)
_COLUMN = re.compile(r'^\s*(?:`(\w+)`|"(\w+)"|(\w+))\s+\w')
_NO_COLUMN = re.compile(r"^\s*(PRIMARY|UNIQUE|KEY|CONSTRAINT|FOREIGN|CHECK|INDEX|FULLTEXT)\b", re.IGNORECASE)
_COPY = re.compile(r'^COPY (?:[\w"]+\.)?"?(\w+)"? \(([^)]*)\) FROM stdin;', re.IGNORECASE)
_INSERT = re.compile(
    r'^INSERT (?:IGNORE )?INTO (?:[\w"`]+\.)?[`"]?(\w+)[`"]?\s*(?:\(([^)]*)\))?\s*VALUES\s*', re.IGNORECASE
)
_COPY_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "\\": "\\"}
_MYSQL_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "Z": "\x1a", "b": "\b"}
_BARE = re.compile(r"[^\s,();]+")


class BadDump(Exception):
    """Text that looks like rows and cannot be read as such; the message names line and table."""


@dataclass
class Dump:
    """Rows by table: texts, numbers, booleans and None by column."""

    rows: dict[str, list[Row]] = field(default_factory=dict)


def read(lines: Iterable[str]) -> Dump:
    """Read a dump line by line. Raises BadDump."""
    return _Reader().read(lines)


class _Reader:
    def __init__(self) -> None:
        self.dump = Dump()
        self.columns: dict[str, list[str]] = {}
        self.number = 0

    def read(self, lines: Iterable[str]) -> Dump:
        numbered = self._numbered(lines)
        for line in numbered:
            if found := _CREATE.match(line):
                self.columns[found[1].lower()] = list(self._definition(numbered))
            elif found := _COPY.match(line):
                self._copied(found[1].lower(), _names(found[2]), numbered)
            elif found := _INSERT.match(line):
                self._inserted(found, line, numbered)
        return self.dump

    def _numbered(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            self.number += 1  # for messages
            yield line

    def _definition(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            if line.startswith(")"):
                return
            found = None if _NO_COLUMN.match(line) else _COLUMN.match(line)
            if found:
                yield next(name for name in found.groups() if name)

    def _copied(self, table: str, names: list[str], lines: Iterator[str]) -> None:
        for line in lines:
            text = line.rstrip("\r\n")
            if text == "\\.":
                return
            if table in TABLES:
                self._add(table, names, [_copy_value(part) for part in text.split("\t")])
        raise BadDump(f"line {self.number}: the rows of {table} do not end")

    def _inserted(self, found: re.Match[str], line: str, lines: Iterator[str]) -> None:
        table = found[1].lower()
        if table not in TABLES:
            return
        names = _names(found[2]) if found[2] else self.columns.get(table)
        if names is None:
            raise BadDump(f"line {self.number}: rows of {table} without its CREATE TABLE before them")
        text, at, escapes = line, found.end(), "`" in found[0]
        while True:
            try:
                for values in _tuples(text, at, escapes):
                    self._add(table, names, values)
                return
            except _Unfinished as open_:  # a value with a line break, or one row a line
                following = next(lines, None)
                if following is None:
                    raise BadDump(f"line {self.number}: a statement about {table} does not end") from open_
                for values in open_.done:
                    self._add(table, names, values)
                text, at = text[open_.at :] + following, 0

    def _add(self, table: str, names: list[str], values: list[Any]) -> None:
        if len(values) != len(names):
            raise BadDump(f"line {self.number}: {len(values)} values for the {len(names)} columns of {table}")
        self.dump.rows.setdefault(table, []).append(dict(zip(names, values, strict=True)))


class _Unfinished(Exception):
    """The text ended inside a statement: what was read, and from where on to read again."""

    def __init__(self, done: list[list[Any]], at: int) -> None:
        super().__init__()
        self.done, self.at = done, at


def _names(text: str) -> list[str]:
    return [part.strip().strip('`"') for part in text.split(",")]


def _copy_value(text: str) -> str | None:
    if text == "\\N":
        return None
    return re.sub(r"\\(.)", lambda found: _COPY_ESCAPES.get(found[1], found[1]), text) if "\\" in text else text


def _tuples(text: str, at: int, escapes: bool) -> list[list[Any]]:
    """All `(…), (…);` from `at` on. Raises _Unfinished where the text ends before the semicolon."""
    done: list[list[Any]] = []
    begun = at
    while True:
        at = _blank(text, at)
        if at >= len(text):
            raise _Unfinished(done, begun)
        if text[at] == ";":
            return done
        if text[at] == ",":
            at += 1
            continue
        if text[at] != "(":
            if text.startswith("ON ", at):  # … DUPLICATE KEY UPDATE
                return done
            raise BadDump(f"unexpected {text[at : at + 20]!r}")
        begun = at
        values, after = _tuple(text, at + 1, escapes)
        if after < 0:
            raise _Unfinished(done, begun)
        done.append(values)
        at = begun = after


def _tuple(text: str, at: int, escapes: bool) -> tuple[list[Any], int]:
    """Values up to the closing bracket, and the place after it; -1 where the text ends before."""
    values: list[Any] = []
    while True:
        at = _blank(text, at)
        if at >= len(text):
            return values, -1
        if text[at] == ")":
            return values, at + 1
        if text[at] == ",":
            at += 1
            continue
        value, at = _value(text, at, escapes)
        if at < 0:
            return values, -1
        values.append(value)


def _value(text: str, at: int, escapes: bool) -> tuple[Any, int]:
    for prefix in ("_binary ", "E"):
        if text.startswith(prefix + "'", at):
            at += len(prefix)
            escapes = True
    if text[at] == "'":
        return _quoted(text, at + 1, escapes)
    found = _BARE.match(text, at)
    if found is None:
        raise BadDump(f"unexpected {text[at : at + 20]!r}")
    word = found[0]
    known = {"null": None, "true": True, "false": False}
    if word.lower() in known:
        return known[word.lower()], found.end()
    try:
        return int(word), found.end()
    except ValueError:
        return word, found.end()


def _quoted(text: str, at: int, escapes: bool) -> tuple[str, int]:
    made: list[str] = []
    while at < len(text):
        char = text[at]
        if escapes and char == "\\" and at + 1 < len(text):
            made.append(_MYSQL_ESCAPES.get(text[at + 1], text[at + 1]))
            at += 2
        elif char == "'":
            if text.startswith("''", at):
                made.append("'")
                at += 2
            else:
                return "".join(made), at + 1
        else:
            made.append(char)
            at += 1
    return "", -1


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
