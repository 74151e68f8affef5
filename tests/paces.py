"""Made-up step times: the noise of real machines, and slow ranks that were put there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpctrack.store.columns import Columns
from hpctrack.store.metric import Metric
from hpctrack.store.record import RankRecord, State

STEP_S = 0.4


@dataclass(frozen=True)
class Planted:
    """Ranks that take ``factor`` times as long from one step to another."""

    ranks: tuple[int, ...]
    factor: float
    start: int
    end: int | None = None


def make_times(
    ranks: int,
    steps: int,
    *,
    seed: int,
    planted: Sequence[Planted] = (),
    sigma: float = 0.15,
    alike: float = 0.6,
) -> np.ndarray:
    """Return step times, ranks x steps, as a busy machine makes them.

    Lognormal with ``sigma``, each step like the one before by ``alike`` (AR(1)); one value in a
    hundred is a spike with a Pareto tail; all ranks wait in some stretches (a slow file
    system), all drift by a fifth over the run, all dip together; rank 0 writes a checkpoint
    every 50 steps that takes twenty steps' time; ranks differ by 1 % for ever.
    """
    rng = np.random.default_rng(seed)
    noise = np.empty((ranks, steps))
    fresh = rng.normal(0.0, sigma, (ranks, steps))
    noise[:, 0] = fresh[:, 0]
    for step in range(1, steps):
        noise[:, step] = alike * noise[:, step - 1] + np.sqrt(1 - alike**2) * fresh[:, step]
    times = STEP_S * np.exp(noise + rng.normal(0.0, 0.01, (ranks, 1)))
    times *= np.exp(rng.normal(0.0, 0.05, steps)) * np.linspace(1.0, 1.2, steps)
    start = int(rng.integers(0, steps * 3 // 4))
    times[:, start : start + steps // 10] *= 3.0
    for one in planted:
        times[list(one.ranks), one.start : one.end] *= one.factor
    spikes = rng.random((ranks, steps)) < 0.01
    times[spikes] *= 1.0 + rng.pareto(1.5, int(spikes.sum()))
    times[0, 49::50] += 20 * STEP_S
    return times


def make_metric(
    times: np.ndarray, *, name: str = "step_time", keep: np.ndarray | None = None
) -> Metric:
    """Return the metric that ranks would have logged; ``keep`` masks points."""
    ranks, steps = times.shape
    longest = np.nan_to_num(times, posinf=1.0).max(axis=0, initial=0.0)
    wall_s = 1_000_000.0 + np.cumsum(np.minimum(longest, 1e6))
    whole = Columns(
        np.repeat(np.arange(ranks), steps),
        np.ones(times.size, np.int64),
        np.tile(np.arange(steps), ranks),
        np.tile(wall_s, ranks),
        times.ravel(),
    )
    return Metric(name, whole if keep is None else whole.take(keep.ravel()))


def make_homes(ranks: int, *, per_node: int = 8) -> tuple[RankRecord, ...]:
    """Return where each rank runs."""
    return tuple(
        RankRecord(
            rank=rank,
            node=rank // per_node,
            host=f"n{rank // per_node + 1}",
            local_rank=rank % per_node,
            pid=1000 + rank,
            attempt=1,
            state=State.RUNNING,
            started_wall_s=0.0,
        )
        for rank in range(ranks)
    )
