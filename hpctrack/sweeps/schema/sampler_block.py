"""``method`` and ``sampler``: what each method can, and the options that Optuna's samplers take.

The tables are written out: a login node that checks a file need not import Optuna. A test compares
them with Optuna's own signatures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hpctrack.sweeps.schema.document import Node, nearest
from hpctrack.sweeps.schema.option import Option, read_options

_SEED = Option(kind="whole", least=0, most=(1 << 32) - 1, about="Of the sampler's own numbers.")
_STARTUP = Option(kind="whole", least=0, about="Random points at the beginning.")
_SCRAMBLE = Option(kind="flag", about="Scramble the sequence. Default true.")
_PER_PARAMETER = Option(kind="number", least=0, most=1, about="Probability, for each parameter.")
_PER_PAIR = Option(kind="number", least=0, most=1, about="Probability, for two parents.")
_DETERMINISTIC = Option(kind="flag", about="The program has no noise.")
_TPE = {
    "consider_prior": Option(kind="flag", about="Mix in a prior."),
    "prior_weight": Option(kind="number", above=0, about="Weight of the prior."),
    "consider_magic_clip": Option(kind="flag", about="Keep kernels from becoming too narrow."),
    "consider_endpoints": Option(kind="flag", about="Let the bounds count for the widths."),
    "n_startup_trials": _STARTUP,
    "n_ei_candidates": Option(kind="whole", least=1, about="Candidates for each point."),
    "multivariate": Option(kind="flag", about="Look at the parameters together."),
    "group": Option(kind="flag", about="As multivariate, in groups for conditional parameters."),
    "constant_liar": Option(kind="flag", about="Keep away from points that run now."),
    "seed": _SEED,
}
_GP = {
    "n_startup_trials": _STARTUP,
    "deterministic_objective": _DETERMINISTIC,
    "seed": _SEED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way to choose points.

    Parameters
    ----------
    about : str
        What it is.
    options : dict
        What ``sampler`` may have.
    sampler : str
        The class of Optuna that takes them; empty if there is none.
    needs_metric : bool
        It learns from results.
    takes_several : bool
        It can look for a Pareto front.
    """

    about: str
    options: dict[str, Option] = field(default_factory=dict)
    sampler: str = ""
    needs_metric: bool = True
    takes_several: bool = True


METHODS: dict[str, Method] = {
    "grid": Method(
        about="Every combination, in the file's order, the last parameter fastest.",
        needs_metric=False,
    ),
    "random": Method(about="Independent points.", needs_metric=False),
    "bayes": Method(about="The search that suits the parameters.", options={**_TPE, **_GP}),
    "tpe": Method(about="Tree-structured Parzen estimators.", options=_TPE, sampler="TPESampler"),
    "gp": Method(
        about="A Gaussian process.", options=_GP, sampler="GPSampler", takes_several=False
    ),
    "cmaes": Method(
        about="CMA-ES, for numbers that hang together.",
        options={
            "sigma0": Option(kind="number", above=0, about="First step size."),
            "n_startup_trials": _STARTUP,
            "consider_pruned_trials": Option(kind="flag", about="Learn from trials ended early."),
            "restart_strategy": Option(
                kind="text", choices=("ipop", "bipop"), about="Start again when it has converged."
            ),
            "popsize": Option(kind="whole", least=2, about="Points of a generation."),
            "inc_popsize": Option(kind="whole", least=1, about="Growth at each new start."),
            "use_separable_cma": Option(kind="flag", about="Only variances: for many parameters."),
            "with_margin": Option(kind="flag", about="Keep whole numbers from getting stuck."),
            "lr_adapt": Option(kind="flag", about="Adapt the learning rate: for noise."),
            "seed": _SEED,
        },
        sampler="CmaEsSampler",
        takes_several=False,
    ),
    "nsga2": Method(
        about="A genetic algorithm for Pareto fronts.",
        options={
            "population_size": Option(kind="whole", least=2, about="Points of a generation."),
            "mutation_prob": _PER_PARAMETER,
            "crossover_prob": _PER_PAIR,
            "swapping_prob": _PER_PARAMETER,
            "seed": _SEED,
        },
        sampler="NSGAIISampler",
    ),
    "sobol": Method(
        about="Points that fill the space evenly.",
        options={"scramble": _SCRAMBLE, "seed": _SEED},
        needs_metric=False,
    ),
    "qmc": Method(
        about="As sobol, or by Halton's sequence.",
        options={
            "qmc_type": Option(
                kind="text", choices=("sobol", "halton"), about="Which sequence. Default sobol."
            ),
            "scramble": _SCRAMBLE,
            "seed": _SEED,
        },
        sampler="QMCSampler",
        needs_metric=False,
    ),
}
"""Every method."""

_OTHER_NAMES = {
    "custom": "name the search itself, such as method: tpe; W&B's `scheduler` is not read",
    "bayesian": "use method: bayes",
    "hyperband": "use method: random with `early_terminate`",
    "asha": "use method: random with `early_terminate: {type: asha}`",
    "optuna": "use method: tpe",
    "nsgaii": "use method: nsga2",
    "cma": "use method: cmaes",
    "halton": "use method: qmc with `sampler: {qmc_type: halton}`",
}


def parse_method(node: Node) -> str:
    """Read the name of a method.

    Raises
    ------
    SweepFileError
        There is no such method; the message has the line.
    """
    method = node.text("`method`")
    if method not in METHODS:
        hint = _OTHER_NAMES.get(method.lower()) or nearest(method, METHODS)
        node.fail(f"unknown method {method!r:.40}", hint=hint)
    return method


def parse_sampler(node: Node, method: str) -> dict[str, Any]:
    """Read the options of a method.

    Raises
    ------
    SweepFileError
        It has no such option, or the value is wrong; the message has the line.
    """
    keys = node.mapping("`sampler`")
    options = read_options(keys, METHODS[method].options, f"`sampler` of method {method}")
    if options.get("group") and options.get("multivariate") is False:
        keys["group"].fail("`group` of `sampler` needs `multivariate`")
    if options.get("lr_adapt") and (options.get("use_separable_cma") or options.get("with_margin")):
        keys["lr_adapt"].fail("`lr_adapt` goes with neither `use_separable_cma` nor `with_margin`")
    if options.get("use_separable_cma") and options.get("with_margin"):
        keys["with_margin"].fail("`with_margin` and `use_separable_cma` exclude each other")
    return options
