"""What is asked of the Statistics page; its address and the body of its API say the same. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlencode

from hpctrack.analysis.averages import Center
from hpctrack.analysis.bootstrap import Interval
from hpctrack.analysis.comparison import Plan
from hpctrack.analysis.corrections import Correction
from hpctrack.analysis.significance import Method
from hpctrack.analysis.tasks import Scaling
from hpctrack.errors import UsageError
from hpctrack_server.data.index.groups import BUT_SEED
from hpctrack_server.data.index.query import RunQuery
from hpctrack_server.language.keys import split_keys

Choice = TypeVar("Choice", bound=StrEnum)

BEST, LAST = "best:", "last:"
"""Before a metric's name: the best or the last value of its curve, instead of a column."""

CONFIDENCES = (0.9, 0.95, 0.99)

LOW_IS_BETTER = frozenset(
    {
        "bpc", "cer", "cost", "duration", "err", "error", "errors", "fid", "latency", "loss",
        "losses", "mae", "mse", "nll", "perplexity", "ppl", "regret", "rmse", "s", "time", "wer",
    }
)  # fmt: skip
"""Words of names of which less is better, unless the reader says otherwise; an ``s`` is seconds."""

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


class Goal(StrEnum):
    """Which end of the metric is the good one."""

    HIGH = "high"
    LOW = "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsQuery:
    """What is compared, and how.

    Parameters
    ----------
    metric : str
        A column such as ``summary.val/acc``, or ``best:val/acc`` or ``last:val/acc``.
    by : tuple of str
        Columns whose values make a group; or `BUT_SEED` alone.
    pair : str
        The column by which runs of two groups belong together.
    goal : Goal
    method, correction, interval, confidence
        See `hpctrack.analysis.comparison.Plan`.
    center : Center
        The average that is drawn.
    task : str
        The column that says which task a run did; empty compares without tasks.
    scaling : Scaling
        How scores of several tasks become comparable.
    baseline : str
        Id of a group; empty is the first one.
    filter, search : str
    ids : tuple of str
        See `RunQuery`.
    """

    metric: str = ""
    by: tuple[str, ...] = (BUT_SEED,)
    pair: str = ""
    goal: Goal = Goal.HIGH
    method: Method = Method.WELCH
    correction: Correction = Correction.HOLM
    interval: Interval = Interval.BCA
    center: Center = Center.IQM
    confidence: float = 0.95
    task: str = ""
    scaling: Scaling = Scaling.RANGE
    baseline: str = ""
    filter: str = ""
    search: str = ""
    ids: tuple[str, ...] = ()

    @classmethod
    def parse(cls, given: Mapping[str, Any], *, default_metric: str = "") -> StatisticsQuery:
        """Read an address's parameters, or a JSON body with the same names.

        Raises
        ------
        UsageError
            Something of it is none of the choices.
        """
        metric = str(given.get("metric") or default_metric)
        goal = _text(given, "goal")
        by = _texts(given, "by") or (BUT_SEED,)
        return cls(
            metric=metric,
            by=(BUT_SEED,) if BUT_SEED in by else by,
            pair=_text(given, "pair"),
            goal=_choose(Goal, goal, "goal") if goal else guess_goal(metric),
            method=_choose(Method, _text(given, "test") or Method.WELCH, "test"),
            correction=_choose(
                Correction, _text(given, "correction") or Correction.HOLM, "correction"
            ),
            interval=_choose(Interval, _text(given, "interval") or Interval.BCA, "interval"),
            center=_choose(Center, _text(given, "center") or Center.IQM, "center"),
            confidence=_read_confidence(_text(given, "confidence")),
            task=_text(given, "task"),
            scaling=_choose(Scaling, _text(given, "scaling") or Scaling.RANGE, "scaling"),
            baseline=_text(given, "baseline"),
            filter=_text(given, "filter"),
            search=_text(given, "search"),
            ids=_texts(given, "runs"),
        )

    @property
    def plan(self) -> Plan:
        """How it is counted."""
        return Plan(
            method=self.method,
            correction=self.correction,
            confidence=self.confidence,
            interval=self.interval,
            is_higher_better=self.goal == Goal.HIGH,
        )

    @property
    def runs(self) -> RunQuery:
        """Which runs."""
        return RunQuery(filter=self.filter, search=self.search, ids=self.ids)

    def parameters(self) -> list[tuple[str, str]]:
        """Return the address's parameters, all of them: a bookmark keeps its meaning."""
        parts = [
            ("metric", self.metric), *(("by", one) for one in self.by),
            ("pair", self.pair), ("goal", str(self.goal)), ("test", str(self.method)),
            ("correction", str(self.correction)), ("interval", str(self.interval)),
            ("center", str(self.center)), ("confidence", f"{self.confidence:g}"),
            ("task", self.task), ("scaling", str(self.scaling) if self.task else ""),
            ("baseline", self.baseline), ("filter", self.filter), ("search", self.search),
            ("runs", ",".join(self.ids)),
        ]  # fmt: skip
        return [(name, value) for name, value in parts if value]

    def link(self, **changes: str) -> str:
        """Return the query part of the address of the same page, changed."""
        kept = [(name, value) for name, value in self.parameters() if name not in changes]
        return "?" + urlencode([*kept, *changes.items()], errors="replace")


def guess_goal(metric: str) -> Goal:
    """Return whether less or more of a metric is most likely the better."""
    words = [one.lower() for one in _WORDS.findall(metric.rpartition("/")[2])]
    is_low = any(one in LOW_IS_BETTER or one.endswith("loss") for one in words)
    return Goal.LOW if is_low else Goal.HIGH


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name, "")
    return str(value if value is not None else "").strip()


def _texts(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = given.get(name)
    if isinstance(value, (list, tuple)):
        return tuple(str(one) for one in value if str(one))
    return split_keys(_text(given, name))


def _choose(kind: type[Choice], value: str, name: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise UsageError(f"{name} is {value[:40]!r}", hint=f"use one of {known}") from None


def _read_confidence(text: str) -> float:
    try:
        value = float(text or 0.95)
    except ValueError:
        value = 0.0
    if not 0.5 <= value <= 0.999:  # noqa: PLR2004 - what a reader can mean
        raise UsageError(f"confidence is {text[:40]!r}", hint="use a number from 0.5 to 0.999")
    return value
