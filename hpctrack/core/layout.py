"""Where things lie in a store. The only module that knows file names.

::

    <store>/<project>/<run>/node-0000.a1-7f3c09be.h5   live: one per node, attempt and agent
    <store>/<project>/<run>/run.h5                     sealed: one per run
    <store>/<project>/.sweeps/<sweep>/sweep.json
    <store>/.incoming/<token>/                         a push that is not yet verified
    <store>/.hashes.json                               what sync has hashed; safe to remove
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core.names import check_id

SEALED_NAME = "run.h5"
SEAL_LOCK_NAME = ".seal.lock"
SWEEPS_FOLDER = ".sweeps"
SWEEP_NAME = "sweep.json"
INCOMING_FOLDER = ".incoming"
HASHES_NAME = ".hashes.json"

_NODE_FILE = re.compile(r"node-(?P<node>\d{4,})\.a(?P<attempt>\d+)-(?P<token>[0-9a-f]{8})\.h5\Z")


@dataclass(frozen=True, slots=True)
class NodeFileName:
    """The parts of a live node file's name.

    The random token keeps two agents of one node and attempt apart: after a network partition
    two attempts of one job can be alive at once.
    """

    node: int
    attempt: int
    token: str

    def __str__(self) -> str:
        """Return the file's name."""
        return f"node-{self.node:04d}.a{self.attempt}-{self.token}.h5"

    @classmethod
    def parse(cls, name: str) -> NodeFileName | None:
        """Read the parts back, or None for a file that is no node file."""
        found = _NODE_FILE.match(name)
        if found is None:
            return None
        return cls(int(found["node"]), int(found["attempt"]), found["token"])


def run_folder(store: Path, project: str, run_id: str) -> Path:
    """Return the folder of a run, names checked."""
    return store / check_id(project, what="project") / check_id(run_id, what="run id")


def sweep_folder(store: Path, project: str, sweep_id: str) -> Path:
    """Return the folder of a sweep, names checked."""
    project = check_id(project, what="project")
    return store / project / SWEEPS_FOLDER / check_id(sweep_id, what="sweep id")


def iter_node_files(folder: Path) -> Iterator[Path]:
    """Yield a run's node files by attempt, node and name."""
    names = ((NodeFileName.parse(entry.name), entry) for entry in folder.iterdir())
    known = [(name.attempt, name.node, name.token, entry) for name, entry in names if name]
    for *_, entry in sorted(known):
        yield entry


def iter_run_folders(store: Path, project: str | None = None) -> Iterator[Path]:
    """Yield every folder below ``store`` that holds a run's files, by project and id."""
    projects = [store / project] if project else sorted(store.iterdir())
    for one in projects:
        if one.name.startswith(".") or not one.is_dir():
            continue
        for folder in sorted(one.iterdir()):
            if not folder.name.startswith(".") and folder.is_dir() and has_run_files(folder):
                yield folder


def has_run_files(folder: Path) -> bool:
    """Tell whether a folder holds a sealed file or at least one node file."""
    return any(
        entry.name == SEALED_NAME or NodeFileName.parse(entry.name) for entry in folder.iterdir()
    )
