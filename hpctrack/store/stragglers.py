"""Slow ranks and nodes: who, since when, and what it cost.

`docs/explanations/ranks.md` says how they are found, and why so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpctrack.core.counting import show_count
from hpctrack.errors import UsageError
from hpctrack.store.halves import explain_halves, find_halves
from hpctrack.store.metric import Metric
from hpctrack.store.pace import Pace, measure_pace
from hpctrack.store.record import RankRecord
from hpctrack.store.schema import FloatArray
from hpctrack.store.slowness import RANKS_MIN, BoolArray, Stretch, find_stretches, midmean
from hpctrack.store.straggler import Interval, SilentRank, Straggler, Stragglers

STEPS_MIN = 6
"""Fewer steps show nothing but the start of a program."""

WINDOW = 45
"""Steps that slowness must last, unless the run is short or the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class _Slow:
    """Where one rank is slow, as columns of a `Pace`."""

    row: int
    stretches: tuple[Stretch, ...]
    mask: BoolArray


def find_stragglers(
    metric: Metric,
    ranks: Sequence[RankRecord] = (),
    *,
    higher_is_better: bool = False,
    margin: float = 0.05,
    k: float = 4.0,
    window: int | None = None,
    unit_s: float = 1.0,
    missing: tuple[str, ...] = (),
) -> Stragglers:
    """Name the ranks and nodes that are slower than the others, and since when.

    Parameters
    ----------
    metric : Metric
        Time per step, or throughput; positive. Values that are not count as absent.
    ranks : sequence of RankRecord, optional
        Where each rank ran; without, no node is named.
    higher_is_better : bool, optional
        The metric is a throughput.
    margin : float, optional
        A rank is slow if it takes longer than the median of the ranks by more than this share.
    k : float, optional
        And stands out among them by more than this many robust standard deviations.
    window : int, optional
        Steps for which it must last; default 45, in short runs a seventh of the steps.
    unit_s : float, optional
        Seconds per unit of the metric, for ``lost_s``: 0.001 if it is logged in milliseconds.
    missing : tuple of str, optional
        What of the run is missing, to be told with what is found.

    Returns
    -------
    Stragglers
        Empty, with a reason, where there are too few ranks or steps, or where half are slow.

    Raises
    ------
    UsageError
        A parameter is out of range.

    Notes
    -----
    Ranks in step with each other (collectives in every step) all take as long as the slowest:
    log the time of what each does alone, without waiting for the others.
    """
    if not 0 < margin < 10 or k <= 0 or unit_s <= 0 or (window is not None and window < 1):  # noqa: PLR2004 - a thousand per cent
        raise UsageError(
            f"margin is {margin}, k is {k}, window is {window}, unit_s is {unit_s}",
            hint="all are positive, margin is a share such as 0.05",
        )
    pace = measure_pace(metric, higher_is_better=higher_is_better, unit_s=unit_s)
    rows, columns = pace.excess.shape
    reason = _too_little(pace)
    if reason:
        return Stragglers(metric.name, rows, columns, reason=reason, missing=missing)
    lasting = window or max(min(WINDOW, columns // 7), 3)
    block = max(lasting // 3, 1)
    found = find_stretches(pace.excess, margin=margin, k=k, block=block)
    slow = [
        _make_slow(row, found.stretches, columns) for row in {s.row: 0 for s in found.stretches}
    ]
    homes = {one.rank: one for one in ranks}
    halves = None if slow else find_halves(pace, margin=margin, k=k, block=block)
    nodes, rest = _group_by_node(slow, pace, homes, lasting)
    named = [_name(one, pace, homes, found.tests) for one in [*nodes, *([one] for one in rest)]]
    named.sort(key=lambda one: (-one.lost_s, one.since_step, one.ranks))
    lost = np.max([_lost_by(one, pace) for one in slow], axis=0, initial=0.0).sum() if slow else 0.0
    return Stragglers(
        metric.name,
        rows,
        columns,
        stragglers=tuple(named),
        silent=_find_silent(pace, homes, lasting),
        lost_s=float(lost),
        waited_s=float(pace.waited_s().sum()),
        reason=explain_halves(halves, pace, homes) if halves else "",
        missing=missing,
    )


def _too_little(pace: Pace) -> str:
    rows, columns = pace.excess.shape
    if rows < RANKS_MIN:
        who = show_count(rows, "rank")
        return f"logged by {who}: at least {RANKS_MIN} are needed to tell who is slow"
    if columns < STEPS_MIN:
        return f"{show_count(columns, 'step')} in the log: at least {STEPS_MIN} are needed"
    if np.isnan(pace.excess).all():
        return f"no step has a positive value of {RANKS_MIN} ranks"
    return ""


def _make_slow(row: int, stretches: Sequence[Stretch], columns: int) -> _Slow:
    mine = tuple(one for one in stretches if one.row == row)
    mask = np.zeros(columns, bool)
    for one in mine:
        mask[one.start : one.end] = True
    return _Slow(row, mine, mask)


def _lost_by(slow: _Slow, pace: Pace) -> FloatArray:
    return np.where(slow.mask, pace.lost_s(slow.row), 0.0)


def _group_by_node(
    slow: Sequence[_Slow], pace: Pace, homes: dict[int, RankRecord], lasting: int
) -> tuple[list[list[_Slow]], list[_Slow]]:
    """Put together the ranks of nodes of which most are slow at the same time."""
    sizes: dict[str, int] = {}
    for rank in pace.ranks.tolist():
        sizes[_home(homes, rank)] = sizes.get(_home(homes, rank), 0) + 1
    by_node: dict[str, list[_Slow]] = {}
    for one in slow:
        by_node.setdefault(_home(homes, int(pace.ranks[one.row])), []).append(one)
    nodes, rest = [], []
    for node, members in by_node.items():
        together = 2 * np.sum([one.mask for one in members], axis=0) > sizes[node]
        shared = [one for one in members if 2 * (one.mask & together).sum() > one.mask.sum()]
        if node and sizes[node] > 1 and together.sum() >= lasting and 2 * len(shared) > sizes[node]:
            nodes.append(shared)
            rest += [one for one in members if one not in shared]
        else:
            rest += members
    return nodes, rest


def _home(homes: dict[int, RankRecord], rank: int) -> str:
    """Return what tells a rank's node from others; empty if nobody knows."""
    home = homes.get(rank)
    return "" if home is None else home.host or f"node {home.node}"


def _name(
    members: Sequence[_Slow], pace: Pace, homes: dict[int, RankRecord], tests: int
) -> Straggler:
    """Describe a slow rank, or several that are a node."""
    rows = [one.row for one in members]
    mask = 2 * np.sum([one.mask for one in members], axis=0) > len(members)
    stretches = [stretch for one in members for stretch in one.stretches]
    is_open = 2 * sum(one.stretches[-1].is_open for one in members) > len(members)
    intervals = _list_intervals(mask, pace, is_open=is_open)
    first = min(int(pace.ranks[row]) for row in rows)
    home = homes.get(first)
    typical = float(midmean(pace.excess[rows][:, mask].ravel(), 0))
    lost = np.max([_lost_by(one, pace) for one in members], axis=0).sum()
    best = max(stretches, key=lambda one: one.evidence)
    return Straggler(
        kind="rank" if len(members) == 1 else "node",
        rank=first if len(members) == 1 else None,
        ranks=tuple(sorted(int(pace.ranks[row]) for row in rows)),
        node=-1 if home is None else home.node,
        host="" if home is None else home.host,
        since_step=intervals[0].since_step,
        since_wall_s=intervals[0].since_wall_s,
        until_step=intervals[-1].until_step,
        until_wall_s=intervals[-1].until_wall_s,
        intervals=intervals,
        slow_steps=int(mask.sum()) * pace.group,
        factor=math.exp(typical),
        lost_s=float(lost),
        score=max(one.score for one in stretches),
        confidence=_confidence(best, len(pace.ranks), tests),
    )


def _list_intervals(mask: BoolArray, pace: Pace, *, is_open: bool) -> tuple[Interval, ...]:
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    found = []
    for start, end in edges.reshape(-1, 2).tolist():
        is_last = end == edges[-1]
        last = None if is_last and is_open else min(end, len(pace.steps) - 1)
        found.append(
            Interval(
                since_step=int(pace.steps[start]),
                since_wall_s=float(pace.wall_s[start]),
                until_step=None if last is None else int(pace.steps[last]),
                until_wall_s=None if last is None else float(pace.wall_s[last]),
            )
        )
    return tuple(found)


def _confidence(stretch: Stretch, rows: int, tests: int) -> float:
    """Return one minus the chance that a run without stragglers looks like this.

    Two bounds, of which the worse one counts: for the sum of evidence Wald's, times all places at
    which it could have begun; for standing out the normal tail, times all ranks.
    """
    by_chance = max(
        tests * math.exp(-min(stretch.evidence, 700.0)),
        rows * 0.5 * math.erfc(stretch.score / math.sqrt(2)),
    )
    return 1.0 - min(by_chance, 1.0)


def _find_silent(pace: Pace, homes: dict[int, RankRecord], lasting: int) -> tuple[SilentRank, ...]:
    """Return the ranks that stopped while at least half of the others went on."""
    is_there = ~np.isnan(pace.excess)
    columns = is_there.shape[1]
    last = columns - 1 - np.argmax(is_there[:, ::-1], axis=1)
    went_on = np.sort(last)[len(last) // 2]
    found = []
    for row in np.flatnonzero((went_on - last >= lasting) & is_there.any(axis=1)).tolist():
        rank = int(pace.ranks[row])
        home = homes.get(rank)
        found.append(
            SilentRank(
                rank=rank,
                node=-1 if home is None else home.node,
                host="" if home is None else home.host,
                last_step=int(pace.steps[last[row]]),
                last_wall_s=float(pace.wall_s[last[row]]),
            )
        )
    return tuple(found)
