"""`manage.py import-keystone`: users, projects, roles and what belongs to them out of a Keystone."""

from __future__ import annotations

import argparse
import gzip
import io
import sys
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError

from apps.core.context import operator
from apps.identity import services
from apps.identity.backends import keystone_dump
from apps.identity.backends.keystone_api import ApiError, KeystoneApi
from apps.identity.management.people import add_password, password_from
from apps.identity.services.importing import Report

MOST_TOLD = 50
NEEDED = frozenset({"project", "user", "local_user", "password", "role", "assignment"})


class Command(BaseCommand):
    help = (
        "Take over domains, projects, users, groups, roles and assignments from Keystone: with their passwords out of "
        "FILE, which mysqldump or pg_dump (plain) wrote of its database, or without them from its API (--from-api). "
        "What is here already stays as it is, so this may be run again."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("file", nargs="?", help="the dump, also compressed by gzip; - is standard input")
        source.add_argument(
            "--from-api", metavar="URL", help="Keystone's address, which ends in /v3; no passwords come"
        )
        parser.add_argument("--user", default="admin", help="with --from-api: who may read the whole system (admin)")
        parser.add_argument("--domain", default="Default", help="with --from-api: the name of their domain (Default)")
        parser.add_argument("--ca-file", default="", help="with --from-api: certificates that are trusted")
        add_password(parser)
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        tables = _from_api(options) if options["from_api"] else _from_dump(options["file"])
        report = services.keystone_import(operator(), tables=tables, dry_run=options["dry_run"])
        self._tell(report, dry_run=options["dry_run"])

    def _tell(self, report: Report, *, dry_run: bool) -> None:
        self.stdout.write(f"{'KIND':<22} {'WOULD BE NEW' if dry_run else 'NEW':>12} {'HERE ALREADY':>14}")
        for kind in dict.fromkeys([*report.made, *report.present]):
            self.stdout.write(f"{kind:<22} {report.made[kind]:>12} {report.present[kind]:>14}")
        if report.left_out:
            self.stdout.write(f"\nLeft out: {len(report.left_out)}")
            for line in report.left_out[:MOST_TOLD]:
                self.stdout.write(f"  {line}")
        if dry_run:
            self.stdout.write("\nNothing was written.")


def _from_dump(file: str) -> dict[str, list[dict[str, Any]]]:
    try:
        with _opened(file) as lines:
            rows = keystone_dump.read(lines).rows
    except (OSError, EOFError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    except (keystone_dump.BadDump, UnicodeDecodeError) as error:
        raise CommandError(f"{file} is not a dump that can be read: {error}") from error
    if missing := sorted(NEEDED - set(rows)):
        raise CommandError(f"The dump has no rows of: {', '.join(missing)}. Is it Keystone's, with data?")
    return rows


def _opened(file: str) -> TextIO:
    if file == "-":
        return sys.stdin
    raw = open(file, "rb")  # noqa: SIM115 - closed with what is returned
    packed = raw.peek(2)[:2] == b"\x1f\x8b"
    return io.TextIOWrapper(gzip.GzipFile(fileobj=raw) if packed else raw, encoding="utf-8")


def _from_api(options: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    try:
        api = KeystoneApi(options["from_api"], ca_file=options["ca_file"])
        api.sign_in(user=options["user"], password=password_from(options), domain=options["domain"])
        return api.tables()
    except (ApiError, OSError) as error:
        raise CommandError(f"{error} Nothing was written.") from error
