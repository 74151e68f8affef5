"""What the search is told when trials end: one word for each configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpctrack.sweeps.schema.sweep_file import SweepFile
from hpctrack.sweeps.search.point import PointState
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.chosen import read_point
from hpctrack.sweeps.worker.result import TrialResult, TrialState, read_result

if TYPE_CHECKING:
    # Optuna takes a third of a second, which most commands need not pay.
    from hpctrack.sweeps.search.search import Search


def tell_search(sweep: Sweep, search: Search, configuration: int) -> bool:
    """Tell the search how a configuration has ended, if all its repeats have.

    Returns
    -------
    bool
        Whether it has. Any worker may do this, any number of times.

    Raises
    ------
    StoreError
        The study cannot be written.
    """
    first = configuration * sweep.file.seeds
    total = sweep.file.trial_count()
    numbers = range(first, first + sweep.file.seeds)
    words = [read_result(sweep.folder, one) for one in numbers if total is None or one < total]
    results = [one for one in words if one is not None and one.state.is_over]
    point = read_point(sweep, configuration)
    if point is None or not results or len(results) < len(words):
        return False
    state, values = sum_up(sweep.file, results)
    violations: tuple[float, ...] = ()
    if state == PointState.FINISHED and sweep.file.result_constraints:
        means = mean_values(sweep.file.metric_names(), results)
        violations = sweep.file.result_violations(point.parameters, means)
    search.tell(point.number, state, values, violations)
    return True


def sum_up(file: SweepFile, results: Sequence[TrialResult]) -> tuple[PointState, tuple[float, ...]]:
    """Return what repeats come to: the mean of those that finished. Pure.

    A configuration is pruned if any repeat was, and failed if no repeat has the metrics.
    """
    if any(one.state == TrialState.PRUNED for one in results):
        return PointState.PRUNED, ()
    names = [one.name for one in file.metrics]
    means = mean_values(names, results)
    if all(name in means for name in names) and any(
        one.state == TrialState.FINISHED for one in results
    ):
        return PointState.FINISHED, tuple(means[name] for name in names)
    return PointState.FAILED, ()


def mean_values(names: Sequence[str], results: Sequence[TrialResult]) -> dict[str, float]:
    """Return the mean of each metric over the repeats that finished with it. Pure."""
    finished = [one.values for one in results if one.state == TrialState.FINISHED]
    means: dict[str, float] = {}
    for name in names:
        numbers = [one[name] for one in finished if not math.isnan(one.get(name, math.nan))]
        if numbers:
            means[name] = sum(numbers) / len(numbers)
    return means


def catch_up(sweep: Sweep, search: Search) -> frozenset[int]:
    """Tell the search what workers could not that died between two words.

    Returns
    -------
    frozenset of int
        The trials that are over.
    """
    settled: set[int] = set()
    seeds = sweep.file.seeds
    for record in search.records():
        if record.configuration < 0:
            continue  # another sweep's, known from the start
        is_over = seeds == 1 and record.state in {PointState.FINISHED, PointState.PRUNED}
        # A failed point may be one that nobody needed: two workers asked at once.
        if is_over or tell_search(sweep, search, record.configuration):
            first = record.configuration * seeds
            settled.update(range(first, first + seeds))
    return frozenset(settled)
