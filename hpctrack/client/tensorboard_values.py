"""What TensorBoard's summaries mean; read from the program's own protobuf objects."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable
from typing import Any

from hpctrack.client.media import Audio, Histogram, Image, Text, Video
from hpctrack.client.media.histogram import BINS_MAX

_CODES = {1: "f", 2: "d", 3: "i", 4: "B", 5: "h", 6: "b", 9: "q", 10: "?", 17: "H", 19: "e"}
"""TensorFlow's number of a type and struct's code of it."""

_FIELDS = ("float_val", "double_val", "int_val", "int64_val", "bool_val")
_HPARAMS = ("tensorboard.plugins.hparams.plugin_data_pb2", "tensorboardX.proto.plugin_hparams_pb2")


def read_value(value: Any) -> tuple[str, Any] | None:
    """Return the name of a summary's value and what is to be logged; None if it is not known."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return value.tag, value.simple_value
    if kind == "image":
        return value.tag, _make_image(value.image.encoded_image_string)
    if kind == "audio":
        return value.tag, Audio(value.audio.encoded_audio_string)
    if kind == "histo":
        histo = value.histo
        limits = zip(histo.bucket_limit, histo.bucket, strict=False)
        return value.tag, make_histogram(histo.min, histo.max, limits)
    if kind == "tensor":
        read = _read_tensor(value.metadata.plugin_data.plugin_name, value.tensor)
        tag: str = value.tag
        return None if read is None else (tag.removesuffix("/text_summary"), read)
    return None


def read_hparams(value: Any) -> dict[str, Any]:
    """Return the hyperparameters that a session starts with, or nothing."""
    for name in _HPARAMS:
        module = sys.modules.get(name)
        if module is not None:
            data: Any = module.HParamsPluginData.FromString(value.metadata.plugin_data.content)
            return {
                key: getattr(one, one.WhichOneof("kind") or "", None)
                for key, one in data.session_start_info.hparams.items()
            }
    return {}


def make_histogram(low: float, high: float, limits: Iterable[tuple[float, float]]) -> Histogram:
    """Return a histogram of upper limits and counts, cut to the values' own range.

    Parameters
    ----------
    low, high : float
        The smallest and the largest value.
    limits : iterable of (float, float)
        Upper limit and count of each bucket; limits ascend and may reach far beyond ``high``.
    """
    edges: list[float] = [low]
    counts: list[float] = []
    waiting = 0.0
    for limit, count in limits:
        waiting += count
        edge = min(limit, high)
        if edge > edges[-1]:
            edges.append(edge)
            counts.append(waiting)
            waiting = 0.0
    if not counts:
        return Histogram(np_histogram=([waiting], [low - 0.5, low + 0.5]))
    counts[-1] += waiting
    group = -(-len(counts) // BINS_MAX)
    sums = [sum(counts[at : at + group]) for at in range(0, len(counts), group)]
    kept = [*edges[:-1:group], edges[-1]]
    return Histogram(np_histogram=(sums, kept))


def _make_image(data: bytes) -> Any:
    return Video(data, format="gif") if data.startswith(b"GIF8") else Image(data)


def _read_tensor(plugin: str, tensor: Any) -> Any:
    texts = list(tensor.string_val)
    if plugin == "text" and texts:
        return Text("\n".join(one.decode(errors="replace") for one in texts))
    if plugin == "images" and len(texts) > 2:  # noqa: PLR2004 - width and height come first
        images = [_make_image(one) for one in texts[2:]]
        return images if len(images) > 1 else images[0]
    if plugin == "audio" and texts:
        return Audio(texts[0])
    numbers = _read_numbers(tensor)
    if plugin == "histograms" and numbers and not len(numbers) % 3:
        buckets = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))
        limits = [(right, count) for _left, right, count in buckets]
        return make_histogram(buckets[0][0], buckets[-1][1], limits)
    return numbers[0] if plugin in {"", "scalars"} and len(numbers) == 1 else None


def _read_numbers(tensor: Any) -> list[float]:
    code = _CODES.get(tensor.dtype)
    content = tensor.tensor_content
    if content and code:
        return [one for (one,) in struct.iter_unpack(f"<{code}", content)]
    return next((list(getattr(tensor, name)) for name in _FIELDS if getattr(tensor, name)), [])
