"""A console as lines that can be counted, paged and searched: text on disk, places in memory.

What ranks printed lies in a run's files as pieces, cut anywhere and interleaved. A page wants
lines 3,000,000 to 3,000,200. So the pieces are read once, in order, into a file without a name on
this machine, and of each line 25 bytes are kept in memory: where it begins, when, whose.
"""

from __future__ import annotations

import os
import re
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import StoreError
from hpctrack.store.console import ConsoleLine, show_line
from hpctrack.store.console_line import collapse_line, make_plain_line, make_safe_line

IntArray = NDArray[np.int64]

STDERR, MISSING, DAMAGED = 1, 2, 4
"""Bits of a line's flags."""

WRITE_BYTES = 1 << 20
FIRST_ROWS = 4096

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_RESETS = frozenset({"\x1b[m", "\x1b[0m"})
CARRIED_MAX = 8
"""Colour sequences that a line hands on to the next one of its stream."""


@dataclass(frozen=True, slots=True)
class SpooledLine:
    """One line as a page shows it.

    Parameters
    ----------
    number : int
        Its place in the spool.
    text : str
        Without colours and control characters.
    styled : str
        With colour sequences and nothing else; empty if it has none.
    rewrites : int
        How often it was written over before it looked like this.
    is_missing, is_damaged : bool
        It stands for bytes that were not recorded, or cannot be read.
    """

    number: int
    wall_s: float
    rank: int
    stream: str
    text: str
    styled: str = ""
    rewrites: int = 0
    is_missing: bool = False
    is_damaged: bool = False


class _Column:
    """An array that grows at its end; what was added last waits in a list."""

    def __init__(self, dtype: str) -> None:
        self._held = np.zeros(FIRST_ROWS, dtype)
        self._filled = 0
        self._waiting: list[float] = []
        self.add = self._waiting.append

    @property
    def count(self) -> int:
        return self._filled + len(self._waiting)

    @property
    def values(self) -> NDArray[Any]:
        if self._waiting:
            count = self.count
            if count > len(self._held):
                self._held = np.resize(self._held, max(count, 2 * len(self._held)))
            self._held[self._filled : count] = self._waiting
            self._filled = count
            self._waiting.clear()
        return self._held[: self._filled]

    @property
    def size_bytes(self) -> int:
        return int(self._held.nbytes)


class _TextFile:
    """Texts one after the other in a file without a name; gone with the process."""

    def __init__(self) -> None:
        self._number, path = tempfile.mkstemp(prefix="hpctrack-console-")
        Path(path).unlink()
        self.close = weakref.finalize(self, os.close, self._number)
        self._waiting = bytearray()
        self._written = 0

    @property
    def end(self) -> int:
        return self._written + len(self._waiting)

    def add(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        try:
            while self._waiting:
                done = os.pwrite(self._number, self._waiting, self._written)
                self._written += done
                del self._waiting[:done]
        except OSError as error:
            raise StoreError(
                f"the console cannot be laid out in {tempfile.gettempdir()}: {error.strerror}",
                hint="start the server with TMPDIR set to a folder with room",
            ) from None

    def read(self, start: int, end: int) -> bytes:
        self.flush()
        parts, at = [], start
        while at < end:
            part = os.pread(self._number, end - at, at)
            if not part:
                break
            parts.append(part)
            at += len(part)
        return b"".join(parts)


class ConsoleSpool:
    """Lines of all ranks and both streams, in the order in which they were read.

    Not safe for several threads.
    """

    def __init__(self) -> None:
        self._plain, self._styled = _TextFile(), _TextFile()
        self._start, self._wall_s, self._rank = _Column("i8"), _Column("f8"), _Column("i4")
        self._flags, self._rewrites = _Column("u1"), _Column("u4")
        self._styled_line, self._styled_start = _Column("i8"), _Column("i8")
        self._ranks: set[int] = set()
        self._carried: dict[tuple[int, str], list[str]] = {}
        self._is_sorted, self._last_wall_s = True, 0.0
        self._orders: dict[tuple[int | None, str, int], IntArray | None] = {}

    def __len__(self) -> int:
        """Return the number of lines."""
        return self._start.count

    @property
    def size_bytes(self) -> int:
        """Memory that is held."""
        columns = (self._start, self._wall_s, self._rank, self._flags, self._rewrites)
        orders = sum(one.nbytes for one in self._orders.values() if one is not None)
        return sum(one.size_bytes for one in columns) + orders

    def add(self, line: ConsoleLine) -> None:
        """Add a line at the end.

        Raises
        ------
        StoreError
            The disk of this machine is full.
        """
        plain = styled = text = line.text
        rewrites = 0
        if not text.isprintable() or (line.rank, line.stream) in self._carried:
            rewrites = min(text.rstrip("\r").count("\r"), 2**32 - 1)
            text = collapse_line(text)
            styled = self._style(line.rank, line.stream, text)
            plain = make_plain_line(text)
        elif line.missing_bytes:
            plain = show_line(line)
        if styled is not line.text and styled:
            self._styled_line.add(len(self))
            self._styled_start.add(self._styled.end)
            self._styled.add(styled.encode("utf-8", "replace"))
        flags = STDERR * (line.stream == "stderr") | MISSING * (line.missing_bytes > 0)
        self._start.add(self._plain.end)
        self._plain.add(plain.encode("utf-8", "replace"))
        self._wall_s.add(line.wall_s)
        self._rank.add(line.rank)
        self._ranks.add(line.rank)
        self._flags.add(flags | DAMAGED * line.is_damaged)
        self._rewrites.add(rewrites)
        self._is_sorted = self._is_sorted and line.wall_s >= self._last_wall_s
        self._last_wall_s = line.wall_s

    def _style(self, rank: int, stream: str, text: str) -> str:
        """Return the text with its colours: as in a terminal they last until they are reset."""
        carried = self._carried.get((rank, stream), [])
        if "\x1b" not in text and not carried:
            return ""
        given = "".join(carried)
        for one in _COLOUR.findall(text):
            carried = [] if one in _RESETS else [*carried, one][-CARRIED_MAX:]
        if carried:
            self._carried[rank, stream] = carried
        else:
            self._carried.pop((rank, stream), None)
        styled = make_safe_line(given + text)
        return styled if "\x1b" in styled else ""

    def ranks(self) -> list[int]:
        """Return the ranks that have printed."""
        return sorted(self._ranks)

    def order(self, rank: int | None, stream: str) -> IntArray | None:
        """Return the lines of a view by time; None if these are all as they are."""
        key = (rank, stream, len(self))
        if key not in self._orders:
            self._orders = {one: held for one, held in self._orders.items() if one[2] == len(self)}
            self._orders[key] = self._make_order(rank, stream)
        return self._orders[key]

    def _make_order(self, rank: int | None, stream: str) -> IntArray | None:
        if rank is None and not stream and self._is_sorted:
            return None
        wanted = np.ones(len(self), bool)
        if rank is not None:
            wanted &= self._rank.values == rank
        if stream:
            wanted &= ((self._flags.values & STDERR) > 0) == (stream == "stderr")
        chosen = np.flatnonzero(wanted)
        if self._is_sorted:
            return chosen
        # Stable: of one rank what was printed first stays first.
        return chosen[np.argsort(self._wall_s.values[chosen], kind="stable")]

    def count(self, order: IntArray | None) -> int:
        """Return the number of lines of a view."""
        return len(self) if order is None else len(order)

    def find_time(self, order: IntArray | None, wall_s: float) -> int:
        """Return the first line of a view at or after a moment."""
        walls = self._wall_s.values if order is None else self._wall_s.values[order]
        return int(np.searchsorted(walls, wall_s))

    def rows(self, order: IntArray | None, start: int, count: int) -> list[SpooledLine]:
        """Return some lines of a view."""
        end = min(start + count, self.count(order))
        numbers = range(start, end) if order is None else order[start:end].tolist()
        return [self._row(one) for one in numbers]

    def _row(self, number: int) -> SpooledLine:
        flags = int(self._flags.values[number])
        return SpooledLine(
            number=number,
            wall_s=float(self._wall_s.values[number]),
            rank=int(self._rank.values[number]),
            stream="stderr" if flags & STDERR else "stdout",
            text=self._plain.read(*self._span(number)).decode("utf-8", "replace"),
            styled=self._read_styled(number),
            rewrites=int(self._rewrites.values[number]),
            is_missing=bool(flags & MISSING),
            is_damaged=bool(flags & DAMAGED),
        )

    def _span(self, number: int) -> tuple[int, int]:
        starts = self._start.values
        end = int(starts[number + 1]) if number + 1 < len(starts) else self._plain.end
        return int(starts[number]), end

    def _read_styled(self, number: int) -> str:
        lines, starts = self._styled_line.values, self._styled_start.values
        at = int(np.searchsorted(lines, number))
        if at == len(lines) or lines[at] != number:
            return ""
        end = int(starts[at + 1]) if at + 1 < len(starts) else self._styled.end
        return self._styled.read(int(starts[at]), end).decode("utf-8", "replace")

    def iter_texts(self, first: int, *, batch_bytes: int) -> Iterator[tuple[int, bytes, IntArray]]:
        """Yield the plain texts from a line on, many at a time.

        Yields
        ------
        first : int
            The number of the first line.
        data : bytes
            The texts, one after the other.
        offsets : ndarray of int64, shape (n + 1,)
            Where in them each line begins, and the last one ends.
        """
        while first < len(self):
            starts = self._start.values
            limit = int(np.searchsorted(starts, int(starts[first]) + batch_bytes))
            stop = max(first + 1, limit)
            end = int(starts[stop]) if stop < len(starts) else self._plain.end
            data = self._plain.read(int(starts[first]), end)
            yield first, data, np.append(starts[first:stop], end) - starts[first]
            first = stop

    def close(self) -> None:
        """Give the files up."""
        self._plain.close()
        self._styled.close()
