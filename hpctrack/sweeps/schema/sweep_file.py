"""The sweep file: W&B's schema and our ``slurm`` block, checked to the last key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpctrack.core.names import check_id, metric_name_problem
from hpctrack.errors import InvalidNameError, NotFoundError, SweepFileError
from hpctrack.sweeps.schema.command import (
    DEFAULT_COMMAND,
    ENVIRONMENT_MACRO,
    LIST_MACROS,
    WORD_MACROS,
    macro_problem,
    uses_macro,
)
from hpctrack.sweeps.schema.document import Node, nearest, parse_document, wrap_plain
from hpctrack.sweeps.schema.parameter_block import parse_parameters
from hpctrack.sweeps.schema.slurm_block import parse_slurm
from hpctrack.sweeps.schema.space import Space

METHODS = ("grid", "random")
GOALS = ("minimize", "maximize")
KEYS = frozenset({
    "method", "name", "project", "program", "command", "metric", "parameters", "run_cap",
    "description", "entity", "slurm", "seed",
})  # fmt: skip

NOT_YET = {
    "early_terminate": "leave it out: every trial runs to its end",
    "controller": "leave it out: trials need no controller",
    "job": "use `program` or `command`",
    "image_uri": "start the container in `command`",
}
"""Keys of W&B's schema that do nothing here so far."""

MAX_FILE_BYTES = 1 << 20


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


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """When a trial that does badly ends early.

    Parameters
    ----------
    kind : {"hyperband", "asha", "median", "percentile", "patient", "threshold", "wilcoxon"}
        Which rule.
    options : dict
        Its numbers, by the names of the file, checked; what is absent has the rule's default.
    """

    kind: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFile:
    """A sweep as its file describes it.

    Parameters
    ----------
    method : {"grid", "random"}
        How the points are chosen.
    space : Space
        What is varied.
    program, name, project, description : str
        As in the file; empty if absent.
    command : tuple of str
        Words with macros.
    metrics : tuple of MetricGoal
        What trials are judged by; several make a Pareto front.
    early : EarlyStop or None
        When trials end early.
    seeds : int
        How often each configuration runs; it is judged by the mean.
    max_retries : int
        How often a trial that failed is tried again.
    sampler : dict
        Options of the method.
    storage : str
        URL of the study; empty for a journal in the sweep's folder.
    warm_start : tuple of str
        Ids of sweeps whose finished trials the search knows from the start.
    constraints : tuple of str
        Comparisons that a point, or its result, has to fulfil.
    run_cap : int or None
        Most trials.
    seed : int or None
        For random points; one is drawn if absent.
    slurm : dict
        submitit's parameters.
    notes : tuple of str
        What the user should know about the file.
    plain : dict
        The file as plain values, to be stored.
    """

    method: str
    space: Space
    program: str = ""
    command: tuple[str, ...] = DEFAULT_COMMAND
    name: str = ""
    project: str = ""
    description: str = ""
    metrics: tuple[MetricGoal, ...] = ()
    early: EarlyStop | None = None
    seeds: int = 1
    max_retries: int = 1
    sampler: dict[str, Any] = field(default_factory=dict)
    storage: str = ""
    warm_start: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    run_cap: int | None = None
    seed: int | None = None
    slurm: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    plain: dict[str, Any] = field(default_factory=dict)

    @property
    def metric(self) -> MetricGoal | None:
        """The first metric; None if there is none."""
        return self.metrics[0] if self.metrics else None

    def trial_count(self) -> int | None:
        """Return how many trials there are; None for a random sweep without ``run_cap``."""
        size = self.space.grid_size() if self.method == "grid" else None
        bounds = [one for one in (size, self.run_cap) if one is not None]
        return min(bounds, default=None)


def read_sweep_file(path: Path) -> SweepFile:
    """Read a file.

    Raises
    ------
    NotFoundError
        There is none.
    SweepFileError
        It cannot be understood; the message has the line.
    """
    return parse_sweep_file(read_text(path), source=path.name)


def read_text(path: Path) -> str:
    """Return what a sweep file holds.

    Raises
    ------
    NotFoundError
        There is none.
    SweepFileError
        It cannot be a sweep file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise NotFoundError(f"no sweep file {path}") from None
    except OSError as error:
        raise SweepFileError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise SweepFileError(f"{path} is longer than {MAX_FILE_BYTES >> 10} KiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SweepFileError(f"{path.name}, line {line}: this is not UTF-8") from None


def parse_sweep_file(text: str, *, source: str = "sweep.yaml") -> SweepFile:
    """Understand a file's text.

    Parameters
    ----------
    text : str
        YAML.
    source : str
        The file's name, for messages.

    Raises
    ------
    SweepFileError
        It cannot be understood; the message has the line.

    Examples
    --------
    >>> file = parse_sweep_file('''
    ... method: grid
    ... program: train.py
    ... parameters:
    ...   lr: {values: [1e-2, 1e-3]}
    ...   depth: {min: 1, max: 3}
    ... ''')
    >>> file.trial_count(), file.space.grid_point(4)
    (6, {'lr': 0.001, 'depth': 2})
    """
    return _parse(parse_document(text, source))


def parse_sweep_config(config: Mapping[str, Any], *, source: str = "the sweep") -> SweepFile:
    """Understand the dictionary that a sweep file would give.

    Raises
    ------
    SweepFileError
        It cannot be understood.
    """
    return _parse(wrap_plain(config, source))


def _parse(root: Node) -> SweepFile:
    keys = root.mapping("a sweep file")
    for key, node in keys.items():
        if key in NOT_YET:
            node.fail(f"`{key}` is not supported yet", hint=NOT_YET[key])
        if key not in KEYS:
            node.fail(f"unknown key {key!r}", hint=nearest(key, KEYS))
    for key in ("method", "parameters"):
        if key not in keys:
            root.fail(f"a sweep file needs `{key}`")
    texts = {
        key: keys[key].text(f"`{key}`")
        for key in ("name", "program", "description", "project")
        if key in keys and keys[key].value is not None
    }
    given = {key: node for key, node in keys.items() if node.value is not None}
    method = _parse_method(keys["method"])
    space = parse_parameters(keys["parameters"])
    if method == "grid":
        _check_grid(keys["parameters"], space)
    if texts.get("project"):
        _check_project(keys["project"], texts["project"])
    return SweepFile(
        method=method,
        space=space,
        command=_parse_command(root, given.get("command"), texts.get("program", "")),
        metrics=(_parse_metric(given["metric"]),) if "metric" in given else (),
        run_cap=given["run_cap"].whole("`run_cap`", at_least=1) if "run_cap" in given else None,
        seed=given["seed"].whole("`seed`", at_least=0) if "seed" in given else None,
        slurm=parse_slurm(given["slurm"]) if "slurm" in given else {},
        notes=("`entity` means nothing without W&B's server",) if "entity" in given else (),
        plain=root.plain(),
        name=texts.get("name", ""),
        program=texts.get("program", ""),
        description=texts.get("description", ""),
        project=texts.get("project", ""),
    )


def _parse_method(node: Node) -> str:
    method = node.text("`method`")
    if method == "bayes":
        node.fail("method 'bayes' is not supported yet", hint="use method: random")
    if method not in METHODS:
        node.fail(f"unknown method {method!r}", hint=nearest(method, METHODS))
    return method


def _check_grid(node: Node, space: Space) -> None:
    for dimension in space.dimensions:
        if dimension.distribution.size() is None:
            node.fail(
                f"a grid cannot go through all values of {dimension.name!r}",
                hint="give `values`, add `q`, or use method: random",
            )


def _check_project(node: Node, project: str) -> None:
    try:
        check_id(project, what="project")
    except InvalidNameError as error:
        node.fail(error.message, hint=error.hint)


def _parse_metric(node: Node) -> MetricGoal:
    keys = node.mapping("`metric`")
    for key, inner in keys.items():
        if key == "target":
            inner.fail("`target` of `metric` is not supported yet", hint="leave it out")
        if key not in {"name", "goal"}:
            inner.fail(f"unknown key {key!r} of `metric`", hint=nearest(key, ("name", "goal")))
    if "name" not in keys:
        node.fail("`metric` needs a `name`")
    name = keys["name"].text("`name` of `metric`")
    problem = metric_name_problem(name)
    if problem:
        keys["name"].fail(problem)
    goal = keys["goal"].text("`goal` of `metric`") if "goal" in keys else "minimize"
    if goal not in GOALS:
        keys["goal"].fail(f"unknown goal {goal!r}", hint=nearest(goal, GOALS))
    return MetricGoal(name, goal)


def _parse_command(root: Node, node: Node | None, program: str) -> tuple[str, ...]:
    command: tuple[str, ...] = DEFAULT_COMMAND
    if node is not None:
        words = node.items("`command`")
        for one in words:
            problem = macro_problem(one.text("a word of `command`"))
            if problem:
                one.fail(problem, hint=f"macros: {_macro_list()}")
        command = tuple(one.text("a word of `command`") for one in words)
        if not command:
            node.fail("`command` is empty")
    # Without a `command` there may be none to start: trials can be calls of a function.
    if node is not None and not program and uses_macro(command, "program"):
        root.fail("a sweep file needs `program`", hint="or a `command` without ${program}")
    if any("\0" in word for word in (*command, program)):
        (node or root).fail("a command cannot hold a NUL character")
    return command


def _macro_list() -> str:
    names = sorted(LIST_MACROS | WORD_MACROS)
    return ", ".join(f"${{{name}}}" for name in (*names, f"{ENVIRONMENT_MACRO}NAME"))
