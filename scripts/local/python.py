"""The virtual environment, and Python programs of the project."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from . import view
from .run import Failure, run, write
from .site import CHECKOUT, Site

LISTS = ("requirements.txt", "requirements-agent.txt", "requirements-client.txt")
PARTS = ("agents", "apps", "cloud", "locale", "static", "templates")
INSTALL_S = 900
# Threads share two heaps, and what is large (a password's hash takes 19 MiB) goes back to the system at once:
# left to itself the allocator learns to keep it.
THRIFT = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "262144"}


def interpreter(site: Site) -> Path:
    return site.venv / "bin/python"


def environment(site: Site) -> dict[str, str]:
    """What every process of the control plane is told."""
    return {
        "KUMO_CONFIG": str(site.path("kumo.toml")),
        "DJANGO_SETTINGS_MODULE": "cloud.settings.base",
        "PYTHONUNBUFFERED": "1",
        "LANG": "C.UTF-8",
        **THRIFT,
        "KUMO_REVISION": revision(site.path("kumo.toml")),
    }


def revision(*files: Path) -> str:
    """A word that changes with the project's code and these files: services that carry it are restarted then."""
    seen = hashlib.sha256()
    found = sorted(path for part in PARTS for path in (CHECKOUT / part).rglob("*") if path.suffix != ".pyc")
    for path in (*found, *(CHECKOUT / name for name in LISTS), *files):
        if path.is_file():
            facts = path.stat()
            seen.update(f"{path} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return seen.hexdigest()[:16]


def ensure_environment(site: Site) -> None:
    """Make the virtual environment, or bring it up to the requirements where they changed. Raises Failure."""
    if site.venv_is_given:
        return
    wanted = hashlib.sha256(b"".join((CHECKOUT / name).read_bytes() for name in LISTS)).hexdigest()
    stamp = site.venv / ".kumo-requirements"
    if stamp.exists() and stamp.read_text().strip() == wanted and interpreter(site).exists():
        return
    if not (site.venv / "bin/pip").exists():
        run(["/usr/bin/python3", "-m", "venv", site.venv], timeout_s=INSTALL_S)
    pip: list[str | Path] = [site.venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    for name in LISTS:
        pip += ["-r", CHECKOUT / name]
    try:
        run(pip, timeout_s=INSTALL_S)
    except Failure as failure:
        raise Failure(
            f"the Python packages cannot be installed: {failure.reason}",
            "check that pip reaches its package index (PIP_INDEX_URL, proxies, certificates), then run it again",
        ) from failure
    # On all cores, where pip would compile on one; some packages carry files that do not compile.
    compile_all: list[str | Path] = [interpreter(site), "-m", "compileall", "-q", "-j", "0", site.venv / "lib"]
    run(compile_all, check=False, timeout_s=INSTALL_S)
    write(stamp, f"{wanted}\n")


def compile_checkout(site: Site) -> None:
    """Compile the project's own modules, since the user who runs them may not write there."""
    words: list[str | Path] = [interpreter(site), "-m", "compileall", "-q", "-j", "0", "apps", "agents", "cloud"]
    run(words, cwd=CHECKOUT, timeout_s=120)


def manage(site: Site, *words: str | Path, stdin: str | None = None, timeout_s: float = 180) -> str:
    """A management command, as the user of the control plane. Raises Failure."""
    done = run(
        view.view(site).enter(["chpst", "-u", view.USER, interpreter(site), "manage.py", *words], CHECKOUT),
        environment=environment(site),
        stdin=stdin,
        timeout_s=timeout_s,
    )
    return done.stdout


def script(site: Site, *words: str | Path, extra: Mapping[str, str] | None = None, timeout_s: float = 600) -> None:
    """A program of the virtual environment that shows its own progress. Raises Failure when it fails."""
    done = subprocess.run(
        [str(interpreter(site)), *map(str, words)],
        check=False,
        cwd=CHECKOUT,
        timeout=timeout_s,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **(extra or {})},
    )
    if done.returncode:
        raise Failure("", "")
