"""Where things lie in a store. The only module that knows file names.

::

    <store>/<project>/<run>/node-0000.a1-7f3c09be.h5   live: one per node, attempt and agent
    <store>/<project>/<run>/run.h5                     sealed: one per run
    <store>/<project>/<run>/stop.json                  somebody asks the run to end
    <store>/<project>/<run>/agreement.a2.json          where the ranks of attempt 2 stop, if they do
    <store>/<project>/<run>/accounting.json            what Slurm counted, asked for afterwards
    <store>/<project>/<run>/.replica.json              which node files are copies, and as of when
    <store>/<project>/<run>/.rules/<rule>              a rule was executed; <rule>.a2: in attempt 2
    <store>/<project>/.resume/<program>-<launch>.json  a run that resume="auto" may continue
    <store>/<project>/<run>/.owner                     whose run it is, where keys have owners
    <store>/<project>/.sweeps/<sweep>/sweep.json
    <store>/<project>/.annotations/<run>.json          what people said of it since
    <store>/<project>/.blobs/<2 digits>/<sha256>       bytes by their hash, once in a project
    <store>/.incoming/<token>/                         a push that is not yet verified
    <store>/.incoming/partial/<token>                  a part of a large file, to be continued
    <store>/.server/                                   what the server keeps of those who push
    <store>/.sync-requests/<project>@<run>.json        a job asks that its run be pushed
    <store>/.hashes.json                               what sync has hashed; safe to remove
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hpctrack.core.names import check_id, is_id, join_run_path

SEALED_NAME = "run.h5"
SEAL_LOCK_NAME = ".seal.lock"
STOP_NAME = "stop.json"
ACCOUNTING_NAME = "accounting.json"
_AGREEMENT = re.compile(r"agreement\.a(\d+)\.json\Z")
RULES_FOLDER = ".rules"
REPLICAS_NAME = ".replica.json"
REPLICAS_SPARE_NAME = ".replica.json.old"
REPLICA_LOCK_NAME = ".replica.lock"
OWNER_NAME = ".owner"
SIDE_FILES = frozenset(
    {
        RULES_FOLDER,
        SEAL_LOCK_NAME,
        STOP_NAME,
        ACCOUNTING_NAME,
        REPLICAS_NAME,
        REPLICAS_SPARE_NAME,
        REPLICA_LOCK_NAME,
        OWNER_NAME,
    }
)
"""What may lie in a run's folder beside what holds the run."""

RESUME_FOLDER = ".resume"
DAMAGED_SUFFIX = ".damaged"
"""What a file's name gets behind it when a repair has set it aside."""

REPAIR_FOLDER_PREFIX = ".repair-"
SWEEPS_FOLDER = ".sweeps"
SWEEP_NAME = "sweep.json"
PROGRESS_NAME = "progress.json"
"""How a sweep stands, for who is elsewhere."""
REQUEST_NAME = "request.json"
"""What was asked of a sweep from elsewhere."""
TAKEN_NAME = "taken.json"
"""What became of that where the sweep runs."""
INCOMING_FOLDER = ".incoming"
ANNOTATIONS_FOLDER = ".annotations"
BLOBS_FOLDER = ".blobs"
SERVER_FOLDER = ".server"
REPLACED_FOLDER = "replaced"
"""In it: what was there before, where a key may only add."""

HASHES_NAME = ".hashes.json"

ATTEMPT_SUFFIX = re.compile(r"\.a\d+\Z")
"""What is behind a rule's name in the file of one attempt; no rule's name ends like that."""

_NODE_FILE = re.compile(r"node-(?P<node>\d{4,})\.a(?P<attempt>\d+)-(?P<token>[0-9a-f]{8})\.h5\Z")


def is_set_aside(name: str) -> bool:
    """Tell whether a file in a run's folder is the damaged original of a repaired one."""
    return DAMAGED_SUFFIX in name


def is_leftover(name: str) -> bool:
    """Tell whether a file in a run's folder is a half of something, by its name.

    It may also be in use: look at its age before it is removed.
    """
    if is_set_aside(name):
        return False
    is_ours = name.startswith((f"{SEAL_LOCK_NAME}.", REPAIR_FOLDER_PREFIX))
    return is_ours or name.endswith(".tmp")


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
    return Path(join_run_path(os.fspath(store), project, run_id))


def agreement_path(folder: str | os.PathLike[str], attempt: int) -> str:
    """Return the file by which agents tell each other where the ranks of an attempt stop."""
    return os.path.join(folder, f"agreement.a{attempt}.json")  # noqa: PTH118 - looked at often


def read_agreement_name(name: str) -> int | None:
    """Return the attempt of such a file; None if it is another one."""
    found = _AGREEMENT.match(name)
    return int(found[1]) if found else None


def rule_claim(folder: Path, rule: str, attempt: int | None) -> Path:
    """Return the file that says that a rule was executed in a run, or in one attempt of it."""
    return folder / RULES_FOLDER / (rule if attempt is None else f"{rule}.a{attempt}")


def sweep_folder(store: Path, project: str, sweep_id: str) -> Path:
    """Return the folder of a sweep, names checked."""
    project = check_id(project, what="project")
    return store / project / SWEEPS_FOLDER / check_id(sweep_id, what="sweep id")


def annotations_name(run_id: str) -> str:
    """Return the name of a run's file in the folder of annotations, the id checked."""
    return f"{check_id(run_id, what='run id')}.json"


def read_annotations_name(name: str) -> str | None:
    """Return the run of such a file; None if it is another one."""
    run = name.removesuffix(".json")
    return run if run != name and is_id(run) else None


def iter_node_files(folder: Path) -> Iterator[Path]:
    """Yield a run's node files by attempt, node and name."""
    names = os.listdir(folder)  # noqa: PTH208 - of each run that somebody watches
    parsed = ((NodeFileName.parse(name), name) for name in names)
    known = sorted((one.attempt, one.node, one.token, name) for one, name in parsed if one)
    for *_, name in known:
        yield folder / name


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


class FileStamp(NamedTuple):
    """What tells one version of a file from another without reading it."""

    size_bytes: int
    mtime_ns: int
    inode: int


class FoundRun(NamedTuple):
    """A run's folder, as a scan of the store found it.

    Parameters
    ----------
    path, project, id : str
    stamp : FileStamp or None
        Of the sealed file, if the run is nothing but that: no node file is beside it.
    """

    path: str
    project: str
    id: str
    stamp: FileStamp | None


def scan_runs(store: Path, project: str | None = None) -> Iterator[FoundRun]:
    """Yield every run below ``store``, by project and id, as `iter_run_folders` does.

    Notes
    -----
    One listing of each folder and one stat of each sealed file, nothing else: over 10,000 runs,
    or over a network, this is what a listing waits for. What vanishes meanwhile, or cannot be
    looked into, is passed over here; it cannot break the listing of the others.
    """
    names = [project] if project else sorted(_list_folders(os.fspath(store)))
    for one in names:
        place = os.path.join(store, one)  # noqa: PTH118 - 10,000 paths
        for run in sorted(_list_folders(place)):
            found = _look_into(os.path.join(place, run), one, run)  # noqa: PTH118 - 10,000 paths
            if found:
                yield found


def _list_folders(path: str) -> list[str]:
    """Return the names of the folders that may be projects or runs."""
    try:
        with os.scandir(path) as entries:
            return [one.name for one in entries if one.name[0] != "." and one.is_dir()]
    except OSError:
        return []


def _look_into(path: str, project: str, run: str) -> FoundRun | None:
    sealed, has_node_files = None, False
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name == SEALED_NAME:
                    sealed = entry
                elif NodeFileName.parse(entry.name):
                    has_node_files = True
        if sealed is None or has_node_files:
            return FoundRun(path, project, run, None) if has_node_files else None
        found = sealed.stat()
    except OSError:
        # Its reader will say what is wrong with it.
        return FoundRun(path, project, run, None)
    return FoundRun(path, project, run, FileStamp(found.st_size, found.st_mtime_ns, found.st_ino))
