"""Frames compressed together, where that is quicker than to send them as they are.

Small sealed files are much alike, and a pack of them is a tenth of their size; media are compressed
already, and a network inside one building is faster than any compressor. So both rates are
measured, all the time, and the choice is made anew for each pack.
"""

from __future__ import annotations

import contextlib
import struct
from enum import StrEnum
from typing import Any

from hpctrack.errors import ProtocolError

zstandard: Any = None
with contextlib.suppress(ImportError):  # an extra: without it packs are neither made nor read
    import zstandard

ZSTD = "zstd"
_LEVEL = 1
"""0.6 GB/s at a ratio of 8 on metric data were measured; 3 takes twice the time for 5 % less."""

_RAW_BYTES = struct.Struct("<I")

_FIRST_LINK_BYTES_S = 100e6
"""What a link is taken for before anything was sent: then the first pack is compressed."""

_WORTH_IT = 0.95
"""Compressing has to win by this, because it takes a core from somebody."""

_SAMPLE_BYTES = 64 * 1024
_LOOK_AGAIN_PACKS = 16
"""So often a sample is compressed while packs are sent as they are: what comes may have changed."""

_NEW_WEIGHT = 0.3
"""Of the latest measurement against all before."""


class Compress(StrEnum):
    """Whether to compress."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


def can_pack() -> bool:
    """Tell whether packs can be made and read here."""
    return zstandard is not None


def pack(data: bytes) -> bytes:
    """Return the body of a PACKED frame that holds these frames."""
    packed: bytes = _compressor().compress(data)
    return _RAW_BYTES.pack(len(data)) + packed


def unpack(body: memoryview, *, max_bytes: int) -> bytes:
    """Return the frames of a PACKED frame.

    Raises
    ------
    ProtocolError
        It is damaged, or holds more than it says or may.
    """
    if zstandard is None or len(body) < _RAW_BYTES.size:
        raise ProtocolError("a pack came that cannot be read here")
    (raw_bytes,) = _RAW_BYTES.unpack_from(body)
    if raw_bytes > max_bytes:
        raise ProtocolError(f"a pack announces {raw_bytes} bytes, at most {max_bytes} are allowed")
    # Never more than was announced, whatever the frame inside says: a bomb ends here.
    reader = zstandard.ZstdDecompressor(max_window_size=_window(max_bytes)).stream_reader(
        bytes(body[_RAW_BYTES.size :]), read_across_frames=False
    )
    try:
        data = reader.read(raw_bytes + 1)
    except (zstandard.ZstdError, MemoryError):
        raise ProtocolError("a pack is damaged") from None
    if len(data) != raw_bytes:
        raise ProtocolError("a pack does not hold what it says")
    return bytes(data)


class Chooser:
    """Decides for each pack whether to compress it.

    Parameters
    ----------
    mode : Compress
        AUTO measures.
    """

    def __init__(self, mode: Compress = Compress.AUTO) -> None:
        self._mode = mode if can_pack() else Compress.OFF
        self._link_bytes_s = _FIRST_LINK_BYTES_S
        self._packed_bytes_s = 0.0
        self._ratio = 0.0
        self._packs_since_look = 0

    def should_pack(self) -> bool:
        """Tell whether the next pack is to be compressed."""
        if self._mode != Compress.AUTO:
            return self._mode == Compress.ON
        if not self._packed_bytes_s:
            return True
        plain_s = 1 / self._link_bytes_s
        return 1 / self._packed_bytes_s + self._ratio / self._link_bytes_s < _WORTH_IT * plain_s

    def find_sample(self, data: bytes) -> bytes | None:
        """Return what to compress only to see how that goes, now and then."""
        self._packs_since_look += 1
        if self._mode != Compress.AUTO or self._packs_since_look < _LOOK_AGAIN_PACKS:
            return None
        self._packs_since_look = 0
        middle = len(data) // 2
        return data[middle : middle + _SAMPLE_BYTES] or None

    def note_packing(self, raw_bytes: int, packed_bytes: int, duration_s: float) -> None:
        """Remember how compressing went."""
        self._packs_since_look = 0
        rate, ratio = raw_bytes / max(duration_s, 1e-6), packed_bytes / max(raw_bytes, 1)
        if not self._packed_bytes_s:
            self._packed_bytes_s, self._ratio = rate, ratio
        self._packed_bytes_s += _NEW_WEIGHT * (rate - self._packed_bytes_s)
        self._ratio += _NEW_WEIGHT * (ratio - self._ratio)

    def note_sending(self, sent_bytes: int, duration_s: float) -> None:
        """Remember how sending went; little vanishes in buffers and tells nothing."""
        if sent_bytes < _SAMPLE_BYTES:
            return
        rate = sent_bytes / max(duration_s, 1e-6)
        self._link_bytes_s += _NEW_WEIGHT * (min(rate, 10e9) - self._link_bytes_s)


def _compressor() -> Any:
    # One for each pack costs 20 us; it would have to be kept for each thread otherwise.
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)


def _window(max_bytes: int) -> int:
    """Return the power of two above a size, which is what windows are counted in."""
    return 1 << max(10, (max_bytes - 1).bit_length())
