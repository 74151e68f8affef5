"""Which parameters decide how good a configuration is: Optuna's evaluators over plain records."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hpctrack.errors import MissingPackageError, UsageError
from hpctrack.sweeps.search.packages import demand_packages
from hpctrack.sweeps.search.point import PointRecord, PointState

EVALUATORS = ("fanova", "ped-anova")

MIN_TRIALS = 10
"""With fewer, whatever an evaluator answers is noise."""

TOP_TRIALS = 5
"""PED-ANOVA compares the best trials with the rest; Optuna's manual wants at least five of them."""

TOP_SHARE = 0.1
"""Share that counts as the best where there are enough trials; Optuna's default."""

FOREST_TRIALS = 300
"""fANOVA grows a leaf for each trial, and its time with the square of the leaves: 2,000 take a
minute, 300 some seconds."""

_SEED = 0
"""Of the forest: the same sweep is to give the same answer."""


def rank_parameters(
    records: Sequence[PointRecord],
    *,
    goal: str = "minimize",
    evaluator: str = "ped-anova",
    logarithmic: Collection[str] = (),
) -> dict[str, float]:
    """Return how important each parameter is, the most important first; the sum is 1.

    Parameters
    ----------
    records : sequence of PointRecord
        Finished ones with a finite first value count; that value is explained.
    goal : {"minimize", "maximize"}
        Which way it is better.
    evaluator : {"fanova", "ped-anova"}
        fANOVA: share of the variance over the whole space that a parameter explains alone. Only
        parameters that every record has. PED-ANOVA: how much the values of the best records
        differ from those of all; also of conditional parameters.
    logarithmic : collection of str
        Dotted names of numbers that were drawn by their logarithm.

    Returns
    -------
    dict of str to float
        By dotted name. A parameter with one value only is left out.

    Raises
    ------
    UsageError
        Too few records have finished, nothing was varied, or there is no such evaluator.
    MissingPackageError
        fANOVA needs scikit-learn.
    """
    demand_packages()
    if evaluator not in EVALUATORS:
        raise UsageError(f"no evaluator {evaluator!r}", hint=f"one of {', '.join(EVALUATORS)}")
    finished = [one for one in records if _counts(one)]
    if len(finished) < MIN_TRIALS:
        raise UsageError(
            f"{len(finished)} finished trials are too few to tell which parameters matter",
            hint=f"it takes {MIN_TRIALS}; pruned and failed ones do not count",
        )
    if evaluator == "fanova":
        finished = _thin(finished)
    flat = [dict(_iter_flat(one.parameters)) for one in finished]
    rows = [_take_logarithms(row, logarithmic) for row in flat]
    distributions = _guess_distributions(rows)
    if not distributions:
        raise UsageError(
            "every finished trial has the same parameters", hint="nothing was varied in this sweep"
        )
    values = [one.values[0] for one in finished]
    if min(values) == max(values):
        raise UsageError("every finished trial has the same value", hint="there is no best one")
    with _quiet():
        return _evaluate(rows, values, distributions, goal=goal, evaluator=evaluator)


def _counts(one: PointRecord) -> bool:
    # Infinite values would make every mean infinite; NaN has no rank.
    is_finite = bool(one.values) and one.values[0] - one.values[0] == 0
    return one.state == PointState.FINISHED and is_finite


def _thin(finished: list[PointRecord]) -> list[PointRecord]:
    """Return as many as the forest can take, spread evenly."""
    if len(finished) <= FOREST_TRIALS:
        return finished
    return [finished[at * len(finished) // FOREST_TRIALS] for at in range(FOREST_TRIALS)]


def _evaluate(
    rows: Sequence[Mapping[str, Any]],
    values: Sequence[float],
    distributions: Mapping[str, Any],
    *,
    goal: str,
    evaluator: str,
) -> dict[str, float]:
    import optuna  # noqa: PLC0415 - half a second that only this needs

    study = optuna.create_study(direction=goal)
    study.add_trials([
        optuna.trial.create_trial(
            params={
                name: _as_category(row[name]) if _is_choice(distributions[name]) else row[name]
                for name in distributions
                if name in row
            },
            distributions={name: one for name, one in distributions.items() if name in row},
            value=value,
        )
        for row, value in zip(rows, values, strict=True)
    ])  # fmt: skip
    chosen: Any
    if evaluator == "fanova":
        try:
            chosen = optuna.importance.FanovaImportanceEvaluator(seed=_SEED)
        except ImportError:
            error = MissingPackageError("scikit-learn", extra="sweep")
            error.hint = "pip install scikit-learn, or use --method ped-anova"
            raise error from None
    else:
        share = min(max(TOP_SHARE, TOP_TRIALS / len(rows)), 0.5)
        chosen = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
    found = optuna.importance.get_param_importances(study, evaluator=chosen)
    return {name: float(value) for name, value in found.items()}


def _take_logarithms(row: Mapping[str, Any], logarithmic: Collection[str]) -> dict[str, Any]:
    """Return a row with the logarithm of what was drawn by its logarithm.

    fANOVA weighs every value by how much of the space it stands for. It takes no notice of a
    distribution's ``log``, so that 0.01 to 0.1 would be nine tenths of 1e-5 to 0.1.
    """
    return {
        name: math.log(value) if name in logarithmic and _is_positive(value) else value
        for name, value in row.items()
    }


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _guess_distributions(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return Optuna's distribution of each parameter that was varied, from its values."""
    from optuna.distributions import (  # noqa: PLC0415 - see above
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row]
        kinds = {type(value) for value in values}
        if kinds <= {int, float}:
            low, high = min(values), max(values)
            if low < high and kinds == {int}:
                found[name] = IntDistribution(low, high)
            elif low < high and high - low < math.inf:
                found[name] = FloatDistribution(float(low), float(high))
        else:
            choices = list(dict.fromkeys(map(_as_category, values)))
            if len(choices) > 1:
                found[name] = CategoricalDistribution(choices)
    return found


def _is_choice(distribution: Any) -> bool:
    return hasattr(distribution, "choices")


def _as_category(value: Any) -> str:
    """Return a text that tells values apart; 1, True and "1" are three of them."""
    return json.dumps(value, default=str, sort_keys=True)


def _iter_flat(parameters: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in parameters.items():
        if isinstance(value, Mapping) and value:
            yield from _iter_flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's lines about a study in memory, and its advice, from the user."""
    from optuna import logging  # noqa: PLC0415 - see above

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
