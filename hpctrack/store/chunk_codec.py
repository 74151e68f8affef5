"""Making the bytes of a compressed HDF5 chunk, three times faster than HDF5 makes them.

The chunk is what HDF5 itself would read: shuffled, one zlib stream, a Fletcher-32 checksum. Only
the way there is shorter. Shuffled floating-point numbers are a few planes that compress well and
several that are noise, on which deflate spends nearly all its time to gain nothing. Here the noisy
planes become stored blocks of the same zlib stream. Measured on 10^6 noisy doubles: 25 instead of
124 ns per number written, 6.4 instead of 6.5 bytes, and reading is quicker too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRIAL_BYTES = 4096
"""So much of a plane is compressed to find out whether it is noise."""

LONG_TRIAL_BYTES = 16384
"""So much to choose how: repetitions show only over some distance."""

NOISE_RATIO = 0.98
"""A plane whose trial does not get smaller than this is stored as it is."""

LIKENESS_MAX = 1.25
"""A plane whose bytes are more unevenly distributed than this is no noise; noise has 1.06."""

RLE_RATIO = 0.9
"""Run lengths and Huffman codes alone, which suit exponents and leading digits of noisy numbers,
must be this much smaller in the trial: measured 0.8 to 0.9 there, and above 1 elsewhere."""

RLE_TRIAL = (0.2, 0.7)
"""Planes that compress less or more than this in the trial are not worth a second one."""

REPEAT_RATIO = 0.9
"""Fewer distinct numbers than this, relative to distinct ones expected: some of them repeat."""

_ZLIB_HEAD = b"\x78\x01"
_FINAL_BLOCK = b"\x03\x00"
_STORED_MAX = 65535
_SMALL_BYTES = 4096
_STORED = -1

Bytes = NDArray[np.uint8]


def encode_chunk(values: NDArray[Any]) -> bytes:
    """Return a chunk as the filters shuffle, deflate and Fletcher-32 would leave it.

    Parameters
    ----------
    values : ndarray
        A whole chunk, of any packed type and shape.

    Returns
    -------
    bytes
        For ``write_direct_chunk`` of a dataset with these three filters, in this order.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    size_bytes = flat.dtype.itemsize
    planes = np.ascontiguousarray(flat.view(np.uint8).reshape(-1, size_bytes).T)
    if planes.size <= _SMALL_BYTES or _has_repeats(flat):
        packed = zlib.compress(planes.data, 1)
    else:
        packed = _deflate_planes(planes)
    return packed + struct.pack("<I", fletcher32(packed))


def _deflate_planes(planes: Bytes) -> bytes:
    parts = [_ZLIB_HEAD]
    for strategy, first, last in _iter_segments([_choose(plane) for plane in planes]):
        data = planes[first:last].reshape(-1)
        parts.extend(_store(data) if strategy == _STORED else [_squeeze(data, strategy)])
    parts += [_FINAL_BLOCK, struct.pack(">I", zlib.adler32(planes.data))]
    return b"".join(parts)


def _iter_segments(strategies: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield neighbouring planes that are treated alike: how, first, and one after the last."""
    first = 0
    for last in range(1, len(strategies) + 1):
        if last == len(strategies) or strategies[last] != strategies[first]:
            yield strategies[first], first, last
            first = last


def _choose(plane: Bytes) -> int:
    """Return zlib's strategy for a plane, or that it is noise."""
    trial = _middle(plane, TRIAL_BYTES)
    if (trial == trial[0]).all():
        return zlib.Z_DEFAULT_STRATEGY
    ratio = len(_squeeze(trial, zlib.Z_DEFAULT_STRATEGY)) / len(trial)
    if ratio > NOISE_RATIO and _likeness(trial) < LIKENESS_MAX:
        return _STORED
    if not RLE_TRIAL[0] < ratio < RLE_TRIAL[1]:
        return zlib.Z_DEFAULT_STRATEGY
    trial = _middle(plane, LONG_TRIAL_BYTES)
    by_runs, plain = (len(_squeeze(trial, one)) for one in (zlib.Z_RLE, zlib.Z_DEFAULT_STRATEGY))
    return zlib.Z_RLE if by_runs < RLE_RATIO * plain else zlib.Z_DEFAULT_STRATEGY


def _likeness(data: Bytes) -> float:
    """Return 256 times the chance that two bytes are alike: 1 + 256 / length for even noise."""
    counts = np.bincount(data, minlength=256)
    return 256 * float((counts * counts).sum()) / len(data) ** 2


def _middle(data: Bytes, size: int) -> Bytes:
    start = max(0, (len(data) - size) // 2)
    return data[start : start + size]


def _has_repeats(flat: NDArray[Any]) -> bool:
    """Tell whether numbers occur again, as on ranks that all log the same reduced loss.

    Then even noise compresses, over distances that a trial does not see.
    """
    if flat.dtype.itemsize != np.dtype(np.uint64).itemsize:
        return False
    slots = flat.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = len(flat).bit_length() + 1
    seen = np.zeros(1 << bits, bool)
    seen[slots >> np.uint64(64 - bits)] = True
    expected = (1 << bits) * -np.expm1(-len(flat) / (1 << bits))
    return bool(np.count_nonzero(seen) < REPEAT_RATIO * expected)


def _squeeze(data: Bytes, strategy: int) -> bytes:
    """Return deflate blocks that end at a whole byte and are not the last."""
    machine = zlib.compressobj(1, zlib.DEFLATED, -15, 9, strategy)
    return machine.compress(data.data) + machine.flush(zlib.Z_SYNC_FLUSH)


def _store(data: Bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _STORED_MAX):
        piece = data[start : start + _STORED_MAX]
        yield struct.pack("<BHH", 0, len(piece), len(piece) ^ 0xFFFF)
        yield piece.tobytes()


def fletcher32(data: bytes) -> int:
    """Return HDF5's checksum: two sums of big-endian 16-bit words, modulo 65535.

    References
    ----------
    HDF5 file format specification, the Fletcher-32 filter; J. Fletcher, An Arithmetic Checksum
    for Serial Transmissions, IEEE Trans. Comm. 30 (1982).
    """
    words = np.frombuffer(data if len(data) % 2 == 0 else data + b"\0", ">u2")
    first = second = 0
    for start in range(0, len(words), _STORED_MAX):
        part = words[start : start + _STORED_MAX]
        # Exact: at most 65535 words of 16 bits with 16-bit weights, below 2**53. Not `@`, which
        # would wake the threads of a BLAS library: they spin on cores that the job needs.
        weighted = np.einsum("i,i->", part, _falling(len(part)), dtype=np.float64)
        second += len(part) * first + int(weighted)
        first += int(part.sum(dtype=np.uint64))
    return _fold(second) << 16 | _fold(first)


@lru_cache(maxsize=4)
def _falling(count: int) -> NDArray[np.float64]:
    return np.arange(count, 0, -1, dtype=np.float64)


def _fold(total: int) -> int:
    """Reduce as end-around carries do: a multiple of 65535 becomes 65535, only zero stays zero."""
    return (total - 1) % _STORED_MAX + 1 if total else 0
