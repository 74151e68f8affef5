"""``early_terminate``: W&B's hyperband and Optuna's rules, by their own names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hpctrack.sweeps.schema.document import Node, nearest
from hpctrack.sweeps.schema.option import Option, read_options

MIN_ITER = Option(kind="whole", least=1, about="Iteration at which trials are compared first.")
REDUCTION = Option(kind="whole", least=2, about="Of so many trials one goes on. Default 4.")
_WARMUP = Option(kind="whole", least=0, about="Iterations before which no trial ends. Default 0.")
_INTERVAL = Option(kind="whole", least=1, about="Iterations from one look to the next. Default 1.")
_STARTUP = Option(kind="whole", least=0, about="Trials that are never ended. Default 5.")
_MIN_TRIALS = Option(kind="whole", least=1, about="Trials needed at an iteration. Default 1.")
_MEDIAN = {
    "n_startup_trials": _STARTUP,
    "n_warmup_steps": _WARMUP,
    "interval_steps": _INTERVAL,
    "n_min_trials": _MIN_TRIALS,
}

EARLY_OPTIONS: dict[str, dict[str, Option]] = {
    "hyperband": {
        "min_iter": Option(kind="whole", least=1, about="First band; each next one is eta times."),
        "max_iter": Option(kind="whole", least=1, about="Longest trial; bands divide it by eta."),
        "s": Option(kind="number", least=1, about="How many bands lie below max_iter."),
        "eta": Option(kind="number", above=1, about="At a band 1/eta go on. Default 3."),
        "strict": Option(kind="flag", about="Judge by the value at the band, not the best so far."),
    },
    "asha": {
        "min_iter": MIN_ITER,
        "reduction_factor": REDUCTION,
        "eta": Option(kind="whole", least=2, about="W&B's name of reduction_factor."),
        "min_early_stopping_rate": Option(
            kind="whole", least=0, most=60, about="Rungs left out at the beginning. Default 0."
        ),
        "bootstrap_count": Option(
            kind="whole", least=0, about="Trials a rung needs before it ends any. Default 0."
        ),
    },
    "median": _MEDIAN,
    "percentile": {
        "percentile": Option(kind="number", least=0, most=100, about="Share that goes on, in %."),
        **_MEDIAN,
    },
    "patient": {
        "patience": Option(kind="whole", least=1, about="Iterations without progress that pass."),
        "min_delta": Option(kind="number", least=0, about="Less than this is none. Default 0."),
    },
    "threshold": {
        "lower": Option(kind="number", about="A trial with a smaller value ends."),
        "upper": Option(kind="number", about="A trial with a larger value ends."),
        "n_warmup_steps": _WARMUP,
        "interval_steps": _INTERVAL,
    },
    "wilcoxon": {
        "p_threshold": Option(kind="number", above=0, below=1, about="Significance. Default 0.1."),
        "n_startup_steps": Option(
            kind="whole", least=0, about="Repeats that run anyway. Default 2."
        ),
    },
}
"""Each rule and its options."""

WRAPPED = "rule"
"""The rule that ``patient`` holds back."""

_OTHER_NAMES = {
    "min_resource": "use `min_iter`",
    "max_resource": "use `max_iter` and `s`",
    "wrapped_pruner": f"use `{WRAPPED}: {{type: ...}}`",
    "grace_period": "use `min_iter`",
    "max_t": "use `max_iter` and `s`",
}


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """When a trial that does badly ends early.

    Parameters
    ----------
    kind : {"hyperband", "asha", "median", "percentile", "patient", "threshold", "wilcoxon"}
        Which rule.
    options : dict
        Its numbers, by the names of `EARLY_OPTIONS`, checked; what is absent has the rule's
        default. ``hyperband`` has ``min_iter``, or ``max_iter`` and ``s``. ``asha`` has
        ``reduction_factor`` where the file has ``eta``. ``patient`` may have ``rule``: another
        `EarlyStop`.
    """

    kind: str
    options: dict[str, Any] = field(default_factory=dict)


def parse_early(node: Node, *, seeds: int) -> EarlyStop:
    """Read the block.

    Parameters
    ----------
    node : Node
        The block.
    seeds : int
        How often each configuration runs.

    Raises
    ------
    SweepFileError
        It cannot be understood; the message has the line.
    """
    keys = dict(node.mapping("`early_terminate`"))
    kind = _parse_kind(node, keys.pop("type", None))
    wrapped = keys.pop(WRAPPED, None) if kind == "patient" else None
    for key, inner in keys.items():
        if key in _OTHER_NAMES and key not in EARLY_OPTIONS[kind]:
            inner.fail(f"`early_terminate` has no key {key!r}", hint=_OTHER_NAMES[key])
    options = read_options(keys, EARLY_OPTIONS[kind], f"`early_terminate` of type {kind}")
    _check_options(node, kind, options)
    if kind == "wilcoxon" and seeds == 1:
        node.fail("type wilcoxon compares repeats, and there are none", hint="add `seeds: 5`")
    if kind == "asha" and "eta" in options:
        options["reduction_factor"] = options.pop("eta")
    if kind == "hyperband" and "min_iter" in options:
        options = _choose_bands(options)
    if wrapped is not None and wrapped.value is not None:
        options[WRAPPED] = _parse_wrapped(wrapped, seeds)
    return EarlyStop(kind, options)


def _parse_kind(node: Node, given: Node | None) -> str:
    if given is None:
        node.fail("`early_terminate` needs a `type`", hint=f"one of {', '.join(EARLY_OPTIONS)}")
    kind = given.text("`type` of `early_terminate`")
    if kind not in EARLY_OPTIONS:
        given.fail(
            f"unknown type {kind!r:.40} of `early_terminate`", hint=nearest(kind, EARLY_OPTIONS)
        )
    return kind


def _parse_wrapped(node: Node, seeds: int) -> EarlyStop:
    found = parse_early(node, seeds=seeds)
    if found.kind == "patient":
        node.fail("a rule of type patient cannot hold back another one of it")
    return found


def _check_options(node: Node, kind: str, options: dict[str, Any]) -> None:
    has_bands = {"max_iter", "s"} <= set(options)
    if kind == "hyperband" and "min_iter" not in options and not has_bands:
        node.fail("type hyperband needs `min_iter`, or `max_iter` and `s`")
    if kind == "hyperband" and has_bands and options["max_iter"] < options.get("eta", 3):
        node.fail("no band lies below `max_iter`", hint="make `max_iter` larger, `eta` smaller")
    if kind == "asha" and "eta" in options and "reduction_factor" in options:
        node.fail("`eta` and `reduction_factor` are the same", hint="leave one out")
    if kind == "percentile" and "percentile" not in options:
        node.fail("type percentile needs `percentile`", hint="25 lets the best quarter go on")
    if kind == "patient" and "patience" not in options:
        node.fail("type patient needs `patience`", hint="a number of iterations")
    if kind == "threshold":
        if "lower" not in options and "upper" not in options:
            node.fail("type threshold needs `lower` or `upper`")
        if options.get("lower", -float("inf")) > options.get("upper", float("inf")):
            node.fail("`lower` of `early_terminate` is above its `upper`")


def _choose_bands(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options without those that W&B passes over.

    ``max_iter`` with ``s`` wins over ``min_iter``, and means nothing without it.
    """
    left_out = {"min_iter"} if {"max_iter", "s"} <= set(options) else {"max_iter", "s"}
    return {key: value for key, value in options.items() if key not in left_out}
