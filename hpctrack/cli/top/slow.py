"""Which ranks are slow now: a quick look; `hpctrack stragglers` looks at the whole run. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

MARGIN = 0.05
SPREADS = 4.0
"""As `hpctrack.store.stragglers.find_stragglers` by default: slower than the median by more than a
twentieth, and by more than four robust standard deviations."""

RANKS_MIN = 3
MAD_TO_SIGMA = 1.4826
SILENT_S = 30.0
SILENT_TIMES = 10.0


class SlowRank(NamedTuple):
    """A rank that takes longer than the others.

    Parameters
    ----------
    factor : float
        How many times as long as the median.
    """

    rank: int
    factor: float


class SilentRank(NamedTuple):
    """A rank that has logged nothing for longer than the others."""

    rank: int
    silent_s: float
    step: int


def find_slow(usual: Sequence[float]) -> list[SlowRank]:
    """Return the ranks that are slow, the slowest first.

    Parameters
    ----------
    usual : sequence of float
        By rank: the time that a step took lately; NaN and what is not positive are left out.
    """
    logs = {rank: math.log(one) for rank, one in enumerate(usual) if 0 < one < math.inf}
    if len(logs) < RANKS_MIN:
        return []
    middle = statistics.median(logs.values())
    spread = MAD_TO_SIGMA * statistics.median(abs(one - middle) for one in logs.values())
    least = max(math.log1p(MARGIN), SPREADS * spread)
    found = [
        SlowRank(rank, math.exp(one - middle)) for rank, one in logs.items() if one - middle > least
    ]
    return sorted(found, key=lambda one: -one.factor)


def find_silent(
    wall_s: Sequence[float], steps: Sequence[int], now_wall_s: float
) -> list[SilentRank]:
    """Return the ranks that stopped while at least half of the others went on.

    Parameters
    ----------
    wall_s : sequence of float
        By rank: when it logged last; 0 of one that never has.
    steps : sequence of int
        What.
    now_wall_s : float
    """
    ages = {rank: now_wall_s - one for rank, one in enumerate(wall_s) if one}
    if len(ages) < RANKS_MIN:
        return []
    usual = max(statistics.median(ages.values()), 0.0)
    least = max(SILENT_S, SILENT_TIMES * usual)
    found = [SilentRank(rank, age, steps[rank]) for rank, age in ages.items() if age > least]
    return sorted(found, key=lambda one: -one.silent_s)
