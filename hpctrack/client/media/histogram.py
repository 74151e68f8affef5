"""Distributions of many values."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, ClassVar

from hpctrack.client.media.snapshot import is_array, take_snapshot
from hpctrack.client.media.value import PAYLOAD_MAX_BYTES, Media, Piece, make_meta, read_count
from hpctrack.client.values import to_number
from hpctrack.errors import UsageError

BINS_MAX = 512
"""As W&B; more bins than pixels."""


ITEMS_MAX = PAYLOAD_MAX_BYTES // 8
"""Of an iterator that does not end, so many are taken, and then refused."""

_KNOWN = (list, tuple, Mapping, str, bytes, bytearray, memoryview, array)
"""What a snapshot takes, or refuses with better words."""


class Histogram(Media):
    """A distribution to log. Per-rank.

    Parameters
    ----------
    sequence : array, tensor or iterable of numbers, optional
        The values; binned by the agent. NaN and infinities are counted apart.
    np_histogram : (counts, edges), optional
        What ``numpy.histogram`` returns, in place of the values.
    num_bins : int
        Bins of equal width, at most 512.
    **others
        What is not known here: told, and left out.

    Notes
    -----
    Costs one copy of the values, at most 64 MiB; for more, or where that is too much, pass
    ``np_histogram``. Never raises: what is wrong is told by ``run.log``.

    Examples
    --------
    >>> import hpctrack
    >>> hpctrack.Histogram(np_histogram=([3, 1], [0.0, 0.5, 1.0]))
    <hpctrack.Histogram json: 42 bytes>
    """

    kind: ClassVar[str] = "histogram"

    def __init__(
        self,
        sequence: object = None,
        np_histogram: object = None,
        num_bins: int = 64,
        **others: object,
    ) -> None:
        self._keep(lambda: _make_piece(sequence, np_histogram, num_bins), others)


def _make_piece(sequence: object, np_histogram: Any, num_bins: int) -> Piece:
    if (sequence is None) == (np_histogram is None):
        raise UsageError("a histogram needs either sequence or np_histogram=")
    if np_histogram is not None:
        return _from_counts(np_histogram)
    bins = read_count(num_bins, "num_bins", low=1, high=BINS_MAX)
    is_loose = isinstance(sequence, Iterable) and not isinstance(sequence, _KNOWN)
    if is_loose and not is_array(sequence):
        sequence = list(islice(sequence, ITEMS_MAX + 1))  # type: ignore[call-overload]
    taken = take_snapshot(sequence, "a histogram's sequence")
    facts = {
        "type": "histogram",
        "encode": "histogram",
        "format": "json",
        "raw": taken.raw,
        "bins": bins,
        "meta": {},
    }
    return Piece(facts, (taken.data,))


def _from_counts(given: Any) -> Piece:
    try:
        counts, edges = ([to_number(one) for one in part] for part in given)
    except (TypeError, ValueError):
        raise UsageError(
            "np_histogram is not (counts, edges)", hint="pass what numpy.histogram returns"
        ) from None
    if len(edges) != len(counts) + 1 or not 0 < len(counts) <= BINS_MAX:
        raise UsageError(
            f"np_histogram has {len(counts)} counts and {len(edges)} edges",
            hint=f"1 to {BINS_MAX} counts, and one edge more",
        )
    if not all(map(math.isfinite, (*counts, *edges))) or sorted(edges) != edges:
        raise UsageError("np_histogram has counts or edges that are not finite and ascending")
    body = json.dumps({"counts": counts, "edges": edges}, separators=(",", ":")).encode()
    meta, _warnings = make_meta(values=sum(counts), bins=len(counts))
    return Piece({"type": "histogram", "encode": "copy", "format": "json", "meta": meta}, (body,))
