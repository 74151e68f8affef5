"""Many runs as one line with a band, computed from all points of all of them. Pure.

x is cut into buckets; each distinct x is its own bucket where they fit. Of each run a bucket has
mean, lowest and highest; where a run has no point in a bucket but some before and after it, it
takes part with its line between them, and nowhere else: no run is carried on beyond its ends.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpctrack_server.data.downsample import FloatArray, IntArray
from hpctrack_server.data.series.curve import Drawn
from hpctrack_server.data.series.query import BandKind, Center, Grouping
from hpctrack_server.data.series.shrink import Window

RESAMPLES = 1000
"""Of a bootstrap: its 95 % bounds then move by about a twentieth of the band's width."""

MEDIAN_RESAMPLES = 400
"""Medians are sorted one by one."""

CONFIDENCE = (0.025, 0.975)
SEED = 20_260_101
BLOCK_VALUES = 2_000_000
"""Resampled values that are in memory at once, 16 MB."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """Where x is cut.

    Parameters
    ----------
    edges : ndarray of float64, shape (n,)
        The first x of each bucket, increasing; a bucket ends before the next one's.
    x : ndarray of float64, shape (n,)
        Where each is drawn.
    end : float
        The last x of the last bucket.
    is_single : bool
        Whether a bucket is one x, and what lies between two of them is in none.
    """

    edges: FloatArray
    x: FloatArray
    end: float
    is_single: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A line of a group.

    Parameters
    ----------
    line : Drawn
        All of its points; of a very long one means of neighbouring points.
    extremes : Drawn
        The same, or its lowest and highest points.
    stretch : float
        How many points each of it stands for.
    """

    line: Drawn
    extremes: Drawn
    stretch: float = 1.0


@dataclass(frozen=True, slots=True)
class Grouped:
    """A group.

    Parameters
    ----------
    x, center : ndarray of float64, shape (n,)
    low, high : ndarray of float64, shape (n,), or None
        The band; None without one.
    runs : int
        How many runs have points here.
    points : int
        How many points of all runs these are made of.
    """

    x: FloatArray
    center: FloatArray
    low: FloatArray | None
    high: FloatArray | None
    runs: int
    points: int


def cut_buckets(lines: Sequence[Drawn], window: Window) -> Buckets:
    """Return the buckets for lines: every distinct x of the window, or equal parts of it.

    Parameters
    ----------
    lines : sequence of Drawn
    window : Window
        At most ``window.width`` buckets; equal on a logarithmic axis if it says so.
    """
    inside = [one.x[slice(*window.find(one.x))] for one in lines]
    inside = [one for one in inside if len(one)]
    if not inside:
        return Buckets(np.zeros(0), np.zeros(0), 0.0, is_single=True)
    distinct = _find_distinct(inside, window.width)
    if distinct is not None:
        return Buckets(distinct, distinct, float(distinct[-1]), is_single=True)
    low = min(float(one[0]) for one in inside)
    high = max(float(one[-1]) for one in inside)
    if window.log_x:
        bounds = np.geomspace(low, high, window.width + 1)
        middle = np.sqrt(bounds[:-1] * bounds[1:])
    else:
        bounds = np.linspace(low, high, window.width + 1)
        middle = (bounds[:-1] + bounds[1:]) / 2
    bounds[0] = low  # a root or a sum may be a rounding above
    return Buckets(bounds[:-1], middle, high, is_single=False)


def _find_distinct(inside: Sequence[FloatArray], limit: int) -> FloatArray | None:
    """Return all distinct x, or None if there are more than so many."""
    head = 4 * limit + 4
    if any(np.count_nonzero(np.diff(one[:head])) >= limit for one in inside):
        return None  # seldom is more to be looked at
    found = np.zeros(0)
    for one in inside:
        own = one[np.flatnonzero(np.diff(one, prepend=np.nan) != 0)]
        if len(own) > limit:
            return None
        found = np.union1d(found, own)
        if len(found) > limit:
            return None
    return found


def group_lines(members: Sequence[Member], buckets: Buckets, how: Grouping) -> Grouped:
    """Return lines as one.

    Parameters
    ----------
    members : sequence of Member
        One per run; NaN does not count.
    buckets : Buckets
        As `cut_buckets` has made them, of these lines or of more.
    how : Grouping

    Notes
    -----
    The band of ``minmax`` is that of all single points; the others are of the runs' means in each
    bucket: ``std`` and ``stderr`` with one degree of freedom less than runs, ``ci`` the central
    95 % of the centres of resampled runs, the same ones at every x.
    """
    rows = [_spread_member(one, buckets) for one in members]
    kept = [one for one in rows if one is not None]
    if not kept:
        nothing = np.zeros(0)
        return Grouped(nothing, nothing, None, None, 0, 0)
    mean, low, high = (np.array([one[i] for one in kept]) for i in range(3))
    points = sum(one[3] for one in kept)
    shown = np.flatnonzero(~np.isnan(mean).all(axis=0))
    mean, low, high = mean[:, shown], low[:, shown], high[:, shown]
    center = _center(mean, how.center)
    band = _make_band(mean, (low, high), center, how)
    return Grouped(buckets.x[shown], center, *band, len(kept), points)


def _spread_member(
    member: Member, buckets: Buckets
) -> tuple[FloatArray, FloatArray, FloatArray, int] | None:
    """Return mean, lowest and highest of a line in each bucket, and how many points it has there.

    NaN before its first and after its last point; None if it has none.
    """
    has, starts, value = _find_buckets(member.line, buckets)
    if not len(has):
        return None
    count = len(buckets.edges)
    mean, low, high = (np.full(count, np.nan) for _ in range(3))
    sizes = np.diff(np.append(starts, len(value)))
    with np.errstate(over="ignore", invalid="ignore"):
        mean[has] = np.add.reduceat(value, starts) / sizes
    seen = has
    if member.extremes is not member.line:
        seen, starts, value = _find_buckets(member.extremes, buckets)
    if len(seen):
        low[seen] = np.minimum.reduceat(value, starts)
        high[seen] = np.maximum.reduceat(value, starts)
    low, high = np.fmin(low, mean), np.fmax(high, mean)
    _bridge(mean, low, high, x=buckets.x, has=has)
    return mean, low, high, round(member.stretch * int(sizes.sum()))


def _find_buckets(line: Drawn, buckets: Buckets) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the buckets that a line has numbers in, where those begin, and the numbers."""
    nothing = np.zeros(0, np.int64)
    if not len(buckets.edges):
        return nothing, nothing, np.zeros(0)
    first = int(np.searchsorted(line.x, buckets.edges[0], "left"))
    last = int(np.searchsorted(line.x, buckets.end, "right"))
    x, y = line.x[first:last], line.y[first:last].astype(np.float64)
    there = ~np.isnan(y)
    if not there.all():
        x, y = x[there], y[there]
    if buckets.is_single:
        at = np.searchsorted(buckets.edges, x, side="right") - 1
        inside = buckets.edges[np.maximum(at, 0)] == x
        x, y = x[inside], y[inside]
    bounds = np.append(np.searchsorted(x, buckets.edges, "left"), len(x))
    has = np.flatnonzero(bounds[1:] > bounds[:-1])
    return has, bounds[has], y


def _bridge(
    mean: FloatArray, low: FloatArray, high: FloatArray, *, x: FloatArray, has: IntArray
) -> None:
    """Let a line go straight over buckets between its first and last one in which it has none."""
    first, last = int(has[0]), int(has[-1])
    between = np.arange(first, last + 1)
    empty = between[np.isnan(mean[between])]
    if len(empty):
        filled = np.interp(x[empty], x[has], mean[has])
        for values in (mean, low, high):
            values[empty] = filled


def _center(mean: FloatArray, how: Center) -> FloatArray:
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        reduce = np.nanmedian if how == Center.MEDIAN else np.nanmean
        return np.asarray(reduce(mean, axis=0))


def _make_band(
    mean: FloatArray, extremes: tuple[FloatArray, FloatArray], center: FloatArray, how: Grouping
) -> tuple[FloatArray | None, FloatArray | None]:
    if how.band == BandKind.NONE:
        return None, None
    if how.band == BandKind.MINMAX:
        return np.nanmin(extremes[0], axis=0), np.nanmax(extremes[1], axis=0)
    if how.band == BandKind.CI:
        return bootstrap_bounds(mean, how.center)
    runs = np.count_nonzero(~np.isnan(mean), axis=0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        squares = np.nansum((mean - np.nanmean(mean, axis=0)) ** 2, axis=0)
        width = np.sqrt(squares / np.maximum(runs - 1, 1))
        if how.band == BandKind.STDERR:
            width = width / np.sqrt(runs)
        return center - width, center + width


def bootstrap_bounds(values: FloatArray, how: Center) -> tuple[FloatArray, FloatArray]:
    """Return the bounds of a 95 % confidence interval of the centre of runs, by bootstrap.

    Parameters
    ----------
    values : ndarray of float64, shape (runs, n)
        NaN where a run has none; each column has a number.
    how : Center

    Returns
    -------
    low, high : ndarray of float64, shape (n,)
        Percentiles of the centres of resampled runs. The same resamples serve each column, so that
        bounds are smooth where the lines are; always the same ones, so that nothing flickers.

    References
    ----------
    B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13: percentiles.
    """
    runs, count = values.shape
    draw = np.random.default_rng(SEED)
    resamples = RESAMPLES if how == Center.MEAN else MEDIAN_RESAMPLES
    chosen = draw.integers(0, runs, (resamples, runs))
    low, high = np.empty(count), np.empty(count)
    step = max(1, BLOCK_VALUES // (resamples * (runs if how == Center.MEDIAN else 1)))
    weights = np.zeros((resamples, runs))
    np.add.at(weights, (np.arange(resamples)[:, None], chosen), 1.0)
    for first in range(0, count, step):
        part = values[:, first : first + step]
        centers = _resample(part, chosen, weights, how)
        own = _center(part, how)
        # A resample may have only runs that are not there at this x.
        centers = np.where(np.isnan(centers), own, centers)
        low[first : first + step], high[first : first + step] = np.quantile(
            centers, CONFIDENCE, axis=0
        )
    return low, high


def _resample(
    part: FloatArray, chosen: NDArray[np.int64], weights: FloatArray, how: Center
) -> FloatArray:
    if how == Center.MEDIAN:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return np.asarray(np.nanmedian(part[chosen], axis=1))
    there = ~np.isnan(part)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # Without the threads of a BLAS, which wait for each other on a busy node.
        total = np.einsum("ij,jk->ik", weights, np.where(there, part, 0.0))
        return np.asarray(total / np.einsum("ij,jk->ik", weights, there.astype(np.float64)))
