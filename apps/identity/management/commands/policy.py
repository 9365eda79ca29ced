"""`manage.py policy`: which rules there are, who may do what and why not, and whether a file of overrides is right."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core import policy
from apps.core.context import operator
from apps.core.errors import KumoError
from apps.identity import selectors


class Command(BaseCommand):
    help = "Show rules, explain what a user may do and through which assignment, check a policy.yaml."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        explain = commands.add_parser("explain", help="may this user do it there, and why not? Exit code 1: no")
        explain.add_argument("rule", metavar="RULE")
        explain.add_argument("--user", required=True, help="id or name")
        explain.add_argument("--user-domain", default="", help="id or name of the user's domain, for a name used twice")
        place = explain.add_mutually_exclusive_group(required=True)
        place.add_argument("--project", default="", help="id or name")
        place.add_argument("--domain", default="", help="id or name")
        place.add_argument("--system", action="store_true")
        explain.add_argument("--project-domain", default="", help="id or name of the project's domain")
        explain.add_argument(
            "--target",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="what is acted on, where it is not the caller's own: project_id=…, target.user.domain_id=…",
        )
        explain.add_argument("--json", action="store_true")
        listed = commands.add_parser("list", help="every rule with its check and the scopes of tokens it takes")
        listed.add_argument("words", nargs="*", metavar="WORD", help="only names that hold all of these")
        listed.add_argument("--json", action="store_true")
        check = commands.add_parser("check", help="can this file of overrides be taken? Exit code 1: no")
        check.add_argument("file", type=Path, metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        {"explain": self._explain, "list": self._list, "check": self._check}[options["command"]](options)

    def _explain(self, options: dict[str, Any]) -> None:
        ctx = operator()
        try:
            names = ("user", "user_domain", "project", "project_domain", "domain", "system")
            held = selectors.permissions(ctx, asked=selectors.Asked(**{name: options[name] for name in names}))
            target = dict(_pair(text) for text in options["target"])
            found = selectors.rule_explain(ctx, permissions=held, rule=options["rule"], target=target)
        except KumoError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(_document(held, found), ensure_ascii=False))
        else:
            self._print(held, found)
        if not found.holds:
            raise SystemExit(1)

    def _print(self, held: selectors.Permissions, found: selectors.Explanation) -> None:
        where = f"the {held.place.scope} {held.place.target.name}" if held.place.target else "the system"
        word = "may" if found.holds else "may not"
        lines = [f"{held.user.name} {word} {found.rule.name} on {where}.", "", "Why:"]
        lines += [f"  {line}" for line in found.reason.lines()]
        lines += ["", f"Roles of {held.user.name} there:" if held.roles else f"{held.user.name} has no role there."]
        lines += [f"  {role.name}: {way.text()}" for role in held.roles for way in role.ways]
        if not found.holds:
            enough = ", or ".join(found.enough)
            lines += ["", f"Enough there: {enough}." if enough else "No role there would be enough."]
        self.stdout.write("\n".join(lines))

    def _list(self, options: dict[str, Any]) -> None:
        book = policy.book
        rules = [book.rules[n] for n in sorted(book.rules) if all(word in n for word in options["words"])]
        if not options["json"]:
            self.stdout.write("\n".join(f"{rule.name}: {_check_of(rule)}{_scopes(rule)}" for rule in rules))
            return
        for rule in rules:
            line = {
                "name": rule.name,
                "check": _check_of(rule),
                "default": rule.check,
                "scopes": list(rule.scopes),
                "description": rule.description,
                "operations": list(rule.operations),
            }
            self.stdout.write(json.dumps(line, ensure_ascii=False))

    def _check(self, options: dict[str, Any]) -> None:
        try:
            text = options["file"].read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}") from error
        wrong = policy.book.problems(text)
        if wrong:
            raise CommandError("\n".join(wrong))
        self.stdout.write("Every rule exists and every check can be read. Name the file in paths.policy and restart.")


def _check_of(rule: policy.Rule) -> str:
    """The check in force."""
    return policy.book.overrides.get(rule.name, rule.check)


def _scopes(rule: policy.Rule) -> str:
    return f"  # {', '.join(rule.scopes)}" if rule.scopes else ""


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise CommandError(f"--target takes KEY=VALUE, not {text!r}.")
    return key, value


def _document(held: selectors.Permissions, found: selectors.Explanation) -> dict[str, Any]:
    return {
        "user_id": held.user.pk,
        "scope": str(held.place.scope),
        "target_id": held.place.id,
        "rule": found.rule.name,
        "allowed": found.holds,
        "reason": found.reason.tree(),
        "roles": {role.name: [way.text() for way in role.ways] for role in held.roles},
        "enough": list(found.enough),
    }
