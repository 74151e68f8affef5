"""Cgroups (version 1) of the machines: the one thing that cannot live in the private folder.

Each machine gets a child of our own cgroup in every hierarchy. Its PID 1 moves in and takes a
cgroup namespace, so that Slurm's tree grows below that child and is nobody else's.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .layout import ClusterError
from .requirements import list_hierarchies

if TYPE_CHECKING:
    from .layout import Layout

REMOVE_S: Final = 5.0
"""The kernel empties the cgroup of a killed process a moment after the process has gone."""

POLL_S: Final = 0.02


def make_cgroups(layout: Layout, machine: str) -> None:
    """Make the machine's cgroups and list them in the run folder, for PID 1 and for removal."""
    own = _read_own_cgroups()
    made = []
    for hierarchy in list_hierarchies():
        parent = hierarchy / own.get(hierarchy.name, "/").lstrip("/")
        group = parent / f"{layout.folder.name}-{machine}"
        made.append(group)
    # listed before they are made: a crash in between must not leave any behind
    (layout.run / f"{machine}.cgroups").write_text("".join(f"{group}\n" for group in made))
    for group in made:
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            # a new cpuset is empty and takes no process until it has processors and memory
            if (group / setting).exists():
                (group / setting).write_text((group.parent / setting).read_text())


def remove_cgroups(layout: Layout) -> None:
    """Remove the cgroups of all machines, which must be dead.

    Raises
    ------
    ClusterError
        A cgroup still holds a process after ``REMOVE_S``.
    """
    groups = [
        Path(line)
        for listing in layout.run.glob("*.cgroups")
        for line in listing.read_text().splitlines()
    ]
    deadline = time.monotonic() + REMOVE_S
    while left := [group for group in groups if not _remove_tree(group)]:
        if time.monotonic() > deadline:
            raise ClusterError(f"cgroups are still in use: {', '.join(map(str, left))}")
        time.sleep(POLL_S)


def _read_own_cgroups() -> dict[str, str]:
    """Map the name of each hierarchy's folder to this process's cgroup in it."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own[controllers.removeprefix("name=")] = path
    return own


def _remove_tree(group: Path) -> bool:
    """Remove a cgroup and those below it; False when one is busy.

    ``shutil.rmtree`` would try to unlink the control files, which is not allowed.
    """
    if not group.exists():
        return True
    for child in group.iterdir():
        if child.is_dir():
            _remove_tree(child)
    try:
        group.rmdir()
    except OSError:
        return False
    return True
