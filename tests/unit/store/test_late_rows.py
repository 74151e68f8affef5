"""What an agent adds to a node file while a sealer removes it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hpctrack.errors import StoreError
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.seal import seal_run
from hpctrack.store.seal_lock import SealLock
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.stored_run import StoredRun
from tests.stores import NodeWriter

LATE = b"late bytes"


def write_payload(writer: NodeWriter) -> None:
    """Write bytes and their description, as the agent does."""
    offset = writer.file.add_bytes(LATE, Place.BLOBS)
    digest = hashlib.sha256(LATE).hexdigest()
    told = {"digest": digest, "place": int(Place.BLOBS), "offset": offset, "size": len(LATE)}
    writer.event(EventKind.PAYLOAD, told)


def read_payload(folder: Path) -> bytes:
    """Return the bytes of the only payload of a sealed run."""
    reader = SealedReader(folder / "run.h5")
    events = [event for source in reader.read_sources() for event in source.events]
    (told,) = (event.json() for event in events if event.kind == EventKind.PAYLOAD)
    return reader.read_bytes(Place(told["place"]), told["offset"], told["size"])


def test_what_is_flushed_in_the_last_moment_before_its_file_is_removed_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An agent that was stopped, or whose clock is behind, wakes up when all has been looked at.
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.points("a", 0, range(10), [1.0] * 10)
    writer.samples("load", [0.5])
    writer.flush()
    folder = writer.file.path.parent
    check = SealLock.check

    def wake_up(lock: SealLock) -> None:
        check(lock)
        writer.points("a", 0, range(10, 20), [2.0] * 10)
        writer.points("b", 0, [3], [4.0])
        writer.samples("load", [0.75, 0.25])
        writer.event(EventKind.NOTE, {"level": "info", "code": "late", "text": "late"})
        write_payload(writer)
        writer.flush()

    monkeypatch.setattr(SealLock, "check", wake_up)
    assert seal_run(folder, force=True).points == 10
    monkeypatch.undo()
    with pytest.raises(StoreError, match="removed"):
        writer.flush()
    assert writer.file.was_removed
    for _turn in range(2):
        run = StoredRun(folder)
        assert run.metric("a").steps.tolist() == list(range(20))
        assert run.metric("b").values.tolist() == [4.0]
        run.close()
        assert seal_run(folder, force=True).points == 21
    assert read_payload(folder) == LATE
    assert not list(folder.glob("node-*.h5"))
