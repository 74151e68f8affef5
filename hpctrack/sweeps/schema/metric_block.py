"""``metric``: what trials are judged by, one metric or several."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hpctrack.core.names import metric_name_problem
from hpctrack.sweeps.schema.document import Node, nearest

GOALS = ("minimize", "maximize")
METRIC_KEYS = ("name", "goal", "target", "pattern")
IMPUTE_KEYS = {
    "impute": "`impute` has no effect: a trial that failed counts as none",
    "impute_while_running": "`impute_while_running` has no effect: the search sees what runs",
}
"""What W&B takes and this needs not."""

MAX_METRICS = 10
PATTERN_MAX_CHARS = 1000


@dataclass(frozen=True, slots=True)
class MetricGoal:
    """Which metric says how good a trial is.

    Parameters
    ----------
    name : str
        Of a logged metric.
    goal : {"minimize", "maximize"}
        Which way is better.
    target : float or None
        The sweep has what it wanted once a trial reaches it.
    pattern : str
        A regular expression that finds the value in what the program prints; its group ``value``
        (or the first) is the value, its group ``step``, if it has one, the step. Empty: the
        program logs.
    """

    name: str
    goal: str = "minimize"
    target: float | None = None
    pattern: str = ""


def parse_metrics(node: Node) -> tuple[MetricGoal, ...]:
    """Read the block, or a list of them.

    Raises
    ------
    SweepFileError
        It cannot be understood; the message has the line.
    """
    if not isinstance(node.value, list):
        return (_parse_metric(node),)
    metrics: list[MetricGoal] = []
    for inner in node.value:
        found = _parse_metric(inner)
        if any(one.name == found.name for one in metrics):
            inner.fail(f"metric {found.name!r} is there twice")
        metrics.append(found)
    if not 1 <= len(metrics) <= MAX_METRICS:
        node.fail(f"`metric` has {len(metrics)} elements, not 1 to {MAX_METRICS}")
    if len(metrics) > 1 and any(one.target is not None for one in metrics):
        node.fail("several metrics have no `target`", hint="leave `target` out, or name one metric")
    return tuple(metrics)


def iter_metric_notes(node: Node) -> list[str]:
    """Return what is without effect in the block."""
    blocks = node.value if isinstance(node.value, list) else [node]
    keys = {key for one in blocks for key in one.mapping("`metric`")}
    return [note for key, note in IMPUTE_KEYS.items() if key in keys]


def _parse_metric(node: Node) -> MetricGoal:
    keys = node.mapping("`metric`")
    for key, inner in keys.items():
        if key not in METRIC_KEYS and key not in IMPUTE_KEYS:
            inner.fail(f"unknown key {key!r:.60} of `metric`", hint=nearest(key, METRIC_KEYS))
    given = {key: inner for key, inner in keys.items() if inner.value is not None}
    if "name" not in given:
        node.fail("`metric` needs a `name`", hint="the name that the program logs")
    name = given["name"].text("`name` of `metric`")
    problem = metric_name_problem(name)
    if problem:
        given["name"].fail(problem)
    goal = given["goal"].text("`goal` of `metric`") if "goal" in given else "minimize"
    if goal not in GOALS:
        given["goal"].fail(f"unknown goal {goal!r:.40}", hint=nearest(goal, GOALS))
    target = given["target"].number("`target` of `metric`") if "target" in given else None
    pattern = _parse_pattern(given["pattern"]) if "pattern" in given else ""
    return MetricGoal(name, goal, target, pattern)


def _parse_pattern(node: Node) -> str:
    pattern = node.text("`pattern` of `metric`")
    if len(pattern) > PATTERN_MAX_CHARS:
        node.fail(f"`pattern` of `metric` has more than {PATTERN_MAX_CHARS} characters")
    try:
        groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        node.fail(f"`pattern` of `metric` is no regular expression: {said:.80}")
    if groups == 0:
        node.fail(
            "`pattern` of `metric` has no group around the value",
            hint=r"such as 'loss=([-+.eE\d]+)', in single quotes",
        )
    return pattern
