"""Following all links of many sealed files at once, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.store.skeleton.buffer import Buffer, Bytes, Places, Words, cut_names, read_field
from hpctrack.store.skeleton.chunks import check_growing, check_stored
from hpctrack.store.skeleton.dense import find_targets
from hpctrack.store.skeleton.limits import CHUNK_BYTES_MAX, DEFLATE_RATIO_MAX, FLETCHER32
from hpctrack.store.skeleton.shapes import (
    CHECKSUM_BYTES,
    FLAGS_SIZE,
    FLAGS_TIMES,
    HEADER_MARK,
    PIECE_MARK,
    ROOT_NAMES,
    TIMES_BYTES,
    Attribute,
    Extents,
    Field,
    Shape,
    parse_piece,
)
from hpctrack.store.skeleton.summary import REQUIRED_NAMES

LEVELS_MAX = 8
"""Ours have six: ``/metrics/0/by_step/levels/3``."""

PIECES_MAX = 64
"""An object's header has a few."""

PIECE_BYTES_MAX = 2048
LEARNED_MAX = 256
"""So many shapes a file may have that nobody has had before."""
SHAPES_MAX = 1024
"""Runs have some hundred; each takes up to 15 kB."""


_SUPERBLOCK_BYTES = 48
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAD_BYTES = 24
_STEPS = 2
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_HEADER_WORD = np.uint64(int.from_bytes(HEADER_MARK + b"\2", "little"))
_HEADER_MASK = np.uint64(0xFFFFFFFFFF)
_MESSAGE_HEAD, _BYTE, _DATATYPE = np.uint64(0xFFFFFF), np.uint64(0xFF), np.uint64(3)
_REQUIRED = np.array([int.from_bytes(one, "little") for one in REQUIRED_NAMES], np.uint64)
_UNDEFINED = np.uint64(2**64 - 1)
_NO_ADDRESS, _NO_PLACE = np.zeros(0, np.uint64), np.zeros(0, np.int64)

_shapes: dict[tuple[bool, int], list[Shape]] = {}
"""What was learned, by a number that depends on the messages, and whether it begins an object."""


class Walk:
    """Visits all that can be reached in each of some files.

    Parameters
    ----------
    buffer : Buffer
        The files; those with what is not understood are rejected.

    Attributes
    ----------
    told : dict of list
        What the roots say of themselves: by name of `ROOT_NAMES`, one value of each file; bytes or
        int, or None where nothing is said.
    """

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        count = len(buffer.size)
        self.told: dict[bytes, list[bytes | int | None]] = {
            name: [None] * count for name in ROOT_NAMES
        }
        self._logical_bytes = np.zeros(count)
        self._learned = np.zeros(count, np.int64)
        self._is_root = True
        self._targets: list[tuple[Words, Places]] = []
        self._names: list[tuple[Words, Places]] = []
        self._continuations: list[tuple[Words, Words, Places]] = []
        self._dense: list[tuple[Words, Words, Places]] = []

    def run(self) -> None:
        """Go through all levels."""
        address, owner = self._read_superblocks()
        for _level in range(LEVELS_MAX):
            if not len(address):
                break
            address, owner = self._visit(address, owner)
            self._is_root = False
        self._buffer.reject(owner)
        limit = self._buffer.size * DEFLATE_RATIO_MAX
        self._buffer.reject(np.flatnonzero(self._logical_bytes > limit))

    def _read_superblocks(self) -> tuple[Words, Places]:
        buffer = self._buffer
        everybody = np.arange(len(buffer.size))
        begin = np.zeros(len(everybody), np.uint64)
        places, owner = buffer.locate(begin, everybody, _SUPERBLOCK_BYTES)
        rows = buffer.read(places, _SUPERBLOCK_BYTES)
        words = rows.view("<u8")
        # Versions 2 and 3 differ in what their flags mean; both are closed when none is set.
        is_fine = words[:, 0] == np.frombuffer(_SIGNATURE, "<u8")[0]
        is_fine &= ((rows[:, 8] == 2) | (rows[:, 8] == 3)) & (rows[:, 9] == 8)  # noqa: PLR2004
        is_fine &= (rows[:, 10] == 8) & (rows[:, 11] == 0)  # noqa: PLR2004
        after = np.ascontiguousarray(rows[:, 12:44]).view("<u8")
        is_fine &= (after[:, 0] == 0) & (after[:, 1] == np.uint64(2**64 - 1))
        is_fine &= after[:, 2] == buffer.size[owner].astype(np.uint64)
        buffer.reject(owner[~is_fine])
        return after[is_fine, 3], owner[is_fine]

    def _visit(self, address: Words, owner: Places) -> tuple[Words, Places]:
        """Look at objects; return those that they lead to, each once."""
        self._targets, self._continuations, self._dense = [], [], []
        buffer = self._buffer
        self._read_headers(*buffer.locate(address, owner, _HEAD_BYTES))
        for _round in range(PIECES_MAX):
            if not self._continuations:
                break
            self._read_continuations()
        for _address, _length, owners in self._continuations:
            buffer.reject(owners)
        for heap, tree, owners in self._dense:
            targets, owner, places, lengths = find_targets(buffer, heap, tree, owners)
            self._targets.append((targets, owner))
            if self._is_root:
                self._names.append((cut_names(buffer.read_words(places), lengths), owner))
        if self._is_root:
            self._check_names()
        targets, owner = _join([(_NO_ADDRESS, _NO_PLACE), *self._targets])
        places, owner = buffer.locate(targets, owner, _HEAD_BYTES)
        places = np.sort(places[buffer.is_known[owner]])  # numpy's unique takes six times as long
        places = places[np.diff(places, prepend=-1) > 0]
        edges = np.searchsorted(places, [*buffer.start.tolist(), np.iinfo(np.int64).max])
        owner = np.repeat(np.arange(len(buffer.start)), np.diff(edges))
        return (places - buffer.start[owner]).astype(np.uint64), owner

    def _check_names(self) -> None:
        """Reject files whose roots do not have what every sealed file has."""
        names, owner = _join([(_NO_ADDRESS, _NO_PLACE), *self._names])
        there = np.bincount(owner, np.isin(names, _REQUIRED), len(self._buffer.size))
        self._buffer.reject(np.flatnonzero(there < len(_REQUIRED)))

    def _read_continuations(self) -> None:
        buffer = self._buffer
        address, length, owner = _join(self._continuations)
        self._continuations = []
        is_fine = (length >= len(PIECE_MARK) + CHECKSUM_BYTES) & (length <= PIECE_BYTES_MAX)
        buffer.reject(owner[~is_fine])
        is_fine &= buffer.is_known[owner]
        lengths = length[is_fine].astype(np.int64)
        places, owner, lengths = buffer.locate(address[is_fine], owner[is_fine], lengths, lengths)
        start = np.full(len(places), len(PIECE_MARK))
        self._read_pieces(places, owner, lengths, start, is_first=False)

    def _read_headers(self, places: Places, owner: Places) -> None:
        buffer = self._buffer
        head = buffer.read(places, _HEAD_BYTES)
        flags = head[:, 5]
        is_timed, is_wide = (flags & FLAGS_TIMES) != 0, (flags & FLAGS_SIZE) == 1
        is_fine = (head.view("<u8")[:, 0] & _HEADER_MASK) == _HEADER_WORD
        is_fine &= (flags & ~np.uint8(FLAGS_TIMES | 1)) == 0
        low = np.where(is_timed, head[:, 6 + TIMES_BYTES], head[:, 6]).astype(np.int64)
        high = np.where(is_timed, head[:, 7 + TIMES_BYTES], head[:, 7]).astype(np.int64)
        start = 7 + is_wide + TIMES_BYTES * is_timed
        length = start + low + np.where(is_wide, high << 8, 0) + CHECKSUM_BYTES
        left = buffer.start[owner] + buffer.size[owner] - places
        is_fine &= length <= np.minimum(PIECE_BYTES_MAX, left)
        buffer.reject(owner[~is_fine])
        self._read_pieces(
            places[is_fine], owner[is_fine], length[is_fine], start[is_fine], is_first=True
        )

    def _read_pieces(
        self, places: Places, owner: Places, length: Places, start: Places, *, is_first: bool
    ) -> None:
        """Parse pieces, those that look alike together."""
        buffer = self._buffer
        # Pieces of ours do not overlap; those of others could, and would cost their square.
        together = np.bincount(owner, length, len(buffer.size))
        buffer.reject(np.flatnonzero(together > buffer.size))
        known = np.flatnonzero(buffer.is_known[owner])
        if not len(known):
            return
        places, owner, length = places[known], owner[known], length[known]
        keys = self._find_keys(places, length, start[known])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        edges = (np.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist()
        for begin, end in zip([0, *edges], [*edges, len(keys)], strict=True):
            which = order[begin:end]
            key = is_first, int(keys[begin])
            self._read_alike(key, places[which], owner[which], length[which])

    def _find_keys(self, places: Places, length: Places, start: Places) -> NDArray[np.uint16]:
        """Return numbers that are the same for pieces with the same messages of the same sizes."""
        at, stop = places + start, places + length - CHECKSUM_BYTES
        key = (length * 64 + start).astype(np.uint64)
        for _step in range(_STEPS):
            word = self._buffer.read_words(at)
            is_datatype = (word & _BYTE) == _DATATYPE
            key = key * _MULTIPLIER + np.where(is_datatype, word, word & _MESSAGE_HEAD)
            size = ((word >> np.uint64(8)) & np.uint64(0xFFFF)).astype(np.int64)
            at = np.minimum(at + 4 + size, stop)
        return (key * _MULTIPLIER >> np.uint64(48)).astype(np.uint16)

    def _read_alike(
        self, key: tuple[bool, int], places: Places, owner: Places, length: Places
    ) -> None:
        """Parse pieces that are likely to have one shape: by those that are known, or a new one."""
        known = iter(_shapes.get(key, ()))
        while len(places):
            shape = next(known, None) or self._learn(key, places[0], owner[0], length[0])
            if shape is None:
                self._buffer.reject(owner[:1])
                left = owner != owner[0]
            else:
                rows = self._buffer.read(places, 8 * len(shape.words) + 8)
                differs = rows.view("<u8")[:, :-1] ^ shape.words
                differs &= shape.mask
                is_other = length != shape.length
                if not differs.any() and not is_other.any():
                    self._take(shape, rows, owner)
                    return
                left = differs.any(axis=1) | is_other
                self._take(shape, rows[~left], owner[~left])
            places, owner, length = places[left], owner[left], length[left]

    def _learn(self, key: tuple[bool, int], place: int, owner: int, length: int) -> Shape | None:
        """Parse one piece by itself, and remember what it was like."""
        self._learned[owner] += 1
        if self._learned[owner] > LEARNED_MAX:
            return None
        shape = parse_piece(self._buffer.slice(int(place), int(length)), is_first=key[0])
        if shape is not None:
            if sum(len(one) for one in _shapes.values()) >= SHAPES_MAX:
                _shapes.clear()
            _shapes.setdefault(key, []).append(shape)
        return shape

    def _take(self, shape: Shape, rows: Bytes, owner: Places) -> None:
        """Note what pieces of one shape lead to."""
        for at, width in shape.links:
            self._targets.append((read_field(rows, (at + width, 8)), owner))
            if self._is_root:
                self._names.append((cut_names(read_field(rows, (at, 8)), width), owner))
        for at in shape.continuations:
            address, length = read_field(rows, (at, 8)), read_field(rows, (at + 8, 8))
            self._continuations.append((address, length, owner))
        for at in shape.dense:
            heap, tree = read_field(rows, (at, 8)), read_field(rows, (at + 8, 8))
            is_there = (heap & tree) != _UNDEFINED
            if is_there.any():
                self._dense.append((heap[is_there], tree[is_there], owner[is_there]))
        if shape.extents is not None:
            self._take_extents(shape.extents, rows, owner)
        if self._is_root:
            for one in shape.attributes:
                self._take_attribute(one, rows, owner.tolist())

    def _take_attribute(self, one: Attribute, rows: Bytes, owner: Sequence[int]) -> None:
        at, width = one.where
        if one.is_text:
            # As bytes of numpy's they end before the zeros that they are padded with.
            texts = np.ascontiguousarray(rows[:, at : at + width]).view(f"S{width}")
            values = texts[:, 0].tolist()
        else:
            values = read_field(rows, one.where).tolist()
        told = self.told[one.name]
        for file, value in zip(owner, values, strict=True):
            if told[file] is not None:  # the library believes the first, others may not
                self._buffer.is_known[file] = False
            told[file] = value

    def _take_extents(self, extents: Extents, rows: Bytes, owner: Places) -> None:
        buffer = self._buffer
        element = read_field(rows, extents.element) if extents.element else extents.element_bytes
        total = _multiply(rows, extents.dimensions) * element
        self._logical_bytes += np.bincount(owner, total, len(self._logical_bytes))
        address = read_field(rows, (extents.address, 8))
        if not extents.chunk:
            buffer.reject(owner[total > 0])
            return
        chunk_bytes = _multiply(rows, extents.chunk)
        is_fine = (chunk_bytes > 0) & (chunk_bytes <= CHUNK_BYTES_MAX)
        is_fine &= read_field(rows, extents.chunk[-1]) == element
        buffer.reject(owner[~is_fine])
        is_summed, is_filtered = FLETCHER32 in extents.filters, bool(extents.filters)
        if extents.is_growing:
            check_growing(
                buffer, address, chunk_bytes, owner, is_filtered=is_filtered, is_summed=is_summed
            )
        elif extents.stored is not None:
            stored = read_field(rows, extents.stored)
            check_stored(buffer, address, stored, owner, is_summed=is_summed)


def _multiply(rows: Bytes, factors: Sequence[Field]) -> NDArray[np.float64]:
    """Return products, not exact above 2**53 but never turned over."""
    total = np.ones(len(rows))
    for one in factors:
        total *= read_field(rows, one)
    return total


def _join(parts: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(np.concatenate(one) for one in zip(*parts, strict=True))
