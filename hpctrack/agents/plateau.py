"""Whether a curve has become flat, which noise must neither hide nor feign. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpctrack.agents.step_order import StepOrder, Turn
from hpctrack.store.schema import PointArray

BLOCKS = 128
"""A wider window is kept as the means of 128 to 255 blocks: its line is the same, and its memory
and the time for it do not grow."""

LOOKS_PER_WINDOW = 4
"""A line is laid through a window at least this often while it is filled anew."""

HELD_MAX = 100_000
"""Points that wait, 3 MB. A series costs 50 us each time, so they are looked at together."""

SERIES_MAX = 4096
"""Series that one rule follows, 2 kB each."""

STUDENT = (12.8, 4.4, 3.2, 2.8, 2.6)
STUDENT_MANY = 2.5
"""How many standard errors hold 95 % of Student's distribution, with 1, 2 ... degrees of freedom;
more of them need no more than the last."""


class Change(NamedTuple):
    """How much a curve has changed over a window, and how much that may be off by noise."""

    amount: float
    error: float


class Window:
    """The last values of one series.

    Parameters
    ----------
    steps : int
        How many, at least 2.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._per_block = max(1, steps // BLOCKS)
        self._blocks = steps // self._per_block
        self._means: NDArray[np.float64] = np.zeros(0)
        self._rest: NDArray[np.float64] = np.zeros(0)
        self._order = StepOrder()
        self.doubted = 0

    def add(self, steps: NDArray[np.int64], values: NDArray[np.float64]) -> bool:
        """Take values in; return whether the window is full and has something new."""
        if len(steps) and steps[0] > self._order.last and bool((np.diff(steps) > 0).all()):
            self._order = StepOrder()
            self._order.take(int(steps[-1]))
            kept = values
        else:
            kept = self._pick(steps, values)
        kept = kept[np.isfinite(kept)]
        if self._per_block > 1:
            kept = np.concatenate([self._rest, kept])
            whole = len(kept) // self._per_block * self._per_block
            self._rest = kept[whole:].copy()
            kept = kept[:whole].reshape(-1, self._per_block).mean(axis=1)
        if not len(kept):
            return False
        self._means = np.concatenate([self._means, kept])[-self._blocks :]
        return len(self._means) == self._blocks

    def _pick(self, steps: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Leave out what came late, and all that was before the program went back."""
        kept: list[float] = []
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            turn = self._order.take(step)
            if turn == Turn.REWOUND:
                self._means, self._rest = np.zeros(0), np.zeros(0)
                kept.clear()
            if turn in {Turn.NEXT, Turn.REWOUND}:
                kept.append(value)
        return np.array(kept, np.float64)

    def measure(self) -> Change:
        """Lay a straight line through the window and return how far it rises or falls."""
        found = measure_change(self._means)
        # From the middle of the first block to that of the last one is not all the way.
        scale = (self._steps - 1) / (self._per_block * (len(self._means) - 1))
        return Change(found.amount * scale, found.error * scale)


def measure_change(values: NDArray[np.float64]) -> Change:
    """Return the rise of the line of least squares from the first to the last value.

    Parameters
    ----------
    values : ndarray of float64, shape (n,), n >= 2
        Finite and evenly spaced.
    """
    count = len(values)
    place = np.arange(count) - (count - 1) / 2
    spread = float(place @ place)
    slope = float(place @ values) / spread
    left = values - values.mean() - slope * place
    free = count - 2
    if free < 1:
        return Change(slope * (count - 1), 0.0)
    factor = STUDENT[free - 1] if free <= len(STUDENT) else STUDENT_MANY
    error = factor * float(np.sqrt(left @ left / free / spread))
    return Change(slope * (count - 1), error * (count - 1))


class Plateau:
    """A test of one rule: some series changes by less than a limit over a window.

    Parameters
    ----------
    limit : float
    steps : int
        Width of the window: so many values of one series.

    Attributes
    ----------
    remark : str
        Set once, by `settle`, when a curve looks flat but its noise could hide a larger change.
    """

    def __init__(self, limit: float, steps: int) -> None:
        self._limit, self._steps = limit, steps
        self._windows: dict[tuple[int, int], Window] = {}
        self._held: list[PointArray] = []
        self._held_rows = 0
        self._is_doubt_told = False
        self.remark = ""

    def take(self, points: PointArray) -> tuple[PointArray, str] | None:
        """Take points in; return what `settle` returns if they have become many."""
        self._held.append(points)
        self._held_rows += len(points)
        return self.settle() if self._held_rows >= HELD_MAX else None

    def settle(self) -> tuple[PointArray, str] | None:
        """Look at the points since the last time.

        Returns
        -------
        (point, str) or None
            The point at which a series has become flat, and what is to be said of it.
        """
        self.remark = ""
        if not self._held:
            return None
        points = np.concatenate(self._held)
        self._held.clear()
        self._held_rows = 0
        piece = max(1, self._steps // LOOKS_PER_WINDOW)
        for key, mine in _split(points):
            window = self._windows.get(key)
            if window is None:
                if len(self._windows) >= SERIES_MAX:
                    continue
                window = self._windows[key] = Window(self._steps)
            for at in range(0, len(mine), piece):
                found = self._look(window, mine[at : at + piece])
                if found is not None:
                    return found
        return None

    def _look(self, window: Window, points: PointArray) -> tuple[PointArray, str] | None:
        if not window.add(points["step"], points["value"]):
            return None
        amount, error = window.measure()
        if abs(amount) + error < self._limit:
            said = f"has changed by {amount:.2g} (± {error:.2g}) over {self._steps:,} values"
            return points[-1], said
        self._doubt(window, len(points), amount, error)
        return None

    def _doubt(self, window: Window, count: int, amount: float, error: float) -> None:
        """Say it when noise alone keeps the rule from firing, for a whole window's length."""
        window.doubted = window.doubted + count if abs(amount) < self._limit else 0
        if window.doubted >= self._steps and not self._is_doubt_told:
            self._is_doubt_told = True
            self.remark = (
                f"the curve looks flat, but {self._steps:,} values are so noisy that they hide "
                f"changes up to {error:.2g}; take more steps, or a larger limit"
            )


def _split(points: PointArray) -> list[tuple[tuple[int, int], PointArray]]:
    """Part points by metric and rank, each in their order."""
    metric, rank = points["metric"].astype(np.uint64), points["rank"].astype(np.uint64)
    keys = (metric << np.uint64(32)) | rank
    if bool((keys == keys[0]).all()):
        return [((int(metric[0]), int(rank[0])), points)]
    known, place = np.unique(keys, return_inverse=True)
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(1, len(known)))
    parts = np.split(points[order], ends)
    return [((int(one["metric"][0]), int(one["rank"][0])), one) for one in parts]
