"""What a group has reached in the middle: mean, median, interquartile mean. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np

from hpctrack.analysis.bootstrap import Statistic

TRIMMED_SHARE = 0.25


class Center(StrEnum):
    """Which number stands for a group."""

    MEAN = "mean"
    MEDIAN = "median"
    IQM = "iqm"


def mean(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the mean of the last axis."""
    return np.asarray(values.mean(axis=-1))


def median(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the median of the last axis."""
    return np.asarray(np.median(values, axis=-1))


def interquartile_mean(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the mean of the middle half of the last axis.

    Notes
    -----
    R. Agarwal et al., NeurIPS 2021: as robust as the median nearly, and as sharp as the mean
    nearly. At each end ``floor(n / 4)`` values are left out, as their ``rliable`` and
    ``scipy.stats.trim_mean(values, 0.25)`` do; so below four values it is the mean.
    """
    size = values.shape[-1]
    cut = int(TRIMMED_SHARE * size)
    if not cut:
        return mean(values)
    ordered = np.partition(values, (cut, size - cut - 1), axis=-1)
    return np.asarray(ordered[..., cut : size - cut].mean(axis=-1))


STATISTICS: dict[Center, Statistic] = {
    Center.MEAN: mean,
    Center.MEDIAN: median,
    Center.IQM: interquartile_mean,
}
