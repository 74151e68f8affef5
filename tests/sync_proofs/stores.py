"""A small store with one thing of every kind, and what is true of any store it was pushed to."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.core.layout import NodeFileName
from hpctrack.store.accounting_file import write_accounting
from hpctrack.store.annotation_file import edit_annotations
from hpctrack.store.annotations import Annotations
from hpctrack.store.seal import seal_run
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.store import Store
from tests.replicas import assert_prefix, read_rows, write_some
from tests.stores import START_S, FakeClock, NodeWriter
from tests.unit.sync.made_stores import hash_files, make_blob, make_sweep, seal_made

LARGE_POINTS = 320_000
"""A sealed file of 2.2 MB, which travels in pieces."""

TOKEN_CHARS = 16
"""Of the name of a quarantine."""


@dataclass
class Source:
    """A store that can be pushed again and again, and grows when told to.

    Parameters
    ----------
    path : Path
    live : NodeWriter
        Of the run that goes on.
    clock : FakeClock
        Of this store's machine.
    """

    path: Path
    live: NodeWriter
    clock: FakeClock = field(default_factory=FakeClock)

    def grow(self, number: int = 0) -> None:
        write_some(self.live, number, points=50)


def make_source(path: Path) -> Source:
    """Make sealed runs, a large one, a sweep, accounting, annotations, a blob and a live run."""
    for number in range(4):
        seal_made(path, f"r{number}", steps=10)
    noise = random.Random(1)
    writer = NodeWriter(path, project="digits", run="large")
    session = writer.start(0)
    values = [noise.random() for _point in range(LARGE_POINTS)]
    writer.points("loss", 0, range(LARGE_POINTS), values)
    writer.end(0, session)
    seal_run(writer.close().parent)
    for item in (make_sweep(), make_blob(b"weights" * 100)):
        folder = {"sweep": ".sweeps/abc", "blob": f".blobs/{item.key.id[:2]}"}[item.key.kind]
        name = {"sweep": "sweep.json", "blob": item.key.id}[item.key.kind]
        (path / "digits" / folder).mkdir(parents=True)
        (path / "digits" / folder / name).write_bytes(item.data)
    facts = {"project": "digits", "run": "r1", "asked_wall_s": 1.0, "is_final": True}
    write_accounting(path / "digits/r1", {**facts, "attempts": [{"job": "7"}]})
    edit_annotations(path, "digits", "r2", notes="the best one", add_tags=["paper"])
    live = NodeWriter(path, project="digits", run="live")
    live.start(0)
    source = Source(path, live, FakeClock(START_S + 5))
    source.grow()
    return source


def is_of_one_side(path: Path) -> bool:
    """Tell whether a file is a note or a lock of one side, which the other one does not get."""
    return path.name.startswith(".")


def check_store(target: Path, source: Path) -> None:
    """Nothing half is to be seen: each file opens, and is one of the source's."""
    if not target.is_dir():
        return
    mine = hash_files(source)
    for name, digest in hash_files(target).items():
        path = target / name
        if is_of_one_side(path):
            continue
        if NodeFileName.parse(path.name):
            assert_prefix(read_rows(path), read_rows(source / name))
            continue
        if ".annotations" in path.parts:
            assert Annotations.from_bytes(path.read_bytes()) is not None, name
            continue
        assert digest == mine[name], name
        if path.name == "run.h5":
            SealedReader(path).read_record()
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
    for run in Store(target).runs():
        run.close()


def check_equal(target: Path, source: Path) -> None:
    """All is there: the same by hash, and live runs by rows; nothing lies around."""
    check_store(target, source)
    own = {name for name in hash_files(target) if is_of_one_side(Path(name))}
    there, here = hash_files(target), hash_files(source)
    assert there.keys() - own == here.keys() - own
    for name, digest in here.items():
        if NodeFileName.parse(Path(name).name):
            assert read_rows(target / name) == read_rows(source / name)
        elif name not in own:
            assert there[name] == digest, name
    left = [one for one in (target / ".incoming").iterdir() if len(one.name) == TOKEN_CHARS]
    assert not left, "a quarantine was left"
