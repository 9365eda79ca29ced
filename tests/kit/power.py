"""What runs inside the machine that loses its power: verifies what was acknowledged before, then writes on.

    python -m tests.kit.power OUTPUT DISK…      prints `verified …`, then a line for each write that is safe

A body begins with its object's name and a number that rises with each write of that name, so that whoever reads it
knows which write it is; each seventh is a removal. OUTPUT has the lines that reached the outside of the machine.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import sys
import threading
import traceback
from pathlib import Path

import django

django.setup()

from apps.core.context import RequestContext  # noqa: E402 - settings come first
from apps.core.errors import NotFound  # noqa: E402
from apps.objectstore import selectors, services  # noqa: E402
from apps.objectstore.models import Disk  # noqa: E402
from apps.objectstore.services import New  # noqa: E402
from tests.kit.http import context  # noqa: E402

WRITERS, NAMES = 6, 8
SIZES = (60, 4000, 60_000, 200_000, 1_100_000)
REMOVAL = 7
UNDER_WAY = 3  # writes of one name whose lines may not have reached the outside
ACCOUNT, BOX = "power", "box"
CTX = context(ACCOUNT)


def newest(output: Path) -> dict[str, int]:
    """The number of each name's newest acknowledged write."""
    found: dict[str, int] = {}
    for line in output.read_text().split("\n")[:-1]:
        word, _, rest = line.partition(" ")
        if word == "safe":
            name, _, number = rest.partition(" ")
            found[name] = max(found.get(name, 0), int(number))
    return found


def prepare(disks: list[str]) -> None:
    """Disks and a container, at the first start."""
    if Disk.objects.exists():
        return
    for path in disks:
        services.disk_add(RequestContext(is_system=True), path=path)
    services.container_put(CTX, account=ACCOUNT, container=BOX, changes={})


def verified(acknowledged: dict[str, int]) -> dict[str, int]:
    """The number of each object that is there. Raises AssertionError where one is not what it has to be."""
    page = selectors.Page()
    numbers = {e.name: _number(e.name) for e in selectors.object_list(CTX, account=ACCOUNT, container=BOX, page=page)}
    for name, number in acknowledged.items():
        if name in numbers:
            assert numbers[name] > number or (numbers[name] == number and number % REMOVAL), f"{name} is an older one"
        else:
            may_be_gone = any((number + more) % REMOVAL == 0 for more in range(UNDER_WAY + 1))
            assert may_be_gone, f"{name} was acknowledged and is lost"
    pace = services.Pace(threading.Event(), 0)
    problems = list(services.account_verify(RequestContext(is_system=True), account=ACCOUNT, pace=pace))
    assert not problems, problems
    return numbers


def _number(name: str) -> int:
    found = selectors.object_get(CTX, account=ACCOUNT, container=BOX, name=name)
    body = b"".join(services.object_pieces(found, 0, found.bytes))
    assert hashlib.md5(body).hexdigest() == found.etag, f"{name} is not what its row says"
    said, number, _ = body.split(b" ", 2)
    assert said.decode() == name, f"{name} has the bytes of {said!r}"
    return int(number)


def write(writer: int, numbers: dict[str, int]) -> None:
    """Write for ever; each line tells of one that is safe."""
    chance = random.Random()
    while True:
        name = f"{writer}/{chance.randrange(NAMES)}"
        number = numbers[name] = numbers.get(name, 0) + 1
        if number % REMOVAL == 0:
            try:
                services.object_delete(CTX, account=ACCOUNT, container=BOX, name=name)
            except NotFound as error:
                raise AssertionError(f"{name} was written and is not there") from error
        else:
            body = f"{name} {number} ".encode() + os.urandom(chance.choice(SIZES))
            source = io.BytesIO(body)
            services.object_put(
                CTX, account=ACCOUNT, container=BOX, name=name, source=source, size=len(body), new=New()
            )
        os.write(1, f"safe {name} {number}\n".encode())


def main(output: str, *disks: str) -> None:
    prepare(list(disks))
    acknowledged = newest(Path(output))
    there = verified(acknowledged)
    os.write(1, f"verified {len(acknowledged)} names acknowledged, {len(there)} listed\n".encode())
    threads: list[threading.Thread] = []
    for writer in range(WRITERS):
        mine = {n: max(there.get(n, 0), acknowledged.get(n, 0)) for n in {*there, *acknowledged} if n[0] == str(writer)}
        threads.append(threading.Thread(target=_or_end, args=(writer, mine)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def _or_end(writer: int, numbers: dict[str, int]) -> None:
    """An error of one writer ends all: the test shall see it."""
    try:
        write(writer, numbers)
    except BaseException:  # noqa: BLE001 - the machine ends with it
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
