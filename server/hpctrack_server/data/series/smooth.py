"""Smoothing a line, on all of its points. Pure.

Everything here is vectorised: a recurrence ``y[i] = a[i] * y[i-1] + b[i]`` is solved by doubling,
in as many passes over the points as it takes until the weights that are left cannot be seen.
"""

from __future__ import annotations

import numpy as np

from hpctrack_server.data.downsample import FloatArray, NumberArray
from hpctrack_server.data.series.query import Smoothing, SmoothKind

NEGLIGIBLE = 1e-18
"""Below the rounding of a double."""

TWEMA_SCALE = 1000.0
"""Parts of the x axis that one weight is meant for."""

TWEMA_WEIGHT_MAX = 0.999

SIGMAS = 4.0
"""Where the bell of a Gaussian is cut off: what lies outside is 6e-5 of it."""

DIRECT_WEIGHTS = 129
"""Of more weights a convolution by Fourier transform is faster."""

BLOCK = 64
"""Values that follow each other in one block; blocks are computed side by side."""

RANGE_MAX = 1e6
"""Fourier transforms round all values as the largest one; with larger spikes than this they are
not used."""


def smooth(x: NumberArray, y: FloatArray, how: Smoothing) -> FloatArray:
    """Return a line smoothed.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Never decreasing.
    y : ndarray of float64, shape (n,)
        NaN takes no part and stays.
    how : Smoothing

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    y = y.astype(np.float64)
    there = ~np.isnan(y)
    if not how.is_on or not there.any():
        return y
    found = np.full(len(y), np.nan)
    value = y[there]
    if how.kind == SmoothKind.EMA:
        found[there] = average_ema(value, how.amount)
    elif how.kind == SmoothKind.TWEMA:
        found[there] = average_twema(x[there], value, how.amount)
    elif how.kind == SmoothKind.GAUSSIAN:
        found[there] = average_gaussian(value, how.amount)
    else:
        found[there] = average_window(value, max(1, round(how.amount)))
    return found


def average_ema(value: FloatArray, weight: float) -> FloatArray:
    """Return the exponential moving average, as TensorBoard draws it.

    ``last = weight * last + (1 - weight) * value``, from 0, divided by ``1 - weight**n`` after
    ``n`` values, so that the beginning is not pulled towards 0. A constant line stays exactly so.

    Parameters
    ----------
    value : ndarray of float64, shape (n,)
        Finite.
    weight : float
        From 0 to below 1.

    References
    ----------
    TensorBoard, ``classicSmoothing`` of its line chart; W&B, "Smooth line plots", exponential
    moving average.
    """
    if len(value) and (value == value[0]).all():
        return value.copy()
    total = accumulate_evenly(weight, (1 - weight) * value)
    with np.errstate(under="ignore"):
        return np.asarray(total / (1 - weight ** np.arange(1, len(value) + 1)))


def average_twema(x: NumberArray, value: FloatArray, weight: float) -> FloatArray:
    """Return the time-weighted exponential moving average, W&B's default.

    The weight is applied once per thousandth of the range of x, however many points lie there:
    ``decay = min(sqrt(weight), 0.999) ** (1000 * dx / range)``, ``total = total * decay + value``,
    ``count = count * decay + 1``, and ``total / count`` is drawn.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Never decreasing. Its range is that of the whole line: a line looks the same at each zoom.
    value : ndarray of float64, shape (n,)
        Finite.
    weight : float
        From 0 to below 1.

    References
    ----------
    W&B, "Smooth line plots", time weighted exponential moving average.
    """
    place = x.astype(np.float64)
    span = place[-1] - place[0] if len(place) else 0.0
    distance = np.diff(place, prepend=place[:1])
    per_point = distance / span * TWEMA_SCALE if span > 0 else np.zeros(len(place))
    strength = min(float(np.sqrt(weight)), TWEMA_WEIGHT_MAX)
    ones = np.ones(len(value))
    with np.errstate(under="ignore"):
        if len(value) > 1 and (per_point[1:] == per_point[1]).all():
            even = strength ** float(per_point[1])
            return accumulate_evenly(even, value) / accumulate_evenly(even, ones)
        decay = strength**per_point
    return np.asarray(accumulate(decay, value) / accumulate(decay, ones))


def average_gaussian(value: FloatArray, sigma: float) -> FloatArray:
    """Return the average of the points around each, weighted by a bell.

    Parameters
    ----------
    value : ndarray of float64, shape (n,)
        Finite.
    sigma : float
        Standard deviation of the bell, in points. It is cut off at four of them, and at the ends of
        the line the weights that are left count as the whole.

    References
    ----------
    W&B, "Smooth line plots", Gaussian smoothing: the parameter is the standard deviation.
    """
    radius = min(int(SIGMAS * sigma + 0.5), max(len(value) - 1, 0))
    if not radius or not len(value):
        return value.copy()
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    sums = np.concatenate([np.zeros(1), np.cumsum(weights)])
    at = np.arange(len(value))
    first = np.maximum(radius - at, 0)
    last = np.minimum(radius + len(value) - at, len(weights))
    return np.asarray(convolve(value, weights) / (sums[last] - sums[first]))


def average_window(value: FloatArray, points: int) -> FloatArray:
    """Return the average of so many points around each, fewer at the ends of the line.

    Parameters
    ----------
    value : ndarray of float64, shape (n,)
        Finite.
    points : int
        At least 1; of an even number one more lies before than behind.

    References
    ----------
    W&B, "Smooth line plots", running average: a boxcar filter before and after the point.

    Notes
    -----
    Windows are joined of the end of one block and the beginning of the next: nothing is ever
    subtracted, so a spike does not spoil what comes after it.
    """
    count = len(value)
    points = min(points, max(2 * count - 1, 1))
    before, behind = points // 2, (points - 1) // 2
    padded = np.zeros(-(-(count + points) // points) * points)
    padded[before : before + count] = value
    blocks = padded.reshape(-1, points)
    ends = np.cumsum(blocks[:, ::-1], axis=1)[:, ::-1].reshape(-1)
    begins = np.cumsum(blocks, axis=1).reshape(-1)
    at = np.arange(count)
    # A window that begins with a block is that block.
    total = np.where(at % points == 0, ends[at], ends[at] + begins[at + points - 1])
    size = np.minimum(at + behind, count - 1) - np.maximum(at - before, 0) + 1
    return np.asarray(total / size)


def accumulate_evenly(decay: float, added: FloatArray) -> FloatArray:
    """Return ``y[i] = decay * y[i-1] + added[i]`` from ``y[-1] = 0``; the decay is at most 1.

    In blocks, all of them at once, then what each hands to the next. A product with a matrix would
    be shorter, but the threads of a BLAS wait for each other on a node whose cores are busy (tried:
    140 ms instead of 1).
    """
    count = len(added)
    if count <= 1:
        return added.astype(np.float64)
    size = min(BLOCK, count)
    columns = np.zeros((size, -(-count // size)))
    padded = np.zeros(columns.size)
    padded[:count] = added
    columns[:] = padded.reshape(-1, size).T
    with np.errstate(under="ignore"):
        for row in range(1, size):
            columns[row] += decay * columns[row - 1]
        if columns.shape[1] > 1:
            carried = accumulate_evenly(float(decay) ** size, columns[-1])[:-1]
            for row in range(size):
                columns[row, 1:] += float(decay) ** (row + 1) * carried
    return np.asarray(columns.T.reshape(-1)[:count])


def accumulate(decay: FloatArray, added: FloatArray) -> FloatArray:
    """Return ``y[i] = decay[i] * y[i-1] + added[i]`` from ``y[-1] = 0``; decays are at most 1."""
    total, weight = added.astype(np.float64), decay.astype(np.float64)
    shift = 1
    with np.errstate(under="ignore"):
        while shift < len(total):
            carried = weight[shift:] * total[:-shift]
            total[shift:] += carried
            if shift * 2 >= len(total):
                break
            weight[shift:] = weight[shift:] * weight[:-shift]
            weight[:shift] = 0.0
            if weight.max() < NEGLIGIBLE:
                break
            shift *= 2
    return total


def convolve(value: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the sum of the values around each, weighted; as many as there are values."""
    radius = len(weights) // 2
    largest = float(np.abs(value).max(initial=0.0))
    usual = float(np.median(np.abs(value))) if len(value) else 0.0
    is_tame = largest <= usual * RANGE_MAX
    if len(weights) <= DIRECT_WEIGHTS or not is_tame:
        return np.convolve(value, weights)[radius : radius + len(value)]
    # Piece by piece, so that each stays in the processor's cache; their ends overlap.
    size = 1 << max(12, (4 * len(weights)).bit_length())
    piece = size - len(weights) + 1
    blocks = np.zeros((-(-len(value) // piece), piece))
    blocks.reshape(-1)[: len(value)] = value
    product = np.fft.rfft(blocks, size, axis=1) * np.fft.rfft(weights, size)
    parts = np.fft.irfft(product, size, axis=1)
    whole = np.zeros(len(blocks) * piece + size)
    whole[: len(blocks) * piece] = parts[:, :piece].reshape(-1)
    rest = parts[:, piece:]
    for number, one in enumerate(rest, 1):
        whole[number * piece : number * piece + len(one)] += one
    return whole[radius : radius + len(value)]
