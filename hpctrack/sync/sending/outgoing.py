"""One thing on its way: a file in one frame or in many, or the new rows of a node file."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from hpctrack.sync.sending.candidates import Candidate
from hpctrack.sync.sending.tails import TailReader
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import Begin, Data, End, File, Rows
from hpctrack.sync.wire.protocol import DATA_BYTES, SMALL_BYTES
from hpctrack.sync.wire.tails import NodeState

AHEAD = 8
"""Pieces of a large file that are read and hashed before the connection takes them."""

Sent = Callable[[int], None]


def send_file(
    talk: Conversation, number: int, candidate: Candidate, offset_bytes: int, on_sent: Sent
) -> tuple[str, os.stat_result]:
    """Send a file, from an offset on.

    Parameters
    ----------
    talk : Conversation
        To the other side.
    number : int
        What the other side calls it.
    candidate : Candidate
        The file.
    offset_bytes : int
        What the other side has of it.
    on_sent : callable
        Told the bytes of each piece that was sent.

    Returns
    -------
    str, stat_result
        Its SHA-256, and the file as it was when it was read.

    Raises
    ------
    OSError
        It cannot be opened; nothing was sent.
    """
    with open(candidate.path, "rb", buffering=0) as file:  # noqa: PTH123 - thousands of files
        status = os.fstat(file.fileno())
        if status.st_size <= SMALL_BYTES:
            data = file.read(SMALL_BYTES)
            sha256 = hashlib.sha256(data).digest()
            talk.send(File(number, sha256, data))
            on_sent(len(data))
            return sha256.hex(), status
        offset_bytes = offset_bytes if offset_bytes <= status.st_size else 0
        talk.send(Begin(number, status.st_size, offset_bytes))
        reading = _Reading(file, offset_bytes, status.st_size)
        for data in reading.iter_pieces():
            talk.send(Data(data))
            on_sent(len(data))
        digest = reading.sha256
        talk.send(End(number, digest))
        return digest.hex(), status


def hash_path(path: str) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Reading:
    """Reads and hashes a file on a thread, ahead of the connection.

    What cannot be read is missing: the other side counts, and refuses this item only.
    """

    def __init__(self, file: FileIO, offset_bytes: int, size_bytes: int) -> None:
        self._file = file
        self._offset_bytes, self._size_bytes = offset_bytes, size_bytes
        self._hash = hashlib.sha256()
        self._pieces: queue.Queue[bytes] = queue.Queue(AHEAD)
        self._is_left = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    @property
    def sha256(self) -> bytes:
        """The hash of the whole file, when all pieces were taken."""
        return self._hash.digest()

    def iter_pieces(self) -> Iterator[bytes]:
        """Yield what is behind the offset."""
        self._thread.start()
        try:
            while data := self._pieces.get():
                yield data
        finally:
            self._is_left.set()
            while self._thread.is_alive():
                try:
                    self._pieces.get(timeout=0.1)
                except queue.Empty:
                    continue

    def _read(self) -> None:
        at_bytes = 0
        try:
            while at_bytes < self._size_bytes and not self._is_left.is_set():
                data = self._file.read(min(DATA_BYTES, self._bound(at_bytes) - at_bytes))
                if not data:
                    break
                self._hash.update(data)
                if at_bytes >= self._offset_bytes:
                    self._pieces.put(data)
                at_bytes += len(data)
        except OSError:
            pass
        finally:
            self._pieces.put(b"")

    def _bound(self, at_bytes: int) -> int:
        return self._offset_bytes if at_bytes < self._offset_bytes else self._size_bytes


def send_rows(
    talk: Conversation,
    number: int,
    reader: TailReader,
    *,
    details: Mapping[str, Any],
    now_wall_s: float,
    on_sent: Sent,
) -> NodeState:
    """Send the rows of a node file that the other side does not have.

    Parameters
    ----------
    talk : Conversation
        To the other side.
    number : int
        What it calls the file.
    reader : TailReader
        The file.
    details : mapping
        What the other side has said of its replica.
    now_wall_s : float
        This side's time.
    on_sent : callable
        Told the bytes of each tail that went; each will be answered.

    Returns
    -------
    NodeState
        What the last tail leads to.
    """
    since = details.get("rows")
    for tail in reader.iter_tails(since if isinstance(since, dict) else {}, now_wall_s):
        digest = hashlib.sha256()
        for piece in tail.pieces:
            digest.update(piece.data)
        talk.send(Rows(number, digest.digest(), tail))
        on_sent(sum(len(one.data) for one in tail.pieces))
    return tail.state  # there is one at least
