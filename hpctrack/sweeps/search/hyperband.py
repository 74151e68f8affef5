"""W&B's rule for ending trials early: bands of iterations, and who is among the best there. Pure.

A trial that has passed a band is compared with all trials that have passed it: it ends unless its
metric is among the best ``1/eta`` of what they had in that iteration. What is compared is the best
value that the trial ever had, or with ``strict`` the one it had in the band.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEFAULT_ETA = 3
DEFAULT_S = 2
MAX_BANDS = 100
"""From ``min_iter`` on; the last of them is beyond all programs, unless eta is close to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperband:
    """The rule with its numbers.

    Parameters
    ----------
    bands : tuple of int
        Iterations, from 1, rising; some may be equal.
    eta : float
        Above 1.
    strict : bool
        Compare what the trial had in the band, not the best it ever had.
    """

    bands: tuple[int, ...]
    eta: float = DEFAULT_ETA
    strict: bool = False

    def band_of(self, iteration: int) -> int | None:
        """Return the last band that an iteration has reached; None before the first."""
        passed = [one for one in self.bands if one <= iteration]
        return passed[-1] if passed else None

    def threshold(self, values: Sequence[float]) -> float:
        """Return the value that must not be exceeded, from what trials had in a band."""
        if not values:
            return math.inf
        return sorted(values)[int(len(values) * (1.0 / self.eta))]

    def should_stop(
        self,
        mine: Mapping[int, float],
        others: Sequence[Mapping[int, float]],
        *,
        best: float | None = None,
    ) -> bool:
        """Tell whether a trial ends.

        Parameters
        ----------
        mine : mapping of int to float
            Iterations and values of the trial; smaller is better, all finite.
        others : sequence of mappings
            The same of the others, running or not.
        best : float, optional
            The best value that the trial ever had, if ``mine`` has not all of them.
        """
        if not mine:
            return False
        band = self.band_of(max(mine))
        if band is None:
            return False
        reached = [value_at(one, band) for one in (*others, mine)]
        threshold = self.threshold([one for one in reached if one is not None])
        value = value_at(mine, band) if self.strict else min(mine.values())
        if not self.strict and best is not None:
            value = best if value is None else min(value, best)
        return value is not None and value > threshold


def value_at(history: Mapping[int, float], band: int) -> float | None:
    """Return what a trial had when it had reached a band; None if it never has.

    Not every iteration is known of every trial: then it is the first one after the band.
    """
    if band in history:
        return history[band]
    later = [one for one in history if one > band]
    return history[min(later)] if later else None


def bands_from_min(min_iter: int, eta: float) -> tuple[int, ...]:
    """Return the bands that begin at an iteration, each ``eta`` times as late as the last."""
    bands = []
    band = float(min_iter)
    for _ in range(MAX_BANDS):
        if band > 1 << 62:
            break
        bands.append(int(band))
        band *= eta
    return tuple(bands)


def bands_from_max(max_iter: int, eta: float, s: float) -> tuple[int, ...]:
    """Return the ``s`` bands before the last iteration, the first of them at least 1."""
    bands: list[int] = []
    band = float(max_iter)
    for _ in range(int(s)):
        band /= eta
        if band < 1:
            break
        bands.append(int(band))
    return tuple(sorted(bands))
