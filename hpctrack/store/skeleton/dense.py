"""Groups of many members: their links lie in a fractal heap, and a B-tree tells where.

Not the heap is searched for links but the tree is followed, as the library does: a record of the
tree may lead into the middle of what looks like another link.

Written from the HDF5 File Format Specification, version 3.0, sections III.A.2 and III.G.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpctrack.store.skeleton.buffer import (
    Buffer,
    Bytes,
    Mask,
    Places,
    Words,
    matches,
    read_field,
)

_HEAP_BYTES, _TREE_BYTES = 146, 38
_HEAP_HEAD = b"FRHP\0\7\0\0\0"
"""Version 0, places of 7 bytes, no filters; then flags."""
_HEAP_MAX = (4096).to_bytes(4, "little")
"""Longest thing in it: it decides how lengths are written."""
_HEAP_SIZES = b"\4\0" + (512).to_bytes(8, "little") + (65536).to_bytes(8, "little") + b"\x20\0"
"""Four blocks in a row, the first ones of 512 bytes, none larger than 64 KiB, at most 4 GiB."""
_TREE_HEAD = b"BTHD\0\5" + (512).to_bytes(4, "little") + b"\x0b\0"
"""Version 0, links by name, nodes of 512 bytes, records of 11."""

_NODE_BYTES, _RECORD_BYTES, _POINTER_BYTES = 512, 11, 9
_NODE_HEAD_BYTES = 6
_RECORDS_MAX = 45
_LEAF_HEAD, _INNER_HEAD = b"BTLF\0\5", b"BTIN\0\5"

_ROW_BLOCKS = 4
_ROW_SIZES = np.array([512, 512, *(512 << row for row in range(1, 8))], np.int64)
_ROW_STARTS = np.cumsum(_ROW_BLOCKS * _ROW_SIZES) - _ROW_BLOCKS * _ROW_SIZES
_INDIRECT_HEAD_BYTES = 17
_LINK_HEAD_BYTES = 3
_ADDRESS_MAX = np.uint64(2**62)


def find_targets(
    buffer: Buffer, heap: Words, tree: Words, owner: Places
) -> tuple[Words, Places, Places, Places]:
    """Return where the links of dense groups lead.

    Parameters
    ----------
    buffer : Buffer
    heap, tree : ndarray of uint64
        Addresses, as the groups have them.
    owner : ndarray of int64
        Which file each group is in; files with what is not understood are rejected.

    Returns
    -------
    targets : ndarray of uint64
        Addresses of objects.
    owner : ndarray of int64
        Their files.
    places, lengths : ndarray of int64
        Where in the buffer their names are.
    """
    return _DenseGroups(buffer, heap, tree, owner).find_targets()


class _DenseGroups:
    def __init__(self, buffer: Buffer, heap: Words, tree: Words, owner: Places) -> None:
        self._buffer = buffer
        self._heap = heap
        self._tree = tree
        self._owner = owner
        self._told = np.zeros(len(tree), np.uint64)

    def find_targets(self) -> tuple[Words, Places, Places, Places]:
        buffer = self._buffer
        places, length, group = self._find_links(*self._find_blocks(*self._read_records()))
        head = buffer.read(places, 8)
        names = head[:, 2].astype(np.int64)
        is_plain = (head[:, 0] == 1) & (head[:, 1] == 0) & (length == _LINK_HEAD_BYTES + names + 8)
        self._reject(group[~is_plain])
        places, names = places[is_plain] + _LINK_HEAD_BYTES, names[is_plain]
        owner = self._owner[group[is_plain]]
        return buffer.read_words(places + names), owner, places, names

    def _reject(self, group: Places) -> None:
        self._buffer.reject(self._owner[group])

    def _locate(
        self, address: Words, group: Places, length: int | Places, *others: Any
    ) -> tuple[Any, ...]:
        """Return places of what is inside of its file; see `Buffer.locate`."""
        owner = self._owner[group]
        places, _owner, *rest = self._buffer.locate(address, owner, length, group, *others)
        return places, *rest

    def _read_records(self) -> tuple[Bytes, Places]:
        """Return all records of all trees, and their groups."""
        places, count, group = self._find_nodes()
        # Groups of ours have trees of their own; those of others could share one large one.
        size = self._buffer.size
        # The library makes room for as many as the tree says that it has, and does not look again.
        is_told = self._told == np.bincount(group, count, len(self._tree)).astype(np.uint64)
        self._reject(np.flatnonzero(~is_told))
        together = _RECORD_BYTES * np.bincount(self._owner[group], count, len(size))
        self._buffer.reject(np.flatnonzero(together > size))
        known = self._buffer.is_known[self._owner[group]]
        places, count, group = places[known], count[known], group[known]
        which, number = _spread(count)
        records = self._buffer.read(places[which] + _RECORD_BYTES * number, _RECORD_BYTES)
        return records, group[which]

    def _find_nodes(self) -> tuple[Places, Places, Places]:
        """Return where the records of each node begin, how many there are, and the group."""
        places, group = self._locate(self._tree, np.arange(len(self._tree)), _TREE_BYTES)
        head = self._buffer.read(places, _TREE_BYTES)
        self._told[group] = read_field(head, (26, 8))
        depth, count, root = _number(head, 12, 2), _number(head, 24, 2), read_field(head, (16, 8))
        is_fine = matches(head, 0, _TREE_HEAD) & (depth <= 1) & (count <= _RECORDS_MAX)
        is_fine &= (count > 0) | (depth == 0)
        self._reject(group[~is_fine])
        leaf, inner = (np.flatnonzero(is_fine & (depth == one) & (count > 0)) for one in (0, 1))
        leaves = self._check_nodes(_LEAF_HEAD, root[leaf], group[leaf], count[leaf])
        inners = self._check_nodes(_INNER_HEAD, root[inner], group[inner], count[inner])
        below = self._find_children(*inners)
        places, count, group = (
            np.concatenate(one) for one in zip(leaves, inners, below, strict=True)
        )
        return places, count, group

    def _check_nodes(
        self, mark: bytes, address: Words, group: Places, count: Places
    ) -> tuple[Places, Places, Places]:
        places, group, count = self._locate(address, group, _NODE_BYTES, count)
        is_fine = matches(self._buffer.read(places, 8), 0, mark)
        self._reject(group[~is_fine])
        return places[is_fine] + _NODE_HEAD_BYTES, count[is_fine], group[is_fine]

    def _find_children(
        self, places: Places, count: Places, group: Places
    ) -> tuple[Places, Places, Places]:
        which, number = _spread(count + 1)
        places = places[which] + _RECORD_BYTES * count[which] + _POINTER_BYTES * number
        pointers = self._buffer.read(places, 16)
        group, counts = group[which], pointers[:, 8].astype(np.int64)
        is_fine = (counts > 0) & (counts <= _RECORDS_MAX)
        self._reject(group[~is_fine])
        address = read_field(pointers, (0, 8))[is_fine]
        return self._check_nodes(_LEAF_HEAD, address, group[is_fine], counts[is_fine])

    def _find_blocks(self, records: Bytes, group: Places) -> tuple[Words, Places, Places, Places]:
        """Return addresses of blocks; where in them links are, their lengths, and the groups."""
        rows, root, is_heap = self._read_heaps()
        offset, length = _number(records, 5, 4), _number(records, 9, 2)
        row = np.searchsorted(_ROW_STARTS, offset, "right") - 1
        column = (offset - _ROW_STARTS[row]) // _ROW_SIZES[row]
        begin = _ROW_STARTS[row] + column * _ROW_SIZES[row]
        # A heap without rows is one block, the first one.
        is_one = rows[group] == 0
        is_fine = is_heap[group] & (records[:, 4] == 0) & (length > _LINK_HEAD_BYTES + 8)
        is_fine &= offset + length <= begin + _ROW_SIZES[row]
        is_fine &= np.where(is_one, begin == 0, (row < rows[group]) & (column < _ROW_BLOCKS))
        self._reject(group[~is_fine])
        group, length, within = group[is_fine], length[is_fine], (offset - begin)[is_fine]
        entry = _INDIRECT_HEAD_BYTES + 8 * (_ROW_BLOCKS * row + column)[is_fine]
        entry[is_one[is_fine]] = 0
        places, group, entry, within, length = self._locate(
            root[group], group, entry + 8, entry, within, length
        )
        is_one = entry == 0
        is_fine = is_one | matches(self._buffer.read(places, 8), 0, b"FHIB\0")
        address = np.where(is_one, root[group], self._buffer.read_words(places + entry))
        # What is not there is at the highest address: adding to it would come round.
        is_fine &= address < _ADDRESS_MAX
        self._reject(group[~is_fine])
        return address[is_fine], within[is_fine], length[is_fine], group[is_fine]

    def _read_heaps(self) -> tuple[Places, Words, Mask]:
        """Return rows and root of each group's heap, and whether it is one."""
        count = len(self._heap)
        places, group = self._locate(self._heap, np.arange(count), _HEAP_BYTES)
        head = np.zeros((count, _HEAP_BYTES), np.uint8)
        head[group] = self._buffer.read(places, _HEAP_BYTES)
        rows = _number(head, 140, 2)
        is_heap = matches(head, 0, _HEAP_HEAD) & matches(head, 10, _HEAP_MAX)
        is_heap &= matches(head, 110, _HEAP_SIZES)
        return rows, read_field(head, (132, 8)), is_heap & (rows <= len(_ROW_SIZES))

    def _find_links(
        self, address: Words, within: Places, length: Places, group: Places
    ) -> tuple[Places, Places, Places]:
        places, group, length = self._locate(
            address + within.astype(np.uint64), group, length, length
        )
        return places, length, group


def _number(rows: Bytes, start: int, width: int) -> Places:
    part = np.ascontiguousarray(rows[:, start : start + width])
    return part.view(f"<u{width}")[:, 0].astype(np.int64)


def _spread(count: Places) -> tuple[Places, Places]:
    """Return for each of so many entries whose it is, and its number there."""
    which = np.repeat(np.arange(len(count)), count)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
