from __future__ import annotations

import threading
from pathlib import Path

from agents.journal import Journal


def test_lower_fences_are_refused_for_good(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite3")
    assert journal.admits("server/1", 5)
    assert journal.admits("server/1", 5), "the same message again"
    assert journal.admits("server/1", 9)
    assert not journal.admits("server/1", 8)
    assert journal.admits("server/2", 1), "another resource has fences of its own"
    journal.close()
    again = Journal(tmp_path / "j.sqlite3")
    assert not again.admits("server/1", 8)
    assert again.admits("server/1", 9)


def test_answers_outlive_the_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite3")
    assert journal.recorded("o1", "reboot") is None
    journal.record("o1", "reboot", {"power": "running"})
    journal.close()
    again = Journal(tmp_path / "j.sqlite3")
    assert again.recorded("o1", "reboot") == {"power": "running"}
    assert again.recorded("o1", "other") is None
    assert again.recorded("o2", "reboot") is None


def test_pruning_forgets_only_what_is_old(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite3")
    journal.record("o1", "reboot", {})
    journal.admits("server/1", 5)
    journal.prune(kept_s=3600)
    assert journal.recorded("o1", "reboot") == {}
    assert not journal.admits("server/1", 4)
    journal.prune(kept_s=-1)
    assert journal.recorded("o1", "reboot") is None
    assert journal.admits("server/1", 4)


def test_many_threads_agree_on_one_highest_fence(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite3")
    admitted: list[int] = []

    def raise_to(fence: int) -> None:
        if journal.admits("server/1", fence):
            admitted.append(fence)

    threads = [threading.Thread(target=raise_to, args=(fence,)) for fence in range(1, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 19 in admitted
    assert not journal.admits("server/1", 18)
