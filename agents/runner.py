"""Runs verbs: takes signed messages, one verb at a time for each resource, renews leases, answers.

Taking a message never blocks: it is put into a table from which leases are renewed, so that a verb which waits
for its turn is not sent again. A message for a step that is under way already is adopted: the running verb
answers under the newer attempt.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agents.contracts import Message
from agents.envelope import (
    ANSWER,
    CANCEL,
    CONTROL,
    HELLO,
    RENEW,
    Answer,
    Envelope,
    EnvelopeError,
    Failed,
    Renewal,
    Reported,
    Running,
    envelope,
    seal,
    unseal,
)
from agents.errors import Cancelled, Refused, VerbError
from agents.journal import Journal
from agents.verbs.registry import Verb

log = logging.getLogger(__name__)

RENEW_S = 5.0
PRUNE_S = 3600.0
REMEMBERED_CANCELS = 10_000
MAX_TAKEN = 10_000  # more than that stays in the broker
MAX_ASKED = 100  # of what belongs to no operation; more is dropped, whoever asks will ask again
EXIT_STUCK = 70  # a verb passed its hard limit: only a new process gets rid of its thread


@dataclass(frozen=True, slots=True)
class Limits:
    """How many verbs run at once, and when one counts as stuck."""

    short: int = 8
    waiting: int = 64  # asleep nearly all the time, until a guest has shut down
    long: int = 4
    control: int = 4
    short_s: float = 900.0
    quiet_s: float = 1800.0  # a long verb may run for days, but not this long without a sign of life


@dataclass(eq=False)
class Work:
    """One verb that was taken: what it is, for which attempt, how far. Verbs see it as their job."""

    host: Any
    verb: Verb
    request: Message
    resource: str
    operation: str
    step: str
    attempt: int
    fence: int
    percent: int = 0
    text: str = ""
    began: float = 0.0  # monotonic; 0 while it waits for its turn
    alive: float = 0.0
    cancelled: threading.Event = field(default_factory=threading.Event)

    def progress(self, percent: int, text: str) -> None:
        self.percent, self.text, self.alive = percent, text, time.monotonic()

    def checkpoint(self) -> None:
        self.alive = time.monotonic()
        if self.cancelled.is_set():
            raise Cancelled("stopped because the operation was cancelled")


class Runner:
    """The host's side of the conversation. `say` puts a signed text into the control plane's queue."""

    def __init__(
        self,
        *,
        name: str,
        host: Any,
        verbs: dict[str, Verb],
        journal: Journal,
        locks: Path,
        key: Ed25519PrivateKey,
        control_key: Ed25519PublicKey,
        boot_id: str,
        say: Callable[[str], None],
        limits: Limits | None = None,
    ) -> None:
        self.name, self.host, self.verbs, self.journal, self.boot_id = name, host, verbs, journal, boot_id
        self.limits = limits or Limits()
        self._locks, self._key, self._control_key, self._say = locks, key, control_key, say
        locks.mkdir(parents=True, exist_ok=True)
        self._guard = threading.Lock()
        self._taken: dict[tuple[str, str], Work] = {}  # by operation and step
        self._turns: dict[str, deque[Work]] = {}  # by resource; the first one runs
        self._cancels: OrderedDict[str, int] = OrderedDict()  # operation -> highest attempt to stop
        self._pools = {
            kind: ThreadPoolExecutor(getattr(self.limits, kind), thread_name_prefix=f"verb-{kind}")
            for kind in ("short", "waiting", "long", "control")
        }
        self._asked = threading.Semaphore(MAX_ASKED)
        self._heard = threading.Event()
        self._stop = threading.Event()

    # --- taking ------------------------------------------------------------------------------------

    def take(self, text: str) -> None:
        """Take a message from a queue of this host; one that cannot be believed or read is logged and dropped.

        So is every one that comes while the process ends: the next process is sent it again.
        """
        if self._stop.is_set():
            return
        try:
            message = unseal(text, to=self.name, key_of=lambda who: self._control_key if who == CONTROL else None)
        except EnvelopeError as error:
            log.warning("message dropped: %s", error)
            return
        self._heard.set()
        if message.verb == CANCEL:
            self._cancel(message.operation, message.attempt)
        elif not message.operation:
            if self._asked.acquire(blocking=False):
                self._pools["control"].submit(self._report, message)
        else:
            self._accept(message)

    def _accept(self, message: Envelope) -> None:
        try:
            work = self._work(message)
        except VerbError as error:
            self._answer(message.operation, message.step, message.attempt, message.fence, error)
            return
        with self._guard:
            under_way = self._taken.get((work.operation, work.step))
            if under_way is not None:
                if work.fence > under_way.fence:
                    under_way.attempt, under_way.fence = work.attempt, work.fence
                return
            if len(self._taken) >= MAX_TAKEN:
                log.error("too many verbs wait; the message is dropped and will be sent again")
                return
            if self._cancels.get(work.operation, -1) >= work.attempt:
                work.cancelled.set()
            self._taken[(work.operation, work.step)] = work
            turn = self._turns.setdefault(work.resource, deque())
            turn.append(work)
            is_first = len(turn) == 1
        if is_first:
            self._start(work)

    def _work(self, message: Envelope) -> Work:
        verb, request = self._read(message)
        return Work(
            self.host,
            verb,
            request,
            verb.resource(request),
            message.operation,
            message.step,
            message.attempt,
            message.fence,
        )

    def _read(self, message: Envelope) -> tuple[Verb, Message]:
        verb = self.verbs.get(message.verb)
        if verb is None:
            raise Refused(f"this host does not know the verb {message.verb}")
        try:
            return verb, msgspec.convert(message.body, verb.request)
        except msgspec.ValidationError as error:
            raise Refused(f"the request of {message.verb} cannot be read: {error}") from error

    def _cancel(self, operation: str, attempt: int) -> None:
        with self._guard:
            self._cancels[operation] = max(attempt, self._cancels.pop(operation, 0))
            while len(self._cancels) > REMEMBERED_CANCELS:
                self._cancels.popitem(last=False)
            for work in self._taken.values():
                if work.operation == operation and work.attempt <= attempt:
                    work.cancelled.set()

    # --- running -----------------------------------------------------------------------------------

    def _start(self, work: Work) -> None:
        waits = work.verb.waits is not None and work.verb.waits(work.request)
        self._pools["long" if work.verb.long else "waiting" if waits else "short"].submit(self._run, work)

    def _run(self, work: Work) -> None:
        result: Message | dict[str, Any] | VerbError | None
        try:
            work.began = work.alive = time.monotonic()
            with self._file_lock(work.resource):
                result = self._perform(work)
        except VerbError as error:
            result = error
        except Exception as error:
            log.exception("verb %s raised", work.verb.name)
            result = VerbError(f"{type(error).__name__}: {error}")
        following = self._leave(work)
        try:
            if result is not None:
                self._answer(work.operation, work.step, work.attempt, work.fence, result)
        finally:
            if following is not None:
                self._start(following)

    def _perform(self, work: Work) -> Message | dict[str, Any] | None:
        work.checkpoint()
        if not self.journal.admits(work.resource, work.fence):
            log.info("older attempt at %s refused", work.resource)
            return None
        if not work.verb.once:
            return work.verb.run(work.request, work)
        done = self.journal.recorded(work.operation, work.step)
        if done is None:
            done = msgspec.to_builtins(work.verb.run(work.request, work))
            self.journal.record(work.operation, work.step, done)
        return done

    def _leave(self, work: Work) -> Work | None:
        """Give up the turn; returns who is next."""
        with self._guard:
            del self._taken[(work.operation, work.step)]
            turn = self._turns[work.resource]
            turn.popleft()
            if turn:
                return turn[0]
            del self._turns[work.resource]
            return None

    @contextmanager
    def _file_lock(self, resource: str) -> Iterator[None]:
        """Keeps out a predecessor of this process that is not quite dead."""
        name = hashlib.sha256(resource.encode()).hexdigest()[:32]
        descriptor = os.open(self._locks / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _report(self, message: Envelope) -> None:
        """Do what belongs to no operation and send the reply as a report of that verb."""
        try:
            verb, request = self._read(message)
            work = Work(self.host, verb, request, "", "", "", 0, 0)
            reply = verb.run(request, work)
        except VerbError as error:
            log.warning("%s: %s", message.verb, error)
        except Exception:
            log.exception("verb %s raised", message.verb)
        else:
            self.report(message.verb, reply)
        finally:
            self._asked.release()

    # --- saying ------------------------------------------------------------------------------------

    def hello(self) -> None:
        """Greet with this process's boot id: whatever was asked of its predecessor is then sent again."""
        self._send(HELLO, Reported(boot_id=self.boot_id))

    def report(self, verb: str, message: Message) -> None:
        """Tell something that was not asked for, such as a guest that stopped."""
        self._send(verb, Reported(boot_id=self.boot_id, message=msgspec.to_builtins(message)))

    def renew(self) -> None:
        """One sign of life for everything that was taken and not answered."""
        with self._guard:
            taken = list(self._taken.values())
        if taken:
            signs = (Running(operation=w.operation, attempt=w.attempt, percent=w.percent, text=w.text) for w in taken)
            self._send(RENEW, Renewal(running=tuple(signs)))

    def _answer(
        self, operation: str, step: str, attempt: int, fence: int, result: Message | dict[str, Any] | VerbError
    ) -> None:
        if isinstance(result, VerbError):
            answer = Answer(error=Failed(kind=result.kind, message=str(result)))
        else:
            answer = Answer(reply=msgspec.to_builtins(result))
        self._send(ANSWER, answer, operation=operation, step=step, attempt=attempt, fence=fence)

    def _send(self, verb: str, body: msgspec.Struct, **fields: Any) -> None:
        text = seal(self._key, envelope(sender=self.name, to=CONTROL, verb=verb, body=body, **fields))
        try:
            self._say(text)
        except Exception:  # the lease will ask again
            log.exception("%s was not sent", verb)

    # --- its own time ------------------------------------------------------------------------------

    def keep(self) -> None:
        """Greet until somebody speaks; renew, watch and prune until `stop`; to be run in a thread."""
        next_prune = 0.0
        while not self._stop.wait(RENEW_S):
            if not self._heard.is_set():
                self.hello()
            self.renew()
            if stuck := self.stuck():
                log.critical("verb %s on %s is stuck; the process exits", stuck.verb.name, stuck.resource)
                os._exit(EXIT_STUCK)
            if time.monotonic() >= next_prune:
                self.journal.prune()
                next_prune = time.monotonic() + PRUNE_S

    def stuck(self) -> Work | None:
        """A verb past its hard limit."""
        now = time.monotonic()
        with self._guard:
            running = [work for work in self._taken.values() if work.began]
        for work in running:
            limit, since = (self.limits.quiet_s, work.alive) if work.verb.long else (self.limits.short_s, work.began)
            if now - since > limit:
                return work
        return None

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no more turns and give running verbs a moment; the next process is asked again for the rest."""
        self._stop.set()
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        give_up = time.monotonic() + grace_s
        while time.monotonic() < give_up and any(work.began for work in list(self._taken.values())):
            time.sleep(0.05)
