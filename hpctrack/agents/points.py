"""From the frames of a rank to rows of the points table, many at once where they are alike."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hpctrack.core.ring import PAD
from hpctrack.core.wire import HEADER, NAME_HEAD, POINT, POINTS_HEAD, Kind
from hpctrack.errors import ProtocolError
from hpctrack.store.schema import POINT as ROW

_ROW = struct.Struct("<qddII")
"""`schema.POINT` as bytes: step, wall_s, value, metric, rank; a test compares the two."""

UNKNOWN = np.iinfo(np.uint32).max

FEW = 8
"""Alike frames in a row below which packing one by one is quicker than setting up arrays."""

LOOK_AHEAD = (64, 4096)

_PAIR = np.dtype([("metric", "<u4"), ("value", "<f8")])


def _frame_type(count: int, advance: int) -> np.dtype[np.void]:
    names = ["head", "step", "wall_s", "pairs"]
    formats = ["<u8", "<i8", "<f8", (_PAIR, (count,))]
    return np.dtype(
        {"names": names, "formats": formats, "offsets": [0, 8, 16, 24], "itemsize": advance}
    )


class PointDecoder:
    """Reads one session's frames of points.

    Parameters
    ----------
    rank : int
        Whose.
    find_number : callable
        Returns the file's number for a metric's name.

    Attributes
    ----------
    rows : bytearray
        Packed `schema.POINT` rows that were decoded and not taken yet.
    points : int
        Points decoded from the ring so far.
    skip : int
        So many of the next points are in a file already: an agent died between writing them and
        saying so.
    written : Counter of bytes or None
        Rows one of which each of the next points may be, for the same reason; the first that is not
        among them ends the comparison, because points are written in their order.
    unnamed : int
        Points of metrics that nobody has named; they cannot be kept.
    """

    def __init__(self, rank: int, find_number: Callable[[str], int]) -> None:
        self._rank = rank
        self._find_number = find_number
        self._numbers: NDArray[np.uint32] = np.full(16, UNKNOWN, np.uint32)
        self._types: dict[tuple[int, int], np.dtype[np.void]] = {}
        self.rows = bytearray()
        self.points = 0
        self.skip = 0
        self.written: Counter[bytes] | None = None
        self.unnamed = 0

    def add_name(self, body: bytes | memoryview) -> None:
        """Take a rank's number for a metric: u32 number, UTF-8 name."""
        (number,) = NAME_HEAD.unpack_from(body)
        name = bytes(body[NAME_HEAD.size :]).decode("utf-8", "replace")
        self.set_name(number, name)

    def set_name(self, number: int, name: str) -> None:
        """Take a rank's number for a metric.

        Raises
        ------
        ProtocolError
            The number is not one that a rank could have counted to.
        """
        if number >= len(self._numbers):
            if number > 2 * len(self._numbers) + 1024:
                raise ProtocolError(f"metric number {number} comes out of turn")
            grown = np.full(2 * number + 16, UNKNOWN, np.uint32)
            grown[: len(self._numbers)] = self._numbers
            self._numbers = grown
        self._numbers[number] = self._find_number(name)

    def add_body(self, body: memoryview, count: int) -> None:
        """Take the body of one POINTS frame that came by the socket."""
        self._add_one(body, 0, count)

    def add_run(self, view: memoryview) -> None:
        """Take a run of whole frames from the ring.

        Raises
        ------
        ProtocolError
            It is not one.
        """
        start, end = 0, len(view)
        while start < end:
            size, kind, _flags, count = HEADER.unpack_from(view, start)
            advance = -(-(HEADER.size + size) // 8) * 8
            if start + advance > end:
                raise ProtocolError(f"a frame of kind {kind} reaches beyond the ring")
            body = start + HEADER.size
            if kind == Kind.POINTS:
                if size != POINTS_HEAD.size + count * POINT.size:
                    raise ProtocolError(f"a frame of {count} points has {size} bytes")
                alike = self._count_alike(view, start, advance)
                if alike >= FEW and self.written is None:
                    self._add_many(view[start : start + alike * advance], count, advance)
                    start += alike * advance
                    continue
                self._add_one(view, body, count)
                self.points += count
            elif kind == Kind.NAME:
                self.add_name(view[body : body + size])
            elif kind != PAD:
                raise ProtocolError(f"a frame of kind {kind} is in the ring")
            start += advance

    def take(self) -> bytes:
        """Return the rows that were decoded, and forget them."""
        rows = bytes(self.rows)
        self.rows.clear()
        return rows

    def _count_alike(self, view: memoryview, start: int, advance: int) -> int:
        """Count the frames from here that have the same header."""
        most = (len(view) - start) // advance
        for limit in (*LOOK_AHEAD, most):
            count = min(limit, most)
            heads = np.ndarray((count,), "<u8", view, start, (advance,))
            differ = np.flatnonzero(heads != heads[0])
            if len(differ):
                return int(differ[0])
            if count == most:
                break
        return most

    def _add_one(self, view: memoryview, body: int, count: int) -> None:
        step, wall_s = POINTS_HEAD.unpack_from(view, body)
        numbers, rows = self._numbers, self.rows
        start = body + POINTS_HEAD.size
        for metric, value in POINT.iter_unpack(view[start : start + count * POINT.size]):
            if self.skip:
                self.skip -= 1
                continue
            known = int(numbers[metric]) if metric < len(numbers) else UNKNOWN
            if known == UNKNOWN:
                self.unnamed += 1
                continue
            row = _ROW.pack(step, wall_s, value, known, self._rank)
            if not self._is_written(row):
                rows += row

    def _is_written(self, row: bytes) -> bool:
        written = self.written
        if not written or written[row] <= 0:
            self.written = None
            return False
        written[row] -= 1
        return True

    def _add_many(self, view: memoryview, count: int, advance: int) -> None:
        dtype = self._types.get((count, advance))
        if dtype is None:
            dtype = self._types[count, advance] = _frame_type(count, advance)
        frames = np.frombuffer(view, dtype)
        rows = np.empty((len(frames), count), ROW)
        rows["step"] = frames["step"][:, None]
        rows["wall_s"] = frames["wall_s"][:, None]
        rows["value"] = frames["pairs"]["value"]
        rows["rank"] = self._rank
        metric = frames["pairs"]["metric"]
        known = self._numbers[np.minimum(metric, len(self._numbers) - 1)]
        is_unnamed = (known == UNKNOWN) | (metric >= len(self._numbers))
        rows["metric"] = known
        self.points += rows.size
        flat = rows.reshape(-1)
        if self.skip:
            skipped = min(self.skip, len(flat))
            self.skip -= skipped
            flat, is_unnamed = flat[skipped:], is_unnamed.reshape(-1)[skipped:]
        if is_unnamed.any():
            keep = ~is_unnamed.reshape(-1)
            self.unnamed += int(len(flat) - keep.sum())
            flat = flat[keep]
        self.rows += flat.tobytes()
