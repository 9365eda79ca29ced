"""What wraps every public service and selector: the rule, the transaction, and the database's own refusals.

    @service("os_compute_api:servers:create")
    def server_create(ctx, *, name, …): …

A service runs in one transaction. Before it is left, deferred constraints are checked, so that a violation is
an error of this call and not of the commit; violated constraints become the error that `on_violation` names for
them; deadlocks and serialization failures are tried again.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection, transaction

from apps.core import policy
from apps.core.errors import KumoError

P = ParamSpec("P")
R = TypeVar("R")

DEADLOCK_TRIES = 3
_RETRIABLE = {"40001", "40P01"}  # serialization_failure, deadlock_detected

_depth: ContextVar[int] = ContextVar("service_depth", default=0)
_violations: dict[str, Callable[[str], KumoError]] = {}

# (module, function) → rule, or "" with a reason: what the coverage tests read.
PUBLIC: dict[tuple[str, str], str] = {}
INTERNAL: dict[tuple[str, str], str] = {}


def is_database_away(error: BaseException) -> bool:
    """Whether the connection broke or could not be made, which says nothing about the statement.

    A server that was killed leaves psycopg2 with a bare DatabaseError: no SQLSTATE and none of the subclasses.
    """
    broken = isinstance(error, InterfaceError | OperationalError) or type(error) is DatabaseError
    return broken and not getattr(error.__cause__, "pgcode", None)


def on_violation(constraint: str, error: Callable[[str], KumoError]) -> None:
    """Say what a violated constraint means: `error` gets PostgreSQL's detail text and returns what to raise."""
    _violations[constraint] = error


def service(rule: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A writing service: `rule` is checked against the caller's own project, then the body runs in one transaction.

    A rule about a particular row is enforced in the body, where the row is known.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        PUBLIC[(function.__module__, function.__name__)] = rule
        return _guarded(rule, _atomic(function))

    return decorate


def selector(rule: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A reading selector: the rule is checked, and what it returns is already scoped to the caller."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        PUBLIC[(function.__module__, function.__name__)] = rule
        return _guarded(rule, function)

    return decorate


def internal(reason: str, *, atomic: bool = True) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A service that no caller reaches from outside; `reason` says who calls it and why no rule applies.

    Without `atomic` it opens its own short transactions, or none.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        INTERNAL[(function.__module__, function.__name__)] = reason
        return _atomic(function) if atomic else function

    return decorate


def streaming(rule: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A service that moves bytes between short transactions of its own (uploads); only the rule is wrapped."""
    return selector(rule)


def _guarded(rule: str, function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        ctx: Any = args[0]
        policy.enforce(ctx, rule)
        return function(*args, **kwargs)

    return guarded


def _atomic(function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def atomic(*args: P.args, **kwargs: P.kwargs) -> R:
        if _depth.get():
            return function(*args, **kwargs)
        token = _depth.set(1)
        try:
            return _outermost(function, *args, **kwargs)
        finally:
            _depth.reset(token)

    return atomic


def _outermost(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    for attempt in range(1, DEADLOCK_TRIES + 1):
        try:
            with transaction.atomic():
                result = function(*args, **kwargs)
                with connection.cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                return result
        except IntegrityError as error:
            raise _meaning(error) from error
        except OperationalError as error:
            if attempt == DEADLOCK_TRIES or _sqlstate(error) not in _RETRIABLE:
                raise
            time.sleep(0.02 * attempt)
    raise AssertionError("unreachable")


def _sqlstate(error: Exception) -> str:
    return str(getattr(error.__cause__, "pgcode", "") or "")


def _meaning(error: IntegrityError) -> Exception:
    diagnosis = getattr(error.__cause__, "diag", None)
    name = getattr(diagnosis, "constraint_name", None) or ""
    known = _violations.get(name)
    return known(getattr(diagnosis, "message_detail", None) or "") if known else error
