"""`manage.py import-keystone`: users, projects, roles and what belongs to them out of Keystone's database dump."""

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
from apps.identity.services.importing import Report

MOST_TOLD = 50


class Command(BaseCommand):
    help = (
        "Take over domains, projects, users with their passwords, groups, roles and assignments from Keystone. "
        "FILE is what mysqldump or pg_dump (plain) wrote of Keystone's database. Users sign in with the passwords "
        "they have. What is here already stays as it is, so this may be run again."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", help="the dump, also compressed by gzip; - is standard input")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with _opened(options["file"]) as lines:
                dump = keystone_dump.read(lines)
        except (OSError, EOFError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}") from error
        except (keystone_dump.BadDump, UnicodeDecodeError) as error:
            raise CommandError(f"{options['file']} is not a dump that can be read: {error}") from error
        missing = sorted({"project", "user", "local_user", "password", "role", "assignment"} - set(dump.rows))
        if missing:
            raise CommandError(f"The dump has no rows of: {', '.join(missing)}. Is it Keystone's, with data?")
        report = services.keystone_import(operator(), tables=dump.rows, dry_run=options["dry_run"])
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


def _opened(file: str) -> TextIO:
    if file == "-":
        return sys.stdin
    raw = open(file, "rb")  # noqa: SIM115 - closed with what is returned
    packed = raw.peek(2)[:2] == b"\x1f\x8b"
    return io.TextIOWrapper(gzip.GzipFile(fileobj=raw) if packed else raw, encoding="utf-8")
