"""One line of the result: what, how much, against which target."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """What issue "The recorder" asks for.

    Parameters
    ----------
    relation : {"<=", ">=", "=="}
        How the value has to stand to the limit.
    limit : float
        In the row's unit.
    """

    relation: str
    limit: float

    def is_met(self, value: float) -> bool:
        """Whether a value reaches it."""
        if self.relation == "==":
            return value == self.limit
        return value <= self.limit if self.relation == "<=" else value >= self.limit

    def __str__(self) -> str:
        """Show it as people write it."""
        return f"{self.relation} {show_number(self.limit)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured figure.

    Parameters
    ----------
    what : str
        In words.
    value : float or None
        The figure; None if it could not be measured, and ``note`` says why.
    unit : str
        Of value and target.
    target : Target, optional
        Without one the row is for information.
    note : str
        What a reader has to know beside it.
    """

    what: str
    value: float | None
    unit: str
    target: Target | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, ``not measured``, or nothing where there is no target."""
        if self.value is None:
            return "not measured"
        if self.target is None:
            return ""
        return "met" if self.target.is_met(self.value) else "missed"

    def to_json(self) -> dict[str, Any]:
        """Return it for the JSON file."""
        target = str(self.target) if self.target else None
        return {**asdict(self), "target": target, "verdict": self.verdict}


Samples = dict[str, list[dict[str, Any]]]
"""What the programs said, by contestant, in the order of the rounds."""


@dataclass(slots=True)
class Outcome:
    """What a benchmark has found.

    Parameters
    ----------
    rows : list of Row
        The figures.
    samples : dict
        The measurements behind them.
    """

    rows: list[Row] = field(default_factory=list)
    samples: Samples = field(default_factory=dict)


def median(samples: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Return the median of a figure over the rounds, None if no round has it."""
    values = [float(one[key]) for one in samples if one.get(key) is not None]
    return statistics.median(values) if values else None


def worst(samples: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Return the largest of a figure over the rounds."""
    values = [float(one[key]) for one in samples if one.get(key) is not None]
    return max(values) if values else None


def ratio(samples: Samples, key: str, *, of: str, to: str) -> float | None:
    """Return the median over the rounds of one contestant's figure divided by another's."""
    pairs = zip(samples.get(of, ()), samples.get(to, ()), strict=False)
    values = [
        float(one[key]) / float(other[key])
        for one, other in pairs
        if one.get(key) is not None and other.get(key)
    ]
    return statistics.median(values) if values else None


def find_error(samples: Sequence[Mapping[str, Any]]) -> str | None:
    """Return what went wrong in the first round that failed, if one did."""
    return next((str(one["error"]) for one in samples if "error" in one), None)


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the value below which so many percent lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def show_number(value: float | None) -> str:
    """Show a number with three digits that count."""
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 1e15:  # noqa: PLR2004 - exact in a float
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
