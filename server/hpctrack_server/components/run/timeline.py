"""The attempts of a run as lanes on one line of time. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hpctrack_server.components.text import format_count, format_duration

LANES_MAX = 40
"""Attempts that are drawn; of more the latest ones are."""

MIN_WIDTH = 0.25
"""Per cent: what is shorter would not be seen."""

TICKS = 6

_STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
    86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000,
)  # fmt: skip
_DAY_S = 86400


class Lane(Protocol):
    """What is to be known of an attempt; times are UTC seconds, None where nobody knows."""

    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def started_wall_s(self) -> float | None: ...  # noqa: D102
    @property
    def ended_wall_s(self) -> float | None: ...  # noqa: D102
    @property
    def submit_wall_s(self) -> float | None: ...  # noqa: D102
    @property
    def eligible_wall_s(self) -> float | None: ...  # noqa: D102
    @property
    def granted_wall_s(self) -> float | None: ...  # noqa: D102
    @property
    def limit_wall_s(self) -> float | None: ...  # noqa: D102
    @property
    def ranks(self) -> int: ...  # noqa: D102
    @property
    def failed(self) -> int: ...  # noqa: D102
    @property
    def lost(self) -> int: ...  # noqa: D102
    @property
    def job(self) -> str: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of a lane; ``left`` and ``width`` in per cent of the line."""

    kind: str
    left: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """One lane.

    Parameters
    ----------
    label, state, sentence : str
    bars : tuple of Bar
        ``held``, ``queue``, ``begin`` and the run itself, whose kind is its state.
    limit : float or None
        Where the time limit is, in per cent.
    """

    label: str
    state: str
    sentence: str
    bars: tuple[Bar, ...]
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """All lanes, with the ticks below: place in per cent, wall time and label in UTC.

    The page puts ticks of local time in their place, from the line's start and length.
    """

    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, float, str], ...]
    hidden: int = 0
    start_wall_s: float = 0.0
    span_s: float = 1.0

    @property
    def has_queue(self) -> bool:
        """Whether any lane tells of a wait."""
        return any(bar.kind in {"held", "queue"} for row in self.rows for bar in row.bars)

    @property
    def has_limit(self) -> bool:
        """Whether any lane has a time limit."""
        return any(row.limit is not None for row in self.rows)


def make_timeline(lanes: Sequence[Lane], *, now_wall_s: float) -> Timeline:
    """Lay out the attempts.

    Parameters
    ----------
    lanes : sequence of Lane
        By number.
    now_wall_s : float
        Where one that has not ended is now.
    """
    shown = [one for one in lanes[-LANES_MAX:] if one.started_wall_s is not None]
    if not shown:
        return Timeline((), ())
    ends = [max(one.ended_wall_s or now_wall_s, one.started_wall_s or 0.0) for one in shown]
    start = min(_first_moment(one) for one in shown)
    end = max(ends)
    # A limit of days on a run of minutes would squeeze it to nothing.
    limits = [one.limit_wall_s for one in shown if one.limit_wall_s is not None]
    near = [one for one in limits if one <= end + 1.5 * (end - start)]
    end = max([end, *near, start + 1.0])
    span = (end - start) * 1.01
    rows = tuple(_make_row(one, start, span, now_wall_s) for one in shown)
    return Timeline(rows, _make_ticks(start, span), len(lanes) - len(shown), start, span)


def _first_moment(one: Lane) -> float:
    moments = (one.submit_wall_s, one.eligible_wall_s, one.granted_wall_s, one.started_wall_s)
    return min(moment for moment in moments if moment is not None)


def _make_row(one: Lane, start: float, span: float, now_wall_s: float) -> Row:
    def bar(kind: str, since: float | None, until: float | None, title: str) -> list[Bar]:
        if since is None or until is None or until <= since:
            return []
        left = 100 * (since - start) / span
        width = max(100 * (until - since) / span, MIN_WIDTH)
        return [Bar(kind, round(left, 3), round(width, 3), f"{title} {_span(since, until)}")]

    began, ended = one.started_wall_s, one.ended_wall_s or now_wall_s
    free = one.eligible_wall_s or one.submit_wall_s
    granted = (
        one.granted_wall_s
        if one.granted_wall_s and began and one.granted_wall_s <= began
        else began
    )
    bars = [
        *bar("held", one.submit_wall_s, one.eligible_wall_s, "held back for"),
        *bar("queue", free, granted, "waited in the queue for"),
        *bar("begin", granted, began, "starting took"),
        *bar(one.state, began, max(ended, (began or 0.0) + 1e-3), "ran for"),
    ]
    limit = one.limit_wall_s
    place = 100 * (limit - start) / span if limit is not None else None
    return Row(
        label=f"Attempt {one.number}",
        state=one.state,
        sentence=_say(one, free, granted, ended),
        bars=tuple(bars),
        limit=round(place, 3) if place is not None and 0 <= place <= 100 else None,  # noqa: PLR2004
    )


def _say(one: Lane, free: float | None, granted: float | None, ended: float) -> str:
    words = [f"job {one.job}"] if one.job else []
    if free is not None and granted is not None and granted > free:
        words.append(f"waited {_span(free, granted)}")
    if one.started_wall_s is not None:
        so_far = "" if one.ended_wall_s else " so far"
        words.append(f"ran {_span(one.started_wall_s, ended)}{so_far}")
    if one.limit_wall_s is not None and one.granted_wall_s is not None:
        words.append(f"limit {_span(one.granted_wall_s, one.limit_wall_s)}")
    words.append(format_count(one.ranks, "rank"))
    words += [f"{one.failed:,} failed"] * (one.failed > 0)
    words += [f"{one.lost:,} lost"] * (one.lost > 0)
    return ", ".join(words)


def _span(since: float, until: float) -> str:
    return format_duration(max(0.0, until - since))


def _make_ticks(start: float, span: float) -> tuple[tuple[float, float, str], ...]:
    step = next((one for one in _STEPS_S if span / one <= TICKS), _STEPS_S[-1])
    form = "%H:%M:%S" if step < 60 else "%m-%d" if step >= _DAY_S else "%H:%M"  # noqa: PLR2004
    first = -(-start // step) * step
    found: list[tuple[float, float, str]] = []
    moment = first
    while moment <= start + span and len(found) < 2 * TICKS:
        label = f"{dt.datetime.fromtimestamp(moment, dt.UTC):{form}}"
        found.append((round(100 * (moment - start) / span, 3), moment, label))
        moment += step
    return tuple(found)
