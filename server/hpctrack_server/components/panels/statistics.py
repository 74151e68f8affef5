"""Means, spreads and quartiles of groups of runs. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from hpctrack_server.components.panels.column import MISSING, Column, FloatArray, IntArray

GROUPS_MAX = 60
"""Groups that a panel shows; the rarest beyond are put together."""

WHISKER = 1.5
"""Tukey's: values beyond 1.5 interquartile ranges are drawn as points."""

DENSITY_POINTS = 81
BOOTSTRAP_ROUNDS = 2000
CONFIDENCE = 0.95


class Spread(StrEnum):
    """What an error bar is."""

    STD = "std"
    STDERR = "stderr"
    RANGE = "minmax"
    CI = "ci"
    """The middle 95 % of means of resampled groups."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Mean of a group, with its error bar from ``low`` to ``high``."""

    label: str
    n: int
    mean: float
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Quartiles of a group, whiskers, what lies beyond, and how dense it lies where.

    Parameters
    ----------
    label : str
    n : int
    quartiles : tuple of 3 floats
        By linear interpolation, as `numpy.percentile` has it.
    whiskers : tuple of 2 floats
        The outermost values within 1.5 interquartile ranges of the box.
    mean : float
    rows : list of int
        Row numbers of the runs beyond the whiskers.
    density : tuple of two lists
        Places and heights, the highest 1; empty for less than 2 different values.
    """

    label: str
    n: int
    quartiles: tuple[float, float, float]
    whiskers: tuple[float, float]
    mean: float
    rows: list[int]
    density: tuple[list[float], list[float]] = ((), ())  # type: ignore[assignment]


def summarise(values: FloatArray, *, spread: Spread, label: str = "", seed: int = 0) -> Bar:
    """Return mean, median and error bar of some values.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Finite, at least one.
    spread : Spread
    label : str
    seed : int
        Of the resampling, so that the same runs give the same bar.
    """
    mean, n = float(values.mean()), len(values)
    deviation = float(values.std(ddof=1)) if n > 1 else 0.0
    low = high = mean
    if spread == Spread.RANGE:
        low, high = float(values.min()), float(values.max())
    elif spread == Spread.CI and n > 1:
        low, high = bootstrap_mean(values, seed=seed)
    elif spread in {Spread.STD, Spread.STDERR}:
        half = deviation if spread == Spread.STD else deviation / math.sqrt(n)
        low, high = mean - half, mean + half
    return Bar(label=label, n=n, mean=mean, median=float(np.median(values)), low=low, high=high)


def bootstrap_mean(values: FloatArray, *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean by 2,000 resamplings (percentile method)."""
    random = np.random.default_rng(seed)
    # In parts: 10,000 values times 2,000 rounds at once would be 160 MB.
    part = max(1, min(BOOTSTRAP_ROUNDS, 2_000_000 // len(values)))
    means = np.concatenate([
        values[random.integers(0, len(values), (min(part, BOOTSTRAP_ROUNDS - done), len(values)))]
        .mean(axis=1)
        for done in range(0, BOOTSTRAP_ROUNDS, part)
    ])  # fmt: skip
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def make_box(values: FloatArray, rows: IntArray, *, label: str = "", is_log: bool = False) -> Box:
    """Return the box of some values; ``rows`` are their row numbers.

    With ``is_log`` quartiles and whiskers are those of the logarithms, as the axis shows them.
    """
    shown = np.log10(values) if is_log else values
    first, middle, third = np.percentile(shown, [25, 50, 75])
    reach = WHISKER * (third - first)
    within = (shown >= first - reach) & (shown <= third + reach)
    ends = [shown[within].min(), shown[within].max()]
    quartiles, whiskers = np.array([first, middle, third]), np.array(ends)
    if is_log:
        quartiles, whiskers = 10**quartiles, 10**whiskers
    return Box(
        label=label,
        n=len(values),
        quartiles=(float(quartiles[0]), float(quartiles[1]), float(quartiles[2])),
        whiskers=(float(whiskers[0]), float(whiskers[1])),
        mean=float(values.mean()),
        rows=rows[~within].tolist(),
        density=estimate_density(shown, is_log=is_log),
    )


def estimate_density(shown: FloatArray, *, is_log: bool) -> tuple[list[float], list[float]]:
    """Return a Gaussian kernel density, cut at the extremes; the bandwidth is Silverman's.

    Returns
    -------
    places, heights : lists of float
        The highest is 1. Empty if all values are the same.
    """
    low, high = float(shown.min()), float(shown.max())
    if not high > low:
        return [], []
    quarter, third = np.percentile(shown, [25, 75])
    width = min(float(shown.std(ddof=1)), float(third - quarter) / 1.349 or math.inf)
    bandwidth = 0.9 * width * len(shown) ** -0.2
    places = np.linspace(low, high, DENSITY_POINTS)
    heights = np.zeros(DENSITY_POINTS)
    for part in np.array_split(shown, max(1, len(shown) // 20_000)):
        heights += np.exp(-0.5 * ((places[:, None] - part[None, :]) / bandwidth) ** 2).sum(axis=1)
    heights /= heights.max()
    return (10**places if is_log else places).tolist(), heights.tolist()


def iter_groups(group: Column | None, known: IntArray) -> list[tuple[str, IntArray]]:
    """Return the groups with row numbers, in the order of their labels.

    Parameters
    ----------
    group : Column or None
        Categories; without, all rows are one group without a name.
    known : ndarray of int
        The rows that count.
    """
    if group is None:
        return [("", known)] if len(known) else []
    codes = group.codes[known]
    labels = [*enumerate(group.labels), (MISSING, "no value")]
    found = [(label, known[codes == code]) for code, label in labels]
    return [(label, rows) for label, rows in found if len(rows)]
