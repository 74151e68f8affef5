"""Reading one piece of an object header: what is in it, and which of its bytes that depends on.

A sealed file has some two hundred such pieces, and all sealed files together a few dozen *shapes*
of them. So a piece is parsed here once; every other one that has the same bytes wherever this parse
looked is parsed by that: only its `Shape.free` bytes may differ, and no decision depends on those.

Written from the HDF5 File Format Specification, version 3.0, section IV.A. What is not in our
sealed files is not understood: `parse_piece` returns None for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hpctrack.store.skeleton.limits import is_our_pipeline

CHECKSUM_BYTES = 4
HEADER_MARK, PIECE_MARK = b"OHDR", b"OCHK"
UNDEFINED = b"\xff" * 8

FLAGS_SIZE, FLAGS_TIMES = 0x03, 0x20
TIMES_BYTES = 16
SIZE_BYTES_MAX = 2

RANK_MAX = 4
MEMBERS_MAX = 64
_MESSAGE_HEAD_BYTES = 4
_PLAIN_FLAGS = 0x05
"""Constant, and never shared; all other flags say that a message is elsewhere, or was not known."""

ROOT_NAMES = frozenset({b"kind", b"format", b"project", b"run"})

_INTEGER, _STRING, _COMPOUND = 0, 3, 6
_STRING_V1, _COMPOUND_V3 = 0x13, 0x36

_NUMBERS = (
    *(
        struct.pack("<BBHIHH", 0x10, sign, 0, size, 0, 8 * size)
        for sign in (0, 8)
        for size in (1, 2, 4, 8)
    ),
    struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, 31, 0, 4, 0, 32, 23, 8, 0, 23, 127),
    struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, 63, 0, 8, 0, 64, 52, 11, 0, 52, 1023),
)
"""Integers and IEEE's floating-point numbers, little-endian. HDF5 allows bits to lie anywhere, and
crashes on numbers made for that (tried, HDF5 2.0)."""
_CONTIGUOUS, _CHUNKED = 1, 2
_IS_FILTERED = 0x02

Field = tuple[int, int]
"""Where, and how many bytes."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A text or a number of the root.

    Parameters
    ----------
    name : bytes
    where : Field
    is_text : bool
    """

    name: bytes
    where: Field
    is_text: bool


@dataclass(frozen=True, slots=True)
class Extents:
    """How large a dataset is, and where its chunks are.

    Parameters
    ----------
    dimensions : tuple of Field
    element : Field or None
        Where the size of an element is, if it is not ``element_bytes`` in all of this shape.
    element_bytes : int
    chunk : tuple of Field
        Dimensions of a chunk, and the size of an element; empty where nothing is stored.
    filters : tuple of int
    address : int
        Where the address of the only chunk is, or, if it ``is_growing``, of their index.
    stored : Field or None
        Where the length of the only chunk is.
    """

    dimensions: tuple[Field, ...]
    element: Field | None
    element_bytes: int
    chunk: tuple[Field, ...]
    filters: tuple[int, ...]
    address: int
    stored: Field | None
    is_growing: bool


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What a piece of an object header means wherever its fixed bytes are the same.

    Parameters
    ----------
    length : int
        Of the piece, its checksum included.
    words, mask : ndarray of uint64
        Its bytes, and those of their bits that count.
    links : tuple of Field
        Names of links; behind each is the address of another object.
    continuations, dense : tuple of int
        Where address and length of a further piece, or addresses of a heap and its index, are.
    extents : Extents or None
        It is that of a dataset.
    attributes : tuple of Attribute
        Those of `ROOT_NAMES`.
    """

    length: int
    words: NDArray[np.uint64]
    mask: NDArray[np.uint64]
    links: tuple[Field, ...]
    continuations: tuple[int, ...]
    dense: tuple[int, ...]
    extents: Extents | None
    attributes: tuple[Attribute, ...]


class _NotUnderstoodError(Exception):
    """Ends the parse."""


def parse_piece(data: bytes, *, is_first: bool) -> Shape | None:
    """Parse a piece of an object header, or return None if it has anything that is not ours.

    Parameters
    ----------
    data : bytes
        The whole piece.
    is_first : bool
        It begins an object, else it continues one.
    """
    try:
        return _Parser(data, is_first=is_first).parse()
    except (_NotUnderstoodError, IndexError, ValueError):
        return None


@dataclass(slots=True)
class _Type:
    size: int
    group: int
    end: int


@dataclass(slots=True)
class _Space:
    dimensions: list[Field] = field(default_factory=list)
    count: int = 1


@dataclass(slots=True)
class _Layout:
    chunk: list[Field] = field(default_factory=list)
    address: int = 0
    stored: Field | None = None
    is_growing: bool = False


class _Parser:
    def __init__(self, data: bytes, *, is_first: bool) -> None:
        self._data = data
        self._is_first = is_first
        self._fixed = bytearray(b"\xff" * len(data))
        self._links: list[Field] = []
        self._continuations: list[int] = []
        self._dense: list[int] = []
        self._attributes: list[Attribute] = []
        self._space: _Space | None = None
        self._type: _Type | None = None
        self._element: Field | None = None
        self._layout: _Layout | None = None
        self._filters: tuple[int, ...] = ()
        self._once: set[int] = set()
        self._needed = 0

    def parse(self) -> Shape:
        start, stop = self._parse_head(), len(self._data) - CHECKSUM_BYTES
        _need(start <= stop)
        self._free(stop, CHECKSUM_BYTES)
        at = start
        while at + _MESSAGE_HEAD_BYTES <= stop:
            at = self._parse_message(at, stop)
        self._free(at, stop - at)
        return self._make_shape()

    def _parse_head(self) -> int:
        if not self._is_first:
            _need(self._data[:4] == PIECE_MARK)
            return 4
        flags = self._data[5]
        _need(self._data[:5] == HEADER_MARK + b"\2" and not flags & ~(FLAGS_SIZE | FLAGS_TIMES))
        at = 6
        if flags & FLAGS_TIMES:
            self._free(at, TIMES_BYTES)
            at += TIMES_BYTES
        width = 1 << (flags & FLAGS_SIZE)
        _need(width <= SIZE_BYTES_MAX)
        _need(at + width + self._number(at, width) + CHECKSUM_BYTES == len(self._data))
        return at + width

    def _parse_message(self, at: int, stop: int) -> int:
        kind, size, flags = self._data[at], self._number(at + 1, 2), self._data[at + 3]
        body = at + _MESSAGE_HEAD_BYTES
        _need(not flags & ~_PLAIN_FLAGS and body + size <= stop)
        handle = _HANDLERS.get(kind)
        if handle is None:
            raise _NotUnderstoodError
        handle(self, body, size)
        return body + size

    def _parse_nothing(self, at: int, size: int) -> None:
        self._free(at, size)

    def _parse_dataspace(self, at: int, size: int) -> None:
        self._take_once(0x01)
        self._space, end = self._read_space(at)
        _need(end == at + size)
        for where, width in self._space.dimensions:
            self._note(where, width)
        self._free(at + 4 + 8 * len(self._space.dimensions), size - 4 - 8 * self._data[at + 1])

    def _read_space(self, at: int) -> tuple[_Space, int]:
        version, rank, flags, kind = self._data[at : at + 4]
        _need(version == 2 and rank <= RANK_MAX and flags <= 1 and kind <= 1)  # noqa: PLR2004
        _need((kind == 1) == (rank > 0))
        space = _Space([(at + 4 + 8 * number, 8) for number in range(rank)])
        for where, width in space.dimensions:
            space.count *= self._number(where, width)
        return space, at + 4 + 8 * rank * (1 + flags)

    def _parse_datatype(self, at: int, size: int) -> None:
        self._take_once(0x03)
        self._type = self._read_type(at)
        _need(self._type.end == at + size)
        if self._type.group == _STRING:
            self._element = at + 4, 4
            self._note(*self._element)

    def _read_type(self, at: int, *, is_member: bool = False) -> _Type:
        head, size = self._data[at : at + 4], self._number(at + 4, 4)
        group = head[0] & 0x0F
        if group == _COMPOUND:
            _need(head[0] == _COMPOUND_V3 and not is_member)
            return _Type(size, group, self._read_members(at, size))
        if group == _STRING:
            # Padded with zeros or ended by one; ASCII or UTF-8.
            _need(head[0] == _STRING_V1 and not head[1] & ~0x11 and head[2:] == b"\0\0")
            return _Type(size, group, at + 8)
        for known in _NUMBERS:
            if self._data[at : at + len(known)] == known:
                return _Type(size, group, at + len(known))
        raise _NotUnderstoodError

    def _read_members(self, at: int, size: int) -> int:
        """Read numbers that lie one behind the other; return where their description ends."""
        count, total = self._number(at + 1, 2), 0
        _need(count <= MEMBERS_MAX and self._data[at + 3] == 0)
        width = max(1, (size.bit_length() + 7) // 8)
        at += 8
        for _member in range(count):
            end = self._data.find(b"\0", at)
            _need(end > at and self._data[at:end].isascii())
            _need(self._number(end + 1, width) == total)
            member = self._read_type(end + 1 + width, is_member=True)
            total += member.size
            at = member.end
        _need(total == size)
        return at

    def _parse_fill_value(self, at: int, size: int) -> None:
        has_value = 0x20
        version, flags = self._data[at : at + 2]
        _need(version == 3 and not flags & ~0x3F and not flags & 0x10)  # noqa: PLR2004
        if not flags & has_value:
            _need(size == 2)  # noqa: PLR2004
            return
        _need(size == 6 + self._number(at + 2, 4))
        self._free(at + 6, size - 6)

    def _parse_layout(self, at: int, size: int) -> None:
        self._take_once(0x08)
        version, kind = self._data[at : at + 2]
        _need(version == 4 or (version == 3 and kind != _CHUNKED))  # noqa: PLR2004
        if kind == _CONTIGUOUS:
            _need(size == 18)  # noqa: PLR2004
            self._layout = _Layout(address=at + 2)
            self._note(at + 2, 16)
        else:
            _need(kind == _CHUNKED)
            self._parse_chunks(at, size)

    def _parse_chunks(self, at: int, size: int) -> None:
        flags, rank, width = self._data[at + 2 : at + 5]
        end = at + 5 + width * rank
        _need(1 <= rank <= RANK_MAX + 1 and 1 <= width <= 8)  # noqa: PLR2004
        single, growing = b"\1", b"\4\x20\4\x04\x10\x0a"
        layout = _Layout([(at + 5 + width * number, width) for number in range(rank)])
        if flags == _IS_FILTERED:
            _need(self._data[end : end + 1] == single)
            # Its length, and the filters that were left out: none ever is.
            _need(self._data[end + 9 : end + 13] == bytes(4))
            layout.stored = end + 1, 8
            layout.address = end + 13
        else:
            _need(flags == 0 and self._data[end : end + len(growing)] == growing)
            layout.is_growing = True
            layout.address = end + len(growing)
        _need(layout.address + 8 == at + size)
        self._note(at + 5, width * rank)
        self._note(layout.address, 8)
        if layout.stored:
            self._note(*layout.stored)
        self._layout = layout

    def _parse_filters(self, at: int, size: int) -> None:
        self._take_once(0x0B)
        version, count = self._data[at : at + 2]
        _need(version == 2)  # noqa: PLR2004
        end, numbers = at + 2, []
        for _filter in range(count):
            numbers.append(self._number(end, 2))
            end += 6 + 4 * self._number(end + 4, 2)
        _need(end == at + size and is_our_pipeline(numbers))
        self._filters = tuple(numbers)

    def _parse_attribute(self, at: int, size: int) -> None:
        version, flags = self._data[at : at + 2]
        name_bytes, type_bytes, space_bytes = (self._number(at + 2 * n, 2) for n in (1, 2, 3))
        _need(version == 3 and not flags and self._data[at + 8] <= 1)  # noqa: PLR2004
        name = self._data[at + 9 : at + 9 + name_bytes]
        _need(name_bytes > 1 and name.find(b"\0") == name_bytes - 1)
        start = at + 9 + name_bytes
        found = self._read_type(start)
        _need(found.end == start + type_bytes)
        space, end = self._read_space(found.end)
        data_bytes = found.size * space.count
        _need(end == found.end + space_bytes and end + data_bytes == at + size)
        self._note(end, data_bytes)
        if name[:-1] in ROOT_NAMES:
            _need(found.group in {_INTEGER, _STRING} and found.size > 0 and space.count == 1)
            one = Attribute(name[:-1], (end, data_bytes), found.group == _STRING)
            self._attributes.append(one)

    def _parse_link_info(self, at: int, size: int) -> None:
        _need(size == 18 and self._data[at : at + 2] == b"\0\0")  # noqa: PLR2004
        self._dense.append(at + 2)
        self._note(at + 2, 16)

    def _parse_group_info(self, at: int, size: int) -> None:
        _need(size == 2 and self._data[at : at + 2] == b"\0\0")  # noqa: PLR2004

    def _parse_link(self, at: int, size: int) -> None:
        version, flags = self._data[at : at + 2]
        has_charset = 0x10
        _need(version == 1 and not flags & ~has_charset)
        name = at + 2 + bool(flags)
        name_bytes = self._data[name]
        _need(name_bytes > 0 and name + 1 + name_bytes + 8 == at + size)
        self._note(name + 1, name_bytes + 8)
        self._links.append((name + 1, name_bytes))

    def _parse_continuation(self, at: int, size: int) -> None:
        _need(size == 16)  # noqa: PLR2004
        self._note(at, size)
        self._continuations.append(at)

    def _parse_attribute_info(self, at: int, size: int) -> None:
        # Attributes in a heap of their own are not ours.
        _need(size == 18 and self._data[at : at + size] == b"\0\0" + 2 * UNDEFINED)  # noqa: PLR2004

    def _parse_count(self, at: int, size: int) -> None:
        _need(size == 5 and not self._data[at])  # noqa: PLR2004
        self._free(at + 1, 4)

    def _take_once(self, kind: int) -> None:
        """Note a message of which an object has one; all are in its first piece."""
        _need(self._is_first and kind not in self._once)
        self._once.add(kind)

    def _make_shape(self) -> Shape:
        mask = _make_words(self._fixed)
        # What nobody looks at ends most pieces: nobody has to fetch it.
        mask = mask[: max(int(np.flatnonzero(mask)[-1]) + 1, count_words(self._needed))]
        return Shape(
            length=len(self._data),
            words=_make_words(self._data)[: len(mask)] & mask,
            mask=mask,
            links=tuple(self._links),
            continuations=tuple(self._continuations),
            dense=tuple(self._dense),
            extents=self._find_extents(),
            attributes=tuple(self._attributes),
        )

    def _find_extents(self) -> Extents | None:
        if self._space is None and self._type is None and self._layout is None:
            return None
        if self._space is None or self._type is None or self._layout is None:
            raise _NotUnderstoodError
        # The library believes the filters, not the layout, whether there are any.
        _need(self._layout.stored is None or self._filters)
        return Extents(
            dimensions=tuple(self._space.dimensions),
            element=self._element,
            element_bytes=self._type.size,
            chunk=tuple(self._layout.chunk),
            filters=self._filters,
            address=self._layout.address,
            stored=self._layout.stored,
            is_growing=self._layout.is_growing,
        )

    def _free(self, start: int, count: int) -> None:
        _need(count >= 0 and start + count <= len(self._data))
        self._fixed[start : start + count] = bytes(count)

    def _note(self, start: int, count: int) -> None:
        """Free what will be looked at in each piece."""
        self._free(start, count)
        self._needed = max(self._needed, start + count)

    def _number(self, at: int, width: int) -> int:
        _need(at + width <= len(self._data))
        return int.from_bytes(self._data[at : at + width], "little")


def _need(condition: object) -> None:
    if not condition:
        raise _NotUnderstoodError


def count_words(length: int) -> int:
    """Return how many words of 8 bytes hold so many bytes."""
    return (length + 7) // 8


def _make_words(data: bytes | bytearray) -> NDArray[np.uint64]:
    return np.frombuffer(bytes(data).ljust(8 * count_words(len(data)), b"\0"), "<u8").copy()


_HANDLERS: dict[int, Callable[[_Parser, int, int], None]] = {
    0x00: _Parser._parse_nothing,  # noqa: SLF001 - its own table
    0x01: _Parser._parse_dataspace,  # noqa: SLF001
    0x02: _Parser._parse_link_info,  # noqa: SLF001
    0x03: _Parser._parse_datatype,  # noqa: SLF001
    0x05: _Parser._parse_fill_value,  # noqa: SLF001
    0x06: _Parser._parse_link,  # noqa: SLF001
    0x08: _Parser._parse_layout,  # noqa: SLF001
    0x0A: _Parser._parse_group_info,  # noqa: SLF001
    0x0B: _Parser._parse_filters,  # noqa: SLF001
    0x0C: _Parser._parse_attribute,  # noqa: SLF001
    0x10: _Parser._parse_continuation,  # noqa: SLF001
    0x15: _Parser._parse_attribute_info,  # noqa: SLF001
    0x16: _Parser._parse_count,  # noqa: SLF001
}
"""By type of message; every other one is not understood."""
