"""What a chart asks for, read from what a browser sent. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from hpctrack.errors import UsageError
from hpctrack_server.data.index.query import RunQuery, SortKey

RUNS_DEFAULT = 20
RUNS_MAX = 1000
WIDTH_DEFAULT = 500
WIDTH_MAX = 4000
"""An 8K screen has 3,840 columns for half a line each."""

KEYS_MAX = 8

Choice = TypeVar("Choice", bound=StrEnum)


class XAxis(StrEnum):
    """What x is, unless it is a metric."""

    STEP = "step"
    TIME = "time"
    """UTC seconds."""
    RELATIVE = "relative"
    """Seconds since the run began."""


class RankChoice(StrEnum):
    """What to draw of the ranks of a run, unless it is one of them."""

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    ALL = "all"


class SmoothKind(StrEnum):
    """How a line is smoothed, see `data.series.smooth`."""

    NONE = "none"
    EMA = "ema"
    TWEMA = "twema"
    GAUSSIAN = "gaussian"
    MEAN = "mean"


class Center(StrEnum):
    """What stands for the runs of a group."""

    MEAN = "mean"
    MEDIAN = "median"


class BandKind(StrEnum):
    """What is shown of how far the runs of a group differ."""

    NONE = "none"
    MINMAX = "minmax"
    STD = "std"
    STDERR = "stderr"
    CI = "ci"
    """95 % confidence of the centre, by bootstrap over the runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothing:
    """How to smooth.

    Parameters
    ----------
    kind : SmoothKind
    amount : float
        A weight from 0 to below 1 for averages that forget, else points.
    """

    kind: SmoothKind = SmoothKind.NONE
    amount: float = 0.0

    @property
    def is_on(self) -> bool:
        """Whether anything would change."""
        return self.kind != SmoothKind.NONE and self.amount > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Which runs are drawn as one, and how.

    Parameters
    ----------
    keys : tuple of str
        Columns of the table of runs; none puts all runs into one group.
    center : Center
    band : BandKind
    """

    keys: tuple[str, ...] = ()
    center: Center = Center.MEAN
    band: BandKind = BandKind.MINMAX


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartQuery:
    """What a chart asks for.

    Parameters
    ----------
    y : str
        A metric, or an expression of metrics.
    x : str
        One of `XAxis`, or a metric.
    start, end : float or None
        The part of the x axis that is shown; None is open.
    width : int
        Buckets per line; each keeps its lowest and its highest value.
    log_x : bool
        Whether the buckets are equal on a logarithmic axis.
    ranks : RankChoice or int
    smooth : Smoothing
    group : Grouping or None
    """

    y: str
    x: str = XAxis.STEP
    start: float | None = None
    end: float | None = None
    width: int = WIDTH_DEFAULT
    log_x: bool = False
    ranks: RankChoice | int = RankChoice.MEAN
    smooth: Smoothing = Smoothing()
    group: Grouping | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> ChartQuery:
        """Read a chart's question.

        Raises
        ------
        UsageError
            Something is missing or is not what it should be; it says what.
        """
        y = body.get("y")
        if not isinstance(y, str) or not y:
            raise UsageError("'y' is missing", hint="name a metric, or an expression of metrics")
        return cls(
            y=y,
            x=_text(body, "x") or XAxis.STEP,
            start=_number(body, "x0"),
            end=_number(body, "x1"),
            width=_width(body),
            log_x=bool(body.get("log_x")),
            ranks=parse_ranks(body.get("ranks")),
            smooth=_smoothing(body.get("smooth")),
            group=_grouping(body.get("group")),
        )


def parse_runs(body: Mapping[str, Any]) -> RunQuery:
    """Read which runs are asked for: ``runs``, or those that ``query`` finds.

    Raises
    ------
    UsageError
        It is not what it should be.
    """
    runs = body.get("runs")
    if runs is not None:
        ids = _texts(runs, "runs")
        if not ids:
            raise UsageError("'runs' is empty", hint="name at least one run")
        return RunQuery(ids=tuple(dict.fromkeys(ids))[:RUNS_MAX], count=RUNS_MAX)
    query = body.get("query") or {}
    if not isinstance(query, Mapping):
        raise UsageError("'query' is no object")
    limit = _number(query, "limit")
    return RunQuery(
        filter=_text(query, "filter"),
        search=_text(query, "search"),
        sort=SortKey.parse(_text(query, "sort")),
        count=max(1, min(int(RUNS_DEFAULT if limit is None else limit), RUNS_MAX)),
    )


def _width(body: Mapping[str, Any]) -> int:
    width = _number(body, "width")
    return WIDTH_DEFAULT if width is None else int(max(1, min(width, WIDTH_MAX)))


def parse_ranks(value: Any) -> RankChoice | int:
    """Read what of the ranks is meant.

    Raises
    ------
    UsageError
        It is neither a number nor one of `RankChoice`.
    """
    if value is None:
        return RankChoice.MEAN
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:  # noqa: PLR2004 - u4
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32:
        return value
    return _choice(RankChoice, value, "ranks")


def _smoothing(value: Any) -> Smoothing:
    if not value:
        return Smoothing()
    if not isinstance(value, Mapping):
        raise UsageError("'smooth' is no object", hint='{"kind": "ema", "amount": 0.9}')
    kind = _choice(SmoothKind, value.get("kind", "none"), "smooth.kind")
    amount = _number(value, "amount") or 0.0
    if amount < 0 or (kind in {SmoothKind.EMA, SmoothKind.TWEMA} and amount >= 1):
        raise UsageError(
            f"'smooth.amount' is {amount:g}",
            hint="an average that forgets takes a weight from 0 to below 1, others a number of"
            " points",
        )
    return Smoothing(kind=kind, amount=amount)


def _grouping(value: Any) -> Grouping | None:
    if value is None or value is False:
        return None
    if not isinstance(value, Mapping):
        raise UsageError("'group' is no object", hint='{"by": ["config.lr"], "band": "minmax"}')
    return Grouping(
        keys=tuple(_texts(value.get("by") or [], "group.by"))[:KEYS_MAX],
        center=_choice(Center, value.get("center") or "mean", "group.center"),
        band=_choice(BandKind, value.get("band") or "none", "group.band"),
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UsageError(f"{name!r} is no text")
    return value


def _texts(value: Any, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError(f"{name!r} is no list of texts")
    return value


def _number(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"{name!r} is not a number")
    return float(value)


def _choice(kind: type[Choice], value: Any, name: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        raise UsageError(
            f"{name!r} is {str(value)[:40]!r}", hint=f"use one of {', '.join(kind)}"
        ) from None
