"""Calls of many threads done together: each gets its own answer, and none that is older than its question."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from apps.core.combining import Combiner


class Work:
    """Answers questions with themselves, and can be held in the middle of a batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered, self.go_on = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, questions: list[int]) -> list[int]:
        self.batches.append(questions)
        self.entered.release()
        assert self.go_on.acquire(timeout=60)
        return [-question for question in questions]


def until(holds: Callable[[], bool]) -> None:
    for _ in range(60_000):
        if holds():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came")


def test_a_lone_call_is_answered_by_its_own_thread():
    seen: list[int] = []

    def work(questions: list[int]) -> list[int]:
        seen.append(threading.get_ident())
        return questions

    combined = Combiner[int, int](work)
    assert combined(7) == 7
    assert seen == [threading.get_ident()]


def test_who_comes_meanwhile_is_in_the_next_batch():
    work = Work()
    combined = Combiner[int, int](work)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(combined, 1)
        assert work.entered.acquire(timeout=60)
        others = [pool.submit(combined, number) for number in range(2, 7)]
        until(lambda: len(combined._waiting) == 5)
        work.go_on.release()
        assert first.result(60) == -1
        assert work.entered.acquire(timeout=60)
        work.go_on.release()
        assert [other.result(60) for other in others] == [-2, -3, -4, -5, -6]
    assert [sorted(batch) for batch in work.batches] == [[1], [2, 3, 4, 5, 6]]


def test_a_batch_has_a_most():
    work = Work()
    combined = Combiner[int, int](work, most=2)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(combined, 0)]
        assert work.entered.acquire(timeout=60)
        asked += [pool.submit(combined, number) for number in range(1, 6)]
        until(lambda: len(combined._waiting) == 5)
        for _ in asked:
            work.go_on.release()
        assert [one.result(60) for one in asked] == [0, -1, -2, -3, -4, -5]
    assert [len(batch) for batch in work.batches] == [1, 2, 2, 1]


def test_an_error_is_everybodys_and_the_next_batch_goes_on():
    def work(questions: list[int]) -> list[int]:
        if 0 in questions:
            raise ValueError("zero")
        return questions

    combined = Combiner[int, int](work)
    with pytest.raises(ValueError, match="zero"):
        combined(0)
    assert combined(1) == 1


def test_where_work_only_reads_none_fails_by_anothers_question():
    work = Work()

    def reads(questions: list[int]) -> list[int]:
        if questions == [0]:  # holds the others up, so that they come together
            return work(questions)
        if 13 in questions:
            raise ValueError("thirteen")
        return [-question for question in questions]

    combined = Combiner[int, int](reads, again=True)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(combined, 0)
        assert work.entered.acquire(timeout=60)
        good, bad = [pool.submit(combined, number) for number in (1, 2, 3)], pool.submit(combined, 13)
        until(lambda: len(combined._waiting) == 4)
        work.go_on.release()
        assert first.result(60) == 0
        assert [one.result(60) for one in good] == [-1, -2, -3]
        with pytest.raises(ValueError, match="thirteen"):
            bad.result(60)
    with pytest.raises(ValueError, match="thirteen"):
        combined(13)


def test_too_few_answers_are_an_error_and_nobody_waits_for_ever():
    combined = Combiner[int, int](lambda questions: [])
    with pytest.raises(ValueError, match="argument"):
        combined(1)


def test_many_threads_get_their_own_answers():
    combined = Combiner[int, int](lambda questions: [question * 2 for question in questions])

    def ask(number: int) -> list[int]:
        return [combined(number * 1000 + turn) for turn in range(200)]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(16)))
    assert found == [[(number * 1000 + turn) * 2 for turn in range(200)] for number in range(16)]
