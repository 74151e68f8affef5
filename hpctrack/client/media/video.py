"""Moving pictures."""

from __future__ import annotations

from typing import ClassVar

from hpctrack.client.media.formats import VIDEOS
from hpctrack.client.media.snapshot import Snapshot, take_snapshot
from hpctrack.client.media.source import is_path, read_file, take_bytes
from hpctrack.client.media.value import Media, Piece, choose_data, make_meta, read_choice
from hpctrack.client.values import NotANumberError, to_number
from hpctrack.errors import UsageError

FPS = 4.0
"""As W&B."""

FPS_MAX = 1000.0
"""An animated PNG counts in milliseconds."""

_CHANNELS = (1, 3, 4)
_FORMS = frozenset({"apng", "png", "gif", "webp", "mp4", "webm", "ogg"})


class Video(Media):
    """A video to log. Per-rank.

    Parameters
    ----------
    data : array, path or bytes
        An array of shape (t, c, h, w), (t, h, w, c) or (t, h, w), values as in `Image`. A file
        (MP4, WebM, GIF, ...) is kept as it is.
    caption : str, optional
        Shown with it.
    fps : float, optional
        Pictures per second of an array, up to 1000; default 4.
    format : str, optional
        How an array is kept: ``apng`` (default: an animated PNG, which every browser plays and
        which loses nothing), ``gif`` or ``webp`` where the agent finds Pillow. There is no encoder
        for MP4 and WebM: what asks for these is kept as an animated PNG, and told so.
    **others
        ``data_or_path`` is W&B's name of ``data``; what is not known here is told, and left out.

    Notes
    -----
    An array may have at most 64 MiB; uint8 takes a quarter of float32. Never raises: what is wrong
    is told by ``run.log``.
    """

    kind: ClassVar[str] = "video"

    def __init__(
        self,
        data: object = None,
        caption: str | None = None,
        fps: float | None = None,
        format: str | None = None,  # noqa: A002 - W&B's word
        **others: object,
    ) -> None:
        content = choose_data(data, others)
        rate = FPS if fps is None else fps
        self._keep(lambda: _make_piece(content, caption, rate, format), others)


def _make_piece(data: object, caption: str | None, fps: float, form: str | None) -> Piece:
    if is_path(data):
        return read_file(data).make_piece("video", VIDEOS, caption=caption)
    if isinstance(data, (bytes, bytearray)) or hasattr(data, "read"):
        content = take_bytes(data, form or "", "the video")
        return content.make_piece("video", VIDEOS, caption=caption)
    rate = _read_fps(fps)
    asked = read_choice(form or "apng", "the format", _FORMS)
    taken = take_snapshot(data, "a video")
    meta, warnings = make_meta(caption, fps=rate)
    if asked in {"mp4", "webm", "ogg"}:
        warnings += (f"an array cannot be kept as {asked} here; it is an animated PNG",)
    facts = {
        "type": "video",
        "encode": "frames",
        "format": asked if asked in {"gif", "webp"} else "apng",
        "raw": {**taken.raw, "order": _order(taken)},
        "meta": meta,
    }
    return Piece(facts, (taken.data,), warnings)


def _read_fps(fps: object) -> float:
    try:
        rate = to_number(fps)
    except NotANumberError:
        rate = 0.0
    if not 0 < rate <= FPS_MAX:
        raise UsageError(f"fps is {fps!r:.40}, not a number above 0 and up to {FPS_MAX:g}")
    return rate


def _order(taken: Snapshot) -> str:
    shape = taken.shape
    if 0 not in shape:
        if len(shape) == 3:  # noqa: PLR2004 - gray
            return "NHW"
        if len(shape) == 4 and shape[1] in _CHANNELS:  # noqa: PLR2004 - by channel
            return "NCHW"
        if len(shape) == 4 and shape[3] in _CHANNELS:  # noqa: PLR2004 - by channel
            return "NHWC"
    raise UsageError(
        f"a video is {taken}",
        hint="give (t, c, h, w), (t, h, w, c) or (t, h, w); log a batch as a list of videos",
    )
