"""Where chunks of datasets lie, and how long they are in the file.

The library crashes on a chunk that is too short for the checksum at its end (tried, HDF5 2.0).

Written from the HDF5 File Format Specification, version 3.0, sections IV.A.2.i and VII.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpctrack.store.skeleton.buffer import Buffer, Places, Words, matches, read_field

CHECKSUM_BYTES = 4

_UNDEFINED = np.uint64(2**64 - 1)
_HEAD_BYTES = 72
_PLAIN_HEAD, _FILTERED_HEAD = b"EAHD\0\0", b"EAHD\0\1"
_SIZES = b"\x20\4\x10\4\x0a"
"""At most 2**32 chunks; the first four are in the index itself, and ours have no others."""
_NO_BLOCKS = bytes(32)
_INDEX_HEAD_BYTES = 14
_INDEX_CHUNKS = 4
_INDEX_BLOCKS_BYTES = 8 * 31


def check_stored(
    buffer: Buffer, address: Words, stored: Words, owner: Places, *, is_summed: bool
) -> None:
    """Reject files with chunks that are not inside of them, or too short.

    Parameters
    ----------
    buffer : Buffer
    address, stored : ndarray of uint64
        Of each chunk; it may be nowhere.
    owner : ndarray of int64
        Its file.
    is_summed : bool
        It ends with a checksum.
    """
    size = buffer.size[owner].astype(np.uint64)
    is_there = address != _UNDEFINED
    is_inside = (stored <= size) & (address <= size - np.minimum(stored, size))
    is_long = stored > np.uint64(CHECKSUM_BYTES if is_summed else 0)
    buffer.reject(owner[is_there & ~(is_inside & is_long)])


def check_growing(
    buffer: Buffer,
    address: Words,
    chunk_bytes: NDArray[np.float64],
    owner: Places,
    *,
    is_filtered: bool,
    is_summed: bool,
) -> None:
    """Look at the indexes of datasets that could have grown: extensible arrays.

    Parameters
    ----------
    buffer : Buffer
    address : ndarray of uint64
        Of each index; it may be nowhere.
    chunk_bytes : ndarray of float64
        What a chunk of each holds.
    owner : ndarray of int64
        Its file.
    is_filtered, is_summed : bool
        Chunks are packed; they end with a checksum.
    """
    is_there = address != _UNDEFINED
    places, owner, chunk_bytes = buffer.locate(
        address[is_there], owner[is_there], _HEAD_BYTES, chunk_bytes[is_there]
    )
    head = buffer.read(places, _HEAD_BYTES)
    # A length is written in one byte more than the chunk's would need.
    width = np.ones(len(owner), np.int64) + (np.frexp(chunk_bytes)[1] + 7) // 8
    entry_bytes = 8 + (np.minimum(width, 8) + 4) * is_filtered
    expected = _FILTERED_HEAD if is_filtered else _PLAIN_HEAD
    is_fine = matches(head, 0, expected) & (head[:, 6] == entry_bytes)
    is_fine &= matches(head, 7, _SIZES) & matches(head, 12, _NO_BLOCKS)
    is_fine &= read_field(head, (44, 8)) <= np.uint64(_INDEX_CHUNKS)
    buffer.reject(owner[~is_fine])
    index = read_field(head, (60, 8))
    is_fine &= index != _UNDEFINED
    for entry in np.unique(entry_bytes[is_fine]).tolist():
        which = is_fine & (entry_bytes == entry)
        _check_index(
            buffer, index[which], chunk_bytes[which], owner[which], entry, is_summed=is_summed
        )


def _check_index(
    buffer: Buffer,
    index: Words,
    chunk_bytes: NDArray[np.float64],
    owner: Places,
    entry_bytes: int,
    *,
    is_summed: bool,
) -> None:
    blocks = _INDEX_HEAD_BYTES + _INDEX_CHUNKS * entry_bytes
    length = blocks + _INDEX_BLOCKS_BYTES + CHECKSUM_BYTES
    places, owner, chunk_bytes = buffer.locate(index, owner, length, chunk_bytes)
    rows = buffer.read(places, length + 8)
    is_fine = matches(rows, 0, b"EAIB\0")
    is_fine &= matches(rows, blocks, b"\xff" * _INDEX_BLOCKS_BYTES)
    buffer.reject(owner[~is_fine])
    for number in range(_INDEX_CHUNKS):
        at = _INDEX_HEAD_BYTES + number * entry_bytes
        width = entry_bytes - 12
        stored = read_field(rows, (at + 8, width)) if width > 0 else chunk_bytes.astype(np.uint64)
        check_stored(buffer, read_field(rows, (at, 8)), stored, owner, is_summed=is_summed)
