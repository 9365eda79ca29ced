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


class Reads:
    """Answers with numbers that rise with each time it is worked."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.error: Exception | None = None

    def __call__(self, questions: list[str]) -> list[str]:
        self.batches.append(questions)
        if self.error:
            raise self.error
        return [f"{question}{len(self.batches)}" for question in questions]


@pytest.fixture
def reads() -> tuple[Reads, Combiner[str, str], Combiner[int, int]]:
    work = Reads()
    return work, Combiner(work, again=True), Combiner(lambda questions: questions, again=True)


def test_what_is_expected_is_answered_with_what_is_asked_before(reads):
    work, second, first = reads
    with second.expecting("a"):
        assert first(1) == 1
        assert work.batches == [["a"]]
        assert first(2) == 2
        assert second("a") == "a1"
        assert work.batches == [["a"]]
        assert second("a") == "a2"  # only the first may be as old as what was asked before
    first(3)
    assert work.batches == [["a"], ["a"]]


def test_what_is_asked_first_or_otherwise_than_expected_is_asked_anew(reads):
    _, second, first = reads
    with second.expecting("a"):
        assert second("a") == "a1"
        first(1)
    with second.expecting("a"):
        first(1)
        assert second("b") == "b3"
        assert second("a") == "a4"
    with second.expecting("a"):
        Combiner[int, int](lambda questions: questions)(1)  # it may have been a write
        assert second("a") == "a5"


def test_what_cannot_be_answered_before_is_left_to_who_asks(reads):
    work, second, first = reads
    work.error = ValueError("no")
    with second.expecting("a"):
        assert first(1) == 1
        with pytest.raises(ValueError, match="no"):
            second("a")


def test_many_who_expect_are_one_batch():
    held = Work()
    seen = Reads()
    first, second = Combiner[int, int](held, again=True), Combiner[str, str](seen)

    def both(number: int) -> tuple[int, str]:
        with second.expecting(f"{number}."):
            return first(number), second(f"{number}.")

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(both, 0)]
        assert held.entered.acquire(timeout=60)
        calls += [pool.submit(both, number) for number in range(1, 6)]
        until(lambda: len(first._waiting) == 5)
        held.go_on.release()
        assert held.entered.acquire(timeout=60)
        held.go_on.release()
        answers = [call.result(60) for call in calls]
    assert answers == [(0, "0.1")] + [(-number, f"{number}.2") for number in range(1, 6)]
    assert sorted(map(len, seen.batches)) == [1, 5]
