"""`manage.py object`: storage policies, disks, and the health of copies."""

from __future__ import annotations

import argparse
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.core.context import RequestContext, system
from apps.core.errors import KumoError
from apps.objectstore import backends, services
from apps.objectstore.backends import WrongMachineError
from apps.objectstore.states import MIB, PREFIX

LINE = "{:<6} {:<10} {:<9} {:<6} {:>10} {:>10} {:>10} {:>10}  {}"


class Command(BaseCommand):
    help = "Storage policies, disks, and the health of objects' copies."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("policies", help="Storage policies with what is in them.")
        disks = verbs.add_parser("disks", help="The disks that keep copies.").add_subparsers(dest="act", required=True)
        disks.add_parser("status", help="All disks.")
        add = disks.add_parser("add", help="Make empty directories disks; a known disk is taken in at its new path.")
        add.add_argument("path", nargs="+")
        add.add_argument("--policy", default=backends.DEFAULT)
        for act, text in (
            ("drain", "Move everything off a disk, so that it can be taken away."),
            ("lost", "Give a disk up: its copies are made anew on others."),
        ):
            one = disks.add_parser(act, help=text)
            one.add_argument("number", type=int)
            one.add_argument("--yes", action="store_true", help="Do it; without, only say what would be moved.")
        disks.add_parser("activate", help="Take a disk that was drained into use again.").add_argument(
            "number", type=int
        )
        replace = disks.add_parser("replace", help="Give a disk up and add an empty directory in its place.")
        replace.add_argument("number", type=int)
        replace.add_argument("path")
        replace.add_argument("--yes", action="store_true", help="Do it; without, only say what would be moved.")
        rebalance = disks.add_parser("rebalance", help="Move copies from fuller disks to emptier ones.")
        rebalance.add_argument("--policy", default=backends.DEFAULT)
        rebalance.add_argument("--mib", type=_positive, default=10_240, help="Move at most so many MiB (10240).")
        rebalance.add_argument("--mib-per-s", type=float, default=0, help="At most so fast; 0: as fast as it goes.")
        agreed = rebalance.add_mutually_exclusive_group()
        agreed.add_argument("--dry-run", action="store_true", help="Only say what would be moved, as without --yes.")
        agreed.add_argument("--yes", action="store_true", help="Do it.")
        audit = verbs.add_parser("audit", help="Read all copies once, now, and count bad ones to be made again.")
        audit.add_argument("--mib-per-s", type=float, default=0, help="At most so fast; 0: as fast as it goes.")
        verbs.add_parser("repair", help="Make the missing copies now.")
        export = verbs.add_parser("export", help="Write an account's objects as files, each with its facts beside it.")
        export.add_argument("account", help="A project's id, with or without AUTH_.")
        export.add_argument("folder", type=Path, help="Directory; what is there already is not written again.")
        export.add_argument("--container", default="", help="Only this one.")
        verify = verbs.add_parser("verify", help="Read every copy of every object of an account.")
        verify.add_argument("account", help="A project's id, with or without AUTH_.")

    def handle(self, *args: Any, **options: Any) -> None:
        verb = f"{options['verb']}_{options['act']}" if options.get("act") else options["verb"]
        try:
            getattr(self, f"do_{verb}")(system(), options)
        except (KumoError, WrongMachineError, OSError) as error:
            raise CommandError(str(error)) from error

    def do_policies(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        known = backends.policies()
        for policy, found in services.health(ctx).items():
            engine = backends.engine(policy) if policy in known else "not in the settings"
            self.stdout.write(
                f"{policy} ({engine}): {found.blobs} blobs of {_size(found.bytes)}, "
                f"{found.missing} copies missing, {found.unused} blobs unused"
            )

    def do_disks_status(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        self.stdout.write(LINE.format("DISK", "POLICY", "STATE", "THERE", "FREE", "SIZE", "COPIES", "BYTES", "PATH"))
        for found in services.disk_list(ctx):
            disk = found.disk
            facts = (_size(found.free), _size(found.size), found.copies, _size(found.copies_bytes))
            there = "yes" if found.is_there else "no"
            self.stdout.write(LINE.format(disk.pk, disk.policy, disk.state, there, *facts, disk.path))

    def do_disks_add(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        for path in options["path"]:
            disk, is_new = services.disk_add(ctx, path=path, policy=options["policy"])
            self.stdout.write(f"{disk} {'added; nothing is moved to it' if is_new else 'is known and in use'}")

    def do_disks_drain(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        if self._agreed(ctx, options):
            services.disk_drain(ctx, number=options["number"])
            self.stdout.write("The control worker moves them; when `disks status` says 0 copies: `disks lost`.")

    def do_disks_activate(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        services.disk_activate(ctx, number=options["number"])

    def do_disks_lost(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        if self._agreed(ctx, options, is_lost=True):
            self._give_up(ctx, options["number"])

    def do_disks_replace(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        if self._agreed(ctx, options, is_lost=True):
            disk = services.disk_replace(ctx, number=options["number"], path=options["path"])
            self.stdout.write(f"{disk} added")
            self._give_up(ctx, options["number"])

    def _give_up(self, ctx: RequestContext, number: int) -> None:
        count = services.disk_lost(ctx, number=number)
        self.stdout.write(f"{count} copies are made anew by the control worker, or by `object repair`.")

    def _agreed(self, ctx: RequestContext, options: dict[str, Any], *, is_lost: bool = False) -> bool:
        copies, size = services.disk_preview(ctx, number=options["number"])
        self.stdout.write(f"{copies} copies of {_size(size)} have to be made on other disks.")
        if is_lost and (only := services.disk_only(ctx, number=options["number"])):
            self.stderr.write(
                f"Of {only} blobs no other disk that is there has a copy: their objects are lost with this disk. If it "
                "can be read still, drain it, or bring the others back."
            )
        if not options["yes"]:
            self.stdout.write("Nothing was changed; say --yes to do it.")
        return bool(options["yes"])

    def do_disks_rebalance(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        plan = services.rebalance_plan(ctx, policy=options["policy"])
        for fill in plan:
            word = "too much" if fill.surplus > 0 else "too little"
            self.stdout.write(f"disk {fill.number} has {_size(abs(fill.surplus))} {word}")
        moving = min(sum(max(fill.surplus, 0) for fill in plan), options["mib"] * MIB)
        if not plan:
            self.stdout.write("The disks are filled alike; nothing is worth moving.")
        elif not options["yes"]:
            self.stdout.write(f"Up to {_size(moving)} would be moved. Nothing was changed; say --yes to do it.")
        else:
            self._move(ctx, options)

    def _move(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        pace = services.Pace(threading.Event(), options["mib_per_s"])
        copies = total = 0
        for _, _, size in services.rebalance(ctx, policy=options["policy"], most_bytes=options["mib"] * MIB, pace=pace):
            copies, total = copies + 1, total + size
        self.stdout.write(f"{copies} copies of {_size(total)} were moved")

    def do_export(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        new = old = bad = size = 0
        account = options["account"].removeprefix(PREFIX)
        try:
            for found in services.account_export(
                ctx, account=account, folder=options["folder"], container=options["container"]
            ):
                new, old, bad = new + found.is_new, old + (not found.is_new), bad + bool(found.problem)
                size += found.bytes if found.is_new else 0
                if found.problem:
                    self.stderr.write(_shown(f"{found.name}: {found.problem}"))
        except OSError as error:
            raise CommandError(
                f"{error.filename or options['folder']}: {error.strerror}; {new} were written"
            ) from error
        self.stdout.write(f"{new} objects of {_size(size)} were written, {old - bad} were there already")
        if bad:
            raise CommandError(f"{bad} objects were not written")

    def do_audit(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        total = services.Seen()
        for policy in backends.policies():
            pace = services.Pace(threading.Event(), options["mib_per_s"])
            try:
                seen = services.policy_audit(ctx, policy=policy, pace=pace)
            except WrongMachineError as error:
                self.stderr.write(f"{policy}: {error}")
                seen = services.Seen(away=1)
            total += seen
            self.stdout.write(
                f"{policy}: {seen.good} copies are good, {seen.bad} copies were bad or missing, "
                f"{seen.away} could not be read"
            )
        if total.bad or total.away:
            raise CommandError(
                "Not every copy is good. Bad ones are made again by the control worker, or `object repair`."
            )

    def do_repair(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        made = waiting = lost = 0
        services.draining_mark(ctx, most=math.inf)
        for policy in backends.policies():
            try:
                for done in _repairs(ctx, policy):
                    made, waiting, lost = made + done.made, waiting + done.waiting, lost + len(done.lost)
                    for blob in done.lost:
                        self.stderr.write(f"no good copy of blob {blob} can be reached")
            except (OSError, WrongMachineError) as error:
                self.stderr.write(f"{policy}: {error}")
                waiting += 1
        self.stdout.write(f"{made} blobs whole again, {waiting} wait for a disk, {lost} without a good copy")
        if waiting or lost:
            raise CommandError("Not every copy could be made: see `object disks status`, and add or mount disks.")

    def do_verify(self, ctx: RequestContext, options: dict[str, Any]) -> None:
        pace = services.Pace(threading.Event(), 0)
        bad = 0
        for line in services.account_verify(ctx, account=options["account"].removeprefix(PREFIX), pace=pace):
            self.stderr.write(_shown(line))
            bad += 1
        if bad:
            raise CommandError(f"{bad} copies are not well")
        self.stdout.write(f"every copy is good; {_size(pace.read)} were read")


def _repairs(ctx: RequestContext, policy: str) -> Iterator[services.Repaired]:
    after: UUID | None = None
    while True:
        done, after = services.copies_repair(ctx, policy=policy, after=after)
        yield done
        if after is None:
            return


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _shown(text: str) -> str:
    """Names are their users': what would steer a terminal is shown as Python writes it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _size(count: int) -> str:
    """Bytes for people."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
