"""What is in an image file: read by a child process of little power, since the content may be hostile.

The child gets the bytes by its standard input and may open nothing, write nothing, and use little memory and time.
 It runs this file as a script, isolated from the project and from Django.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

HEAD_BYTES = 16 * 2**20  # every format shows itself within this
PIECE = 2**20
MEMORY_BYTES = 768 * 2**20
CPU_S = 120
WALL_S = 600
TICK_S = 5
FLAT = frozenset({"gpt", "iso"})  # the disk byte by byte: only the guest ever interprets what is on it

# QEMU takes comments and a version for a VMDK descriptor, whatever bytes follow; the inspector wants pure text.
DESCRIPTOR = re.compile(
    rb"(?:[ \t\r]*(?:#[^\n]*)?\n)*[ \t]*version[ \t]*=|# Disk DescriptorFile",
    re.IGNORECASE,
)


class UnsafeError(Exception):
    """The content must not be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the inspector found: the formats that match (several for a bootable ISO) and the size of the disk."""

    formats: frozenset[str]
    virtual_bytes: int


def inspect(file: BinaryIO, size: int, tick: Callable[[], None] = lambda: None) -> Content:
    """Look into a finished file of so many bytes. `tick` is called every few seconds meanwhile.

    Raises UnsafeError for what is dangerous, broken or takes too long to judge, OSError where bytes did not come.
    """
    with subprocess.Popen(
        [sys.executable, "-I", __file__, str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
    ) as child:
        try:
            _feed(child, file, tick)
            output = _output(child, tick)
        finally:
            child.kill()
    try:
        verdict = json.loads(output)
    except ValueError:
        raise UnsafeError("the inspector could not read it within its limits") from None
    if "short" in verdict:
        raise OSError("the image could not be read whole for its inspection")
    if "unsafe" in verdict:
        raise UnsafeError(verdict["unsafe"])
    return Content(frozenset(verdict["formats"]), verdict["virtual_bytes"])


def _feed(child: subprocess.Popen[bytes], file: BinaryIO, tick: Callable[[], None]) -> None:
    """Give the child as much as it wants to read. Raises OSError where the file cannot be read."""
    assert child.stdin is not None
    began = ticked = time.monotonic()
    with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
        while piece := file.read(PIECE):
            pipe.write(piece)
            if time.monotonic() - ticked > TICK_S:
                ticked = time.monotonic()
                tick()
            if ticked - began > WALL_S:
                raise UnsafeError("judging it took too long")
    child.stdin = None


def _output(child: subprocess.Popen[bytes], tick: Callable[[], None]) -> bytes:
    for _ in range(WALL_S // TICK_S):
        try:
            return child.communicate(timeout=TICK_S)[0]
        except subprocess.TimeoutExpired:
            tick()
    raise UnsafeError("judging it took too long")


def _limit() -> None:
    import resource

    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 3),
    ):
        resource.setrlimit(limit, (value, value))


class ShortError(Exception):
    """There was less to read than there should be: nothing may be concluded from it."""


def _child(size: int) -> dict[str, object]:
    """Runs in the child. Imports come before the limits, which forbid opening files."""
    import os

    from oslo_utils.imageutils import format_inspector

    _limit()
    source = os.fdopen(0, "rb")
    head = source.read(HEAD_BYTES)
    if len(head) < min(size, HEAD_BYTES):
        raise ShortError
    if DESCRIPTOR.match(head[: 64 * 2**10]):
        return {"unsafe": "it is the descriptor of a VMDK, which names other files"}
    matches = _matching(format_inspector, head)
    names = {inspector.NAME for inspector in matches}
    if not names:
        return {"formats": ["raw"], "virtual_bytes": size}
    sizes = [size]
    for inspector in _whole(format_inspector, head, source, size, sorted(names - FLAT)):
        inspector.safety_check()
        sizes = [inspector.virtual_size]
    return {"formats": sorted(names), "virtual_bytes": sizes[0]}


def _cut(head):  # type: ignore[no-untyped-def]
    return (head[at : at + PIECE] for at in range(0, len(head), PIECE))


def _matching(format_inspector, head):  # type: ignore[no-untyped-def]
    """Inspectors, except the one for no format at all, that know the head of the file as theirs."""
    alive = [kind() for name, kind in format_inspector.ALL_FORMATS.items() if name != "raw"]
    for piece in _cut(head):
        alive = [inspector for inspector in alive if _ate(inspector, piece)]
    for inspector in alive:
        inspector.finish()
    return [inspector for inspector in alive if _matches(inspector)]


def _ate(inspector, piece):  # type: ignore[no-untyped-def]
    """False where the inspector cannot make sense of the content although its signature does not match either."""
    try:
        inspector.eat_chunk(piece)
    except Exception:
        if _matches(inspector):
            raise
        return False
    return True


def _matches(inspector):  # type: ignore[no-untyped-def]
    try:
        return bool(inspector.format_match)
    except Exception:  # noqa: BLE001 - a header that breaks its inspector is not that format's
        return False


def _whole(format_inspector, head, source, size, names):  # type: ignore[no-untyped-def]
    """Inspectors of these formats that have seen as much of the file as they want; it is read once, from the front."""
    made = [format_inspector.ALL_FORMATS[name]() for name in names]
    hungry, seen = list(made), 0
    for piece in itertools.chain(_cut(head), iter(lambda: source.read(PIECE), b"")):
        if not hungry:
            break
        seen += len(piece)
        for inspector in hungry:
            inspector.eat_chunk(piece)
        hungry = [inspector for inspector in hungry if not inspector.complete]
    if hungry and seen < size:
        raise ShortError
    for inspector in made:
        inspector.finish()
    return made


def main() -> None:
    """The child's whole life: one JSON object on standard output."""
    try:
        verdict = _child(int(sys.argv[1]))
    except ShortError:
        verdict = {"short": True}
    except Exception as error:  # noqa: BLE001 - whatever hostile content raises is a verdict
        failures = getattr(error, "failures", None)
        words = "; ".join(str(f) for f in failures.values()) if failures else str(error) or type(error).__name__
        verdict = {"unsafe": words[:500]}
    sys.stdout.write(json.dumps(verdict))


if __name__ == "__main__":
    main()
