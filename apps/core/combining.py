"""Calls of many threads at the same time, done together: one query, flush or commit serves all that wait for it.

The first that comes works at once; who comes meanwhile waits and is in the next batch, which the longest waiting of
them works off. Nobody waits for others to come, so a lone call costs as much as without. A call never shares work
that began before it: what a batch reads is at least as new as each of its calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class _Call(Generic[Q, A]):
    """One thread's question, and the answer once `is_done`."""

    __slots__ = ("answer", "error", "is_alone", "is_done", "question", "turn")

    def __init__(self, question: Q) -> None:
        self.question = question
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
        self._work, self._most, self._again = work, most, again
        self._lock = Lock()
        self._waiting: list[_Call[Q, A]] = []
        self._is_working = False

    def __call__(self, question: Q) -> A:
        call: _Call[Q, A] = _Call(question)
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
            return self._work([question])[0]
        raise call.error

    def _work_off(self) -> None:
        """Answer the batch that this thread's own call is the first of, and let the next begin."""
        with self._lock:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            for call, answer in zip(batch, self._work([call.question for call in batch]), strict=True):
                call.answer = answer
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
