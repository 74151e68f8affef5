"""A small store that has received: sealed runs, a live one, and what lies beside them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from hpctrack.store.accounting_file import write_accounting
from hpctrack.store.annotation_file import edit_annotations
from hpctrack.store.seal import seal_run
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.upkeep.audit import Action, Actor, AuditEvent, AuditLog
from tests.stores import write_run

BLOB = b"an artifact" * 1000


@pytest.fixture(scope="session")
def kept_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """digits/one and digits/two sealed, other/live not; not to be changed."""
    store = tmp_path_factory.mktemp("kept") / "store"
    for run in ("one", "two"):
        seal_run(write_run(store, project="digits", run=run))
    write_run(store, project="other", run="live")
    told = {"project": "digits", "run": "one", "asked_wall_s": 5.0, "attempts": []}
    write_accounting(store / "digits" / "one", told)
    sweep = store / "digits" / ".sweeps" / "k3x9a0bq" / "sweep.json"
    sweep.parent.mkdir(parents=True)
    sweep.write_text(json.dumps({"method": "random"}))
    edit_annotations(store, "digits", "one", notes="good")
    put_blob(store, BLOB)
    return store


@pytest.fixture
def store(kept_store: Path, tmp_path: Path) -> Path:
    """A copy that has just been received: logged and hashed."""
    store = Path(shutil.copytree(kept_store, tmp_path / "store"))
    log_runs(store)
    cache = HashCache(store)
    for name in sealed_files(store):
        with (store / name).open("rb") as file:
            cache.hash_file(file, name)
    cache.save()
    return store


def put_blob(store: Path, data: bytes) -> Path:
    digest = hashlib.sha256(data).hexdigest()
    path = store / "digits" / ".blobs" / digest[:2] / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def sealed_files(store: Path) -> list[str]:
    return [str(path.relative_to(store)) for path in sorted(store.glob("*/*/run.h5"))]


def log_runs(store: Path) -> None:
    """Write what a receiver would have written to the log."""
    AuditLog(store, Actor("ana")).append(
        AuditEvent(
            Action.PUBLISHED,
            *(path.parent.parent.name, "run", path.parent.name),
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(store.glob("*/*/run.h5"))
    )
