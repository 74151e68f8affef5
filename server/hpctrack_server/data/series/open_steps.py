"""The newest steps of a live metric: what is known of them over all ranks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from hpctrack.store.columns import Columns
from hpctrack.store.point_feed import NewPoints
from hpctrack_server.data.series.query import RankChoice

OPEN_STEPS = 4096
"""At least so many steps of a metric are open for values of further ranks."""


@dataclass(slots=True)
class OpenSteps:
    """The newest steps of a metric, over all ranks.

    A row of ``table`` is count, sum, lowest, highest and time. Of steps up to ``floor`` not every
    rank's value is known any more; a rank that was alone left no sums up to ``alone_to``.
    """

    attempt: int = 0
    floor: float = -math.inf
    alone_to: float = -math.inf
    table: dict[int, list[float]] = field(default_factory=dict)
    ranks: set[int] = field(default_factory=set)

    def is_alone(self, columns: Columns) -> bool:
        """Tell whether one rank alone logs the metric: then its values are the means too."""
        rank = columns.rank
        return self.ranks <= {int(rank[0])} and (len(rank) == 1 or bool((rank == rank[0]).all()))

    def begin_attempt(self, new: NewPoints) -> int | None:
        """Return from which step on a requeue computes again; None if it is no new attempt."""
        before, self.attempt = self.attempt, max(self.attempt, new.attempt)
        if new.attempt <= before:
            return None
        cut = int(new.columns.step[0])
        self.table = {step: row for step, row in self.table.items() if step < cut}
        self.floor, self.alone_to = min(self.floor, cut - 1), min(self.alone_to, cut - 1)
        if new.is_old:
            self.ranks.clear()  # of each attempt the rows that are read begin elsewhere
        return cut if before else None

    def forget(self) -> None:
        """Give all steps up: rows were left out."""
        self.floor = max(self.floor, self.alone_to, *self.table)
        self.table.clear()
        self.ranks.clear()

    def take_whole(self, columns: Columns, *, is_alone: bool, is_partial: bool) -> Columns:
        """Return those points whose steps are known in full.

        Where rows were left out, those of a rank's first step, and of all steps before it, may
        be among them.
        """
        if is_alone:
            if is_partial and not self.ranks:
                self.floor = max(self.floor, int(columns.step[0]))
            self.ranks.add(int(columns.rank[0]))
            self.alone_to = max(self.alone_to, *columns.step.tolist())
        else:
            ranks, first = np.unique(columns.rank, return_index=True)
            ranks, first = ranks.tolist(), columns.step[first].tolist()
            fresh = [step for rank, step in zip(ranks, first, strict=True)
                     if is_partial and rank not in self.ranks]  # fmt: skip
            self.floor = max(self.floor, self.alone_to, *fresh)
            self.ranks.update(ranks)
        if self.floor < min(columns.step.tolist()):  # mostly of one: faster than an array's
            return columns
        return columns.take(columns.step > self.floor)

    def add(self, columns: Columns) -> list[int]:
        """Take points in and return the steps that have changed."""
        there = ~np.isnan(columns.value)
        step, value, wall_s = columns.step, columns.value, columns.wall_s
        steps, at = np.unique(step, return_inverse=True)
        count = np.bincount(at, weights=there)
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.bincount(at, weights=np.where(there, value, 0.0))
        low, high = np.full(len(steps), np.inf), np.full(len(steps), -np.inf)
        wall = np.full(len(steps), -np.inf)
        np.minimum.at(low, at[there], value[there])
        np.maximum.at(high, at[there], value[there])
        np.maximum.at(wall, at, wall_s)
        changed: list[int] = steps.tolist()
        for one, n, s, a, b, w in zip(changed, count, total, low, high, wall, strict=True):
            row = self.table.setdefault(one, [0.0, 0.0, np.inf, -np.inf, -np.inf])
            row[0] += n
            row[1] += s
            row[2], row[3], row[4] = min(row[2], a), max(row[3], b), max(row[4], w)
        return changed

    def give_up(self) -> None:
        """Drop the lowest steps, many at once: it sorts."""
        if len(self.table) > OPEN_STEPS * 5 // 4:
            steps = sorted(self.table)
            self.floor = max(self.floor, steps[-OPEN_STEPS - 1])
            self.table = {step: self.table[step] for step in steps[-OPEN_STEPS:]}

    def reduce(self, steps: Iterable[int], how: RankChoice) -> tuple[list[float], list[float]]:
        """Return times and values of some steps."""
        walls, values = [], []
        for step in steps:
            count, total, low, high, wall_s = self.table[step]
            mean = total / count if count else np.nan
            chosen = {RankChoice.MIN: low, RankChoice.MAX: high}.get(how, mean)
            walls.append(float(wall_s))
            values.append(float(chosen) if count else float("nan"))
        return walls, values
