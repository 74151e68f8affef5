"""Which rows of a table are slow, and since when. Pure; `docs/explanations/ranks.md` derives it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpctrack.store.schema import FloatArray, IntArray

BoolArray = NDArray[np.bool_]

RANKS_MIN = 3
"""Of two ranks nobody can say whether one is slow or the other fast."""

FALSE_ALARMS = 0.01
"""How often a run without a slow rank may be accused, as far as the model holds."""

SIGMA_MIN = 0.005
"""Half a per cent: ranks that agree better than any clock must not make a hair significant."""

CUTS = 3
"""Blocks that must agree: no single block, whatever its size, makes a rank slow or well again."""

SEARCH_BLOCKS = 4
"""How far around a block's edge the change itself is looked for."""

SURELY_OVER = 4.6
"""Drop of evidence, a factor of 100, after which the end of a run counts as recovery."""

SHIFTS = (1, 2.5, 6)
"""Slowness that the evidence is tuned to, in units of twice the margin: the sum of evidence grows
fastest for the shift that it assumes, and still grows from half of that on."""

_Rough = tuple[int, int, int, float]
"""Row, first block, last block plus one, and evidence."""

_SMALL_SAMPLE = np.array([0.0, 0.0, 1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107])
"""Croux and Rousseeuw (1992): how much too small the MAD is of up to nine values."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A row is slow from one column to another.

    Parameters
    ----------
    row : int
    start, end : int
        Columns, the end excluded.
    is_open : bool
        It is slow to the end of the table.
    evidence : float
        Logarithm of the likelihood ratio of slow against not.
    score : float
        Robust sigmas above the other rows in these columns.
    """

    row: int
    start: int
    end: int
    is_open: bool
    evidence: float
    score: float


@dataclass(frozen=True, slots=True)
class Found:
    """What `find_stretches` found.

    Parameters
    ----------
    stretches : tuple of Stretch
        By row and start.
    tests : int
        Rows times blocks times `SHIFTS`: how many chances there were to be wrong.
    """

    stretches: tuple[Stretch, ...]
    tests: int


def median(values: FloatArray, axis: int) -> FloatArray:
    """Return the median along an axis; NaN does not count, and is the median of nothing."""
    if values.shape[axis] and not np.isnan(values).any():
        # Not np.median, which spends most of its time on looking for NaN again.
        size = values.shape[axis]
        parted = np.partition(values, sorted({(size - 1) // 2, size // 2}), axis=axis)
        halves = (parted.take((size - 1) // 2, axis), parted.take(size // 2, axis))
        return np.asarray((halves[0] + halves[1]) / 2)
    ordered = np.moveaxis(np.sort(values, axis=axis), axis, -1)  # NaN goes last
    counts = ordered.shape[-1] - np.isnan(ordered).sum(axis=-1)
    low, high = np.maximum(counts - 1, 0) // 2, counts // 2
    high = np.minimum(high, ordered.shape[-1] - 1)
    found = [np.take_along_axis(ordered, one[..., np.newaxis], -1) for one in (low, high)]
    middle = np.where(counts > 0, (found[0] + found[1])[..., 0] / 2, np.nan)
    return np.asarray(middle)


def midmean(values: FloatArray, axis: int) -> FloatArray:
    """Return the mean of the middle half along an axis; NaN does not count, nor do spikes.

    Where a quarter or more of the values lie elsewhere they count in part: the median of a rank
    that is slow at every second step is anything between slow and well.
    """
    ordered = np.moveaxis(np.sort(values, axis=axis), axis, -1)  # NaN goes last
    counts = ordered.shape[-1] - np.isnan(ordered).sum(axis=-1)
    cut = (counts + 1) // 4
    place = np.arange(ordered.shape[-1])
    is_middle = (place >= cut[..., np.newaxis]) & (place < (counts - cut)[..., np.newaxis])
    total = np.where(is_middle, ordered, 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / (counts - 2 * cut))


def robust_sigma(values: FloatArray) -> FloatArray:
    """Return 1.4826 x MAD of each column of a table, corrected for few rows; NaN if it is empty."""
    off = np.abs(values - median(values, 0))
    counts = (~np.isnan(values)).sum(axis=0)
    few = _SMALL_SAMPLE[np.minimum(counts, len(_SMALL_SAMPLE) - 1)]
    factor = np.where(counts < len(_SMALL_SAMPLE), few, counts / np.maximum(counts - 0.8, 0.1))
    return np.asarray(1.4826 * factor * median(off, 0))


def find_stretches(excess: FloatArray, *, margin: float, k: float, block: int) -> Found:
    """Find the rows that are slow for a while.

    Parameters
    ----------
    excess : ndarray of float64, shape (rows, columns)
        Logarithm of the time over the median of the rows; NaN where a row has none.
    margin : float
        A row that is slower than the others by less than this share is not slow.
    k : float
        Robust sigmas by which it must stand out among the rows.
    block : int
        Columns that are smoothed into one by the mean of their middle half.

    Notes
    -----
    O(n) but for sorting blocks and ranks; `CUTS` blocks are the shortest stretch that can be found.
    """
    blocks = smooth(excess, block)
    rows, count = blocks.shape
    tests = rows * count * len(SHIFTS)
    threshold = math.log(max(tests, 1) / FALSE_ALARMS)
    sigma = robust_sigma(blocks)
    usual = float(np.nanmedian(sigma)) if not np.isnan(sigma).all() else SIGMA_MIN
    # A block that is calmer than usual by chance must not count for more.
    sigma = np.fmax(np.fmax(sigma, usual), SIGMA_MIN)
    spread = inflation(blocks)
    noise = float(np.median(sigma)) * math.sqrt(spread)
    found = []
    for row, start, end, evidence in _search(blocks, sigma**2 * spread, margin, threshold):
        score, level = _stand_out(blocks[:, start:end], row, noise)
        if score >= k and level >= math.log1p(margin):
            found.append(Stretch(row, start, end, end == count, evidence, score))
    found.sort(key=lambda one: (one.row, one.start))
    exact = [_refine(one, excess, blocks, block) for one in found]
    return Found(tuple(one for one in exact if one.end > one.start), tests)


def smooth(excess: FloatArray, block: int) -> FloatArray:
    """Return the middle of each block of columns; blocks with few values say nothing."""
    rows, columns = excess.shape
    count = -(-columns // block)
    if count * block != columns:
        # The last block may be short: it is filled up with nothing.
        filled = np.full((rows, count * block), np.nan)
        filled[:, :columns] = excess
        excess = filled
    cut = excess.reshape(rows, count, block)
    smoothed = midmean(cut, 2)
    is_thin = 3 * (~np.isnan(cut)).sum(axis=2) < min(block, columns)
    smoothed[is_thin] = np.nan
    return smoothed


def inflation(blocks: FloatArray) -> float:
    """Return by how much the variance of a mean grows because blocks resemble their neighbours."""
    if blocks.shape[1] < 4:  # noqa: PLR2004 - no correlation of three numbers
        return 1.0
    off = np.nan_to_num(blocks - median(blocks, 1)[:, np.newaxis], nan=0.0)
    power = (off * off).sum(axis=1)
    is_alive = power > 0
    if not is_alive.any():
        return 1.0
    product = (off[:, 1:] * off[:, :-1]).sum(axis=1)
    # The median over the rows: the slow ones, whose blocks do resemble each other, are few.
    alike = float(np.clip(np.median(product[is_alive] / power[is_alive]), 0.0, 0.9))
    return (1 + alike) / (1 - alike)


def _search(
    blocks: FloatArray, variance: FloatArray, margin: float, threshold: float
) -> list[_Rough]:
    """Return what is found with any of the shifts; of what overlaps in a row the best proved."""
    every: list[_Rough] = []
    for times in SHIFTS:
        shift = 2 * times * math.log1p(margin)
        gain = np.nan_to_num(shift / variance * (blocks - shift / 2), nan=0.0)
        every += _accumulate(np.clip(gain, -threshold / CUTS, threshold / CUTS), threshold)
    every.sort(key=lambda one: -one[3])
    kept: dict[int, list[_Rough]] = {}
    for row, start, end, evidence in every:
        mine = kept.setdefault(row, [])
        if all(end <= other[1] or start >= other[2] for other in mine):
            mine.append((row, start, end, evidence))
    found = [one for mine in kept.values() for one in mine]
    return _split(found, blocks, variance, margin=margin, threshold=threshold)


def _split(
    found: list[_Rough],
    blocks: FloatArray,
    variance: FloatArray,
    *,
    margin: float,
    threshold: float,
) -> list[_Rough]:
    """Take out of each stretch where the row was well for a while, by the same sum turned round."""
    if not found:
        return []
    levels = np.array([np.nanmean(blocks[row, start:end]) for row, start, end, _ in found])
    # At most twice the margin from well: what is less slow than the rest is still slow.
    shift = np.minimum(levels, 4 * math.log1p(margin))[:, np.newaxis]
    gain = shift / variance * (shift / 2 - blocks[[one[0] for one in found]])
    gain = np.clip(np.nan_to_num(gain, nan=0.0), -threshold / CUTS, threshold / CUTS)
    for number, (_row, start, end, _evidence) in enumerate(found):
        gain[number, :start] = gain[number, end:] = 0.0
    gaps: dict[int, list[_Rough]] = {}
    for one in _accumulate(gain, threshold):
        gaps.setdefault(one[0], []).append(one)
    pieces: list[_Rough] = []
    for number, (row, start, end, evidence) in enumerate(found):
        begin = start
        for _number, first, last, _evidence in gaps.get(number, ()):
            pieces.append((row, begin, first, evidence))
            begin = last
        pieces.append((row, begin, end, evidence))
    return [one for one in pieces if one[1] < one[2]]


def _accumulate(gain: FloatArray, threshold: float) -> list[_Rough]:
    """Sum up evidence (Page's CUSUM) and return row, start, end and evidence of what passes.

    A stretch begins where the sum last was zero and ends where it was highest, once it has fallen
    from there by as much as it takes to be believed.
    """
    rows, count = gain.shape
    total, peak = np.zeros(rows), np.zeros(rows)
    start, top = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    found: list[_Rough] = []

    def keep(which: IntArray, *, is_end: bool) -> None:
        for row in which.tolist():
            is_over = not is_end or peak[row] - total[row] > SURELY_OVER
            end = int(top[row]) + 1 if is_over else count
            found.append((row, int(start[row]), end, float(peak[row])))

    for number in range(count):
        total += gain[:, number]
        is_proved = peak >= threshold
        is_done = is_proved & ((total <= 0) | (peak - total >= threshold))
        keep(np.flatnonzero(is_done), is_end=False)
        is_new = is_done | (total <= 0)
        total[is_new], peak[is_new], start[is_new] = 0.0, 0.0, number + 1
        is_higher = total > peak
        peak[is_higher], top[is_higher] = total[is_higher], number
    keep(np.flatnonzero(peak >= threshold), is_end=True)
    return found


def _stand_out(blocks: FloatArray, row: int, noise: float) -> tuple[float, float]:
    """Return by how many robust sigmas a row is above the others, and its mean."""
    is_there = ~np.isnan(blocks)
    counts = is_there.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        levels = np.where(is_there, blocks, 0.0).sum(axis=1) / counts
    levels[2 * counts < counts[row]] = np.nan
    sigma = float(robust_sigma(levels[:, np.newaxis])[0])
    # Few rows may agree by chance; what the noise leaves in a mean of this length is the least.
    sigma = max(sigma, noise / math.sqrt(max(int(counts[row]), 1)), SIGMA_MIN)
    middle = float(median(levels, 0))
    return (float(levels[row]) - middle) / sigma, float(levels[row])


def _refine(rough: Stretch, excess: FloatArray, blocks: FloatArray, block: int) -> Stretch:
    """Find the columns at which the row became slow, and well again."""
    y = excess[rough.row]
    level = float(np.nanmedian(blocks[rough.row, rough.start : rough.end]))
    noise = float(np.nanmedian(np.abs(y - np.nanmedian(y))))
    # Cut at what is usual: a single spike must not draw the change to itself.
    most = level / 2 + 2 * noise
    gain = np.clip(np.nan_to_num(y - level / 2, nan=0.0), -most, most)
    first, last = rough.start * block, min(rough.end * block, len(y))
    middle, reach = (first + last) // 2, SEARCH_BLOCKS * block
    low, high = max(first - reach, 0), min(first + reach, max(middle, first + 1))
    sums = np.concatenate([[0.0], np.cumsum(gain[low:high])])
    start = low + int(np.argmin(sums))
    end = last
    if not rough.is_open:
        low, high = max(last - reach, middle), min(last + reach, len(y))
        sums = np.concatenate([[0.0], np.cumsum(gain[low:high])])
        end = low + int(np.argmax(sums))
    return Stretch(rough.row, start, end, rough.is_open, rough.evidence, rough.score)
