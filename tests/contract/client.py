"""The unmodified `openstack` command, run in this process so that its modules are imported once."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class CommandFailed(AssertionError):
    """The client ended with a code other than 0; the text is what it wrote."""


@contextlib.contextmanager
def clouds_file(path: Path) -> Iterator[None]:
    """Let the client find its clouds in this file only."""
    before = os.environ.get("OS_CLIENT_CONFIG_FILE")
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OS_CLIENT_CONFIG_FILE"]
        else:
            os.environ["OS_CLIENT_CONFIG_FILE"] = before


def openstack(clouds: Path, cloud: str, *words: str) -> Any:
    """Run `openstack --os-cloud CLOUD WORDS… -f json`; the decoded output, or None where a command prints nothing.

    Raises CommandFailed with what the client said.
    """
    from openstackclient import shell

    output, errors = io.StringIO(), io.StringIO()
    shows = words[-1] != "--quiet"
    arguments = ["--os-cloud", cloud, *(words if shows else words[:-1])]
    with clouds_file(clouds), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = shell.main([*arguments, "-f", "json"] if shows else arguments)
    if code:
        raise CommandFailed(f"openstack {' '.join(words)}: {errors.getvalue() or output.getvalue()}")
    text = output.getvalue().strip()
    return json.loads(text) if shows and text else text
