"""`manage.py token-keys rotate`: a new key for tokens."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.core import audit
from apps.core.audit import Target
from apps.core.context import operator
from apps.identity import services


class Command(BaseCommand):
    help = "Rotate the keys that seal tokens. Tokens in use go on working, except with --discard."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["rotate"])
        parser.add_argument(
            "--discard", action="store_true", help="drop old keys at once: all tokens end, everybody signs in again"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        ctx = operator()
        kept = services.token_keys_rotate(ctx, discard=options["discard"])
        audit.note(
            ctx,
            "identity.token_keys.rotate",
            Target(type="identity.token_keys"),
            arguments={"discard": options["discard"]},
        )
        self.stdout.write(f"New tokens use a new key; {kept} older keys still open the tokens made with them.")
