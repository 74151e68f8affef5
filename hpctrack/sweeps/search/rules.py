"""When a trial should end early: the rules of a sweep file as Optuna's pruners."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.pruners import (
    BasePruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)
from optuna.study import StudyDirection

from hpctrack.errors import SweepError
from hpctrack.sweeps.schema.sweep_file import EarlyStop
from hpctrack.sweeps.search.hyperband import (
    DEFAULT_ETA,
    DEFAULT_S,
    Hyperband,
    bands_from_max,
    bands_from_min,
)
from hpctrack.sweeps.search.quiet import quietly

DENSE_ITERATIONS = 20
SPARSE_RATIO = 1.08
"""Beyond the dense ones a curve has a value every 8 %: 80 more reach a million iterations."""

BEST_KEY = "hpctrack:best"
"""Attribute, never stored, of the trial that a pruner looks at: the best value it ever had."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, ready to be asked.

    Parameters
    ----------
    pruner : BasePruner
        Optuna's, or ours.
    wants : callable
        Tells whether an iteration matters to it.
    say : callable
        From the iteration at which a trial ends to why.
    """

    pruner: BasePruner
    wants: Callable[[int], bool]
    say: Callable[[int], str]


def make_rule(early: EarlyStop | None) -> Rule:
    """Return a sweep's rule; one that ends nothing if it has none.

    Raises
    ------
    SweepError
        Its numbers make no sense.
    """
    if early is None:
        return Rule(NopPruner(), is_sparse, lambda _: "")
    make = _MAKERS.get(early.kind)
    if make is None:
        raise SweepError(
            f"unknown early_terminate {early.kind!r}", hint=f"known are {', '.join(_MAKERS)}"
        )
    try:
        with quietly():
            return make(dict(early.options))
    except (TypeError, ValueError) as error:
        raise SweepError(f"early_terminate {early.kind}: {error}") from None


def is_sparse(iteration: int) -> bool:
    """Tell whether an iteration is kept so that a curve can be drawn: about 100 of a million."""
    if iteration <= DENSE_ITERATIONS:
        return iteration >= 1
    before = math.floor(math.log(iteration - 1) / math.log(SPARSE_RATIO))
    return math.floor(math.log(iteration) / math.log(SPARSE_RATIO)) > before


class HyperbandRule(BasePruner):
    """W&B's hyperband for Optuna.

    Parameters
    ----------
    rule : Hyperband
        With its numbers.
    """

    def __init__(self, rule: Hyperband) -> None:
        self.rule = rule

    def prune(self, study: Any, trial: Any) -> bool:
        """Tell whether a trial ends."""
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        others = [
            _finite(one.intermediate_values, sign)
            for one in study.get_trials(deepcopy=False)
            if one.number != trial.number and one.intermediate_values
        ]
        best = trial.user_attrs.get(BEST_KEY)
        return self.rule.should_stop(
            _finite(trial.intermediate_values, sign),
            others,
            best=None if best is None or not math.isfinite(best) else sign * best,
        )


class PatientRule(BasePruner):
    """Ends a trial that has not become better for a while.

    Optuna's waits until a trial is worse than before by more than ``min_delta``, so that one that
    stands still, or creeps, goes on for ever.

    Parameters
    ----------
    inner : BasePruner or None
        Who has to agree.
    patience : int
        For how many iterations.
    min_delta : float
        How much counts as better.
    """

    def __init__(self, inner: BasePruner | None, *, patience: int, min_delta: float = 0.0) -> None:
        self.inner = inner
        self.patience = patience
        self.min_delta = min_delta

    def prune(self, study: Any, trial: Any) -> bool:
        """Tell whether a trial ends."""
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        values = [sign * value for _, value in sorted(trial.intermediate_values.items())]
        before, lately = values[: -self.patience], values[-self.patience :]
        if not before:
            return False
        if _least(lately) < _least(before) - self.min_delta:
            return False
        return self.inner is None or self.inner.prune(study, trial)


def _least(values: Sequence[float]) -> float:
    return min((one for one in values if not math.isnan(one)), default=math.inf)


def _finite(values: Mapping[int, float], sign: float) -> dict[int, float]:
    return {at: sign * one for at, one in values.items() if math.isfinite(one)}


def _make_hyperband(options: dict[str, Any]) -> Rule:
    eta = options.get("eta", DEFAULT_ETA)
    if eta <= 1:
        raise ValueError(f"eta is {eta}, not above 1")
    if "max_iter" in options:
        bands = bands_from_max(options["max_iter"], eta, options.get("s", DEFAULT_S))
    elif "min_iter" in options:
        bands = bands_from_min(options["min_iter"], eta)
    else:
        raise ValueError("min_iter or max_iter is missing")
    if not bands:
        raise ValueError("there is no band: max_iter or s is too small")
    rule = Hyperband(bands=bands, eta=eta, strict=options.get("strict", False) is True)
    known = frozenset(bands)
    return Rule(
        HyperbandRule(rule),
        lambda iteration: iteration in known or is_sparse(iteration),
        lambda iteration: (
            f"not among the best 1/{eta:g} of band {rule.band_of(iteration)} of hyperband"
        ),
    )


def _make_asha(options: dict[str, Any]) -> Rule:
    least = options.pop("min_iter", "auto")
    if least == "auto" and options.get("bootstrap_count"):
        least = 1  # Optuna cannot wait for trials at a rung that it has yet to find
    pruner = _make(SuccessiveHalvingPruner, {"min_resource": least, **options})
    factor = options.get("reduction_factor", 4)
    first = 0 if least == "auto" else least * factor ** options.get("min_early_stopping_rate", 0)

    def wants(iteration: int) -> bool:
        rung = first
        while rung and rung < iteration:
            rung *= factor
        return rung == iteration or is_sparse(iteration)

    return Rule(pruner, wants, lambda iteration: f"not among the best at iteration {iteration}")


def _make_median(options: dict[str, Any]) -> Rule:
    return _of_interval(
        _make(MedianPruner, options),
        options,
        lambda iteration: f"worse than the median at iteration {iteration}",
    )


def _make_percentile(options: dict[str, Any]) -> Rule:
    percentile = options.get("percentile", 25.0)
    return _of_interval(
        _make(PercentilePruner, {"percentile": percentile, **options}),
        options,
        lambda iteration: f"not within the best {percentile:g} % at iteration {iteration}",
    )


def _of_interval(pruner: BasePruner, options: dict[str, Any], say: Callable[[int], str]) -> Rule:
    """Return a rule that looks every so many iterations after a warm-up, as Optuna counts them."""
    warmup, every = options.get("n_warmup_steps", 0), options.get("interval_steps", 1)

    def wants(iteration: int) -> bool:
        if iteration < warmup:
            return is_sparse(iteration)
        return (iteration - warmup) % every == 0 or is_sparse(iteration)

    return Rule(pruner, wants, say)


def _make_patient(options: dict[str, Any]) -> Rule:
    patience = options.get("patience", 5)
    if patience < 1:
        raise ValueError(f"patience is {patience}, not at least 1")
    held: EarlyStop | None = options.pop("rule", None)
    inner = make_rule(held) if held is not None else None
    no_better = f"no better for {patience} iterations"
    return Rule(
        PatientRule(
            inner and inner.pruner, patience=patience, min_delta=options.get("min_delta", 0.0)
        ),
        lambda _: True,
        lambda iteration: f"{inner.say(iteration)}, and {no_better}" if inner else no_better,
    )


def _make_threshold(options: dict[str, Any]) -> Rule:
    if options.get("lower") is None and options.get("upper") is None:
        raise ValueError("lower or upper is missing")
    return Rule(
        _make(ThresholdPruner, options),
        lambda _: True,
        lambda iteration: f"out of the allowed range at iteration {iteration}",
    )


def _make_wilcoxon(options: dict[str, Any]) -> Rule:
    return Rule(
        _make(WilcoxonPruner, options),
        lambda _: True,
        lambda iteration: f"significantly worse than the best at iteration {iteration}",
    )


def _make(kind: type[BasePruner], options: dict[str, Any]) -> BasePruner:
    known = [one for one in inspect.signature(kind).parameters if one != "self"]
    for name in options:
        if name not in known:
            raise ValueError(f"unknown option {name!r}; known are {', '.join(known)}")
    return kind(**options)


_MAKERS: dict[str, Callable[[dict[str, Any]], Rule]] = {
    "hyperband": _make_hyperband,
    "asha": _make_asha,
    "median": _make_median,
    "percentile": _make_percentile,
    "patient": _make_patient,
    "threshold": _make_threshold,
    "wilcoxon": _make_wilcoxon,
}
