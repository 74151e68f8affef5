"""Lines drawn from the pyramids of sealed files: their points are never read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpctrack.store.open_sealed import OpenSealed
from hpctrack.store.sealed_drawing import Drawing
from hpctrack_server.data.series.curve import Drawn
from hpctrack_server.data.series.open_runs import OpenRun
from hpctrack_server.data.series.query import RankChoice, XAxis
from hpctrack_server.data.series.shrink import Window

LOG_PARTS = 8
"""A logarithmic window is drawn in so many parts, in each of which a decade is not much longer at
its end than at its beginning."""


@dataclass(frozen=True, slots=True)
class PyramidLine:
    """A part of a line.

    Parameters
    ----------
    rank : int
    drawn : Drawn
        True points, more than enough for the window's buckets.
    total : int
        Points in the window, those that are no number too.
    extent : (float, float)
        First and last x of the whole line.
    last : (float, float) or None
        The last point of all.
    """

    rank: int
    drawn: Drawn
    total: int
    extent: tuple[float, float]
    last: tuple[float, float] | None


def find_ranks(opened: OpenRun, name: str, ranks: RankChoice | int) -> list[int] | None:
    """Return the ranks whose lines are drawn as they are; None if they have to be reduced first."""
    sealed = opened.sealed()
    if sealed is None or name not in sealed.index:
        return None
    if not isinstance(ranks, RankChoice):
        return [ranks]
    if ranks == RankChoice.ALL:
        return sealed.ranks(name)
    return sealed.ranks(name) if sealed.index[name].ranks == 1 else None


def draw_from_pyramid(
    opened: OpenRun, name: str, rank: int, x: str, window: Window
) -> PyramidLine | None:
    """Return a line; None if all of its points have to be read.

    That is so for short series and files of older versions, for x axes that are metrics, and where
    infinite values could hide others.

    Raises
    ------
    HpctrackError
        The file is damaged.
    """
    sealed = opened.sealed()
    if sealed is None or x not in set(XAxis):
        return None
    is_time = x != XAxis.STEP
    shift = opened.began_wall_s if x == XAxis.RELATIVE else 0.0
    parts: list[Drawing] = []
    for start, end, width in _cut(sealed, name, rank, window, shift=shift, is_time=is_time):
        whole = (
            None if start is None else start + shift,
            None if end is None else end + shift,
        )
        found = sealed.draw(name, rank, window=whole, is_time=is_time, width=width)
        if found is None:
            return None
        parts.append(found)
    if not parts or any(np.isinf(one.value).any() for one in parts):
        return None
    return _join(rank, parts, is_time=is_time, shift=shift, is_log=window.log_x)


def _cut(
    sealed: OpenSealed, name: str, rank: int, window: Window, *, shift: float, is_time: bool
) -> list[tuple[float | None, float | None, int]]:
    """Return windows that together are the whole one; a logarithmic one is cut evenly there."""
    if not window.log_x:
        return [(window.start, window.end, window.width)]
    probe = sealed.draw(name, rank, width=1)
    if probe is None:
        return []
    first, last = (
        (probe.first[1] - shift, probe.last[1] - shift)
        if is_time
        else (float(probe.first[0]), float(probe.last[0]))
    )
    low = max(window.start or 0.0, first, 1.0 if not is_time else 1e-3)
    high = max(window.end if window.end is not None else last, low * (1 + 1e-9))
    edges = np.geomspace(low, high, LOG_PARTS + 1)
    width = max(1, 2 * window.width // LOG_PARTS)
    if not is_time:
        # Whole steps, and each in one window only.
        edges = np.unique(np.ceil(edges))
        edges[-1] = max(edges[-1], high)
        ends = [*(edges[1:-1] - 1), edges[-1]]
    else:
        ends = [*np.nextafter(edges[1:-1], 0), edges[-1]]
    return [(float(a), float(b), width) for a, b in zip(edges[:-1], ends, strict=True)] or [
        (low, high, width)
    ]


def _join(
    rank: int, parts: list[Drawing], *, is_time: bool, shift: float, is_log: bool
) -> PyramidLine:
    x = np.concatenate([one.wall_s - shift if is_time else one.step for one in parts])
    y = np.concatenate([one.value for one in parts])
    if len(parts) > 1:
        # What lies beside one part is in the next.
        order = np.lexsort((y, x))
        x, y = x[order], y[order]
        is_new = np.ones(len(x), bool)
        is_new[1:] = (x[1:] != x[:-1]) | (y[1:] != y[:-1])
        x, y = x[is_new], y[is_new]
    elif len(x) > 1 and (x[1:] < x[:-1]).any():
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    if is_log:
        inside = x > 0
        x, y = x[inside], y[inside]
    one = parts[0]
    gaps = sum(max(part.gaps, 0) for part in parts)
    at = one.last[1] - shift if is_time else float(one.last[0])
    begin = one.first[1] - shift if is_time else float(one.first[0])
    return PyramidLine(
        rank,
        Drawn(x, y, gaps),
        sum(part.points for part in parts) + gaps,
        (begin, max(begin, at)),
        (at, one.last[2]) if np.isfinite(one.last[2]) else None,
    )
