"""How busy a project was: its runs by day. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DAY_S = 86_400
DAYS = 28
BAR, GAP, HEIGHT = 5, 1, 28


@dataclass(frozen=True, slots=True)
class Bar:
    """One day in the drawing, in its own units."""

    x: int
    y: float
    height: float
    count: int


def count_by_day(created_wall_s: Iterable[float | None], now_wall_s: float) -> tuple[int, ...]:
    """Return how many runs began on each of the last days, today last.

    Parameters
    ----------
    created_wall_s : iterable of float
        UTC seconds; what is older, or in the future by a wrong clock, does not count.
    now_wall_s : float
    """
    counts = [0] * DAYS
    today = int(now_wall_s // DAY_S)
    for one in created_wall_s:
        age = today - int(one // DAY_S) if one is not None and abs(one) < 1e12 else -1  # noqa: PLR2004
        if 0 <= age < DAYS:
            counts[DAYS - 1 - age] += 1
    return tuple(counts)


def make_bars(counts: Iterable[int]) -> tuple[Bar, ...]:
    """Return bars for a drawing; a day with a run is never too low to be seen."""
    found = tuple(counts)
    most = max(found, default=0) or 1
    heights = [max(3.0, HEIGHT * one / most) if one else 1.0 for one in found]
    return tuple(
        Bar(number * (BAR + GAP), HEIGHT - height, height, count)
        for number, (height, count) in enumerate(zip(heights, found, strict=True))
    )
