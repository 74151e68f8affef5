"""Two groups of ranks of the same size, of which nobody can say which one is slow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hpctrack.store.pace import Pace
from hpctrack.store.record import RankRecord
from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.slowness import inflation, midmean, smooth

RANKS_MIN = 4
PARTS = 8
"""The run is looked at as a whole, and from each eighth of it to each other."""

GAP_SHARE = 0.5
"""The space between the halves, of the distance of their middles: in one group it is a fifth."""

SHOWN = 8


class Halves(NamedTuple):
    """Where one half of the ranks takes longer than the other.

    Parameters
    ----------
    rows : tuple of int
        Of the half that takes longer.
    start, end : int
        Columns of the longest time for which this lasts.
    excess : float
        By which share it takes longer, typically.
    """

    rows: tuple[int, ...]
    start: int
    end: int
    excess: float


def find_halves(pace: Pace, *, margin: float, k: float, block: int) -> Halves | None:
    """Find two halves that are apart by more than a margin, or return None.

    The median lies between them, so that neither stands out from it: that is why `find_stretches`
    names nobody.

    Parameters
    ----------
    margin, k : float
        As for `find_stragglers`.
    block : int
        Columns that are smoothed into one.

    Notes
    -----
    O(n): the windows that are looked at are few. The longest in which the halves are apart counts.
    """
    rows = len(pace.ranks)
    if rows < RANKS_MIN or rows % 2:
        return None
    blocks = smooth(pace.excess, block)
    spread = inflation(blocks)
    edges = sorted({len(blocks[0]) * part // PARTS for part in range(PARTS + 1)})
    windows = [(start, end) for start in edges for end in edges if start < end]
    for start, end in sorted(windows, key=lambda one: (one[0] - one[1], one)):
        upper = _split(blocks[:, start:end], np.log1p(margin), k, spread)
        if upper is not None:
            return _refine(upper, pace.excess, start * block, end * block, block)
    return None


def _split(blocks: FloatArray, least: float, k: float, spread: float) -> IntArray | None:
    """Return the rows of the upper half, if the halves are apart and each is together."""
    counts = (~np.isnan(blocks)).sum(axis=1)
    if (2 * counts < blocks.shape[1]).any():
        return None
    levels = np.nansum(blocks, axis=1) / counts
    order = np.argsort(levels, kind="stable")
    low, high = np.split(levels[order], 2)
    apart, gap = float(np.median(high) - np.median(low)), float(high[0] - low[-1])
    scatter = float(np.median(np.nanstd(blocks - levels[:, np.newaxis], axis=1)))
    noise = scatter * np.sqrt(spread / blocks.shape[1])
    is_apart = apart > least and gap > GAP_SHARE * apart and gap > k * noise
    return np.sort(order[len(low) :]) if is_apart else None


def _refine(upper: IntArray, excess: FloatArray, start: int, end: int, block: int) -> Halves:
    """Find the columns at which the halves came apart, and together again."""
    is_upper = np.isin(np.arange(len(excess)), upper)
    y = np.nan_to_num(midmean(excess[is_upper], 0) - midmean(excess[~is_upper], 0), nan=0.0)
    level = float(np.median(y[start:end]))
    # Cut at what is usual: a single spike must not draw the change to itself.
    gain = np.clip(y - level / 2, -level, level)
    sums = np.concatenate([[0.0], np.cumsum(gain)])
    middle = (start + min(end, len(y))) // 2
    first = int(np.argmin(sums[: middle + 1]))
    last = middle + int(np.argmax(sums[middle:]))
    if last + block > len(y):
        last = len(y)  # what is less than a block says nothing
    typical = float(np.median(y[first : max(last, first + 1)]))
    return Halves(tuple(upper.tolist()), first, last, float(np.expm1(typical)))


def explain_halves(found: Halves, pace: Pace, homes: Mapping[int, RankRecord]) -> str:
    """Say who takes longer than whom, by how much and since when."""
    slow = [int(pace.ranks[row]) for row in found.rows]
    when = f" since step {pace.steps[found.start]:,}" if found.start else ""
    if found.end < len(pace.steps):
        when = f" from step {pace.steps[found.start]:,} until {pace.steps[found.end]:,}"
    return (
        f"{_name(slow, pace.ranks.tolist(), homes)} take {found.excess:.0%} longer than the other"
        f" {len(slow)} ranks{when}: of two groups of the same size nobody can say which is slow"
    )


def _name(slow: Sequence[int], ranks: Sequence[int], homes: Mapping[int, RankRecord]) -> str:
    """Name the ranks, or their nodes if those are theirs alone."""
    hosts = {homes[rank].host if rank in homes else "" for rank in slow}
    others = {homes[rank].host if rank in homes else "" for rank in set(ranks) - set(slow)}
    if "" not in hosts and not hosts & others:
        return f"the {len(slow)} ranks of {_list(sorted(hosts))}"
    return f"ranks {_list([str(one) for one in slow])}"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
