"""Stores that were made by really logging runs, in a process of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from hpctrack.core.layout import SEALED_NAME
from hpctrack.sync.wire.messages import Item, ItemKind, Key
from tests.programs import run_python, wait_for

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


def make_item(path: Path, *, kind: str = "run", project: str = "", id: str = "") -> Item:  # noqa: A002
    """Describe a file of a store, or claim that it is something else."""
    data = path.read_bytes()
    key = Key(ItemKind(kind), project or path.parent.parent.name, id or path.parent.name)
    return Item(key, hashlib.sha256(data).hexdigest(), len(data))


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
