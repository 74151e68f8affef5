"""What a machine sees of the file system, as a list of mounts that its PID 1 carries out.

The host's root is there, read-only. Everything a machine writes is a tmpfs of its own (/tmp, /run,
...) or comes from the private folder (/etc, /home, /srv).

Folders to keep may lie anywhere: below /tmp or /root, which the machines replace, or behind a
folder that job users may not enter. Where a kept path would be out of reach, the topmost folder in
the way is covered by an empty one (a veil) and the path is built again on top of it; the rest of
what was in the way, such as root's secrets, stays hidden.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .layout import REPLACED, ClusterError, Layout, is_open

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Step = tuple[str, ...]
"""``("tmpfs", mode, path)``, ``("bind", source, path, "ro")`` (or "rw") or
``("link", target, path)``."""

TEMPORARY: Final = (
    ("755", "/run"),
    ("1777", "/dev/shm"),
    ("1777", "/tmp"),
    ("1777", "/var/tmp"),
    ("755", "/root"),
)
"""Node-local folders and their modes; /root is open because kept paths may lie below it."""

MAX_LINKS: Final = 40
"""As in the kernel: more links than this in one path are a circle."""


def plan_views(layout: Layout, machine: str, keep: Iterable[str]) -> list[Step]:
    """List the mounts of one machine, in the order in which they have to be made.

    Parameters
    ----------
    layout : Layout
        Where the cluster lives.
    machine : str
        Its name; the lab has its own /home and /srv, all others share theirs.
    keep : iterable of str
        Folders that every user must be able to read at their own path.

    Returns
    -------
    list of Step

    Raises
    ------
    ClusterError
        A kept folder does not exist, or its path does not fit in a line of the plan.
    """
    in_lab = machine == "lab"
    steps: list[Step] = [
        *(("tmpfs", mode, path) for mode, path in TEMPORARY),
        ("bind", str(layout.etc), "/etc", "rw"),
        ("bind", str(layout.lab_home if in_lab else layout.home), "/home", "rw"),
        ("bind", str(layout.lab_scratch if in_lab else layout.scratch), "/srv", "rw"),
        *_plan_kept(keep),
    ]
    for step in steps:
        if any("\t" in word or "\n" in word for word in step):
            raise ClusterError(f"a path with a tab or a newline cannot be kept: {step[-1]!r}")
    return steps


def list_interpreter_folders() -> list[str]:
    """List what has to be kept for ``sys.executable`` to run on every machine.

    The virtual environment, the installation below it, and the folders of all links in between.
    """
    folders = [sys.prefix, sys.base_prefix]
    program = Path(sys.executable)
    while program.is_symlink():
        program = program.parent / program.readlink()
        folders.append(str(program.parent))
    return folders


def _plan_kept(keep: Iterable[str]) -> list[Step]:
    """Plan what makes the kept folders visible, shallow ones first."""
    steps: list[Step] = []
    veils: set[Path] = set()
    provided: set[Path] = set()
    places = {place for folder in keep for place in _walk_links(folder)}
    for place in sorted(places, key=lambda path: (len(path.parts), path)):
        hidden = False
        for folder in reversed(place.parents):
            if folder in provided:
                hidden = False
            elif folder in veils or folder in REPLACED:
                hidden = True
            elif not hidden and not is_open(folder):
                steps.append(("tmpfs", "755", str(folder)))
                veils.add(folder)
                hidden = True
        if hidden or not (place.is_symlink() or is_open(place)):
            steps += _provide(place)
            provided.add(place)
    return steps


def _walk_links(folder: str) -> Iterator[Path]:
    """Yield every symbolic link on the way to ``folder``, then the real folder.

    The python of a virtual environment is often reached through links such as
    ``cpython-3.11 -> cpython-3.11.7``; without the links the environment is dead.
    """
    path = Path("/")
    rest = list(Path(os.path.abspath(folder)).parts[1:])  # noqa: PTH100 - keeps the links
    hops = 0
    while rest:
        part = rest.pop(0)
        path = path.parent if part == ".." else path / part
        if path.is_symlink():
            hops += 1
            if hops > MAX_LINKS:
                raise ClusterError(f"cannot keep {folder}: {path} is a circle of links")
            yield path
            target = path.readlink()
            rest = [part for part in target.parts if part != "/"] + rest
            path = Path("/") if target.is_absolute() else path.parent
    if not path.is_dir():
        raise ClusterError(f"cannot keep {folder}: {path} is not a folder")
    yield path


def _provide(place: Path) -> Iterator[Step]:
    """Yield the steps that put ``place`` where job users can reach it."""
    if place.is_symlink():
        yield ("link", str(place.readlink()), str(place))
    elif is_open(place):
        yield ("bind", str(place), str(place), "ro")
    else:
        # a bind mount would carry the closed mode along (a clone in a folder of `mktemp -d` has
        # 0700): the folder itself becomes a new, open one, and only its entries are bound
        yield ("tmpfs", "755", str(place))
        for entry in sorted(place.iterdir()):
            if entry.is_symlink():
                yield ("link", str(entry.readlink()), str(entry))
            elif entry.is_dir() or entry.is_file():
                yield ("bind", str(entry), str(entry), "ro")
