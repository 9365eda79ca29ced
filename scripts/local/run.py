"""Running programs, waiting with a bound, and failing with a reason and a next step."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

RUNNING: set[subprocess.Popen[str]] = set()  # programs that some thread waits for


class Failure(Exception):
    """Something an operator can understand: what went wrong, and what to do next."""

    def __init__(self, reason: str, next_step: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.next_step = next_step


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    timeout_s: float = 60,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with its output taken. Raises Failure with its last words when it fails."""
    words = [str(word) for word in argv]
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            text=True,
            errors="replace",
            env={**os.environ, **environment} if environment else None,
        )
    except FileNotFoundError as error:
        raise Failure(
            f"the program {words[0]} is missing", "run ./quickstart.sh again: it installs packages"
        ) from error
    RUNNING.add(child)
    try:
        out, err = child.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        child.kill()
        child.communicate()
        raise Failure(f"{' '.join(words)} did not end within {timeout_s:g} s") from error
    finally:
        RUNNING.discard(child)
    done = subprocess.CompletedProcess(words, child.returncode, out, err)
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Failure(f"{' '.join(words)} ended with {done.returncode}: " + " / ".join(said[-5:]))
    return done


def end_running() -> None:
    """End the programs that other threads still run, so that nothing works on after a failure."""
    for child in list(RUNNING):
        child.terminate()
    for child in list(RUNNING):
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()


def succeeds(argv: Sequence[str | Path], timeout_s: float = 20) -> bool:
    """Whether a program ends with 0 in time."""
    try:
        return run(argv, check=False, timeout_s=timeout_s).returncode == 0
    except Failure:
        return False


def wait_until(
    ready: Callable[[], bool], *, seconds: float, what: str, next_step: str = "", pause_s: float = 0.05
) -> None:
    """Poll until `ready` says so. Raises Failure naming what did not come."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds:g} s", next_step)
        time.sleep(pause_s)


@contextlib.contextmanager
def alone(lock: Path, seconds: float = 900) -> Iterator[None]:
    """Let one start, stop or destroy work at a time; another waits for it. Raises Failure when it takes too long."""
    with lock.open("a") as held:

        def taken() -> bool:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not taken():
            print("another quickstart.sh is at work on this cloud; waiting for it", flush=True)
            wait_until(taken, seconds=seconds, what="the other quickstart.sh has not ended", pause_s=0.5)
        yield


def write(path: Path, text: str, mode: int = 0o644) -> bool:
    """Write a file whole if it differs, and say whether it did."""
    try:
        if path.read_text() == text and path.stat().st_mode & 0o777 == mode:
            return False
    except OSError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text)
    draft.replace(path)
    return True
