"""`manage.py operation`: see long changes, and help those that are stuck."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core.context import RequestContext, system
from apps.core.errors import KumoError
from apps.operations import selectors, services
from apps.operations.models import Operation
from apps.operations.states import Status

SHOWN = 50
LINE = "{:<36}  {:<28} {:<9} {:<16} {:<44} {}"


class Command(BaseCommand):
    help = "List and show operations; retry or abandon one."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        listed = verbs.add_parser("list", help="Unfinished operations, stuck ones marked.")
        listed.add_argument("--all", action="store_true", help=f"The last {SHOWN}, finished ones too.")
        listed.add_argument("--stuck", action="store_true", help="Only those that wait for you.")
        for verb, text in (
            ("show", "One operation with its steps and its failure."),
            ("retry", "Set a stuck operation going again where it stopped."),
            ("abandon", "Give an unfinished operation up: nothing is undone, its locks are freed."),
            ("cancel", "Ask an operation to stop and undo."),
        ):
            verbs.add_parser(verb, help=text).add_argument("id")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"do_{options['verb']}")(system(), options)
        except KumoError as error:
            raise CommandError(str(error)) from error

    def do_list(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        rows = selectors.operation_list(ctx, unfinished=not options["all"])
        if options["stuck"]:
            rows = rows.filter(status=Status.STUCK)
        self.stdout.write(LINE.format("ID", "KIND", "STATUS", "STEP", "SUBJECT", "REASON").rstrip())
        for row in rows[:SHOWN]:
            subject = f"{row.subject_type} {row.subject_id}"
            self.stdout.write(
                LINE.format(str(row.pk), row.kind, row.status, row.cursor, subject, _reason(row)).rstrip()
            )

    def do_show(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        row = selectors.operation_get(ctx, operation_id=options["id"])
        facts = {
            "operation": row.pk,
            "kind": row.kind,
            "status": row.status,
            "subject": f"{row.subject_type} {row.subject_id}",
            "project": row.project_id,
            "request": row.request_id,
            "by": row.actor.get("user_name") or row.actor.get("user_id") or "Kumo",
            "step": row.cursor,
            "waits for": f"{row.waits_for} {row.host}".strip(),
            "tries": row.tries,
            "begun": row.created_at,
            "ended": row.finished_at,
            "reason": _reason(row),
        }
        for name, value in facts.items():
            if value not in ("", None):
                self.stdout.write(f"{name:<10} {value}")
        for step in row.steps.all():
            took = f"{(step.finished_at - step.started_at).total_seconds():.2f} s" if step.finished_at else ""
            reason = (step.error or {}).get("message", "")
            self.stdout.write(f"  {step.name:<16} {step.status:<8} {step.host:<16} {took:>10}  {reason}".rstrip())
        if (row.error or {}).get("traceback"):
            self.stdout.write((row.error or {})["traceback"])

    def do_retry(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        row = services.operation_retry(ctx, operation_id=options["id"])
        self.stdout.write(f"{row.kind} of {row.subject_type} {row.subject_id} goes on at {row.cursor or 'its end'}.")

    def do_abandon(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        row = services.operation_abandon(ctx, operation_id=options["id"])
        self.stdout.write(f"{row.kind} of {row.subject_type} {row.subject_id} is given up; nothing was undone.")

    def do_cancel(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        row = services.operation_cancel(ctx, operation_id=options["id"])
        self.stdout.write(f"{row.kind} of {row.subject_type} {row.subject_id} was asked to stop.")


def _reason(row: Operation) -> str:
    error = row.error or {}
    undo = f" (its undo: {error['undo']['message']})" if "undo" in error else ""
    return f"{error.get('message', '')}{undo}"
