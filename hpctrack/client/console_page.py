"""What a rank and its agent both know of the rank's console: counters, a tail, whose turn it is.

The page is shared memory. It outlives the rank, so that the agent can tell what was printed and not
recorded when the rank died, and it is the only thing that the two sides agree through: the rank's
thread is never made to wait for an answer of the agent's.
"""

from __future__ import annotations

import fcntl
import os
from itertools import filterfalse

from hpctrack.client.console_route import raise_fd
from hpctrack.core.ring import Shared, identify
from hpctrack.core.wire import STREAMS, make_gap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

TAIL_BYTES = 64 * 1024
"""How much of a stream's end is kept when the record is full; also the longest piece."""

_TURN, _CLAIM, _MAX, _HANDED = range(4)
_TOTAL = 4
_SETTLED = 6
_LINES = 8
_STOPPED = 10
_PIECE, _PIECE_OUT, _PIECE_STREAM, _PIECE_BASE, _PIECE_FROM = range(11, 16)
_HEAD_BYTES = 4096
_PIECE_AT = _HEAD_BYTES + len(STREAMS) * TAIL_BYTES
_SIZE_BYTES = _PIECE_AT + TAIL_BYTES

READ_WORD = _PIECE
WRITTEN_WORD = _PIECE_OUT
"""The words in which a mover notes how many bytes it has read and written."""

UNSURE = 2**63
"""Noted as written where a process may die between writing and noting: taken for all."""


_made: set[tuple[int, int]] = set()
"""Pages of this process, which may have its agent on a thread: to ask for a lock of one's own tells
nothing, and gives it back."""


class Page:
    """The shared page; made by the rank, opened by the agent.

    Words are stored whole (8 aligned bytes), so that a reader in the other process never sees half
    of one. `turn` is the rank's to write and `claim` the agent's; the counters belong to whoever
    moves bytes.

    Parameters
    ----------
    fd : int
        A file of the page's size; the page owns it.

    Attributes
    ----------
    piece : memoryview
        Where the rank's thread reads to, `TAIL_BYTES`.
    ignores_claim : bool
        The rank's thread has stood back for too long.
    """

    def __init__(self, fd: int) -> None:
        self._shared = Shared(fd, _SIZE_BYTES)
        self._key = identify(fd)
        self._is_owner = False
        self.ignores_claim = False
        self._map = self._shared.memory
        self._words = memoryview(self._map).cast("Q")
        self.piece = memoryview(self._map)[_PIECE_AT:]

    @classmethod
    def make(cls, max_bytes: int) -> Self:
        """Return a new page; this process is marked as its living owner.

        Parameters
        ----------
        max_bytes : int
            How much of both streams together is recorded before only the tails are kept.

        Raises
        ------
        OSError
            There is no memory, or no file descriptor.
        """
        fd = raise_fd(os.memfd_create("hpctrack-console"))
        try:
            os.ftruncate(fd, _SIZE_BYTES)
            # The kernel gives the lock back when the owner is gone, whatever became of it; a
            # forked child does not inherit it.
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            page = cls(fd)
        except (OSError, ValueError):
            os.close(fd)
            raise
        page._words[_MAX] = max(0, max_bytes)
        page._is_owner = True
        _made.add(page._key)
        return page

    @property
    def fd(self) -> int:
        """The file; -1 when closed."""
        return self._shared.fd

    def is_intact(self) -> bool:
        """Whether the file is still there: programs close all that they do not know."""
        return self._shared.is_intact()

    def close(self) -> None:
        """Let go of the memory and the file; the other side keeps its own."""
        if self._is_owner:
            _made.discard(self._key)
        # A mover may still know the address: then the memory goes when the mover does.
        try:
            self._words.release()
            self.piece.release()
        except BufferError:
            pass
        self._shared.close()

    def is_owner_alive(self) -> bool:
        """Whether the rank that made the page is still there."""
        if self._key in _made:
            return True
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        fcntl.lockf(self.fd, fcntl.LOCK_UN)
        return False

    # -- whose turn it is ------------------------------------------------------------------------

    @property
    def turn(self) -> int:
        """How often the rank's thread went in or out; odd while it moves bytes."""
        return self._words[_TURN]

    def pass_turn(self) -> None:
        """Go in, or out: the rank's thread only."""
        self._words[_TURN] = (self._words[_TURN] + 1) & 0xFFFFFFFF

    @property
    def claim(self) -> bool:
        """Whether the agent has seen the rank's thread stand still and may move bytes itself."""
        return bool(self._words[_CLAIM])

    @claim.setter
    def claim(self, value: bool) -> None:
        self._words[_CLAIM] = int(value)

    def iter_unclaimed(self) -> Iterator[int]:
        """Yield one 0, unless there is a claim when it is asked for; runs no Python code."""
        if self.ignores_claim:
            return iter((0,))
        return filterfalse(None, map(self._words.__getitem__, (_CLAIM,)))

    @property
    def is_stopped(self) -> bool:
        """Whether the rank has given the program its own output back and goes on living."""
        return bool(self._words[_STOPPED])

    @is_stopped.setter
    def is_stopped(self, value: bool) -> None:
        self._words[_STOPPED] = int(value)

    @property
    def lines(self) -> tuple[int, ...]:
        """The stream that each read end belongs to, in the order in which they are handed over."""
        return tuple(one for one in self._words[_LINES : _LINES + len(STREAMS)] if one)

    @lines.setter
    def lines(self, streams: tuple[int, ...]) -> None:
        for place, stream in enumerate(streams):
            self._words[_LINES + place] = stream

    # -- a piece on its way ----------------------------------------------------------------------

    def announce_piece(
        self, stream: int, *, is_sure: bool, position: int = -1
    ) -> Callable[[int, int], None]:
        """Say whose bytes will be read to `piece`; return what notes numbers of bytes.

        Parameters
        ----------
        stream : int
            1 or 2.
        is_sure : bool
            What is written will be noted without giving the interpreter lock away in between.
        position : int
            Where in the original it will be, if that is a file, see `settle_piece`.
        """
        self._words[_PIECE_FROM] = position + 1
        self._words[_PIECE_STREAM] = stream
        self._words[_PIECE_BASE] = self._words[_TOTAL + stream - 1]
        self._words[_PIECE_OUT] = 0 if is_sure else UNSURE
        return self.get_notepad()

    def get_notepad(self) -> Callable[[int, int], None]:
        """Return what notes numbers of bytes of the piece that is announced."""
        return self._words.__setitem__

    @property
    def piece_range(self) -> tuple[int, int]:
        """Which bytes of the piece are still to be written: from, to."""
        size = self._words[_PIECE]
        return min(size, self._words[_PIECE_OUT]), size

    @property
    def piece_stream(self) -> int:
        """Whose bytes are in `piece`."""
        return self._words[_PIECE_STREAM]

    def settle_piece(self, position: int) -> None:
        """Find out how much of the piece is in a file, from where writing goes on in that.

        A process that is killed while it writes leaves a part, page by page, and no note of it.
        """
        written = position + 1 - self._words[_PIECE_FROM]
        if self._words[_PIECE_FROM] and position >= 0 and 0 <= written <= self._words[_PIECE]:
            self._words[_PIECE_OUT] = written

    def count_piece(self) -> tuple[int, bytes, bytes]:
        """Count what was read to `piece`, if nobody has counted it yet.

        The rank's thread does it when all is written; the agent, where the thread died before or
        waits for the interpreter lock.

        Returns
        -------
        stream, data, rest : int, bytes, bytes
            No bytes if there is no such piece; the rest is not written yet.
        """
        words = self._words
        start, size = self.piece_range
        stream = words[_PIECE_STREAM]
        if not size or words[_TOTAL + stream - 1] != words[_PIECE_BASE]:
            words[_PIECE] = 0
            return stream, b"", b""
        data = bytes(self.piece[:size])
        self.add(stream, data)
        words[_PIECE] = 0
        return stream, data, data[start:]

    # -- what has passed -------------------------------------------------------------------------

    def add(self, stream: int, data: bytes) -> None:
        """Count what has been read of a stream, and keep its end.

        Parameters
        ----------
        stream : int
            1 or 2.
        data : bytes
            At most `TAIL_BYTES`.
        """
        which = stream - 1
        total = self._words[_TOTAL + which]
        base, at = _HEAD_BYTES + which * TAIL_BYTES, total % TAIL_BYTES
        first = min(len(data), TAIL_BYTES - at)
        self._map[base + at : base + at + first] = data[:first]
        self._map[base : base + len(data) - first] = data[first:]
        self._words[_TOTAL + which] = total + len(data)

    def admit(self, stream: int, data: bytes) -> bytes:
        """Return the part of what was just added that is to be recorded now, and count it so.

        Nothing once the record is full, or while earlier bytes of the stream wait for `take_rest`.
        """
        which, words = stream - 1, self._words
        settled, handed = words[_SETTLED + which], words[_HANDED]
        if settled + len(data) != words[_TOTAL + which]:
            return b""
        kept = data[: max(0, words[_MAX] - handed)]
        words[_HANDED] = handed + len(kept)
        words[_SETTLED + which] = settled + len(kept)
        return kept

    def take_rest(self, stream: int) -> list[bytes]:
        """Return what was added and not admitted: a gap if it is long, and the end.

        Returns
        -------
        list of bytes
            Empty, the end alone, or a gap and the end.
        """
        which, words = stream - 1, self._words
        total = words[_TOTAL + which]
        left = total - words[_SETTLED + which]
        words[_SETTLED + which] = total
        if not left:
            return []
        size = min(left, TAIL_BYTES)
        base, start = _HEAD_BYTES + which * TAIL_BYTES, (total - size) % TAIL_BYTES
        ring = self._map[base : base + TAIL_BYTES]
        tail = (ring[start:] + ring[:start])[:size]
        return [make_gap(left - size), tail] if left > size else [tail]

    @property
    def is_full(self) -> bool:
        """Whether as much is recorded as may be."""
        return self._words[_HANDED] >= self._words[_MAX]

    @property
    def unrecorded_bytes(self) -> int:
        """How much of both streams has passed without being recorded (yet)."""
        words = self._words
        return sum(words[_TOTAL + one] - words[_SETTLED + one] for one in range(len(STREAMS)))
