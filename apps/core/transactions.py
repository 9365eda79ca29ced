"""What wraps every public service and selector: the rule, the transaction, and the database's own refusals.

    @service("os_compute_api:servers:create")
    def server_create(ctx, *, name, …): …

A service runs in one transaction. Its commit checks deferred constraints, and where it is inside of another
transaction they are checked before it is left, so that a violation is always an error of this call; violated
constraints become the error that `on_violation` names for them; deadlocks and serialization failures are tried again.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection, transaction

from apps.core import audit, policy
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
# The same, of what leaves events in the audit log.
AUDITED: dict[tuple[str, str], audit.Signature] = {}


def is_database_away(error: BaseException) -> bool:
    """Whether the connection broke or could not be made, which says nothing about the statement.

    A server that was killed leaves psycopg2 with a bare DatabaseError: no SQLSTATE and none of the subclasses.
    """
    broken = isinstance(error, InterfaceError | OperationalError) or type(error) is DatabaseError
    return broken and not getattr(error.__cause__, "pgcode", None)


def on_violation(constraint: str, error: Callable[[str], KumoError]) -> None:
    """Say what a violated constraint means: `error` gets PostgreSQL's detail text and returns what to raise."""
    _violations[constraint] = error


def service(rule: str, *, shown: Iterable[str] = ()) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A writing service: `rule` is checked against the caller's own project, then the body runs in one transaction.

    A rule about a particular row is enforced in the body, where the row is known. What it did, or that it was
    refused, becomes an event of the audit log; `shown` names arguments that only look like secrets.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        PUBLIC[(function.__module__, function.__name__)] = rule
        return _recorded(rule, function, frozenset(shown))

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


def streaming(rule: str, *, writes: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A service that moves bytes between short transactions of its own (uploads); only the rule is wrapped.

    One that `writes` leaves an event when it has ended.
    """
    if not writes:
        return selector(rule)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        PUBLIC[(function.__module__, function.__name__)] = rule
        return _recorded(rule, function, frozenset(), atomic=False)

    return decorate


def _recorded(rule: str, function: Callable[P, R], shown: frozenset[str], *, atomic: bool = True) -> Callable[P, R]:
    """The rule, the body and its event: in one transaction, or the event in its own where the body has several."""

    key = (function.__module__, function.__name__)
    parameters = frozenset(inspect.signature(function).parameters)
    signature = AUDITED[key] = audit.Signature(*key, parameters, shown)

    @functools.wraps(function)
    def recorded(*args: P.args, **kwargs: P.kwargs) -> R:
        ctx: Any = args[0]
        with audit.change_of(audit.naming_of(signature), ctx, rule, kwargs) as change:
            policy.enforce(ctx, rule)
            if change is None:
                return _transaction(function, *args, **kwargs) if atomic else function(*args, **kwargs)

            def body(*args: P.args, **kwargs: P.kwargs) -> R:
                change.forget()
                result = function(*args, **kwargs)
                change.done()
                return result

            return _transaction(body, *args, **kwargs) if atomic else body(*args, **kwargs)

    return recorded


def enforce_before(
    call: Callable[..., Any] | None, ctx: Any, rules: Iterable[str], arguments: Mapping[str, Any]
) -> None:
    """Enforce rules about the arguments of a service that is going to be called; a refusal is the service's event."""
    key = (getattr(call, "__module__", ""), getattr(call, "__name__", ""))
    if key not in AUDITED:
        _enforce_all(ctx, rules)
        return
    with audit.change_of(audit.naming_of(AUDITED[key]), ctx, "", arguments):
        _enforce_all(ctx, rules)


@contextmanager
def recorded_as(call: Callable[..., Any], ctx: Any, arguments: Mapping[str, Any]) -> Iterator[None]:
    """What is done inside leaves the event of this service, whose own body does not run: a directory is written to."""
    signature = AUDITED[(call.__module__, call.__name__)]
    with audit.change_of(
        audit.naming_of(signature), ctx, PUBLIC[(call.__module__, call.__name__)], arguments
    ) as change:
        yield
        if change is not None:
            change.done()


def _enforce_all(ctx: Any, rules: Iterable[str]) -> None:
    for rule in rules:
        policy.enforce(ctx, rule)


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
        return _transaction(function, *args, **kwargs)

    return atomic


def _transaction(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run in the transaction of the service around, or in one of its own: also after the commit of that service."""
    if _depth.get() and connection.in_atomic_block:
        return function(*args, **kwargs)
    token = _depth.set(1)
    try:
        return _outermost(function, *args, **kwargs)
    finally:
        _depth.reset(token)


def _outermost(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    for attempt in range(1, DEADLOCK_TRIES + 1):
        try:
            inside = connection.in_atomic_block
            with transaction.atomic():
                result = function(*args, **kwargs)
                if inside:
                    with connection.cursor() as cursor:
                        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                return result
        except IntegrityError as error:
            raise _meaning(error) from error
        except OperationalError as error:
            if attempt == DEADLOCK_TRIES or sqlstate_of(error) not in _RETRIABLE:
                raise
            time.sleep(0.02 * attempt)
    raise AssertionError("unreachable")


def sqlstate_of(error: Exception) -> str:
    """PostgreSQL's code of an error, or nothing where the server gave none."""
    return str(getattr(error.__cause__, "pgcode", "") or "")


def _meaning(error: IntegrityError) -> Exception:
    diagnosis = getattr(error.__cause__, "diag", None)
    name = getattr(diagnosis, "constraint_name", None) or ""
    known = _violations.get(name)
    return known(getattr(diagnosis, "message_detail", None) or "") if known else error
