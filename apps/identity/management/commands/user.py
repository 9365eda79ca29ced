"""`manage.py user`: see users, make them, give passwords, let in and shut out."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandError

from apps.core.context import RequestContext
from apps.identity import services
from apps.identity.management.people import (
    MOST_LISTED,
    VerbCommand,
    add_domain,
    add_password,
    domain_named,
    password_from,
    project_named,
    user_named,
)
from apps.identity.models import Assignment, User

LINE = "{:<32}  {:<24} {:<16} {:<8} {}"


class Command(VerbCommand):
    help = "List, show, create, enable, disable, unlock and delete users; set a password."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        listed = verbs.add_parser("list", help=f"Users by name, at most {MOST_LISTED}.")
        listed.add_argument("--domain", help="name or id of a domain (all)")
        listed.add_argument("--match", default="", help="part of the name")
        create = verbs.add_parser("create", help="Make a user.")
        create.add_argument("--description", default="")
        create.add_argument("--email")
        create.add_argument("--project", help="name or id of the default project")
        create.add_argument("--no-password", action="store_true", help="they cannot sign in by password")
        add_password(create)
        add_password(verbs.add_parser("set-password", help="Give a new password; all tokens and sessions end."))
        for verb, text in (
            ("show", "One user with their roles."),
            ("enable", "Let them sign in."),
            ("disable", "Shut them out: all tokens and sessions end at once."),
            ("unlock", "Forget failed sign-ins that locked them."),
            ("delete", "Remove them with their roles; what they made stays."),
        ):
            verbs.add_parser(verb, help=text)
        for name, one in verbs.choices.items():
            if name != "list":
                one.add_argument("user", metavar="NAME_OR_ID" if name != "create" else "NAME")
                add_domain(one)

    def do_list(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        rows = User.objects.select_related("domain").filter(name__icontains=options["match"]).order_by("name", "pk")
        if options["domain"]:
            rows = rows.filter(domain_id=domain_named(options["domain"]).pk)
        self.stdout.write(LINE.format("ID", "NAME", "DOMAIN", "ENABLED", "DESCRIPTION").rstrip())
        for row in rows[:MOST_LISTED]:
            enabled = "yes" if row.enabled else "no"
            self.stdout.write(LINE.format(row.pk, row.name, row.domain.name, enabled, row.description).rstrip())

    def do_show(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        user = user_named(options["user"], options["domain"])
        for name, value in (
            ("id", user.pk),
            ("name", user.name),
            ("domain", user.domain.name),
            ("enabled", "yes" if user.enabled else "no"),
            ("description", user.description),
            ("email", user.extra.get("email")),
            ("password", "expires " + f"{user.password_expires_at:%Y-%m-%d}" if user.password_expires_at else ""),
            ("failures", user.failed_auth_count or ""),
        ):
            if value not in ("", None):
                self.stdout.write(f"{name:<12} {value}")
        given = Assignment.objects.filter(user=user).select_related("role", "target").order_by("scope", "target__name")
        for one in given:
            where = f"{one.scope} {one.target.name}" if one.target else one.scope
            self.stdout.write(f"role         {one.role.name} on {where}{' (inherited)' if one.inherited else ''}")

    def do_create(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        domain = domain_named(options["domain"])
        project = project_named(options["project"], options["domain"]).pk if options["project"] else None
        user = services.user_create(
            ctx,
            name=options["user"],
            domain_id=domain.pk,
            password=None if options["no_password"] else password_from(options),
            description=options["description"],
            default_project_id=project,
            extra={"email": options["email"]} if options["email"] else {},
        )
        self.stdout.write(f"User {user.name} is made: {user.pk}. Give a role with: manage.py role assign.")

    def do_set_password(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        user = user_named(options["user"], options["domain"])
        services.user_update(ctx, user_id=user.pk, password=password_from(options))
        self.stdout.write(f"{user.name} has a new password; their tokens and sessions have ended.")

    def do_enable(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        user = user_named(options["user"], options["domain"])
        services.user_update(ctx, user_id=user.pk, enabled=True)
        self.stdout.write(f"{user.name} may sign in.")

    def do_disable(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        user = user_named(options["user"], options["domain"])
        services.user_update(ctx, user_id=user.pk, enabled=False)
        self.stdout.write(f"{user.name} is shut out; their tokens and sessions have ended.")

    def do_unlock(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        user = user_named(options["user"], options["domain"])
        if not user.enabled:
            raise CommandError(f"{user.name} is disabled, not locked: manage.py user enable {user.name}")
        services.user_update(ctx, user_id=user.pk, enabled=True)
        self.stdout.write(f"Failed sign-ins of {user.name} are forgotten.")

    def do_delete(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        user = user_named(options["user"], options["domain"])
        services.user_delete(ctx, user_id=user.pk)
        self.stdout.write(f"User {user.name} is gone.")
