"""`manage.py audit`: read the log of who changed what, at the terminal or for a program."""

from __future__ import annotations

import argparse
import datetime
import json
import re
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.audit import selectors
from apps.audit.models import Event
from apps.audit.resources import EVENT, cadf
from apps.audit.states import Outcome
from apps.core.api.resource import FIRST, SHOW, Env
from apps.core.api.types import parse_time
from apps.core.context import operator

LINE = "{:<19}  {:<7} {:<16} {:<38} {:<40} {}"
LOOK_S = 1.0
# A long transaction's event becomes visible after younger ones: as far as this is looked back.
LATE = datetime.timedelta(minutes=2)
_SPAN = re.compile(r"^(\d{1,6})([smhdw])$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str) -> datetime.datetime:
    """`2h`, `3d` (ago), or an ISO 8601 time. Raises argparse's error for anything else."""
    if found := _SPAN.match(text):
        return timezone.now() - datetime.timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write 2h, 3d or 2026-01-31T12:00:00Z (UTC where no zone is given)"
        ) from error


class Command(BaseCommand):
    help = "Show who changed what, newest last. Filters narrow; all of them must fit."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--user", help="the user's id or name")
        parser.add_argument("--project", help="id of the project that was concerned")
        parser.add_argument("--action", help="compute.server.delete, or a beginning of it such as identity.")
        parser.add_argument("--target", help="id or name of the thing that was changed")
        parser.add_argument("--type", help="its type, such as compute.server")
        parser.add_argument("--outcome", choices=[o.value for o in Outcome])
        parser.add_argument("--request", help="a request id, as clients and logs show it")
        parser.add_argument("--since", type=moment, help="2h, 3d, or an ISO 8601 time")
        parser.add_argument("--until", type=moment, help="the same; events before it")
        parser.add_argument("--limit", type=int, default=50, help="how many of the newest at most (50)")
        parser.add_argument("--follow", action="store_true", help="go on with what happens, until interrupted")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="one JSON object a line, as the API has it")
        form.add_argument("--cadf", action="store_true", help="one JSON object a line, in CADF's form (DSP0262)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["limit"] <= 100_000:
            raise CommandError("--limit is from 1 to 100000.")
        rows = _matching(options)
        if not (options["json"] or options["cadf"]):
            self.stdout.write(LINE.format("TIME (UTC)", "OUTCOME", "USER", "ACTION", "TARGET", "REASON").rstrip())
        begun = timezone.now() - LATE
        newest: list[Mapping[str, Any]] = list(rows.order_by("-at", "-id").values()[: options["limit"]])
        self._print(reversed(newest), options)
        if options["follow"]:
            self._follow(rows, begun, options)

    def _follow(self, rows: QuerySet[Event], begun: datetime.datetime, options: Mapping[str, Any]) -> None:
        """Whatever comes, once each, until interrupted."""
        seen = deque(rows.filter(at__gte=begun).values_list("id", flat=True), maxlen=100_000)
        try:
            while True:
                self.stdout.flush()
                time.sleep(LOOK_S)
                recent = rows.filter(at__gte=max(begun, timezone.now() - LATE))
                known = set(seen)
                fresh: list[Mapping[str, Any]] = [
                    row for row in recent.order_by("at", "id").values() if row["id"] not in known
                ]
                self._print(fresh, options)
                seen.extend(row["id"] for row in fresh)
        except KeyboardInterrupt:
            return

    def _print(self, rows: Iterable[Mapping[str, Any]], options: Mapping[str, Any]) -> None:
        ctx = operator()
        render, env = EVENT.renderer(EVENT.visible(SHOW, FIRST, ctx)), Env(ctx, FIRST, "")
        for row in rows:
            if options["json"] or options["cadf"]:
                event = render(row, env)
                self.stdout.write(json.dumps(cadf(event) if options["cadf"] else event, ensure_ascii=False))
            else:
                self.stdout.write(_line(row))


def _matching(options: Mapping[str, Any]) -> QuerySet[Event]:
    rows = selectors.event_list(
        operator(), since=options["since"], until=options["until"], target_type=options["type"] or ""
    )
    if options["user"]:
        rows = rows.filter(Q(user_id=options["user"]) | Q(user_name=options["user"]))
    if options["target"]:
        rows = rows.filter(Q(target_id=options["target"]) | Q(target_name=options["target"]))
    if options["project"]:
        rows = rows.filter(project_id=options["project"])
    if options["action"]:
        rows = rows.filter(action__startswith=options["action"])
    if options["outcome"]:
        rows = rows.filter(outcome=options["outcome"])
    if options["request"]:
        rows = rows.filter(request_id=options["request"])
    return rows


def _line(row: Mapping[str, Any]) -> str:
    target = row["target_name"] or row["target_id"]
    reason = f"{row['code']} {row['reason']}" if row["outcome"] == Outcome.FAILURE else _changes(row)
    user = row["user_name"] or row["user_id"] or "-"
    line = LINE.format(f"{row['at']:%Y-%m-%d %H:%M:%S}", row["outcome"], user, row["action"], target[:40], reason)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line).rstrip()


def _changes(row: Mapping[str, Any]) -> str:
    """`name: a → b` of an update."""
    before, after = row["before"], row["after"]
    if not before or not after:
        return ""
    return "; ".join(f"{name}: {before.get(name)} → {after[name]}" for name in after)
