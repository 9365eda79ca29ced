"""Calls of many threads at the same time, done together: one query, flush or commit serves all that wait for it.

The first that comes works at once; who comes meanwhile waits and is in the next batch, which the longest waiting of
them works off. Nobody waits for others to come, so a lone call costs as much as without. A call never shares work
that began before it: what a batch reads is at least as new as each of its calls. What a request will ask as well, it
can say before: whoever works off its first call answers that, too, and it waits once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from threading import Lock
from typing import Any, Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class _Expected(Generic[Q, A]):
    """A question that will be asked of a combiner, and its answer, once there is one."""

    __slots__ = ("answers", "combiner", "is_asked", "question")

    def __init__(self, combiner: Combiner[Q, A], question: Q) -> None:
        self.combiner, self.question = combiner, question
        self.answers: list[A] = []
        self.is_asked = False


_expected: ContextVar[_Expected[Any, Any] | None] = ContextVar("expected", default=None)


class _Call(Generic[Q, A]):
    """One thread's question, and the answer once `is_done`."""

    __slots__ = ("answer", "error", "expected", "is_alone", "is_done", "question", "turn")

    def __init__(self, question: Q, expected: _Expected[Any, Any] | None) -> None:
        self.question, self.expected = question, expected
        self.answer: A
        self.error: BaseException | None = None
        self.is_done = self.is_alone = False
        self.turn = Lock()  # released when the answer is there, or it is this thread's turn to work
        self.turn.acquire()


class Combiner(Generic[Q, A]):
    """Calls `work` with the questions of up to `most` threads; it returns an answer for each, in order.

    What `work` raises each of them gets: an error that concerns one question alone has to be an answer. Of work that
    only reads (`again`) each thread asks anew by itself instead: none fails by another's question.
    """

    def __init__(self, work: Callable[[list[Q]], Sequence[A]], *, most: int = 64, again: bool = False) -> None:
        self.work, self._most, self._again = work, most, again
        self._lock = Lock()
        self._waiting: list[_Call[Q, A]] = []
        self._is_working = False

    @contextlib.contextmanager
    def expecting(self, question: Q) -> Iterator[None]:
        """Within it this question will be asked, after another combiner's; only of what reads.

        Its first asking may get what was read when the other was answered.
        """
        token = _expected.set(_Expected(self, question))
        try:
            yield
        finally:
            _expected.reset(token)

    def __call__(self, question: Q) -> A:
        expected = _expected.get()
        if expected is not None and expected.combiner is self:
            _expected.set(None)
            if expected.answers and expected.question == question:
                return expected.answers[0]
        call: _Call[Q, A] = _Call(question, self._along(expected))
        with self._lock:
            self._waiting.append(call)
            is_first, self._is_working = not self._is_working, True
        if not is_first:
            call.turn.acquire()
        if not call.is_done:
            self._work_off()
        if call.error is None:
            return call.answer
        if self._again and not call.is_alone:
            return self.work([question])[0]
        raise call.error

    def _along(self, expected: _Expected[Any, Any] | None) -> _Expected[Any, Any] | None:
        """What is to be answered with a call of this: it is asked along once, and with what reads only."""
        if expected is None or expected.is_asked or expected.combiner is self or not self._again:
            return None
        expected.is_asked = True
        return expected

    def _work_off(self) -> None:
        """Answer the batch that this thread's own call is the first of, and let the next begin."""
        with self._lock:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            for call, answer in zip(batch, self.work([call.question for call in batch]), strict=True):
                call.answer = answer
            _answer([call.expected for call in batch if call.expected])
        except BaseException as error:  # noqa: BLE001 - raised in the threads that asked, this one's too
            for call in batch:
                call.error, call.is_alone = error, len(batch) == 1
        with self._lock:
            self._is_working = bool(self._waiting)
            if self._waiting:
                self._waiting[0].turn.release()
        for call in batch:
            call.is_done = True
            call.turn.release()


def _answer(expected: Sequence[_Expected[Any, Any]]) -> None:
    """Answer what will be asked; what cannot be is left to who asks it."""
    for combiner in {one.combiner for one in expected}:
        asked = [one for one in expected if one.combiner is combiner]
        with contextlib.suppress(Exception):
            for one, answer in zip(asked, combiner.work([one.question for one in asked]), strict=True):
                one.answers.append(answer)
