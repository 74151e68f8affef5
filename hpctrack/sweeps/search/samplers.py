"""Which of Optuna's samplers a method means, and its options."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
from collections.abc import Callable
from typing import Any

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, TPESampler

from hpctrack.errors import MissingPackageError, SweepError
from hpctrack.sweeps.schema.document import nearest

OURS = frozenset({"grid", "random", "sobol", "qmc"})
"""Methods whose points follow from the sweep's seed and the configuration's number alone."""


def make_seed(seed: int, configuration: int, attempt: int = 0) -> int:
    """Return the seed of a sampler for one point, the same wherever it is made."""
    text = f"{seed}/{configuration}/{attempt}"
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def make_sampler(method: str, options: dict[str, Any], seed: int) -> BaseSampler:
    """Return the sampler for one point.

    Parameters
    ----------
    method : str
        Of the sweep.
    options : dict
        Arguments of the sampler, from the sweep file.
    seed : int
        From `make_seed`.

    Raises
    ------
    SweepError
        The options make no sense.
    MissingPackageError
        A package that the method needs is not installed.
    """
    try:
        return _MAKERS[method](options, seed)
    except (TypeError, ValueError) as error:
        raise SweepError(f"sampler of method {method}: {error}") from None


def make_bayes_sampler(options: dict[str, Any], seed: int) -> BaseSampler:
    """Return what `method: bayes` means: Gaussian processes if torch is here, else TPE."""
    if importlib.util.find_spec("torch") is not None:
        return _make(GPSampler, options, seed)
    return _make_tpe(options, seed)


def _make_tpe(options: dict[str, Any], seed: int) -> BaseSampler:
    # Several workers ask at a time: without the liar they would all get the same good idea.
    return _make(TPESampler, {"multivariate": True, "constant_liar": True, **options}, seed)


def _make_gp(options: dict[str, Any], seed: int) -> BaseSampler:
    if importlib.util.find_spec("torch") is None:
        raise MissingPackageError("torch", extra="gp")
    return _make(GPSampler, options, seed)


def _make_cmaes(options: dict[str, Any], seed: int) -> BaseSampler:
    if importlib.util.find_spec("cmaes") is None:
        raise MissingPackageError("cmaes", extra="sweep")
    return _make(CmaEsSampler, {"warn_independent_sampling": False, **options}, seed)


def _make_nsga2(options: dict[str, Any], seed: int) -> BaseSampler:
    return _make(NSGAIISampler, options, seed)


def _make(kind: type[BaseSampler], options: dict[str, Any], seed: int) -> BaseSampler:
    known = [one for one in inspect.signature(kind).parameters if one not in {"self", "seed"}]
    for name in options:
        if name not in known:
            raise ValueError(f"unknown option {name!r}; {nearest(name, known)}")
    return kind(seed=seed, **options)


_MAKERS: dict[str, Callable[[dict[str, Any], int], BaseSampler]] = {
    "bayes": make_bayes_sampler,
    "tpe": _make_tpe,
    "gp": _make_gp,
    "cmaes": _make_cmaes,
    "nsga2": _make_nsga2,
    **dict.fromkeys(OURS, lambda _, seed: optuna.samplers.RandomSampler(seed=seed)),
}
