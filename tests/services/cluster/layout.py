"""Where everything of one cluster lies: one private folder, and nothing outside it.

The folder is also the cluster's only memory. A process that did not start the cluster (``down``
after a crash, ``scripts/cluster exec``) learns from it all there is to know.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

JOB_USERS: Final = {"alice": 20001, "bob": 20002}
"""Name and uid (= gid) of the people who may log in and submit jobs on every machine."""

MIN_NODES: Final = 3
"""n1 and n2 carry fake GPUs; with fewer than three there is no node without."""

MAX_NODES: Final = 200
"""The compute network is one /24: n200 has the address 10.77.0.210."""

REPLACED: Final = frozenset(
    map(Path, ("/dev/shm", "/etc", "/home", "/proc", "/root", "/run", "/srv", "/tmp", "/var/tmp"))
)
"""Folders of which every machine has its own; what the host keeps there is not seen inside."""


class ClusterError(RuntimeError):
    """The cluster cannot do what was asked; the message says why and shows the logs."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What can be chosen when a cluster is brought up.

    Attributes
    ----------
    nodes : int
        Compute nodes n1 to nN, at least three.
    keep : tuple of str
        Host folders that job users can read on every machine, wherever they lie.
    accounting : bool
        Run slurmdbd and MariaDB, so that ``sacct`` works.
    cgroups : bool
        Let Slurm hold jobs in cgroups (version 1): memory limits bite, leftovers die.
    login_on_fabric : bool
        Give the login node a leg on the compute network, so that ``srun`` works there too.
    identity : str
        Random; tells this cluster from an earlier or later one in the same folder.
    """

    nodes: int = MIN_NODES
    keep: tuple[str, ...] = ()
    accounting: bool = False
    cgroups: bool = False
    login_on_fabric: bool = False
    identity: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        if not MIN_NODES <= self.nodes <= MAX_NODES:
            raise ClusterError(f"a cluster has {MIN_NODES} to {MAX_NODES} nodes, not {self.nodes}")

    @property
    def node_names(self) -> tuple[str, ...]:
        """Compute nodes, in order."""
        return tuple(f"n{number}" for number in range(1, self.nodes + 1))

    @property
    def machine_names(self) -> tuple[str, ...]:
        """All machines; the controller comes first because it carries the networks."""
        return ("ctl", "login", "lab", *self.node_names)


@dataclass(frozen=True)
class Place:
    """One file or folder, under its name on the host and its name on the machines."""

    host: Path
    inside: str

    def __truediv__(self, part: str) -> Place:
        """Return a place below this one."""
        return Place(self.host / part, f"{self.inside}/{part}")


@dataclass(frozen=True)
class Layout:
    """Paths below the private folder, as the host sees them."""

    folder: Path

    @property
    def state_file(self) -> Path:
        """The options, written before anything else: without it ``down`` touches nothing."""
        return self.folder / "cluster.json"

    @property
    def run(self) -> Path:
        """PID files, readiness marks, mount plans and cgroup lists of the machines."""
        return self.folder / "run"

    @property
    def log(self) -> Path:
        """Every log of every daemon."""
        return self.folder / "log"

    @property
    def etc(self) -> Path:
        """/etc of every machine."""
        return self.folder / "etc"

    @property
    def home(self) -> Path:
        """/home of the cluster's machines: one shared file system."""
        return self.folder / "home"

    @property
    def scratch(self) -> Path:
        """/srv of the cluster's machines: the shared scratch file system."""
        return self.folder / "srv"

    @property
    def lab_home(self) -> Path:
        """/home of the lab machine, which shares no file system with the cluster."""
        return self.folder / "lab" / "home"

    @property
    def lab_scratch(self) -> Path:
        """/srv of the lab machine."""
        return self.folder / "lab" / "srv"

    def write_options(self, options: Options) -> None:
        """Store the options; a reader sees them whole or not at all."""
        fresh = self.state_file.with_suffix(".new")
        fresh.write_text(json.dumps(dataclasses.asdict(options), indent=1) + "\n")
        fresh.replace(self.state_file)

    def read_options(self) -> Options | None:
        """Return the options of the cluster in this folder, None where there is none."""
        try:
            stored = json.loads(self.state_file.read_text())
        except FileNotFoundError:
            return None
        return Options(**{**stored, "keep": tuple(stored["keep"])})


def is_open(folder: Path) -> bool:
    """Tell whether every user may list and enter ``folder``."""
    needed = stat.S_IROTH | stat.S_IXOTH
    return folder.stat().st_mode & needed == needed


def check_folder(folder: Path) -> Path:
    """Return ``folder`` resolved, or say why a cluster cannot live there.

    Raises
    ------
    ClusterError
        The machines would not see the folder, job users could not enter it, or anybody on the
        host could replace the keys in it.
    """
    resolved = Path(os.path.realpath(folder))
    for parent in (resolved, *resolved.parents):
        if parent in REPLACED:
            raise ClusterError(f"{resolved}: every machine has a {parent} of its own; use /opt")
        if not parent.exists():
            continue
        if parent.stat().st_mode & stat.S_IWOTH:
            raise ClusterError(f"{resolved}: {parent} is world-writable, so are the keys; use /opt")
        if not is_open(parent):
            raise ClusterError(f"{resolved}: job users may not enter {parent}; use /opt")
    return resolved
