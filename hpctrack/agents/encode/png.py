"""Writing PNG, still and animated, with numpy and zlib.

References
----------
W3C, Portable Network Graphics (PNG) Specification, Third Edition, 2025: sections 9 (filters), 11
(chunks) and 12 (animation).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""Height x width x channels; 16 bits with one channel only."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels to PNG's number for gray, gray and alpha, RGB, RGBA."""

LEVEL = 4
"""Measured on a photograph: 31 MB/s against 21 with zlib's default, for 2 % more bytes."""

BAND_BYTES = 1024 * 1024
"""Rows are filtered in bands of this size, so that a large picture needs little more memory."""

_IDAT_BYTES = 1024 * 1024


def encode_png(pixels: Pixels) -> bytes:
    """Return a picture as a PNG file.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16, shape (h, w, c)
        1 to 4 channels.

    Notes
    -----
    Only the filters None, Sub and Up are used: a reader with nothing but numpy undoes them fast.
    """
    body = compress(pixels)
    pieces = [SIGNATURE, make_chunk(b"IHDR", _header(pixels))]
    pieces += [
        make_chunk(b"IDAT", body[start : start + _IDAT_BYTES])
        for start in range(0, len(body), _IDAT_BYTES)
    ]
    return b"".join([*pieces, make_chunk(b"IEND", b"")])


def encode_apng(frames: NDArray[np.uint8], fps: float) -> bytes:
    """Return pictures as an animated PNG that repeats for ever.

    Parameters
    ----------
    frames : ndarray of uint8, shape (t, h, w, c)
        At least one.
    fps : float
        Pictures per second, at most 1000.

    Notes
    -----
    Of each picture only the rectangle that differs from the one before is written.
    """
    pieces = [SIGNATURE, make_chunk(b"IHDR", _header(frames[0]))]
    pieces.append(make_chunk(b"acTL", struct.pack(">II", len(frames), 0)))
    delay = min(65535, max(1, round(1000 / fps)))
    number = 0
    for index, (top, left, part) in enumerate(_differences(frames)):
        height, width = part.shape[:2]
        control = struct.pack(">IIIIIHHBB", number, width, height, left, top, delay, 1000, 0, 0)
        pieces.append(make_chunk(b"fcTL", control))
        number += 1
        body = compress(part)
        if index == 0:
            pieces.append(make_chunk(b"IDAT", body))
        else:
            pieces.append(make_chunk(b"fdAT", struct.pack(">I", number) + body))
            number += 1
    return b"".join([*pieces, make_chunk(b"IEND", b"")])


def compress(pixels: Pixels) -> bytes:
    """Return the filtered and compressed rows of a picture."""
    height, _width, channels = pixels.shape
    step = channels * pixels.dtype.itemsize
    rows = pixels if pixels.dtype.itemsize == 1 else pixels.astype(">u2")
    flat = np.ascontiguousarray(rows).view(np.uint8).reshape(height, -1)
    band = max(1, BAND_BYTES // max(1, flat.shape[1]))
    packer = zlib.compressobj(LEVEL)
    pieces = []
    above = np.zeros(flat.shape[1], np.uint8)
    for start in range(0, height, band):
        some = flat[start : start + band]
        pieces.append(packer.compress(_filter(some, above, step)))
        above = some[-1]
    return b"".join([*pieces, packer.flush()])


def make_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk with its size and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _header(pixels: Pixels) -> bytes:
    height, width, channels = pixels.shape
    depth = 8 * pixels.dtype.itemsize
    return struct.pack(">IIBBBBB", width, height, depth, COLOUR_TYPES[channels], 0, 0, 0)


def _filter(rows: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> bytes:
    """Return rows with the filter of each that leaves the smallest differences."""
    count, width = rows.shape
    choices = np.zeros((3, count, width), np.uint8)
    choices[0] = rows
    choices[1] = rows
    choices[1, :, step:] -= rows[:, :-step]
    choices[2] = rows
    choices[2, 0] -= above
    choices[2, 1:] -= rows[:-1]
    # A difference of 255 is one of -1.
    costs = np.minimum(choices, np.negative(choices)).sum(axis=2, dtype=np.int64)
    best = costs.argmin(axis=0)
    out = np.empty((count, width + 1), np.uint8)
    out[:, 0] = best
    out[:, 1:] = np.take_along_axis(choices, best[None, :, None], axis=0)[0]
    return out.tobytes()


def _differences(frames: NDArray[Any]) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Yield of each frame where it differs from the one before: top, left, pixels."""
    yield 0, 0, frames[0]
    for before, frame in pairwise(frames):
        is_new = (before != frame).any(axis=2)
        rows, columns = np.flatnonzero(is_new.any(axis=1)), np.flatnonzero(is_new.any(axis=0))
        if not len(rows):
            yield 0, 0, frame[:1, :1]
            continue
        top, left = int(rows[0]), int(columns[0])
        yield top, left, frame[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
