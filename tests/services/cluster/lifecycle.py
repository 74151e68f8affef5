"""The steps of bringing a cluster up and taking it down that need no knowledge of its use."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .layout import ClusterError
from .requirements import SYSTEM_PATH

if TYPE_CHECKING:
    from .cluster import Cluster
    from .layout import Layout, Options
    from .machines import Machines

REMOVE_TRIES: Final = 20
REMOVE_PAUSE_S: Final = 0.1
"""Such a machine ends within milliseconds; two seconds allow for a busy host."""


def start_watchdog(layout: Layout, options: Options) -> subprocess.Popen[bytes]:
    """Start the process that takes the cluster down when this one dies."""
    package = Path(__file__).parent
    program = [sys.executable, "-S", "-P", "-m", f"{package.name}.watchdog"]
    with (layout.folder / "watchdog.log").open("wb") as log:
        return subprocess.Popen(
            [*program, str(layout.folder), options.identity, str(os.getpid())],
            env={"PATH": SYSTEM_PATH, "PYTHONPATH": str(package.parent)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )


def start_machines(machines: Machines, options: Options) -> None:
    """Start all machines at once, but compute nodes' daemons only after the controller's.

    A slurmd whose first registration fails tries again only seconds later.
    """
    names = options.machine_names
    for name in names:
        machines.spawn(name)
    for name in names:
        machines.wait_for(name, "pid")
    machines.wire(names)
    for name in names:
        if name not in options.node_names:
            machines.release(name)
    machines.wait_for("ctl", "up")
    for name in options.node_names:
        machines.release(name)
    for name in names:
        machines.wait_for(name, "up")


def tail_logs(layout: Layout, pattern: str, *, lines: int) -> str:
    """Return the last lines of every log that has any."""
    parts = []
    for log in sorted(layout.log.glob(pattern)):
        last = log.read_text(errors="replace").splitlines()[-lines:]
        if last:
            parts.append("\n".join([f"--- {log.name}", *last]))
    return "\n".join(parts)


def check_kept(cluster: Cluster) -> None:
    """Make sure that a job user on a compute node can read what was to be kept.

    Raises
    ------
    ClusterError
        Its entries are closed to others.
    """
    for folder in cluster.options.keep:
        if cluster.run("n1", "ls", folder, user="alice", check=False).returncode != 0:
            raise ClusterError(f"job users cannot read {folder}: chmod -R o+rX {folder}")


def remove_folder(layout: Layout) -> None:
    """Remove the private folder, the options last: until then `down` can be called again.

    Raises
    ------
    ClusterError
        Something of the host is mounted in the folder and would be removed too.
    """
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = Path(line.split()[4])
        if place.is_relative_to(layout.folder):
            raise ClusterError(f"{place} is mounted; unmount it, then take the cluster down")
    for entry in layout.folder.iterdir():
        if entry.is_dir():
            _remove_tree(entry)
        elif entry != layout.state_file:
            entry.unlink()
    layout.state_file.unlink()
    layout.folder.rmdir()


def _remove_tree(folder: Path) -> None:
    """Remove a folder, again if a machine that was never released wrote its last line into it."""
    for _ in range(REMOVE_TRIES - 1):
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
            return
        time.sleep(REMOVE_PAUSE_S)
    shutil.rmtree(folder)
