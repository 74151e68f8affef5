"""How wide and high a picture in a file is, from its first bytes."""

from __future__ import annotations

import struct

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG segments that hold the size: all start-of-frame markers."""


def read_dimensions(data: memoryview | bytes, form: str) -> tuple[int, int] | None:
    """Return width and height, or None if they are not found.

    Parameters
    ----------
    data : bytes
        The file, from its beginning.
    form : str
        Its format.
    """
    try:
        if form == "png" and bytes(data[12:16]) == b"IHDR":
            return _pair(struct.unpack_from(">II", data, 16))
        if form == "gif":
            return _pair(struct.unpack_from("<HH", data, 6))
        if form == "bmp":
            width, height = struct.unpack_from("<ii", data, 18)
            return width, abs(height)
        if form == "webp":
            return _read_webp(data)
        if form == "jpg":
            return _read_jpeg(data)
    except (struct.error, IndexError):
        pass
    return None


def _pair(found: tuple[int, ...]) -> tuple[int, int]:
    return found[0], found[1]


def _read_webp(data: memoryview | bytes) -> tuple[int, int] | None:
    kind = bytes(data[12:16])
    if kind == b"VP8X":
        packed = bytes(data[24:30])
        return (
            int.from_bytes(packed[:3], "little") + 1,
            int.from_bytes(packed[3:], "little") + 1,
        )
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _read_jpeg(data: memoryview | bytes) -> tuple[int, int] | None:
    at = 2
    while data[at] == 0xFF:  # noqa: PLR2004 - a marker
        marker = data[at + 1]
        (size,) = struct.unpack_from(">H", data, at + 2)
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + size
    return None
