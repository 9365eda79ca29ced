"""The unprivileged services' view of the file system: checkout and state can be reached, whatever lies above them.

A checkout below /root, which nobody but root may enter, is a usual place to start from. In this mount
namespace such a directory is covered by an empty one that holds the way to ours and nothing else.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from .namespaces import Namespaces, quoted
from .run import run
from .site import CHECKOUT, Site

USER = "kumo"


def view(site: Site) -> Namespaces:
    return Namespaces(site.path("view"), ("mount",))


def ensure(site: Site) -> None:
    """Make the view and the user that the control plane runs as. Raises Failure."""
    ensure_user()
    if not view(site).exist:
        python = Path(os.path.realpath(site.venv / "bin/python"))
        needed = (CHECKOUT, site.state, site.venv, python.parents[1])
        view(site).make(setup([path for path in needed if path.exists()]))


def ensure_user() -> None:
    """The system user stays on the machine, as those of packages do: another cloud's files may be its."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        run(["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", USER])


def closed_ancestor(path: Path) -> Path | None:
    """The topmost directory above a path that others may not enter."""
    return next((p for p in reversed(path.parents) if not p.stat().st_mode & 0o001), None)


def setup(paths: list[Path]) -> str:
    """Shell text for the new namespace."""
    covers: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(paths):
        closed = closed_ancestor(path)
        if closed:
            covers.setdefault(closed, []).append(path)
    lines = ["umount --all --types nsfs"]
    for closed, inside in covers.items():
        handles = list(enumerate(inside, start=3))
        lines += [f"exec {handle}<{quoted(path)}" for handle, path in handles]
        lines.append(quoted("mount", "-t", "tmpfs", "-o", "mode=0711,size=256k", "kumo-view", closed))
        for handle, path in handles:
            lines.append(quoted("mkdir", "-p", path))
            lines.append(f"mount --no-canonicalize --rbind /proc/self/fd/{handle} {quoted(path)}; exec {handle}<&-")
    return "\n".join(lines)
