"""`manage.py reconcile HOST`: make a host's guests what the database says, or print what would be done."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.doctor import RECONCILERS
from apps.core.errors import KumoError


class Command(BaseCommand):
    help = "Compare one host with the database and start the repairs; --dry-run prints the plan."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("host")
        parser.add_argument("--dry-run", action="store_true", help="print the plan, do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in sorted(RECONCILERS):
            try:
                for line in RECONCILERS[name](options["host"], options["dry_run"]):
                    self.stdout.write(f"{name}: {line}")
            except KumoError as error:
                raise CommandError(str(error)) from error
