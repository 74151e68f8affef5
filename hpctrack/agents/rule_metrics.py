"""Rules about metrics, on the rows that a recorder is about to write. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hpctrack.agents.plateau import Plateau
from hpctrack.agents.rules import Firing
from hpctrack.agents.step_order import StepOrder, Turn
from hpctrack.core.rules import ABOVE, BELOW, IS, PLATEAU, Rule
from hpctrack.store.schema import POINT, PointArray

Key = tuple[int, int]
"""Number of a metric, and rank."""


class MetricRules:
    """Watches the points of one node.

    Parameters
    ----------
    names : mapping
        Number of each metric by its name, numbers in the order of the names; it may grow.

    Attributes
    ----------
    remarks : list of (Rule, str)
        What a user should know of a rule that does not fire; the caller empties it.

    Notes
    -----
    A few numpy calls per rule and call of `take`, whatever the number of ranks. Plateaus are
    looked for by `settle`, and cost about 50 us then for each series that has something new.
    """

    def __init__(self, names: Mapping[str, int]) -> None:
        self._names = names
        self._listed: list[str] = []
        self._watches: dict[str, _Watch] = {}
        self.remarks: list[tuple[Rule, str]] = []

    def __bool__(self) -> bool:
        """Tell whether there is anything to watch for."""
        return bool(self._watches)

    def add(self, rule: Rule) -> None:
        """Watch for one more."""
        self._watches[rule.name] = _Watch(rule, self._listed)

    def remove(self, rule: Rule) -> None:
        """Watch for it no more."""
        self._watches.pop(rule.name, None)

    def take(self, rows: bytes) -> list[Firing]:
        """Look at new points; of each rule the first one that it holds for is told."""
        if not self._watches or not rows:
            return []
        self._learn_names()
        points = np.frombuffer(rows, POINT)
        return self._gather(lambda watch: watch.take(points))

    def settle(self) -> list[Firing]:
        """Look at what takes longer; every few seconds, and at the end."""
        return self._gather(lambda watch: watch.settle())

    def _gather(self, look: Callable[[_Watch], Firing | None]) -> list[Firing]:
        firings = []
        for watch in list(self._watches.values()):
            firing = look(watch)
            if firing is not None:
                firings.append(firing)
                self.remove(watch.rule)
            elif watch.remark:
                self.remarks.append((watch.rule, watch.remark))
                watch.remark = ""
        return firings

    def list_unseen(self) -> list[Rule]:
        """Return the rules whose metric nobody has logged."""
        self._learn_names()
        return [one.rule for one in self._watches.values() if not one.has_metrics]

    def _learn_names(self) -> None:
        if len(self._names) > len(self._listed):
            new = list(self._names)[len(self._listed) :]
            self._listed += new
            for watch in self._watches.values():
                watch.add_names(new)


class _Test(Protocol):
    remark: str

    def take(self, points: PointArray) -> tuple[PointArray, str] | None:
        """Return the point that the rule holds for, and what is to be said of its value."""
        ...

    def settle(self) -> tuple[PointArray, str] | None:
        """Return the same of points that were put off."""
        ...


class _Watch:
    """One rule: which points are its own, and its test."""

    def __init__(self, rule: Rule, names: Iterable[str]) -> None:
        self.rule = rule
        self.remark = ""
        parts = map(re.escape, rule.target.split("*"))
        self._pattern = re.compile(".*".join(parts), re.DOTALL)
        self._is_mine: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._names: list[str] = []
        self._test = _make_test(rule)
        self.add_names(names)

    @property
    def has_metrics(self) -> bool:
        return bool(self._is_mine.any())

    def add_names(self, names: Iterable[str]) -> None:
        new = list(names)
        self._names += new
        found = [self._pattern.fullmatch(name) is not None for name in new]
        self._is_mine = np.concatenate([self._is_mine, np.array(found, np.bool_)])

    def take(self, points: PointArray) -> Firing | None:
        mask = self._is_mine[points["metric"]]
        if self.rule.rank is not None:
            mask &= points["rank"] == self.rule.rank
        if not mask.any():
            return None
        return self._tell(self._test.take(points[mask]))

    def settle(self) -> Firing | None:
        return self._tell(self._test.settle())

    def _tell(self, found: tuple[PointArray, str] | None) -> Firing | None:
        self.remark, self._test.remark = self._test.remark, ""
        if found is None:
            return None
        point, said = found
        name, step = self._names[int(point["metric"])], int(point["step"])
        rank = int(point["rank"])
        value = float(point["value"])
        return Firing(self.rule, f"{name} {said} at step {step:,}", value, rank, step, name)


def _make_test(rule: Rule) -> _Test:
    if rule.test == PLATEAU:
        return Plateau(rule.limit, rule.steps)
    holds = _HOLDS[rule.test]
    return _Once(rule, holds) if rule.steps == 1 else _InARow(rule, holds)


Holds = Callable[[NDArray[np.float64], float], NDArray[np.bool_]]


def _is_nan(values: NDArray[np.float64], _limit: float) -> NDArray[np.bool_]:
    return ~np.isfinite(values)


def _is_above(values: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    return values > limit


def _is_below(values: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    return values < limit


_HOLDS: Mapping[str, Holds] = {IS: _is_nan, ABOVE: _is_above, BELOW: _is_below}


class _AtOnce:
    """A test that puts nothing off."""

    def __init__(self, rule: Rule, holds: Holds) -> None:
        self._rule, self._holds = rule, holds
        self.remark = ""

    def settle(self) -> tuple[PointArray, str] | None:
        return None


class _Once(_AtOnce):
    """A single value is enough."""

    def take(self, points: PointArray) -> tuple[PointArray, str] | None:
        is_hit = self._holds(points["value"], self._rule.limit)
        if not is_hit.any():
            return None
        point = points[int(is_hit.argmax())]
        return point, _describe(self._rule, float(point["value"]))


class _InARow(_AtOnce):
    """So many values of one series, one after the other.

    A late point, one below the last step, neither continues nor breaks a row: it belongs
    elsewhere. Two of them that rise are a program that has gone back, see `StepOrder`.
    """

    def __init__(self, rule: Rule, holds: Holds) -> None:
        super().__init__(rule, holds)
        self._rows: dict[Key, tuple[StepOrder, int]] = {}

    def take(self, points: PointArray) -> tuple[PointArray, str] | None:
        is_hit = self._holds(points["value"], self._rule.limit)
        if not (is_hit.any() or self._rows):
            return None
        for at, key, step, hit in _iter_hits(points, is_hit):
            order, count = self._rows.get(key) or (StepOrder(), 0)
            if not (hit or count):
                continue
            turn = order.take(step)
            if turn == Turn.LATE:
                continue
            if not hit:
                del self._rows[key]
                continue
            if turn == Turn.REWOUND:
                count = 0
            count += turn != Turn.AGAIN
            self._rows[key] = (order, count)
            if count >= self._rule.steps:
                said = _describe(self._rule, float(points["value"][at]))
                return points[at], f"{said.rstrip(',')}, {count:,} times in a row,"
        return None


def _iter_hits(
    points: PointArray, is_hit: NDArray[np.bool_]
) -> Iterator[tuple[int, Key, int, bool]]:
    columns = (points[name].tolist() for name in ("metric", "rank", "step"))
    for at, (metric, rank, step, hit) in enumerate(zip(*columns, is_hit.tolist(), strict=True)):
        yield at, (metric, rank), step, hit


def _describe(rule: Rule, value: float) -> str:
    if rule.test == IS:
        return f"is {'NaN' if np.isnan(value) else value}"
    return f"is {value:g}, {rule.test} {rule.limit:g},"
