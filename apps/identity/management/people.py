"""What the commands about users, projects and roles share: finding what was named, and taking passwords safely."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from apps.core.context import RequestContext, operator
from apps.core.errors import KumoError
from apps.identity.models import Domain, Group, Project, Role, User

MOST_LISTED = 1000
MOST_NAMESAKES = 5


class VerbCommand(BaseCommand):
    """`manage.py NOUN VERB …`: each verb is a method `do_<verb>(ctx, options)`; refusals become one line."""

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"do_{options['verb'].replace('-', '_')}")(operator(), options)
        except KumoError as error:
            raise CommandError(str(error)) from error

    def do_list(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        raise NotImplementedError


def add_domain(parser: ArgumentParser) -> None:
    """The option by which a name is looked up in another domain than Default."""
    parser.add_argument("--domain", default="Default", help="name or id of the domain (Default)")


def domain_named(text: str) -> Domain:
    """Raises CommandError, naming those there are."""
    found = Domain.objects.filter(pk=text).first() or Domain.objects.filter(name=text).first()
    if found is None:
        names = ", ".join(Domain.objects.order_by("name").values_list("name", flat=True)[:20])
        raise CommandError(f"There is no domain {text!r}. There are: {names}.")
    return found


def user_named(text: str, domain: str) -> User:
    """By id, or by name in the domain."""
    found: User = _named(User.objects.all(), "user", text, domain)
    return found


def group_named(text: str, domain: str) -> Group:
    """By id, or by name in the domain."""
    found: Group = _named(Group.objects.all(), "group", text, domain)
    return found


def project_named(text: str, domain: str) -> Project:
    """By id, or by name in the domain."""
    found: Project = _named(Project.objects.filter(is_domain=False), "project", text, domain)
    return found


def role_named(text: str) -> Role:
    """By id, or by name among the roles of no domain."""
    found = Role.objects.filter(pk=text).first() or Role.objects.filter(name=text, domain=None).first()
    if found is None:
        names = ", ".join(Role.objects.filter(domain=None).order_by("name").values_list("name", flat=True)[:30])
        raise CommandError(f"There is no role {text!r}. There are: {names}.")
    return found


def _named(rows: QuerySet[Any], noun: str, text: str, domain: str) -> Any:
    found = rows.filter(pk=text).first()
    if found is None:
        inside = domain_named(domain)
        found = rows.filter(name=text, domain_id=inside.pk).first()
        if found is None:
            near = rows.filter(name__istartswith=text[:3], domain_id=inside.pk).order_by("name")
            names = ", ".join(near.values_list("name", flat=True)[:MOST_NAMESAKES])
            hint = f" Did you mean one of: {names}?" if names else ""
            raise CommandError(f"There is no {noun} {text!r} in the domain {inside.name}.{hint}")
    return found


def add_password(parser: ArgumentParser) -> None:
    """Where the password comes from: never from the arguments, which everybody on the machine can read."""
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="first line of a file; - is standard input. Without it: asked for, twice",
    )


def password_from(options: dict[str, Any]) -> str:
    """The password by file, standard input or prompt. Raises CommandError where there is none."""
    file = options["password_file"]
    if file == "-":
        lines = sys.stdin.readline().splitlines()
    elif file:
        try:
            lines = Path(file).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}") from error
    elif sys.stdin.isatty():
        lines = [getpass.getpass("Password: ")]
        if getpass.getpass("The same again: ") != lines[0]:
            raise CommandError("The two are not the same; nothing was changed.")
    else:
        raise CommandError("Give the password with --password-file FILE, or --password-file - to read standard input.")
    if not lines or not lines[0]:
        raise CommandError("The password is empty; nothing was changed.")
    return lines[0]
