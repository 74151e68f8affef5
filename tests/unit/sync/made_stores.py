"""Stores that were made by really logging runs, in a process of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core.layout import SEALED_NAME
from hpctrack.store.seal import seal_run
from hpctrack.sync.wire.messages import TOKEN_BYTES, ItemKind, Key, Offered
from tests.programs import run_python, wait_for
from tests.stores import NodeWriter

LOG_RUNS = """
import sys, hpctrack
store, points, *runs = sys.argv[1:]
for number, name in enumerate(runs):
    project, run = name.split("/")
    hpctrack.init(project=project, id=run, dir=store, config={"number": number})
    for step in range(int(points)):
        hpctrack.log({"loss": 1 / (step + 1), "acc": step / 100}, step=step)
    hpctrack.finish()
"""


def log_runs(store: Path, *runs: str, points: int = 20, seal: bool = True) -> None:
    """Log runs named ``project/id`` into a store."""
    runtime = Path(tempfile.mkdtemp(prefix="ht-"))
    try:
        env = {
            "HPCTRACK_RUNTIME_DIR": str(runtime),
            "HPCTRACK_LINGER_S": "0.2",
            "HPCTRACK_QUIET": "1",
            "HPCTRACK_SEAL": "auto" if seal else "manual",
            "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
        }
        done = run_python(LOG_RUNS, str(store), str(points), *runs, env=env)
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        # The agent seals after finish() has returned, and removes what it has sealed after that.
        folders = [store / name for name in runs]
        wait_for(lambda: not seal or all(has_only_sealed(one) for one in folders))
    finally:
        shutil.rmtree(runtime, ignore_errors=True)


def has_only_sealed(folder: Path) -> bool:
    return folder.is_dir() and [one.name for one in folder.iterdir()] == [SEALED_NAME]


@dataclass(frozen=True, slots=True)
class Item:
    """What a sender has, or claims to have.

    Parameters
    ----------
    key : Key
    data : bytes
        All of it.
    """

    key: Key
    data: bytes

    @property
    def digest(self) -> bytes:
        """The SHA-256."""
        return hashlib.sha256(self.data).digest()

    def offered(self, *, is_hashed: bool = True) -> Offered:
        """Return what is said of it."""
        return Offered(self.key, self.digest[:TOKEN_BYTES], is_hashed)


def make_item(path: Path, *, kind: str = "run", project: str = "", id: str = "") -> Item:  # noqa: A002
    """Describe a file of a store, or claim that it is something else."""
    key = Key(ItemKind(kind), project or path.parent.parent.name, id or path.parent.name)
    return Item(key, path.read_bytes())


def make_sweep(name: str = "abc", data: bytes = b'{"id": "abc"}') -> Item:
    """Make the description of a sweep: the smallest thing that can be sent."""
    return Item(Key(ItemKind.SWEEP, "digits", name), data)


def make_blob(data: bytes, project: str = "digits") -> Item:
    """Make a blob, under its right name."""
    return Item(Key(ItemKind.BLOB, project, hashlib.sha256(data).hexdigest()), data)


def seal_made(
    store: Path, run: str = "r", *, project: str = "digits", steps: int = 5, attempt: int = 1
) -> Path:
    """Write a run, or one attempt more of it, and seal it, in 30 ms; return the sealed file."""
    writer = NodeWriter(store, project=project, run=run, attempt=attempt)
    session = writer.start(0)
    start = 1000 * (attempt - 1)
    writer.points("loss", 0, range(start, start + steps), [1 / (one + 1) for one in range(steps)])
    writer.end(0, session)
    folder = writer.close().parent
    seal_run(folder)
    return folder / SEALED_NAME


def hash_files(store: Path) -> dict[str, str]:
    """Return every file that a listing could show, and its hash."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.relative_to(store).parts[0][0] != "."
    }


def list_below(folder: Path) -> set[str]:
    """Return everything below a folder, links not followed."""
    return {
        os.path.relpath(Path(root) / name, folder)
        for root, folders, files in os.walk(folder)
        for name in (*folders, *files)
    }


QUIET = {".incoming", ".incoming/publish.lock", ".incoming/partial", ".server", ".hashes.json"}


def list_news(store: Path) -> set[str]:
    """Return all below a store but what a receiver may leave besides what it published."""
    return {one for one in list_below(store) - QUIET if not one.startswith(".server/")}
