"""The agent's end of the memory that `hpctrack.core.ring` describes."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

from hpctrack.core.ring import (
    DROPPED,
    FIRST_BYTES,
    FRAMES_DONE,
    HEAD_BYTES,
    HEADS,
    IS_STRONGLY_ORDERED,
    MAGIC,
    MAGIC_WORD,
    MIN_BYTES,
    SIZE_WORD,
    SLOT,
    SLOTS,
)
from hpctrack.errors import ProtocolError


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
        if self._words[MAGIC_WORD] != MAGIC or self._words[SIZE_WORD] != overflow:
            raise ProtocolError("the ring's first page is not ours")
        self._lanes = ((HEAD_BYTES, FIRST_BYTES), (HEAD_BYTES + FIRST_BYTES, overflow))
        slot = SLOTS[self._words[SLOT] & 1]
        self._positions = [int(self._words[slot]), int(self._words[slot + 1])]
        self.points_done = int(self._words[slot + 2])
        self._seen = list(self._positions)

    @property
    def dropped_points(self) -> int:
        """Points that the rank could not write."""
        return int(self._words[DROPPED])

    def has_news(self) -> bool:
        """Whether anything waits."""
        words, positions = self._words, self._positions
        return bool(words[HEADS[0]] != positions[0] or words[HEADS[1]] != positions[1])

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
        heads = [int(self._words[word]) for word in reversed(HEADS)][::-1]
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
        other = ~self._words[SLOT] & 1
        start = SLOTS[other]
        self._words[start], self._words[start + 1] = self._positions
        self._words[start + 2] = points
        self._words[SLOT] = other
        self._words[FRAMES_DONE] = frames
        self.points_done = points

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
        self._view.release()
        self._memory.close()
