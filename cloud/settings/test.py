"""Settings of the unit and API tests: a throw-away state directory and the test run's own PostgreSQL.

`KUMO_TEST_PG` names that server as `host:port`; `KUMO_TEST_DB` lets several runs share it. `KUMO_TEST_CONFIG` is text
that a new configuration file ends with.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def _new_state() -> str:
    """A directory that goes with the process that made it; processes which that one starts use it too."""
    path, owner = tempfile.mkdtemp(prefix="kumo-test-"), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # and no fork of it
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(remove)
    return path


_state = Path(os.environ.get("KUMO_TEST_STATE") or _new_state())
_config = _state / "kumo.toml"
if not _config.exists():
    _host, _, _port = os.environ.get("KUMO_TEST_PG", "127.0.0.1:5432").rpartition(":")
    _name = os.environ.get("KUMO_TEST_DB", "kumo")
    _config.write_text(
        f'[public]\nurl = "http://testserver"\n[paths]\nstate = "{_state}"\n'
        f'[database]\nhost = "{_host}"\nport = {_port}\nuser = "kumo"\nname = "{_name}"\n'
        + os.environ.get("KUMO_TEST_CONFIG", "")
    )
os.environ["KUMO_CONFIG"] = str(_config)
os.environ["KUMO_TEST_STATE"] = str(_state)

from cloud.settings.base import *  # noqa: E402, F403

STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}  # noqa: F405

# In process: rings and messages are collected, and tests deliver them.
KUMO_DOORBELL = "tests.kit.operations.InlineDoorbell"
INSTALLED_APPS = [*INSTALLED_APPS, "tests.kit.demo"]  # noqa: F405

# The same hashes at the least cost: tests sign in thousands of times.
KUMO_PASSWORD_COST = {"time_cost": 1, "memory_cost": 8, "parallelism": 1}

# A busy machine is no failure of a test.
DATABASES["default"]["OPTIONS"]["options"] = "-c statement_timeout=60s -c lock_timeout=20s"  # type: ignore[index]  # noqa: F405
