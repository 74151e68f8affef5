"""The sweep file: W&B's schema and what hpctrack adds to it, checked to the last key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpctrack.core.names import check_id
from hpctrack.errors import InvalidNameError, NotFoundError, SweepError, SweepFileError
from hpctrack.sweeps.schema.command import DEFAULT_COMMAND, list_macros, macro_problem, uses_macro
from hpctrack.sweeps.schema.document import Node, nearest, parse_document, wrap_plain
from hpctrack.sweeps.schema.early_block import EarlyStop, parse_early
from hpctrack.sweeps.schema.expression import Constraint
from hpctrack.sweeps.schema.metric_block import MetricGoal, iter_metric_notes, parse_metrics
from hpctrack.sweeps.schema.parameter_block import parse_parameters
from hpctrack.sweeps.schema.sampler_block import METHODS, parse_method, parse_sampler
from hpctrack.sweeps.schema.slurm_block import parse_slurm
from hpctrack.sweeps.schema.space import Choice, Dimension, Space
from hpctrack.sweeps.schema.study_block import (
    parse_constraints,
    parse_seeds,
    parse_storage,
    parse_warm_start,
)

__all__ = [
    "KEYS",
    "METHODS",
    "EarlyStop",
    "MetricGoal",
    "SweepFile",
    "parse_sweep_config",
    "parse_sweep_file",
    "read_sweep_file",
    "read_text",
]

NO_EFFECT = {
    "entity": "`entity` means nothing without W&B's server",
    "controller": "`controller` has no effect: every trial chooses its own point",
    "apiVersion": "",
    "kind": "",
}
"""Keys of W&B's schema that are accepted, and what to say; empty: nothing."""

KEYS = frozenset({
    "method", "name", "project", "program", "command", "metric", "parameters", "run_cap",
    "description", "slurm", "seed", "early_terminate", "sampler", "constraints", "seeds",
    "max_retries", "warm_start", "storage", *NO_EFFECT,
})  # fmt: skip

CANNOT_WORK = {
    "job": "use `program` or `command`",
    "image_uri": "start the container in `command`, such as [apptainer, run, IMAGE, ...]",
    "scheduler": "name the search itself, such as method: tpe",
    "metrics": "`metric` takes a list",
}
"""Keys of W&B's schema that ask for its servers."""

MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFile:
    """A sweep as its file describes it.

    Parameters
    ----------
    method : str
        How the points are chosen: one of `METHODS`.
    space : Space
        What is varied.
    program, name, project, description : str
        As in the file; empty if absent.
    command : tuple of str
        Words with macros; empty if trials are a Python function's.
    metrics : tuple of MetricGoal
        What trials are judged by; several make a Pareto front.
    early : EarlyStop or None
        When trials end early.
    seeds : int
        How often each configuration runs; it is judged by the mean.
    seed_name : str
        With several, each trial has a parameter of this name: ``seed_base`` plus the number of
        the repeat.
    seed_base : int
        The seed of a configuration's first trial.
    max_retries : int
        How often a trial that failed is tried again.
    sampler : dict
        Options of the method.
    storage : str
        URL of the study, in which `fill_variables` is to fill in ``${envvar:NAME}``; empty for a
        journal in the sweep's folder.
    warm_start : tuple of str
        Ids, or ``project/id``, of sweeps whose finished trials the search knows from the start.
    constraints : tuple of str
        Comparisons that a point, or its result, has to fulfil.
    result_constraints : tuple of Constraint
        Those of them that need a result. The others are ``space.constraints``.
    run_cap : int or None
        Most trials.
    seed : int or None
        For the points; one is drawn if absent.
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
    seed_name: str = "seed"
    seed_base: int = 0
    max_retries: int = 1
    sampler: dict[str, Any] = field(default_factory=dict)
    storage: str = ""
    warm_start: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    result_constraints: tuple[Constraint, ...] = ()
    run_cap: int | None = None
    seed: int | None = None
    slurm: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    plain: dict[str, Any] = field(default_factory=dict)

    @property
    def metric(self) -> MetricGoal | None:
        """The first metric; None if there is none."""
        return self.metrics[0] if self.metrics else None

    def configuration_count(self) -> int | None:
        """Return how many points there are; None if only ``run_cap`` bounds them.

        Raises
        ------
        SweepError
            A grid is too large to check its constraints.
        """
        return self.space.grid_size() if self.method == "grid" else None

    def trial_count(self) -> int | None:
        """Return how many trials there are; None if neither a grid nor ``run_cap`` bounds them.

        Raises
        ------
        SweepError
            A grid is too large to check its constraints.
        """
        size = self.configuration_count()
        trials = None if size is None else size * self.seeds
        return min((one for one in (trials, self.run_cap) if one is not None), default=None)

    def metric_names(self) -> tuple[str, ...]:
        """Return the metrics that a trial has to be watched for: its goals, then constraints'."""
        parameters = {one.name for one in self.space.dimensions}
        names = [one.name for one in self.metrics]
        names += [name for one in self.result_constraints for name in one.names]
        return tuple(dict.fromkeys(name for name in names if name not in parameters))

    def result_violations(
        self, point: Mapping[str, Any], results: Mapping[str, float]
    ) -> tuple[float, ...]:
        """Return by how much a trial violates each of `result_constraints`; 0 or below: not.

        Parameters
        ----------
        point : mapping
            The trial's parameters, nested.
        results : mapping
            The last value of each metric. One that is missing violates without bound; a
            constraint that names a parameter which the point lacks holds.
        """
        parameters = {one.name for one in self.space.dimensions}
        values = {**results, **self.space.flatten(point)}
        return tuple(
            one.violation(values)
            if all(name in values for name in one.names if name in parameters)
            else 0.0
            for one in self.result_constraints
        )

    def require_command(self) -> None:
        """Complain if there is nothing that a worker could start.

        Raises
        ------
        SweepError
            The file has neither a program nor a command.
        """
        if not self.command:
            raise SweepError(
                "the sweep has no `program` and no `command`",
                hint="add one to the file, or run a function with hpctrack.agent(ID, function)",
            )


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
        if key in CANNOT_WORK:
            node.fail(f"`{key}` asks for W&B's servers", hint=CANNOT_WORK[key])
        if key not in KEYS:
            node.fail(f"unknown key {key!r:.60}", hint=nearest(key, KEYS))
    for key in ("method", "parameters"):
        if key not in keys:
            root.fail(f"a sweep file needs `{key}`")
    given = {key: node for key, node in keys.items() if node.value is not None}
    texts: dict[str, Any] = {
        key: given[key].text(f"`{key}`")
        for key in ("name", "program", "description", "project")
        if key in given
    }
    if "project" in texts:
        _check_project(keys["project"], texts["project"])
    notes = [note for key, note in NO_EFFECT.items() if key in given and note]
    method = parse_method(keys["method"])
    space, results = _parse_space(keys, given, method, notes)
    repeats = parse_seeds(given["seeds"], space) if "seeds" in given else {}
    metrics = parse_metrics(given["metric"]) if "metric" in given else ()
    notes += iter_metric_notes(given["metric"]) if "metric" in given else []
    _check_metrics(given, method, metrics)
    if method == "cmaes" and any(_is_left_to_chance(one) for one in space.dimensions):
        notes.append(
            "method cmaes knows numbers only: it leaves choices and parameters with `when` to "
            "chance; tpe learns them, too"
        )
    early = given.get("early_terminate")
    return SweepFile(
        method=method,
        space=space,
        command=_parse_command(root, given.get("command"), texts.get("program", "")),
        metrics=metrics,
        early=None if early is None else parse_early(early, seeds=repeats.get("seeds", 1)),
        sampler=parse_sampler(given["sampler"], method) if "sampler" in given else {},
        constraints=_list_constraints(given.get("constraints")),
        result_constraints=results,
        slurm=parse_slurm(given["slurm"]) if "slurm" in given else {},
        storage=parse_storage(given["storage"], notes) if "storage" in given else "",
        warm_start=parse_warm_start(given["warm_start"]) if "warm_start" in given else (),
        notes=tuple(notes),
        plain=root.plain(),
        **repeats,
        **_parse_numbers(given),
        **texts,
    )


def _is_left_to_chance(dimension: Dimension) -> bool:
    distribution = dimension.distribution
    return bool(dimension.when) or (isinstance(distribution, Choice) and distribution.size() > 1)


def _parse_numbers(given: Mapping[str, Node]) -> dict[str, Any]:
    least = {"run_cap": 1, "seed": 0, "max_retries": 0}
    return {
        key: given[key].whole(f"`{key}`", at_least=bound)
        for key, bound in least.items()
        if key in given
    }


def _parse_space(
    keys: Mapping[str, Node], given: Mapping[str, Node], method: str, notes: list[str]
) -> tuple[Space, tuple[Constraint, ...]]:
    """Return the parameters, and the constraints on results."""
    space = parse_parameters(keys["parameters"], notes)
    if method == "grid":
        _check_grid(keys["parameters"], space)
    if "constraints" not in given:
        return space, ()
    node = given["constraints"]
    on_points, on_results = parse_constraints(node, space, notes)
    space = Space(space.dimensions, on_points)
    try:
        if method != "grid" and on_points:
            space.random_point(0, 0)
        elif on_points and not space.has_grid_point():
            node.fail("no point of the grid fulfils the constraints")
    except SweepError as error:
        node.fail(error.message, hint=error.hint)
    return space, on_results


def _list_constraints(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    items = node.value if isinstance(node.value, list) else [node]
    return tuple(one.text("a constraint") for one in items)


def _check_grid(node: Node, space: Space) -> None:
    for dimension in space.dimensions:
        if dimension.distribution.size() is None:
            node.fail(
                f"a grid cannot go through all values of {dimension.name!r}",
                hint="give `values`, or bounds with `q`, or use method: random",
            )
    try:
        space.grid_size()
    except SweepError as error:
        node.fail(error.message, hint=error.hint)


def _check_project(node: Node, project: str) -> None:
    try:
        check_id(project, what="project")
    except InvalidNameError as error:
        node.fail(error.message, hint=error.hint)


def _check_metrics(given: Mapping[str, Node], method: str, metrics: tuple[MetricGoal, ...]) -> None:
    early = given.get("early_terminate")
    if not metrics:
        if METHODS[method].needs_metric:
            given["method"].fail(
                f"method {method} needs a `metric`", hint="metric: {name: loss, goal: minimize}"
            )
        if early is not None:
            early.fail("`early_terminate` needs a `metric`", hint="metric: {name: loss}")
    if len(metrics) > 1:
        if not METHODS[method].takes_several:
            able = ", ".join(name for name, one in METHODS.items() if one.takes_several)
            given["metric"].fail(
                f"method {method} looks for the best of one metric", hint=f"several take {able}"
            )
        if early is not None:
            early.fail(
                "`early_terminate` does not go with several metrics",
                hint="leave it out: which of two trials is worse cannot be said before their end",
            )


def _parse_command(root: Node, node: Node | None, program: str) -> tuple[str, ...]:
    if node is None and not program:
        return ()
    command: tuple[str, ...] = DEFAULT_COMMAND
    if node is not None:
        words = node.items("`command`")
        for one in words:
            problem = macro_problem(one.text("a word of `command`"))
            if problem:
                one.fail(problem, hint=f"macros: {list_macros()}")
        command = tuple(one.text("a word of `command`") for one in words)
        if not command:
            node.fail("`command` is empty")
    if not program and uses_macro(command, "program"):
        root.fail("a sweep file needs `program`", hint="or a `command` without ${program}")
    if any("\0" in word for word in (*command, program)):
        (node or root).fail("a command cannot hold a NUL character")
    return command
