"""The memory that a rank and its agent share: points go through it without a system call.

A ring of frames (`hpctrack.core.wire`) in an unnamed file whose descriptor travels with HELLO. The
rank writes and moves the head; the agent reads, writes its file, and only then moves the tail. So
what ``log()`` has returned from survives the rank, and an agent that dies leaves to its successor
everything that is not in a file yet. When the ring is full, points are dropped and counted, here
too, where a rank that is killed cannot take the count with it.

::

    page 0    u64 words: magic, bytes of the overflow | heads of both lanes, dropped points |
              frames done, slot | two slots of (tail, tail, points done)
    lane 0    `FIRST_BYTES`, which is all that a rank touches while its agent keeps up
    lane 1    the overflow, as large as was asked for; only written while lane 0 is full, and until
              the agent has caught up: so all that is in lane 0 is older than what is in lane 1

Frames are padded to 8 bytes. Positions count for ever, a place is position modulo lane size; a
frame never wraps: `PAD` fills the rest of the lane.

One writer (under the run's lock) and one reader. On processors that may show the head before the
data, the reader takes what was published one look earlier, which is milliseconds old.
"""

from __future__ import annotations

import _struct as struct  # as in hpctrack.core.wire
import errno
import mmap
import os

from hpctrack.core.wire import HEADER, Kind
from hpctrack.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEAD_BYTES = 4096
MAGIC = int.from_bytes(b"hpctrng1", "little")

_MAGIC, _SIZE = 0, 1
_HEADS, _DROPPED = (16, 17), 18
_FRAMES_DONE, _SLOT, _SLOTS = 32, 33, (40, 48)
"""Words of page 0; what the rank writes and what the agent writes lie on lines of their own. Tails
and points done must fit together even if the agent is killed between them, so it writes them where
nobody looks and then says, in one word, that this is the slot that counts."""

FIRST_BYTES = 256 * 1024
"""More than a rank logs between two looks of its agent, unless it does nothing else."""

STEP_BYTES = 64 * 1024
"""After so much the overflow looks whether the agent has caught up."""

MIN_BYTES, MAX_BYTES = FIRST_BYTES, 1 << 30

_POINTS_KIND = Kind.POINTS

PAD = 0
"""Kind of a frame that only fills the ring's end."""

IS_STRONGLY_ORDERED = os.uname().machine in {"x86_64", "AMD64", "i686"}
"""Whether stores become visible in the order they were made (x86: Intel SDM 3A, 9.2)."""

Layout = tuple[struct.Struct, int, int, int]


def _make_layout(count: int) -> Layout:
    layout = struct.Struct("<IBBHqd" + "Id" * count)
    return layout, layout.size - HEADER.size, -(-layout.size // 8) * 8, count


_ONE, _ONE_BODY_BYTES, _ONE_ADVANCE, _COUNT = _make_layout(1)
_pack_one = _ONE.pack_into


class _Lane:
    """Where the writer stands in a lane that it is not writing to."""

    __slots__ = ("head", "number", "size", "start")

    def __init__(self, number: int, start: int, size: int) -> None:
        self.number = number
        self.start = start
        self.size = size
        self.head = 0


class RingWriter:
    """The rank's end. Not safe for several threads: the run's lock is held.

    Parameters
    ----------
    size_bytes : int
        Room in the overflow; rounded to pages, and less where the process may not have so large a
        file.

    Raises
    ------
    OSError
        There is no memory for it.

    Attributes
    ----------
    size_bytes : int
        Room in the overflow.
    """

    def __init__(self, size_bytes: int) -> None:
        self.fd, overflow = _make_largest(min(max(size_bytes, MIN_BYTES), MAX_BYTES))
        self.size_bytes = overflow
        whole = HEAD_BYTES + FIRST_BYTES + overflow
        self._view = memoryview(mmap.mmap(self.fd, whole))
        self._words = self._view[:HEAD_BYTES].cast("Q")
        self._words[_SIZE] = overflow
        self._words[_MAGIC] = MAGIC
        self._layouts: dict[int, Layout] = {}
        self._lanes = (
            _Lane(0, HEAD_BYTES, FIRST_BYTES),
            _Lane(1, HEAD_BYTES + FIRST_BYTES, overflow),
        )
        self._lane = self._lanes[0]
        self._head_word = _HEADS[0]
        self._head = 0
        self._at = HEAD_BYTES
        self._limit = HEAD_BYTES + FIRST_BYTES
        self._points = 0

    @property
    def points(self) -> int:
        """Points written so far."""
        return self._points

    @property
    def dropped_points(self) -> int:
        """Points that found no room."""
        return int(self._words[_DROPPED])

    @property
    def unconfirmed_points(self) -> int:
        """Points that no agent has confirmed to have in a file."""
        return self._points - int(self._words[_SLOTS[self._words[_SLOT] & 1] + 2])

    @property
    def frames_done(self) -> int:
        """How many frames of the present connection's socket are in the agent's file."""
        return int(self._words[_FRAMES_DONE])

    def begin_connection(self) -> None:
        """Count the socket's frames from the start: another agent will."""
        self._words[_FRAMES_DONE] = 0

    def put_points(self, step: int, wall_s: float, pairs: Sequence[float]) -> bool:
        """Write the points of one ``log`` call; return False, counted, if there is no room.

        Parameters
        ----------
        step : int
            Fits in 64 bits, else `struct.error` is raised and nothing is written.
        wall_s : float
            UTC seconds.
        pairs : sequence
            Metric number and value in turn, at most `wire.MAX_POINTS` pairs.
        """
        found = self._layouts.get(len(pairs))
        if found is None:
            found = self._layouts[len(pairs)] = _make_layout(len(pairs) // 2)
        layout, body_bytes, advance, count = found
        at = self._at
        if at + advance > self._limit:
            if not self._make_room(advance):
                self._words[_DROPPED] += count
                return False
            at = self._at
        layout.pack_into(self._view, at, body_bytes, _POINTS_KIND, 0, count, step, wall_s, *pairs)
        self._at = at + advance
        self._head = head = self._head + advance
        self._points += count
        self._words[self._head_word] = head
        return True

    def put_point(self, step: int, wall_s: float, number: int, value: float) -> bool:
        """Write one point, as `put_points` does; a quarter cheaper, and most calls have one."""
        at = self._at
        if at + _ONE_ADVANCE > self._limit:
            return self.put_points(step, wall_s, (number, value))
        _pack_one(self._view, at, _ONE_BODY_BYTES, _POINTS_KIND, 0, 1, step, wall_s, number, value)
        self._at = at + _ONE_ADVANCE
        self._head = head = self._head + _ONE_ADVANCE
        self._points += 1
        self._words[self._head_word] = head
        return True

    def put_frame(self, frame: bytes) -> bool:
        """Write a whole small frame; return False if there is no room."""
        advance = -(-len(frame) // 8) * 8
        if self._at + advance > self._limit and not self._make_room(advance):
            return False
        self._view[self._at : self._at + len(frame)] = frame
        self._move(advance)
        return True

    def drop(self, points: int) -> None:
        """Count points that were not even offered."""
        self._words[_DROPPED] += points

    def close(self) -> None:
        """Let go of the descriptor; the memory lives until its last user is gone."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _move(self, advance: int) -> None:
        self._at += advance
        self._head += advance
        self._words[self._head_word] = self._head

    def _make_room(self, advance: int) -> bool:
        """Find room for a frame: in this lane, or in the other one."""
        if self._lane.number and self._tail(1) == self._head:
            self._enter(self._lanes[0])
        if self._stretch(advance):
            return True
        if self._lane.number:
            return False
        self._enter(self._lanes[1])
        return self._stretch(advance)

    def _tail(self, lane: int) -> int:
        return int(self._words[_SLOTS[self._words[_SLOT] & 1] + lane])

    def _enter(self, lane: _Lane) -> None:
        self._lane.head = self._head
        self._lane, self._head = lane, lane.head
        self._head_word = _HEADS[lane.number]
        self._at = self._limit = lane.start + self._head % lane.size
        if lane.number and self._at > lane.start:
            self._skip_rest()  # it is empty: touch the same memory as the last time

    def _skip_rest(self) -> None:
        rest = self._lane.start + self._lane.size - self._at
        HEADER.pack_into(self._view, self._at, rest - HEADER.size, PAD, 0, 0)
        self._move(rest)
        self._at = self._limit = self._lane.start

    def _stretch(self, advance: int) -> bool:
        """Move the limit up to which may be written; return whether the frame fits below."""
        lane = self._lane
        end = lane.start + lane.size
        free = lane.size - (self._head - self._tail(lane.number))
        if self._at + advance > end:
            if free < end - self._at + advance:
                return False
            free -= end - self._at
            if self._at < end:
                self._skip_rest()
            self._at = self._limit = lane.start
        if free < advance:
            return False
        step = max(STEP_BYTES, advance) if lane.number else free
        self._limit = self._at + min(free, step, end - self._at)
        return True


class RingReader:
    """The agent's end.

    Parameters
    ----------
    fd : int
        What came with HELLO; closed here.

    Raises
    ------
    ProtocolError
        It is not a ring, or not as large as it says: reading past its end would kill the agent.

    Attributes
    ----------
    points_done : int
        Points that an agent has confirmed to have in a file.
    """

    def __init__(self, fd: int) -> None:
        try:
            size = os.fstat(fd).st_size
            if size < HEAD_BYTES + FIRST_BYTES + MIN_BYTES:
                raise ProtocolError(f"the ring has only {size} bytes")
            self._memory = mmap.mmap(fd, size)
        except (OSError, ValueError) as error:
            raise ProtocolError(f"the ring cannot be used: {error}") from None
        finally:
            os.close(fd)
        self._view = memoryview(self._memory)
        self._words = self._view[:HEAD_BYTES].cast("Q")
        overflow = size - HEAD_BYTES - FIRST_BYTES
        if self._words[_MAGIC] != MAGIC or self._words[_SIZE] != overflow:
            raise ProtocolError("the ring's first page is not ours")
        self._lanes = ((HEAD_BYTES, FIRST_BYTES), (HEAD_BYTES + FIRST_BYTES, overflow))
        slot = _SLOTS[self._words[_SLOT] & 1]
        self._positions = [int(self._words[slot]), int(self._words[slot + 1])]
        self.points_done = int(self._words[slot + 2])
        self._seen = list(self._positions)

    @property
    def dropped_points(self) -> int:
        """Points that the rank could not write."""
        return int(self._words[_DROPPED])

    def has_news(self) -> bool:
        """Whether anything waits."""
        words, positions = self._words, self._positions
        return bool(words[_HEADS[0]] != positions[0] or words[_HEADS[1]] != positions[1])

    def read(self, *, is_last: bool = False) -> Iterator[memoryview]:
        """Yield what waits, as runs of whole frames; each must be used before the next.

        Parameters
        ----------
        is_last : bool
            Take all that is there: the rank has said so by a system call, or is dead.

        Raises
        ------
        ProtocolError
            The rank has written nonsense.
        """
        # The overflow's head first: what is in lane 0 when we look there is older than that.
        heads = [int(self._words[word]) for word in reversed(_HEADS)][::-1]
        ends = heads if is_last or IS_STRONGLY_ORDERED else self._seen
        self._seen = heads
        for lane, (base, size) in enumerate(self._lanes):
            if not 0 <= heads[lane] - self._positions[lane] <= size:
                raise ProtocolError("the ring's head is out of its bounds")
            while self._positions[lane] < ends[lane]:
                offset = self._positions[lane] % size
                length = min(ends[lane] - self._positions[lane], size - offset)
                self._positions[lane] += length
                yield self._view[base + offset : base + offset + length]

    def confirm(self, points: int, frames: int) -> None:
        """Give the room of what was read back to the rank: it is in a file.

        Parameters
        ----------
        points, frames : int
            Points of the ring, and frames of the connection's socket, that are in a file so far.
        """
        other = ~self._words[_SLOT] & 1
        start = _SLOTS[other]
        self._words[start], self._words[start + 1] = self._positions
        self._words[start + 2] = points
        self._words[_SLOT] = other
        self._words[_FRAMES_DONE] = frames
        self.points_done = points

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
        self._view.release()
        self._memory.close()


def _make_largest(overflow: int) -> tuple[int, int]:
    """Return a file and the room in its overflow: ``ulimit -f`` holds for memory files, too."""
    while True:
        overflow = overflow // HEAD_BYTES * HEAD_BYTES
        try:
            return _make_file(HEAD_BYTES + FIRST_BYTES + overflow), overflow
        except OSError as error:
            if error.errno != errno.EFBIG or overflow <= MIN_BYTES:
                raise
        overflow = max(overflow // 2, MIN_BYTES)


def _make_file(size_bytes: int) -> int:
    """Return an unnamed file in memory, or on disk where the system has no such thing."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("hpctrack-ring", os.MFD_CLOEXEC)
    else:
        import tempfile  # noqa: PLC0415 - it loads ten modules that a rank has no use for

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, size_bytes)
    except OSError:
        os.close(fd)
        raise
    return fd
