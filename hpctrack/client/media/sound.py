"""Sounds."""

from __future__ import annotations

from typing import ClassVar

from hpctrack.client.media.formats import SOUNDS
from hpctrack.client.media.snapshot import Snapshot, take_snapshot
from hpctrack.client.media.source import is_path, read_file, take_bytes
from hpctrack.client.media.value import Media, Piece, choose_data, make_meta, read_count
from hpctrack.errors import UsageError

CHANNELS_MAX = 32
"""More channels than loudspeakers: the array is turned round, or is no sound."""

RATE_MAX_HZ = 3_000_000
"""Ultrasound included."""


class Audio(Media):
    """A sound to log. Per-rank.

    Parameters
    ----------
    data : array, path or bytes
        An array of shape (n,) or (n, channels), or (channels, n) as torchaudio has it. Floats are
        between -1 and 1; what is beyond is clipped and counted. A file (WAV, MP3, FLAC, Ogg, M4A,
        AAC) is kept as it is.
    sample_rate : int
        Samples per second; needed for arrays.
    caption : str, optional
        Shown with it.
    **others
        ``data_or_path`` is W&B's name of ``data``; what is not known here is told, and left out.

    Notes
    -----
    Arrays become WAV files: floats with 16 bits, integers with 8, 16 or 32; wider integers that all
    fit 16 bits are taken for such. Never raises: what is wrong is told by
    ``run.log``.

    Examples
    --------
    >>> import hpctrack
    >>> hpctrack.Audio([0.0, 0.5, 0.0, -0.5] * 2000, sample_rate=8000)
    <hpctrack.Audio wav: 64000 bytes>
    """

    kind: ClassVar[str] = "audio"

    def __init__(
        self,
        data: object = None,
        sample_rate: int | None = None,
        caption: str | None = None,
        **others: object,
    ) -> None:
        content = choose_data(data, others)
        self._keep(lambda: _make_piece(content, sample_rate, caption), others)


def _make_piece(data: object, sample_rate: int | None, caption: str | None) -> Piece:
    if is_path(data):
        return read_file(data).make_piece("audio", SOUNDS, caption=caption)
    if isinstance(data, (bytes, bytearray)) or hasattr(data, "read"):
        content = take_bytes(data, "", "the sound")
        return content.make_piece("audio", SOUNDS, caption=caption)
    if sample_rate is None:
        raise UsageError("a sound needs sample_rate=", hint="Audio(array, sample_rate=44100)")
    rate = read_count(sample_rate, "sample_rate", low=1, high=RATE_MAX_HZ)
    taken = take_snapshot(data, "a sound")
    meta, warnings = make_meta(caption, sample_rate=rate)
    facts = {
        "type": "audio",
        "encode": "samples",
        "format": "wav",
        "raw": {**taken.raw, "order": _order(taken)},
        "meta": meta,
    }
    return Piece(facts, (taken.data,), warnings)


def _order(taken: Snapshot) -> str:
    """Tell samples-first from channels-first."""
    shape = taken.shape
    if len(shape) == 1 and shape[0]:
        return "N"
    if len(shape) == 2 and 0 not in shape and min(shape) <= CHANNELS_MAX:  # noqa: PLR2004 - by channel
        return "NC" if shape[1] <= shape[0] else "CN"
    raise UsageError(
        f"a sound is {taken}", hint=f"give (n,) or (n, channels), at most {CHANNELS_MAX} channels"
    )
