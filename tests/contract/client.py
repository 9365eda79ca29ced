"""The unmodified `openstack` command. Its modules are imported once, and each command runs in a fork of its own: the
client keeps connections in class attributes, so two users' commands in one process would share a token."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from openstackclient import shell

FORK = multiprocessing.get_context("fork")
TIMEOUT_S = 300


class CommandFailed(AssertionError):
    """The client ended with a code other than 0; the text is what it wrote."""


def openstack(clouds: Path, cloud: str, *words: str) -> Any:
    """Run `openstack --os-cloud CLOUD WORDS… -f json`; the decoded output.

    With `--quiet` as the last word (for commands that print nothing) it is the text instead. Raises CommandFailed with
    what the client said.
    """
    shows = words[-1] != "--quiet"
    arguments = ["--os-cloud", cloud, *(words if shows else words[:-1]), *(("-f", "json") if shows else ())]
    ours, theirs = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_run, args=(clouds, arguments, theirs))
    child.start()
    theirs.close()
    try:
        code, output, errors = ours.recv() if ours.poll(TIMEOUT_S) else (1, "", f"no end within {TIMEOUT_S} s")
    except EOFError:
        code, output, errors = 1, "", "the client died"
    finally:
        child.terminate()
        child.join()
    if code:
        raise CommandFailed(f"openstack {' '.join(words)}: {errors or output}")
    text = output.strip()
    return json.loads(text) if shows and text else text


def _run(clouds: Path, arguments: list[str], answer: Connection) -> None:
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(clouds)
    output, errors = io.StringIO(), io.StringIO()
    code: Any = 1
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            code = shell.main(arguments)
        except SystemExit as ended:
            code = ended.code
    answer.send((code, output.getvalue(), errors.getvalue()))
    answer.close()
