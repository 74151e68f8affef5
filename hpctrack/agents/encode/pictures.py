"""From arrays of any kind of number to pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.agents.encode.png import COLOUR_TYPES, encode_apng, encode_png
from hpctrack.agents.encode.request import Array, Request
from hpctrack.errors import ProtocolError

MAX_SIDE = 2**24
"""No viewer shows more, and PNG ends at 2**31."""

_BYTE_MAX = 255
_BAND_ELEMENTS = 1024 * 1024

Extra = dict[str, Any]


def encode_pixels(request: Request) -> tuple[bytes, str, Extra]:
    """Make a picture; return its bytes, their format, and what to add to ``meta``."""
    array = request.array()
    if array.ndim != 3 or 0 in array.shape or max(array.shape) > MAX_SIDE:  # noqa: PLR2004 - height, width, channels
        raise ProtocolError(f"a picture has the shape {array.shape}")
    if request.order == "CHW":
        array = array.transpose(1, 2, 0)
    pixels, extra = to_bytes(array)
    _check_channels(pixels)
    extra |= {"width": pixels.shape[1], "height": pixels.shape[0], "channels": pixels.shape[2]}
    if request.format != "png":
        body = _ask_pillow([pixels], request.format)
        if body is not None:
            return body, request.format, extra
    return encode_png(pixels), "png", extra


def encode_frames(request: Request) -> tuple[bytes, str, Extra]:
    """Make a moving picture; return its bytes, their format, and what to add to ``meta``."""
    array, order = request.array(), request.order
    if len(order) != array.ndim or 0 in array.shape or max(array.shape) > MAX_SIDE:
        raise ProtocolError(f"a video has the shape {array.shape}, order {order:.8}")
    if order == "NCHW":
        array = array.transpose(0, 2, 3, 1)
    elif order == "NHW":
        array = array[..., None]
    elif order != "NHWC":
        raise ProtocolError(f"the order {order:.8} is not known")
    frames, extra = to_bytes(array)
    _check_channels(frames)
    fps = request.number("fps", 1e-6, 1000.0)
    extra |= {"frames": len(frames), "width": frames.shape[2], "height": frames.shape[1]}
    if request.format != "apng":
        body = _ask_pillow(list(frames), request.format, fps=fps)
        if body is not None:
            return body, request.format, extra
    return encode_apng(frames, fps), "apng", extra


def encode_indices(request: Request) -> tuple[bytes, str, Extra]:
    """Make a gray picture whose values are class ids: 8 bits, or 16 if there are more."""
    array = request.array()
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind == "f":  # noqa: PLR2004 - height and width
        raise ProtocolError(f"a mask has the shape {array.shape} and type {array.dtype}")
    low, high = int(array.min()), int(array.max())
    extra: Extra = {}
    if low < 0 or high > 65535:  # noqa: PLR2004 - 16 bits
        extra["clipped"] = [low, high]
        array = np.clip(array, 0, 65535)
    layers = array[..., None]
    if high <= _BYTE_MAX:
        return encode_png(layers.astype(np.uint8)), "png", extra
    return encode_png(layers.astype(np.uint16)), "png", extra


def to_bytes(array: Array) -> tuple[NDArray[np.uint8], Extra]:
    """Return brightness between 0 and 255.

    uint8 stays; booleans become black and white. Values between 0 and 1, and floats between -1
    and 1, mean brightness; those between 0 and 255 are it. Everything else is scaled so that
    its extremes are black and white, and ``range`` says what they were. NaN is black.
    """
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return array, {}
    if kind == "b":
        return array.view(np.uint8) * np.uint8(_BYTE_MAX), {}
    low, high, extra = _extremes(array)
    if low >= 0 and high <= 1:
        return _scale(array, 0.0, 1.0), extra
    if kind == "f" and low >= -1 and high <= 1:
        return _scale(array, -1.0, 1.0), {**extra, "range": [-1.0, 1.0]}
    if low >= 0 and high <= _BYTE_MAX:
        return _scale(array, 0.0, 255.0), extra
    return _scale(array, low, high), {**extra, "range": [low, high]}


def _extremes(array: Array) -> tuple[float, float, Extra]:
    """Return the lowest and highest finite value."""
    if array.dtype.kind != "f":
        return float(array.min()), float(array.max()), {}
    is_finite = np.isfinite(array)
    missing = array.size - int(is_finite.sum())
    if missing == array.size:
        return 0.0, 0.0, {"not_finite": missing}
    low = float(np.min(array, where=is_finite, initial=np.inf))
    high = float(np.max(array, where=is_finite, initial=-np.inf))
    return low, high, {"not_finite": missing} if missing else {}


def _scale(array: Array, low: float, high: float) -> NDArray[np.uint8]:
    """Map ``low`` to 0 and ``high`` to 255, a band at a time: float64 takes much room."""
    out = np.empty(array.shape, np.uint8)
    rows = max(1, _BAND_ELEMENTS * len(array) // array.size)
    half = high / 2 - low / 2  # halves: the difference of two floats may be infinite
    for start in range(0, len(array), rows):
        some = array[start : start + rows].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            share = (some / 2 - low / 2) / half if half > 0 else np.zeros_like(some)
        share = np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0)
        out[start : start + rows] = np.rint(np.clip(share, 0, 1) * _BYTE_MAX)
    return out


def _check_channels(pixels: NDArray[np.uint8]) -> None:
    if pixels.shape[-1] not in COLOUR_TYPES:
        raise ProtocolError(f"a picture has {pixels.shape[-1]} channels")


def _ask_pillow(
    frames: list[NDArray[np.uint8]], form: str, *, fps: float | None = None
) -> bytes | None:
    """Return a format that only Pillow writes, or None where it is not installed or fails."""
    try:
        from PIL import Image as Pillow  # noqa: PLC0415 - never required

        pictures = [Pillow.fromarray(one[..., 0] if one.shape[2] == 1 else one) for one in frames]
        stream = io.BytesIO()
        name = {"jpg": "JPEG", "webp": "WEBP", "gif": "GIF"}[form]
        if form == "jpg":
            pictures = [one.convert("L" if one.mode in {"L", "LA"} else "RGB") for one in pictures]
        more: dict[str, Any] = {"quality": 90} if form == "jpg" else {"lossless": True}
        if fps is not None:
            more |= {"save_all": True, "append_images": pictures[1:], "loop": 0}
            more["duration"] = max(1, round(1000 / fps))
        pictures[0].save(stream, name, **more)
    except (ImportError, OSError, KeyError, ValueError):
        return None
    return stream.getvalue()
