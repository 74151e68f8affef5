"""From arrays to WAV files."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np

from hpctrack.agents.encode.request import Array, Request
from hpctrack.client.media.sound import CHANNELS_MAX, RATE_MAX_HZ
from hpctrack.errors import ProtocolError

_TOP = 32767
"""Full scale of 16 bits."""


def encode_samples(request: Request) -> tuple[bytes, str, dict[str, Any]]:
    """Make a WAV file; return its bytes, its format, and what to add to ``meta``.

    Floats become 16 bits, 8 and 16 bits stay; wider integers become 32 bits unless all of them fit
    16: as 32 bits they would be too quiet to be heard.
    """
    array, order = request.array(), request.order
    if order == "N" and array.ndim == 1:
        array = array[:, None]
    elif order == "CN" and array.ndim == 2:  # noqa: PLR2004 - by channel
        array = array.T
    elif order != "NC" or array.ndim != 2:  # noqa: PLR2004 - by channel
        raise ProtocolError(f"a sound has the shape {array.shape}, order {order:.8}")
    count, channels = array.shape
    if not count or not 0 < channels <= CHANNELS_MAX:
        raise ProtocolError(f"a sound has {count} samples in {channels} channels")
    rate = int(request.number("sample_rate", 1, RATE_MAX_HZ))
    samples, extra = _to_integers(array)
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(samples.dtype.itemsize)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(samples).tobytes())
    extra |= {"channels": channels, "duration_s": count / rate}
    return stream.getvalue(), "wav", extra


def _to_integers(array: Array) -> tuple[Array, dict[str, Any]]:
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            clipped = int((np.abs(array) > 1).sum())
        kept = np.nan_to_num(array.astype(np.float64), nan=0.0, posinf=1.0, neginf=-1.0)
        samples = np.rint(np.clip(kept, -1, 1) * _TOP).astype("<i2")
        return samples, {"clipped": clipped} if clipped else {}
    if array.dtype == np.uint8:
        return array, {}  # 8-bit WAV is unsigned
    if array.dtype.itemsize == 2 and array.dtype.kind == "i":  # noqa: PLR2004 - 16 bits
        return array.astype("<i2"), {}
    if array.dtype == np.int8 or array.dtype.kind == "b":
        return array.astype("<i2") * np.int16(256), {}
    if _fits(array, np.iinfo(np.int16)):
        return array.astype("<i2"), {}
    limits = np.iinfo(np.int32)
    outside = int(((array < limits.min) | (array > limits.max)).sum())
    samples = np.clip(array, limits.min, limits.max).astype("<i4")
    return samples, {"clipped": outside} if outside else {}


def _fits(array: Array, limits: np.iinfo[Any]) -> bool:
    return bool(array.min() >= limits.min and array.max() <= limits.max)
