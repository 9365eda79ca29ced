"""`manage.py credential-keys rotate`: a new key for credentials at rest."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.core import audit
from apps.core.audit import Target
from apps.core.context import operator
from apps.identity import services


class Command(BaseCommand):
    help = "Rotate the key that seals users' credentials in the database, and seal all of them anew. Nobody notices."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["rotate"])

    def handle(self, *args: Any, **options: Any) -> None:
        ctx = operator()
        count = services.credential_keys_rotate(ctx)
        audit.note(ctx, "identity.credential_keys.rotate", Target(type="identity.credential_keys"))
        self.stdout.write(f"{count} secrets are sealed with a new key; the old one is gone.")
