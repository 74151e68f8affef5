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
import fcntl
import mmap
import os
import sys

from hpctrack.core.wire import HEADER, Kind
from hpctrack.errors import is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD_BYTES = 4096
MAGIC = int.from_bytes(b"hpctrng1", "little")

MAGIC_WORD, SIZE_WORD = 0, 1
HEADS, DROPPED = (16, 17), 18
FRAMES_DONE, SLOT, SLOTS = 32, 33, (40, 48)
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


def identify(fd: int) -> tuple[int, int]:
    """Return what tells one open thing from another."""
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def is_same(fd: int, identity: tuple[int, int]) -> bool:
    """Tell whether a descriptor still is what `identify` once saw.

    Programs close all that they do not know, and a number may mean a file of their own since.
    """
    try:
        return identify(fd) == identity
    except OSError as error:
        if is_of_a_signal(error):
            raise
        return False


class Shared:
    """A file in memory and its mapping, in a program that may close any descriptor.

    Parameters
    ----------
    fd : int
        The file; owned from now on.
    size_bytes : int
        How much of it is mapped.

    Attributes
    ----------
    fd : int
        -1 when closed.
    memory : mmap
        Stays what it is whatever becomes of the descriptor.
    """

    def __init__(self, fd: int, size_bytes: int) -> None:
        self.fd = fd
        self._identity = identify(fd)
        self._inner = -1
        if sys.version_info >= (3, 13):
            self.memory = mmap.mmap(fd, size_bytes, trackfd=False)
            return
        # It keeps a duplicate, at the lowest number that is free, and does not tell which.
        lowest = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)
        os.close(lowest)
        self.memory = mmap.mmap(fd, size_bytes)
        if is_same(lowest, self._identity):
            self._inner = lowest

    def is_intact(self) -> bool:
        """Whether the descriptor is ours."""
        return is_same(self.fd, self._identity)

    def close(self) -> None:
        """Close and unmap what is ours; nothing may refer to the memory any more."""
        fd, self.fd = self.fd, -1
        if is_same(fd, self._identity):
            os.close(fd)
        if self._inner >= 0 and not is_same(self._inner, self._identity):
            _keep_for_ever(self.memory)
            return
        # Somebody may still know the address: then the memory goes when they do.
        try:
            self.memory.close()
        except BufferError:
            pass


_kept: list[object] = []


def _keep_for_ever(memory: mmap.mmap) -> None:
    """Never let Python close a mapping: it would close a number that is not ours any more."""
    _kept.append(memory)
    try:
        import ctypes  # noqa: PLC0415 - hardly ever needed, and not every Python has it

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    except (ImportError, AttributeError):
        pass  # then it is kept until the interpreter ends


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
        self._layouts: dict[int, Layout] = {}
        self._points = self._points_before = 0
        self._left: list[_Left] = []
        self.renewals = 0
        self._begin(size_bytes)

    def _begin(self, size_bytes: int) -> None:
        fd, overflow = _make_largest(min(max(size_bytes, MIN_BYTES), MAX_BYTES))
        self.size_bytes = overflow
        self._shared = Shared(fd, HEAD_BYTES + FIRST_BYTES + overflow)
        self._view = memoryview(self._shared.memory)
        self._words = self._view[:HEAD_BYTES].cast("Q")
        self._words[SIZE_WORD] = overflow
        self._words[MAGIC_WORD] = MAGIC
        self._lanes = (
            _Lane(0, HEAD_BYTES, FIRST_BYTES),
            _Lane(1, HEAD_BYTES + FIRST_BYTES, overflow),
        )
        self._lane = self._lanes[0]
        self._head_word = HEADS[0]
        self._head = 0
        self._at = HEAD_BYTES
        self._limit = HEAD_BYTES + FIRST_BYTES

    @property
    def fd(self) -> int:
        """The file that the agent maps; -1 when closed."""
        return self._shared.fd

    @property
    def points(self) -> int:
        """Points written so far."""
        return self._points

    @property
    def dropped_points(self) -> int:
        """Points that found no room."""
        return int(self._words[DROPPED])

    @property
    def unconfirmed_points(self) -> int:
        """Points that no agent has confirmed to have in a file."""
        left = sum(one.count_unconfirmed() for one in self._left)
        return left + self._points - self._points_before - _read_done(self._words)

    @property
    def frames_done(self) -> int:
        """How many frames of the present connection's socket are in the agent's file."""
        return int(self._words[FRAMES_DONE])

    @property
    def is_cut(self) -> bool:
        """Whether the program has closed what an agent would need to see this memory."""
        return self._shared.fd >= 0 and not self._shared.is_intact()

    def renew(self) -> None:
        """Take other memory if the program has closed what an agent would need to see this one.

        Raises
        ------
        OSError, ValueError
            There is none.
        """
        if not self.is_cut:
            return
        left = _Left(self._shared, self._view, self._words, self._points - self._points_before)
        self._begin(self.size_bytes)
        self._left.append(left)
        self._points_before = self._points
        self._words[DROPPED] = left.words[DROPPED]
        self.renewals += 1

    def count_left(self) -> int:
        """Count as dropped what no agent has taken of memory that was left; return how many."""
        left, self._left = self._left, []
        lost = sum(one.count_unconfirmed() for one in left)
        for one in left:
            one.close()
        self._points -= lost
        self._points_before -= lost
        self.drop(lost)
        return lost

    def begin_connection(self) -> None:
        """Count the socket's frames from the start: another agent will."""
        self._words[FRAMES_DONE] = 0

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
                self._words[DROPPED] += count
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
        self._words[DROPPED] += points

    def close(self) -> None:
        """Let go of the memory; the agent keeps its own. Later points are counted as dropped."""
        if self._shared.fd < 0:
            return
        words, view = self._words, self._view
        self._words = memoryview(bytearray(view[:HEAD_BYTES])).cast("Q")
        self._view = memoryview(b"")
        self._at = self._limit = 0
        for one in (*self._left, _Left(self._shared, view, words, 0)):
            one.close()
        self._left.clear()

    def _move(self, advance: int) -> None:
        self._at += advance
        self._head += advance
        self._words[self._head_word] = self._head

    def _make_room(self, advance: int) -> bool:
        """Find room for a frame: in this lane, or in the other one."""
        if self._shared.fd < 0:
            return False
        if self._lane.number and self._tail(1) == self._head:
            self._enter(self._lanes[0])
        if self._stretch(advance):
            return True
        if self._lane.number:
            return False
        self._enter(self._lanes[1])
        return self._stretch(advance)

    def _tail(self, lane: int) -> int:
        return int(self._words[SLOTS[self._words[SLOT] & 1] + lane])

    def _enter(self, lane: _Lane) -> None:
        self._lane.head = self._head
        self._lane, self._head = lane, lane.head
        self._head_word = HEADS[lane.number]
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


class _Left:
    """Memory that no agent can be given any more; one may still be reading it."""

    def __init__(
        self, shared: Shared, view: memoryview, words: memoryview[int], points: int
    ) -> None:
        self._shared = shared
        self._view = view
        self.words = words
        self._points = points

    def count_unconfirmed(self) -> int:
        return self._points - _read_done(self.words)

    def close(self) -> None:
        self.words.release()
        self._view.release()
        self._shared.close()


def _read_done(words: memoryview[int]) -> int:
    """Return how many points an agent has confirmed to have in a file."""
    return words[SLOTS[words[SLOT] & 1] + 2]


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
