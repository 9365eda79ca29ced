"""Loss of power for real: the object store and PostgreSQL run in a machine of their own whose power is cut while many
write, again and again; each time it is booted, everything that was acknowledged is read."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from scripts.local.postgres import program
from tests.kit.machine import Machine, make_disk
from tests.kit.postgres import Postgres

pytestmark = [pytest.mark.django_db, pytest.mark.kill]

CUTS = 2
WRITES = 60  # acknowledged before each cut
BOOT_S = 300
JOB = """
set -e
mount -t ext4 /dev/vda {home}/data
setpriv --reuid postgres --regid postgres --init-groups \
  {pg_ctl} -D {home}/data/pg -w -t 120 -l {home}/data/pg/log start -o \
  "-k '' -c listen_addresses=127.0.0.1 -c dynamic_shared_memory_type=mmap -c max_connections=20" >/dev/null
n=0
for device in vdb vdc vdd; do
  n=$((n + 1))
  mount -t ext4 /dev/$device {home}/$n
  mkdir -p {home}/$n/disk
done
exec {python} -m tests.kit.power {home}/output {home}/1/disk {home}/2/disk {home}/3/disk
"""


@pytest.fixture
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="kumo-power-", dir="/var/tmp") as name:  # on a disk, and postgres may enter
        home = Path(name)
        home.chmod(0o755)
        for part in ("data", "1", "2", "3", "pg"):
            (home / part).mkdir()
        there = connection.settings_dict
        Postgres(home / "pg" / "pg", str(there["NAME"])).make(str(there["HOST"]), str(there["PORT"]))
        disks = [make_disk(home / "vda", "400M", home / "pg")]
        disks += [make_disk(home / f"vd{letter}", "400M") for letter in "bcd"]
        made = Machine(home, disks)
        try:
            yield made
        finally:
            made.cut_power()


def test_what_was_acknowledged_survives_cuts_of_power(machine: Machine) -> None:
    job = JOB.format(home=machine.home, pg_ctl=program("pg_ctl"), python=sys.executable)
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "cloud.settings.test",
        "KUMO_TEST_PG": "127.0.0.1:5432",
        "KUMO_TEST_DB": str(connection.settings_dict["NAME"]),
    }
    for cut in range(CUTS + 1):
        machine.start(job, environment)
        machine.wait_for("verified", cut + 1, BOOT_S)
        if cut < CUTS:
            machine.wait_for("safe", (cut + 1) * WRITES, BOOT_S)
            machine.cut_power()
    lines = machine.lines()
    told = [line for line in lines if line.startswith("verified")]
    writes = sum(line.startswith("safe") for line in lines)
    assert len(told) == CUTS + 1
    assert writes >= CUTS * WRITES
    print(f"{writes} writes acknowledged, power cut {CUTS} times, 0 lost; at the end {told[-1]}")
