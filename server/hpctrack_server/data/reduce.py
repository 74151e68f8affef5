"""All ranks' values of a step as one: mean, lowest, highest. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hpctrack.store.metric import Metric
from hpctrack_server.data.downsample import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Reduced:
    """One row per step.

    Parameters
    ----------
    step : ndarray of int64, shape (n,)
        Increasing.
    wall_s : ndarray of float64, shape (n,)
        When the last rank logged the step, UTC seconds.
    mean, low, high : ndarray of float64, shape (n,)
        Over the ranks that have a value; NaN where none has.
    """

    step: IntArray
    wall_s: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray

    @property
    def size_bytes(self) -> int:
        """Memory taken by the arrays."""
        return 5 * self.step.nbytes


def reduce_ranks(metric: Metric) -> Reduced:
    """Reduce a metric over its ranks.

    Notes
    -----
    Ranks that share no step cost no matrix, which would be as large as the square of what was
    logged.
    """
    found = metric.reduce_each(("mean", "min", "max"), by="step")
    mean = found["mean"]
    return Reduced(mean.step, mean.wall_s, mean.value, found["min"].value, found["max"].value)
