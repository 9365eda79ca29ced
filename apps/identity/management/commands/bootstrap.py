"""`manage.py bootstrap`: the first domain, roles, projects, users, keys and the catalogue."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.core import audit
from apps.core.audit import Target
from apps.core.context import operator
from apps.identity import services


class Command(BaseCommand):
    help = "Make what a new cloud needs before somebody can sign in; running it again changes nothing that is right."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--password-file", help="the administrator's password, in the first line of a file")
        parser.add_argument("--demo-password-file", help="the same for the user demo")
        parser.add_argument("--no-demo", action="store_true", help="without the project and user demo")

    def handle(self, *args: Any, **options: Any) -> None:
        admin_file = options["password_file"] or settings.CONFIG.identity.bootstrap_password_file
        files = {"admin": admin_file, "demo": options["demo_password_file"]}
        passwords = {name: _password(file) for name, file in files.items() if file}
        ctx = operator()
        services.bootstrap(ctx, passwords=passwords, demo=not options["no_demo"])
        audit.note(ctx, "identity.bootstrap", Target(type="identity"), arguments={"users": sorted(passwords)})
        self.stdout.write("Identity is ready: domain Default, roles, projects, users and catalogue are in place.")


def _password(file: str) -> str:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from error
    if not lines or not lines[0].strip():
        raise CommandError(f"{file} is empty; its first line must be the password.")
    return lines[0].strip()
