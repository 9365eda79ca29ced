"""`manage.py project`: see projects and what they have, make them, and remove them with all of it."""

from __future__ import annotations

import argparse
import time
from typing import Any

from django.core.management.base import CommandError

from apps.core.context import RequestContext
from apps.core.owned import Holding
from apps.identity import selectors, services
from apps.identity.management.people import MOST_LISTED, VerbCommand, add_domain, domain_named, project_named
from apps.identity.models import Project
from apps.operations.models import Operation
from apps.operations.states import FINISHED, Status

LINE = "{:<32}  {:<24} {:<16} {:<8} {}"
LOOK_S = 0.5
CASCADING = ("disable", "delete")


class Command(VerbCommand):
    help = "List, show, create, enable, disable and delete projects; purge one of all that it has."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        listed = verbs.add_parser("list", help=f"Projects by name, at most {MOST_LISTED}.")
        listed.add_argument("--domain", help="name or id of a domain (all)")
        listed.add_argument("--match", default="", help="part of the name")
        create = verbs.add_parser("create", help="Make a project.")
        create.add_argument("--description", default="")
        create.add_argument("--parent", help="name or id of the project above")
        purge = verbs.add_parser("purge", help="Remove everything it has, then the project itself.")
        purge.add_argument("--dry-run", action="store_true", help="only say what it has")
        purge.add_argument("--keep", action="store_true", help="keep the project, empty")
        purge.add_argument("--yes", action="store_true", help="do not ask")
        purge.add_argument("--no-wait", action="store_true", help="return when it has begun")
        for verb, text in (
            ("show", "One project, and what it has."),
            ("enable", "Let it be used."),
            ("disable", "Its tokens end at once; what it has stays as it is."),
            ("delete", "Remove an empty project."),
        ):
            one = verbs.add_parser(verb, help=text)
            if verb in CASCADING:
                one.add_argument("--cascade", action="store_true", help="and every project below it")
        for name, one in verbs.choices.items():
            if name != "list":
                one.add_argument("project", metavar="NAME_OR_ID" if name != "create" else "NAME")
                add_domain(one)

    def do_list(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        rows = Project.objects.filter(is_domain=False, name__icontains=options["match"]).select_related("domain")
        if options["domain"]:
            rows = rows.filter(domain_id=domain_named(options["domain"]).pk)
        self.stdout.write(LINE.format("ID", "NAME", "DOMAIN", "ENABLED", "DESCRIPTION").rstrip())
        for row in rows.order_by("name", "pk")[:MOST_LISTED]:
            domain = row.domain.name if row.domain else ""
            enabled = "yes" if row.enabled else "no"
            self.stdout.write(LINE.format(row.pk, row.name, domain, enabled, row.description).rstrip())

    def do_show(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        project = project_named(options["project"], options["domain"])
        self.stdout.write(f"id           {project.pk}\nname         {project.name}")
        self.stdout.write(f"enabled      {'yes' if project.enabled else 'no'}")
        if project.description:
            self.stdout.write(f"description  {project.description}")
        self._tell(selectors.project_holdings(ctx, project_id=project.pk))

    def do_create(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        parent = project_named(options["parent"], options["domain"]).pk if options["parent"] else None
        project = services.project_create(
            ctx,
            name=options["project"],
            domain_id=domain_named(options["domain"]).pk,
            parent_id=parent,
            description=options["description"],
        )
        self.stdout.write(f"Project {project.name} is made: {project.pk}. Give a role with: manage.py role assign.")

    def do_enable(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        project = project_named(options["project"], options["domain"])
        services.project_update(ctx, project_id=project.pk, enabled=True)
        self.stdout.write(f"Project {project.name} may be used.")

    def do_disable(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        project = project_named(options["project"], options["domain"])
        services.project_update(ctx, project_id=project.pk, enabled=False, cascade=options["cascade"])
        self.stdout.write(f"Project {project.name} is disabled; its tokens have ended.")

    def do_delete(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        project = project_named(options["project"], options["domain"])
        services.project_delete(ctx, project_id=project.pk, cascade=options["cascade"])
        self.stdout.write(f"Project {project.name} is gone.")

    def do_purge(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        project = project_named(options["project"], options["domain"])
        found = selectors.project_holdings(ctx, project_id=project.pk)
        self._tell(found)
        if options["dry_run"]:
            return
        what = "everything above" if options["keep"] else "everything above and the project"
        if not options["yes"] and input(f"To remove {what} for good, type the project's name: ") != project.name:
            raise CommandError("That is not its name; nothing was changed.")
        operation = services.project_purge(ctx, project_id=project.pk, keep=options["keep"])
        self.stdout.write(f"Operation {operation.pk} removes it.")
        if not options["no_wait"]:
            self._wait(operation)

    def _tell(self, found: list[Holding]) -> None:
        if not found:
            self.stdout.write("It has nothing.")
        for one in found:
            by_itself = " (made by itself)" if one.kind.incidental else ""
            self.stdout.write(f"{one.count:>8}  {one.kind.label}{by_itself}")

    def _wait(self, operation: Operation) -> None:
        """Say which step it is at, until it has ended. An interruption leaves it to go on."""
        step = ""
        try:
            while operation.status not in FINISHED and operation.status != Status.STUCK:
                if operation.cursor != step:
                    step = operation.cursor
                    self.stdout.write(f"{operation.percent:>3} %  {step.replace('_', ' ')}")
                    self.stdout.flush()
                time.sleep(LOOK_S)
                operation.refresh_from_db()
        except KeyboardInterrupt:
            self.stdout.write(f"It goes on: manage.py operation show {operation.pk}")
            return
        if operation.status != Status.DONE:
            raise CommandError(f"{operation.status}: {(operation.error or {}).get('message', '')}")
        self.stdout.write("Done.")
