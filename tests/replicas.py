"""Keeping replicas of live node files, and looking at what is in them row by row."""

from __future__ import annotations

import errno
import hashlib
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from hpctrack.errors import StoreFullError
from hpctrack.store.replica import Replicas, read_replicas
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.tails import TAIL_BYTES, NodeState, Piece, Tail
from hpctrack.store.thin_hdf5 import ThinFile
from hpctrack.store.vocabulary import ROOT_ATTRIBUTES, TABLE_ROW_BYTES
from hpctrack.sync.sending.tails import TailReader
from tests.stores import NodeWriter

Rows = dict[str, bytes]
"""The bytes of each table."""


def read_rows(path: Path) -> Rows:
    """Return all rows of a node file as they are in it."""
    file = ThinFile(path)
    found = {}
    for name in reversed(TABLE_ROW_BYTES):
        table = file.table(name)
        found[name] = table.read(0, table.rows)
        table.close()
    file.close()
    return {name: found[name] for name in TABLE_ROW_BYTES}


def read_facts(path: Path) -> dict[str, object]:
    """Return the attributes of a node file's root."""
    file = ThinFile(path)
    found = file.attributes(ROOT_ATTRIBUTES)
    file.close()
    return found


def make_tail(
    source: Path, rows: Rows, since: dict[str, int], until: dict[str, int], state: NodeState
) -> Tail:
    """Return the rows of a file from some on up to others."""
    pieces = []
    for name, size in TABLE_ROW_BYTES.items():
        data = rows[name][since[name] * size : until[name] * size]
        if data:
            pieces.append(Piece(name, since[name], data))
    return Tail(facts=read_facts(source), pieces=tuple(pieces), state=state)


def sync_node_file(
    source: Path, folder: Path, *, as_of_wall_s: float, limit_bytes: int = TAIL_BYTES
) -> NodeState:
    """Bring a replica up to what its original is now, as a sync does."""
    folder.mkdir(parents=True, exist_ok=True)
    known = read_replicas(folder).get(source.name)
    since = known.rows if known is not None else {}
    with TailReader(source) as reader, Replicas(folder) as replicas:
        for tail in reader.iter_tails(since, as_of_wall_s, limit_bytes=limit_bytes):
            replicas.append(source.name, tail)
            replicas.commit(is_synced=True)  # a test survives no power cut anyway
    return read_replicas(folder)[source.name]


def write_some(writer: NodeWriter, number: int, *, points: int = 300) -> None:
    """Log something of every kind."""
    writer.wall_s += 1.0
    first = number * points
    writer.points("loss", 0, range(first, first + points), [float(number)] * points)
    writer.points(f"only/{number}", 1, [number], [0.5])
    writer.samples("host/load", [float(number)] * 7)
    say(writer, f"line {number}\n".encode() * 20)
    save(writer, f"picture {number}".encode() * 50, number)
    writer.flush()


def say(writer: NodeWriter, text: bytes) -> None:
    """Print something."""
    writer.file.add_event(
        EventKind.STDOUT, text, wall_s=writer.wall_s, rank=0, session=0, place=Place.TEXT
    )


def save(writer: NodeWriter, body: bytes, step: int) -> None:
    """Log a file."""
    digest = hashlib.sha256(body).hexdigest()
    offset = writer.file.add_bytes(body, Place.BLOBS)
    told = {"digest": digest, "place": Place.BLOBS, "offset": offset, "size": len(body)}
    writer.event(EventKind.PAYLOAD, told)
    described = {"key": "shot", "step": step, "type": "file", "format": "bin", "meta": {}}
    writer.event(EventKind.MEDIA, {**described, "digest": digest, "size": len(body)})


def assert_prefix(found: Rows, whole: Rows) -> None:
    for name, data in found.items():
        assert whole[name].startswith(data), name


APPENDER = """
import os, pickle, signal, sys
from pathlib import Path
from hpctrack.errors import StoreFullError
from hpctrack.store.replica import append_tail

MINE = tuple(f"/hpctrack/store/{one}.py" for one in (
    "replica", "replica_file", "replica_states", "growing_file", "node_table", "space",
    "node_image", "live_file", "table_reader",
))

def kill_at(number):
    def see(frame, event, _argument):
        nonlocal number
        if frame.f_code.co_filename.endswith(MINE) and event in ("call", "c_call", "return"):
            number -= 1
            if number == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(see)

while True:
    try:
        folder, name, tail, number = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    pid = os.fork()
    if not pid:
        if number:
            kill_at(number)
        try:
            append_tail(Path(folder), name, tail)
        except StoreFullError:
            os._exit(28)
        os._exit(0)
    _pid, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
"""It forks for each append: numpy and h5py are loaded once."""


class Appender:
    """A receiver in a process of its own, which can be killed at any point of an append.

    Readers in this process would keep HDF5 from opening their file for writing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            [sys.executable, "-c", APPENDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(self, *_error: object) -> None:
        self._child.communicate()

    def append(self, name: str, tail: Tail, *, kill_at: int = 0) -> bool:
        """Append a tail for good; return whether it was killed over that, at the n-th call."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        pickle.dump((str(self.folder), name, tail, kill_at), self._child.stdin)
        self._child.stdin.flush()
        code = int(self._child.stdout.readline())
        if code == errno.ENOSPC:
            raise StoreFullError("no room")
        assert code in {0, -signal.SIGKILL}
        return code != 0

    def sync(self, source: Path, *, as_of_wall_s: float) -> None:
        """Bring a replica up to what its original is now."""
        known = read_replicas(self.folder).get(source.name)
        since = known.rows if known is not None else {}
        with TailReader(source) as reader:
            for tail in reader.iter_tails(since, as_of_wall_s):
                assert not self.append(source.name, tail)
