"""What the Statistics page says of groups that were run on several tasks."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpctrack.analysis.bootstrap import Estimate
from hpctrack.analysis.samples import Numbers
from hpctrack.analysis.tasks import (
    AGGREGATES,
    Aggregate,
    Scaling,
    bootstrap_strata,
    improve_over_tasks,
    make_profile,
    scale_scores,
    task_iqm,
)
from hpctrack_server.data.statistics.grouping import RunGroup, thin_points
from hpctrack_server.data.statistics.query import Goal, StatisticsQuery

PROFILE_POINTS = 101
"""Scores at which a profile is counted: one for each 8 pixels of a wide chart."""

TASKS_NAMED = 12

POINTS_MAX = 400

NO_TASK = "None"
"""The pair of a run that lacks the column."""

EVEN = 0.5

NOTHING = "There is nothing to compare: see what was left out."

ASSUMPTIONS = (
    "Intervals are percentiles of the stratified bootstrap, which draws runs within each task.",
    "They tell how sure this is of these tasks, not of others.",
    "Runs of a task do not depend on each other.",
    "Intervals are not corrected for the number of groups.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Groups on the tasks that all of them were run on.

    Parameters
    ----------
    groups : tuple of RunGroup
    tasks : tuple of str
    scores : list of list of ndarray
        By group and task, scaled.
    left_out : tuple of str
        Tasks that some group was not run on.
    too_few : tuple of RunGroup
        Groups that were run on less than half as many tasks as another: with them there would
        be hardly a task to compare.
    """

    groups: tuple[RunGroup, ...]
    tasks: tuple[str, ...]
    scores: list[list[Numbers]]
    left_out: tuple[str, ...]
    too_few: tuple[RunGroup, ...] = ()


def make_board(groups: Sequence[RunGroup], query: StatisticsQuery) -> Board:
    """Put the runs of the groups in order by task; a run's pair is its task."""
    every = [_by_task(one) for one in groups]
    most = max(map(len, every), default=0)
    kept = [at for at, one in enumerate(every) if one and 2 * len(one) >= most]
    found = [every[at] for at in kept]
    known = sorted({task for one in found for task in one})
    shared = [task for task in known if all(task in one for one in found)]
    raw = [[one[task] for task in shared] for one in found]
    scores = raw
    if shared:
        is_higher_better = query.goal == Goal.HIGH
        scores = scale_scores(raw, query.scaling, is_higher_better=is_higher_better)
    left_out = tuple(task for task in known if task not in shared)
    return Board(
        groups=tuple(groups[at] for at in kept),
        tasks=tuple(shared),
        scores=scores,
        left_out=left_out,
        too_few=tuple(one for at, one in enumerate(groups) if at not in kept),
    )


def report_tasks(
    groups: Sequence[RunGroup], baseline: int, query: StatisticsQuery, notes: Sequence[str]
) -> dict[str, Any]:
    """Return what is said of groups over tasks, as plain values.

    Returns
    -------
    dict
        ``groups``, ``baseline``, ``verdict``, ``assumptions``, ``notes``; ``comparisons`` and
        ``matrix`` are empty. ``tasks`` has ``key``, ``names``, ``left_out`` and ``scaling``;
        ``groups``: of each its aggregates with intervals and its ``improvement`` on the baseline;
        ``profile``: ``scores``, and by group the share of runs above each.
    """
    first = groups[baseline].id if groups else ""
    board = _put_best_first(make_board(groups, query))
    groups = board.groups
    baseline = next((at for at, one in enumerate(groups) if one.id == first), 0)
    found = range(len(groups)) if board.tasks else ()
    told = [_describe(board, at, baseline, query) for at in found]
    return {
        "groups": [
            {"id": one.id, "label": one.sample.label, "facts": [list(fact) for fact in one.facts],
             "n": len(one.sample), "runs": list(one.runs)}
            for one in (*groups, *board.too_few)
        ],
        "baseline": groups[baseline].id if groups else "",
        "comparisons": [],
        "matrix": [],
        "verdict": [_conclude(one) for one in told if one["improvement"]] or [NOTHING],
        "assumptions": [*(ASSUMPTIONS if told else ()), *_warn_of_width(told)],
        "notes": [*notes, *_list_notes(board, query)],
        "tasks": {
            "key": query.task,
            "names": [_show(one) for one in board.tasks],
            "left_out": [_show(one) for one in board.left_out],
            "scaling": str(query.scaling),
            "groups": told,
            "profile": _describe_profiles(board, query),
        },
    }  # fmt: skip


def _put_best_first(board: Board) -> Board:
    if not board.tasks:
        return board
    heights = [float(task_iqm(tasks)) for tasks in board.scores]
    order = sorted(range(len(heights)), key=lambda at: -heights[at])
    groups = tuple(board.groups[at] for at in order)
    return replace(board, groups=groups, scores=[board.scores[at] for at in order])


def _describe_profiles(board: Board, query: StatisticsQuery) -> dict[str, Any]:
    if not board.tasks:
        return {"scores": [], "groups": []}
    low = min(float(one.min()) for tasks in board.scores for one in tasks)
    high = max(float(one.max()) for tasks in board.scores for one in tasks)
    scores = np.linspace(low, high, PROFILE_POINTS)
    profiles = [make_profile(one, scores, confidence=query.confidence) for one in board.scores]
    return {
        "scores": scores.tolist(),
        "groups": [
            {"id": group.id, "share": one.share.tolist(), "low": one.low.tolist(),
             "high": one.high.tolist()}
            for group, one in zip(board.groups, profiles, strict=True)
        ],
    }  # fmt: skip


def _conclude(one: Mapping[str, Any]) -> str:
    name = f"\N{LEFT DOUBLE QUOTATION MARK}{one['label']}\N{RIGHT DOUBLE QUOTATION MARK}"
    better = one["improvement"]
    share = f"on a task, a run of it beats one of the baseline in {better['value']:.0%}"
    if np.isnan(better["low"]):
        return f"{name}: {share} of the pairs; one run of each task says no more."
    share += f" ({better['low']:.0%} to {better['high']:.0%}) of the pairs"
    if better["low"] > EVEN or better["high"] < EVEN:
        word = "better" if better["low"] > EVEN else "worse"
        return f"{name} is {word} than the baseline over these tasks: {share}."
    return f"{name} cannot be told from the baseline over these tasks: {share}."


def _describe(board: Board, at: int, baseline: int, query: StatisticsQuery) -> dict[str, Any]:
    group, tasks = board.groups[at], board.scores[at]
    found = {
        str(name): _ends(bootstrap_strata(tasks, statistic, confidence=query.confidence))
        for name, statistic in AGGREGATES.items()
    }
    if query.scaling == Scaling.NONE and query.goal == Goal.LOW:
        del found[str(Aggregate.GAP)]  # there is no score of 1 to reach
    better = Estimate(0.5)
    if at != baseline:
        theirs = board.scores[baseline]
        better = improve_over_tasks(tasks, theirs, confidence=query.confidence)
    return {
        "id": group.id,
        "label": group.sample.label,
        "n": sum(map(len, tasks)),
        "least_runs": min(map(len, tasks)),
        "most_runs": max(map(len, tasks)),
        "aggregates": found,
        "improvement": None if at == baseline else _ends(better),
        "points": thin_points(np.concatenate(tasks), POINTS_MAX).tolist(),
    }


def _warn_of_width(told: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    better = [one["improvement"] for one in told if one["improvement"]]
    if any(one["low"] == one["high"] for one in better):
        yield (
            "Where every run of a group wins or loses, this interval has no width:"
            " with few runs it is not as sure as that."
        )


def _list_notes(board: Board, query: StatisticsQuery) -> Iterable[str]:
    if board.too_few:
        named = ", ".join(one.sample.label for one in board.too_few[:TASKS_NAMED])
        more = len(board.too_few) - TASKS_NAMED
        rest = f" and {more} more" if more > 0 else ""
        yield f"groups that were run on too few of the tasks count nowhere: {named}{rest}"
    if not board.tasks:
        yield "no task was run by every group: choose other groups, or filter them"
        return
    everybody = (*board.groups, *board.too_few)
    lacking = sum(one.sample.pairs.count(NO_TASK) for one in everybody)
    if lacking:
        who = "1 run says" if lacking == 1 else f"{lacking:,} runs say"
        yield f"{who} no task and count nowhere"
    if board.left_out:
        named = ", ".join(map(_show, board.left_out[:TASKS_NAMED]))
        more = len(board.left_out) - TASKS_NAMED
        rest = f" and {more} more" if more > 0 else ""
        yield f"tasks that some group was not run on count nowhere: {named}{rest}"
    if query.scaling == Scaling.RANGE:
        yield "of each task the worst run of all groups counts 0, the best 1"
    elif query.goal == Goal.LOW:
        yield "less is better, so signs are changed; there is no optimality gap"
    else:
        yield "scores are taken as they are; the optimality gap is that to 1"
    sizes = {len(one) for tasks in board.scores for one in tasks}
    if len(sizes) > 1:
        span = f"{min(sizes)} to {max(sizes)}"
        yield f"tasks have {span} runs of a group: those with more weigh more in the IQM"
    if min(sizes) < 2:  # noqa: PLR2004 - nothing to draw from
        yield "a task with one run of a group adds nothing to the width of an interval"


def _by_task(group: RunGroup) -> Mapping[str, Numbers]:
    found: dict[str, list[float]] = {}
    for task, value in zip(group.sample.pairs, group.sample.values.tolist(), strict=True):
        if task != NO_TASK:
            found.setdefault(task, []).append(value)
    return {task: np.asarray(values, dtype=np.float64) for task, values in found.items()}


def _show(task: str) -> str:
    """Return the value that a pair was made of, as people write it."""
    try:
        return str(ast.literal_eval(task))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return task.partition(":")[2] or task


def _ends(one: Estimate) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high}
