"""What compares the database with the world: each app registers a check, `manage.py doctor` runs them all.

A check yields one line for each disagreement, and none when all is well; asked to repair, it mends what it can and
says what it did. A reconciler does the same for one host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Check = Callable[[bool], Iterable[str]]
Reconciler = Callable[[str, bool], Iterable[str]]

CHECKS: dict[str, Check] = {}
RECONCILERS: dict[str, Reconciler] = {}


def doctor_check(name: str) -> Callable[[Check], Check]:
    """Register a check: `check(repair)` yields lines."""

    def decorate(check: Check) -> Check:
        if CHECKS.setdefault(name, check) is not check:
            raise ValueError(f"the check {name} is registered twice")
        return check

    return decorate


def reconciler(name: str) -> Callable[[Reconciler], Reconciler]:
    """Register a reconciler: `reconcile(host, dry_run)` yields what it plans, and does it unless `dry_run`."""

    def decorate(reconcile: Reconciler) -> Reconciler:
        if RECONCILERS.setdefault(name, reconcile) is not reconcile:
            raise ValueError(f"the reconciler {name} is registered twice")
        return reconcile

    return decorate
