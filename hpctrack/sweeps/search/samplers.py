"""Which of Optuna's samplers a method means, with its options and its seed.

A sampler is made anew for each point, from the sweep's seed and the configuration's number: so
workers never draw the same numbers, and a sweep with one worker can be repeated. What a sampler
has to remember lies in the study.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from hpctrack.errors import MissingPackageError, SweepError
from hpctrack.sweeps.search.warped import WarpedSampler
from hpctrack.sweeps.sweep import Sweep

OURS = frozenset({"grid", "random", "sobol", "qmc"})
"""Methods whose points follow from the sweep's seed and the configuration's number alone."""


STARTUP = 4
"""Points that fill the space before a Gaussian process chooses. Ten are usual, but then half of a
sweep of twenty trials is left to chance."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a sampler is made from.

    Parameters
    ----------
    options : dict
        Arguments of Optuna's class, from the sweep file.
    seed : int
        For this point only.
    is_conditional : bool
        Some parameters are not there in all points.
    is_several : bool
        There is more than one metric.
    """

    options: dict[str, Any]
    seed: int
    is_conditional: bool
    is_several: bool


def make_seed(seed: int, configuration: int, attempt: int = 0) -> int:
    """Return the seed of a sampler for one point, the same wherever it is made."""
    text = f"{seed}/{configuration}/{attempt}"
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def make_sampler(sweep: Sweep, configuration: int, attempt: int = 0) -> BaseSampler:
    """Return the sampler for one point.

    Parameters
    ----------
    sweep : Sweep
        With method and options.
    configuration : int
        Whose point is wanted.
    attempt : int
        Which try, if points before it violated a constraint.

    Raises
    ------
    SweepError
        The options make no sense.
    MissingPackageError
        A package that the method needs is not installed.
    """
    wanted = _make_wanted(sweep, configuration, attempt)
    try:
        return _MAKERS[sweep.file.method](wanted)
    except (TypeError, ValueError) as error:
        raise SweepError(f"sampler of method {sweep.file.method}: {error}") from None


def count_spread(sweep: Sweep) -> int:
    """Return how many results a sweep waits for before its sampler chooses.

    Until then points fill the space evenly. 0 if the sampler sees to its own beginning.
    """
    if sweep.file.method != "bayes" or not _is_gaussian(_make_wanted(sweep, 0, 0)):
        return 0
    return int(sweep.file.sampler.get("n_startup_trials", STARTUP))


def make_bayes_sampler(wanted: Wanted) -> BaseSampler:
    """Return what ``method: bayes`` means: Gaussian processes where torch is, else TPE.

    Which is better at what was measured: docs/explanations/search-quality.md.
    """
    if _is_gaussian(wanted):
        defaults = {"n_startup_trials": STARTUP, "warn_independent_sampling": False}
        first = _make(GPSampler, wanted, defaults, is_loose=True)
        # It repeats points that it takes for noisy; one that believes every value looks elsewhere.
        options = {**wanted.options, "deterministic_objective": True}
        second = _make(GPSampler, replace(wanted, options=options), defaults, is_loose=True)
        return WarpedSampler(first, second)
    return _make(TPESampler, wanted, _tpe_defaults(wanted), is_loose=True)


def _is_gaussian(wanted: Wanted) -> bool:
    return _is_here("torch") and not wanted.is_conditional and not wanted.is_several


def _make_wanted(sweep: Sweep, configuration: int, attempt: int) -> Wanted:
    options = dict(sweep.file.sampler)
    seed = options.pop("seed", sweep.seed)
    return Wanted(
        options,
        make_seed(seed, configuration, attempt),
        is_conditional=any(one.when for one in sweep.file.space.dimensions),
        is_several=len(sweep.file.metrics) > 1,
    )


def _tpe_defaults(wanted: Wanted) -> dict[str, Any]:
    # Several workers ask at a time: without the liar they would all get the same good idea.
    return {
        "multivariate": True,
        "group": wanted.is_conditional and wanted.options.get("multivariate", True),
        "constant_liar": True,
        "warn_independent_sampling": False,
    }


def _make_tpe(wanted: Wanted) -> BaseSampler:
    return _make(TPESampler, wanted, _tpe_defaults(wanted))


def _make_gp(wanted: Wanted) -> BaseSampler:
    if not _is_here("torch"):
        raise MissingPackageError("torch", extra="gp")
    return _make(GPSampler, wanted, {"warn_independent_sampling": False})


def _make_cmaes(wanted: Wanted) -> BaseSampler:
    if not _is_here("cmaes"):
        raise MissingPackageError("cmaes", extra="sweep")
    return _make(CmaEsSampler, wanted, {"warn_independent_sampling": False})


def _make_nsga2(wanted: Wanted) -> BaseSampler:
    return _make(NSGAIISampler, wanted, {})


def _make_none(wanted: Wanted) -> BaseSampler:
    return RandomSampler(seed=wanted.seed)


def _make(
    kind: type[BaseSampler], wanted: Wanted, defaults: dict[str, Any], *, is_loose: bool = False
) -> BaseSampler:
    """Return a sampler; ``is_loose`` leaves out options that it does not have."""
    options = wanted.options
    if is_loose:
        known = inspect.signature(kind).parameters
        options = {name: one for name, one in options.items() if name in known}
    return kind(**{**defaults, **options, "seed": wanted.seed})


def _is_here(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


_MAKERS: dict[str, Callable[[Wanted], BaseSampler]] = {
    "bayes": make_bayes_sampler,
    "tpe": _make_tpe,
    "gp": _make_gp,
    "cmaes": _make_cmaes,
    "nsga2": _make_nsga2,
    **dict.fromkeys(OURS, _make_none),
}
