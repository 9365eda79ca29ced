"""Connections to a directory: kept in a bounded pool, made anew when lost, and its errors in our words."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import ldap
from ldap.controls import SimplePagedResultsControl
from ldap.ldapobject import LDAPObject

from apps.core.errors import Conflict, Forbidden, Invalid, KumoError, Unavailable
from apps.identity.backends.ldap.options import Ldap

R = TypeVar("R")
Found = tuple[str, dict[str, list[bytes]]]  # DN, attributes

_SCOPES = {"one": ldap.SCOPE_ONELEVEL, "sub": ldap.SCOPE_SUBTREE}
_CHECKS = {"demand": ldap.OPT_X_TLS_DEMAND, "allow": ldap.OPT_X_TLS_ALLOW, "never": ldap.OPT_X_TLS_NEVER}
AWAY = (
    ldap.SERVER_DOWN,
    ldap.CONNECT_ERROR,
    ldap.TIMEOUT,
    ldap.TIMELIMIT_EXCEEDED,
    ldap.UNAVAILABLE,
    ldap.BUSY,
    ldap.OPERATIONS_ERROR,
)
_LOST = (ldap.SERVER_DOWN, ldap.UNAVAILABLE, ldap.CONNECT_ERROR)


def uri(options: Ldap) -> str:
    """All servers, in the form in which libldap tries one after the other."""
    return " ".join(options.urls)


def connection_options(options: Ldap) -> dict[int, Any]:
    """What is set on every connection, in this order: the TLS context is made of what comes before it."""
    found: dict[int, Any] = {
        ldap.OPT_PROTOCOL_VERSION: ldap.VERSION3,
        ldap.OPT_NETWORK_TIMEOUT: options.connection_timeout,
        ldap.OPT_TIMEOUT: options.search_timeout,
        ldap.OPT_REFERRALS: int(options.chase_referrals),
        ldap.OPT_X_KEEPALIVE_IDLE: 60,
        ldap.OPT_X_TLS_REQUIRE_CERT: _CHECKS[options.tls_req_cert],
    }
    if options.tls_cacertfile:
        found[ldap.OPT_X_TLS_CACERTFILE] = options.tls_cacertfile
    if options.tls_cacertdir:
        found[ldap.OPT_X_TLS_CACERTDIR] = options.tls_cacertdir
    return found | {ldap.OPT_X_TLS_NEWCTX: 0}


def connect(options: Ldap, *, bind: bool = True) -> LDAPObject:
    """A new connection, as the configured user unless `bind` is false. Raises ldap.LDAPError."""
    made = ldap.initialize(uri(options))
    for option, value in connection_options(options).items():
        made.set_option(option, value)
    if options.use_tls:
        made.start_tls_s()
    if bind:
        made.simple_bind_s(options.user, options.password)
    return made


class Pool:
    """At most `pool_size` connections, each used by one thread at a time."""

    def __init__(self, options: Ldap, place: str) -> None:
        self.options, self.place = options, place
        self._room = threading.BoundedSemaphore(options.pool_size)
        self._idle: queue.LifoQueue[tuple[float, LDAPObject]] = queue.LifoQueue()

    def run(self, work: Callable[[LDAPObject], R]) -> R:
        """`work` with a connection; once more with a new one if the first was lost. Raises KumoError."""
        if not self._room.acquire(timeout=self.options.pool_connection_timeout):
            raise Unavailable(f"All connections to the directory of {self.place} are in use.", hint="Try again.")
        try:
            return self._tried(work)
        except ldap.LDAPError as error:
            raise meaning(error, self.place) from error
        finally:
            self._room.release()

    def _tried(self, work: Callable[[LDAPObject], R]) -> R:
        for left in range(self.options.pool_retry_max, -1, -1):
            began, held = self._take()
            try:
                result = work(held)
            except _LOST:
                _end(held)
                if not left:
                    raise
            except ldap.LDAPError:
                self._give(began, held)
                raise
            except BaseException:
                _end(held)
                raise
            else:
                self._give(began, held)
                return result
        raise AssertionError("unreachable")

    def _take(self) -> tuple[float, LDAPObject]:
        with contextlib.suppress(queue.Empty):
            while True:
                began, held = self._idle.get_nowait()
                if time.monotonic() - began < self.options.pool_connection_lifetime:
                    return began, held
                _end(held)
        try:
            return time.monotonic(), connect(self.options)
        except ldap.INVALID_CREDENTIALS as error:
            raise Unavailable(
                f"The directory of {self.place} refuses the configured user.", hint="Check `user` and `password`."
            ) from error

    def _give(self, began: float, held: LDAPObject) -> None:
        if self.options.use_pool:
            self._idle.put((began, held))
        else:
            _end(held)

    def close(self) -> None:
        """End the idle connections; those in use end with the pool's last user."""
        with contextlib.suppress(queue.Empty):
            while True:
                _end(self._idle.get_nowait()[1])


def _end(held: LDAPObject) -> None:
    with contextlib.suppress(ldap.LDAPError):
        held.unbind_s()


def search(
    held: LDAPObject,
    options: Ldap,
    base: str,
    query: str,
    attributes: list[str],
    *,
    most: int,
    scope: int | None = None,
) -> tuple[list[Found], bool]:
    """At most `most` entries, page by page, and whether these are all: our limit or the server's may have cut them."""
    depth = _SCOPES[options.query_scope] if scope is None else scope
    paged = bool(options.page_size) and depth != ldap.SCOPE_BASE
    control = SimplePagedResultsControl(True, size=min(options.page_size, most + 1), cookie="") if paged else None
    found: list[Found] = []
    while True:
        asked = held.search_ext(
            base,
            depth,
            query,
            attributes,
            serverctrls=[control] if control else None,
            timeout=options.search_timeout,
            sizelimit=0 if control else most + 1,
        )
        rows, cookie, cut = _page(held, asked, options.search_timeout)
        found += [(dn, values) for dn, values in rows if dn is not None]  # without a DN: a referral
        if cut or not cookie or control is None or len(found) > most:
            return found[:most], not cut and len(found) <= most
        control.cookie = cookie


def _page(held: LDAPObject, asked: int, timeout: int) -> tuple[list[Any], Any, bool]:
    """The rows of one answer, the cookie of the next, and whether the server's own limit cut it."""
    rows: list[Any] = []
    try:
        while True:
            kind, part, _, controls = held.result3(asked, all=0, timeout=timeout)
            rows += part
            if kind == ldap.RES_SEARCH_RESULT:
                cookies = [c.cookie for c in controls if c.controlType == SimplePagedResultsControl.controlType]
                return rows, cookies[0] if cookies else "", False
    except ldap.SIZELIMIT_EXCEEDED:
        return rows, "", True


def meaning(error: ldap.LDAPError, place: str) -> KumoError:
    """What a directory's error means to the caller."""
    said = str((error.args[0] if error.args and isinstance(error.args[0], dict) else {}).get("info", ""))
    if isinstance(error, AWAY):
        return Unavailable(
            f"The directory of {place} does not answer.",
            hint="Its users cannot sign in or be shown until it does; tokens they have stay valid.",
        )
    if isinstance(error, ldap.ALREADY_EXISTS):
        return Conflict(f"The directory of {place} already has such an entry.")
    if isinstance(error, ldap.INSUFFICIENT_ACCESS | ldap.UNWILLING_TO_PERFORM | ldap.STRONG_AUTH_REQUIRED):
        return Forbidden(f"The directory of {place} does not allow this. {said}".strip())
    if isinstance(
        error,
        ldap.OBJECT_CLASS_VIOLATION
        | ldap.CONSTRAINT_VIOLATION
        | ldap.INVALID_SYNTAX
        | ldap.INVALID_DN_SYNTAX
        | ldap.NAMING_VIOLATION
        | ldap.UNDEFINED_TYPE
        | ldap.NOT_ALLOWED_ON_NONLEAF
        | ldap.NOT_ALLOWED_ON_RDN,
    ):
        return Invalid(f"The schema of the directory of {place} does not allow this. {said}".strip())
    words = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return Unavailable(
        f"The directory of {place} answered with an error ({words}).",
        hint="`manage.py ldap test` says more.",
    )
