"""`manage.py role`: which roles there are, who has them, and giving and taking them."""

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
    domain_named,
    group_named,
    project_named,
    role_named,
    user_named,
)
from apps.identity.models import Assignment, Role
from apps.identity.states import Scope

LINE = "{:<24} {:<8} {:<24} {:<8} {:<24} {}"


class Command(VerbCommand):
    help = "List and create roles; list, give and take assignments."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="All roles, with what they imply.")
        create = verbs.add_parser("create", help="Make a role.")
        create.add_argument("role", metavar="NAME")
        create.add_argument("--description", default="")
        for verb, text in (
            ("assign", "Give a role to a user or group, on a project, a domain or the system."),
            ("revoke", "Take it away; it is gone with the next request."),
        ):
            one = verbs.add_parser(verb, help=text)
            one.add_argument("role", metavar="ROLE")
            _add_actor(one, required=True)
            _add_target(one, required=True)
            one.add_argument("--inherited", action="store_true", help="on all projects below, not the target itself")
        given = verbs.add_parser("assignments", help=f"Who has which role where, at most {MOST_LISTED}.")
        given.add_argument("--role")
        _add_actor(given, required=False)
        _add_target(given, required=False)

    def do_list(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        for row in Role.objects.select_related("domain").prefetch_related("implies").order_by("name"):
            implied = ", ".join(sorted(other.name for other in row.implies.all()))
            domain = f" (of the domain {row.domain.name})" if row.domain else ""
            self.stdout.write(f"{row.pk}  {row.name}{domain}{f'  implies {implied}' if implied else ''}")

    def do_create(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        role = services.role_create(ctx, name=options["role"], description=options["description"])
        self.stdout.write(f"Role {role.name} is made: {role.pk}.")

    def do_assign(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        services.assignment_create(ctx, role_id=role_named(options["role"]).pk, **_address(options))
        self.stdout.write(f"{options['role']} is given.")

    def do_revoke(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        services.assignment_delete(ctx, role_id=role_named(options["role"]).pk, **_address(options))
        self.stdout.write(f"{options['role']} is taken away.")

    def do_assignments(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        asked = {name: value for name, value in _address(options).items() if value}
        rows = Assignment.objects.filter(**asked).select_related("user", "group", "role", "target")
        if options["role"]:
            rows = rows.filter(role=role_named(options["role"]))
        self.stdout.write(LINE.format("ROLE", "KIND", "WHO", "ON", "NAME", "").rstrip())
        for row in rows.order_by("role__name", "pk")[:MOST_LISTED]:
            who = row.user or row.group
            kind = "user" if row.user else "group"
            where = row.target.name if row.target else ""
            inherited = "inherited" if row.inherited else ""
            self.stdout.write(LINE.format(row.role.name, kind, str(who), row.scope, where, inherited).rstrip())


def _add_actor(parser: argparse.ArgumentParser, *, required: bool) -> None:
    actor = parser.add_mutually_exclusive_group(required=required)
    actor.add_argument("--user", help="name or id")
    actor.add_argument("--group", help="name or id")
    add_domain(parser)


def _add_target(parser: argparse.ArgumentParser, *, required: bool) -> None:
    target = parser.add_mutually_exclusive_group(required=required)
    target.add_argument("--project", help="name or id, looked up in --domain")
    target.add_argument("--on-domain", help="name or id")
    target.add_argument("--system", action="store_true", help="the whole cloud")


def _address(options: dict[str, Any]) -> dict[str, Any]:
    """The named actor and target as keywords of the assignment's services."""
    found: dict[str, Any] = {}
    if options["user"]:
        found["user_id"] = user_named(options["user"], options["domain"]).pk
    if options["group"]:
        found["group_id"] = group_named(options["group"], options["domain"]).pk
    if options["project"]:
        found |= {"scope": Scope.PROJECT, "target_id": project_named(options["project"], options["domain"]).pk}
    elif options["on_domain"]:
        found |= {"scope": Scope.DOMAIN, "target_id": domain_named(options["on_domain"]).pk}
    elif options["system"]:
        found["scope"] = Scope.SYSTEM
    if options.get("inherited"):
        if options["system"]:
            raise CommandError("A role on the system cannot be inherited.")
        found["inherited"] = True
    return found
