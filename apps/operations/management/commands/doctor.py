"""`manage.py doctor`: every disagreement between the database and the world, and nothing when there is none."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.doctor import CHECKS
from apps.core.errors import KumoError


class Command(BaseCommand):
    help = "Print every disagreement between database, guests, networks and files; --repair mends what it can."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="mend what can be mended without losing data")
        parser.add_argument("--only", choices=sorted(CHECKS), action="append", help="run these checks only")

    def handle(self, *args: Any, **options: Any) -> None:
        found = 0
        for name in options["only"] or sorted(CHECKS):
            try:
                for line in CHECKS[name](options["repair"]):
                    found += 1
                    self.stdout.write(f"{name}: {line}")
            except KumoError as error:
                found += 1
                self.stdout.write(f"{name}: cannot be checked: {error}")
            except Exception as error:  # noqa: BLE001 - it must not hide what the other checks find
                found += 1
                self.stdout.write(f"{name}: cannot be checked: {type(error).__name__}: {error}".rstrip())
        if found and not options["repair"]:
            raise CommandError(f"{found} found", returncode=1)
