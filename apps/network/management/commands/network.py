"""`manage.py network sync`: compare the network tables with OVN, and mend OVN."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.network.backends import northbound_at
from apps.network.backends.errors import Unreachable
from apps.network.jobs import sync


class Command(BaseCommand):
    help = "Compares the network tables with OVN's northbound database and makes OVN match."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        mend = commands.add_parser("sync", help="Make OVN match the database; rows that are not Kumo's stay.")
        mend.add_argument("--dry-run", action="store_true", help="Print what would change, and change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            northbound = northbound_at(settings.CONFIG.ovn.northbound)
        except Unreachable as error:
            raise CommandError(str(error)) from error
        try:
            lines = sync(northbound, dry_run=options["dry_run"]).lines()
        except Unreachable as error:
            raise CommandError(str(error)) from error
        finally:
            northbound.close()
        for line in lines:
            self.stdout.write(line)
        verb = "would change" if options["dry_run"] else "changed"
        self.stdout.write(f"{len(lines)} rows {verb}." if lines else "OVN is as the database says.")
