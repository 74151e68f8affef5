"""A column of values of runs as numbers or as categories. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

MISSING = -1
"""The code of a run without a value."""

CATEGORIES_MAX = 200
"""Categories that an axis can show at all; the rest are put together as the last one."""

TEXT_MAX_CHARS = 120


DECADES_MIN = 100.0
MIDDLE_MIN = 30.0
"""Between the 5th and the 95th of a hundred: uniform numbers from 0 on have 19 there."""

DOUBLED_MAX = 24


class Kind(StrEnum):
    """How a column is drawn."""

    NUMBER = "number"
    TIME = "time"
    CATEGORY = "category"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One value per run.

    Parameters
    ----------
    key : str
    kind : Kind
    numbers : ndarray of float64, shape (runs,)
        NaN where there is none that is finite; for categories their codes.
    labels : tuple of str
        Names of the categories, in the order of their codes; empty for numbers.
    infinite : int
        How many values were infinite, and are left out.
    """

    key: str
    kind: Kind
    numbers: FloatArray
    labels: tuple[str, ...] = ()
    infinite: int = 0

    @property
    def is_known(self) -> npt.NDArray[np.bool_]:
        """Where there is a value, shape (runs,)."""
        return np.isfinite(self.numbers)

    @property
    def codes(self) -> IntArray:
        """Categories by number, `MISSING` where there is no value."""
        return np.where(self.is_known, np.nan_to_num(self.numbers, nan=MISSING), MISSING).astype(
            np.int64
        )


def make_column(key: str, values: Sequence[Any], *, is_time: bool = False) -> Column:
    """Return a column from values of any kind.

    Numbers stay numbers if all values are; anything else becomes categories by its text.

    Parameters
    ----------
    key : str
    values : sequence
        One per run; None where it has none.
    is_time : bool
        The numbers are UTC seconds.
    """
    if all(value is None or _is_number(value) for value in values):
        numbers = np.array([_as_float(value) for value in values], np.float64)
        infinite = int(np.isinf(numbers).sum())
        numbers[~np.isfinite(numbers)] = np.nan
        kind = Kind.TIME if is_time else Kind.NUMBER
        return Column(key=key, kind=kind, numbers=numbers, infinite=infinite)
    return _make_categories(key, [None if one is None else show_value(one) for one in values])


def categorise(column: Column, *, most: int = CATEGORIES_MAX) -> Column:
    """Return a column as categories: numbers by their values, in their order.

    Parameters
    ----------
    column : Column
    most : int
        Beyond so many categories the rarest are put together as the last one.
    """
    if column.kind == Kind.CATEGORY:
        names: list[str | None] = [
            column.labels[code] if code >= 0 else None for code in column.codes.tolist()
        ]
        return _make_categories(column.key, names, most=most, order=column.labels)
    known = np.unique(column.numbers[column.is_known])
    order = tuple(show_value(one) for one in known.tolist())
    names = [show_value(one) if math.isfinite(one) else None for one in column.numbers.tolist()]
    return _make_categories(column.key, names, most=most, order=tuple(dict.fromkeys(order)))


def is_worth_logarithm(numbers: FloatArray) -> bool:
    """Tell whether values are told apart better by their logarithm; all must be above 0.

    They span decades, as most of them do and not the smallest alone, or each is about twice or
    more the one before, as batch sizes are. ``static/panels/scale.js`` decides the same.
    """
    known = np.sort(numbers[np.isfinite(numbers)])
    if len(known) < 3 or known[0] <= 0:  # noqa: PLR2004 - two values span nothing
        return False
    different = np.unique(known)
    if 4 <= len(different) <= DOUBLED_MAX:  # noqa: PLR2004
        ratios = different[1:] / different[:-1]
        if ratios.min() >= 1.8 and ratios.max() < 4 * ratios.min():  # noqa: PLR2004 - about twice
            return True
    low, high = (float(known[int(part * (len(known) - 1))]) for part in (0.05, 0.95))
    spans = known[-1] / known[0] >= DECADES_MIN
    return bool(spans and high / low >= MIDDLE_MIN)


def show_value(value: Any) -> str:
    """Return the text by which a category is known."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:  # noqa: PLR2004
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.6g}"
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= TEXT_MAX_CHARS else f"{text[:TEXT_MAX_CHARS]}…"


def _make_categories(
    key: str, names: Sequence[str | None], *, most: int = CATEGORIES_MAX, order: Sequence[str] = ()
) -> Column:
    counts: dict[str, int] = {}
    for name in names:
        if name is not None:
            counts[name] = counts.get(name, 0) + 1
    labels = [one for one in order if one in counts] or sorted(counts, key=_natural_order)
    if len(labels) > most:
        kept = set(sorted(counts, key=lambda one: -counts[one])[: most - 1])
        rest = len(labels) - len(kept)
        labels = [one for one in labels if one in kept]
        others = f"{rest} others"
        names = [one if one is None or one in kept else others for one in names]
        labels.append(others)
    codes = {label: code for code, label in enumerate(labels)}
    numbers = np.array([math.nan if one is None else codes[one] for one in names], np.float64)
    return Column(key=key, kind=Kind.CATEGORY, numbers=numbers, labels=tuple(labels))


def _natural_order(text: str) -> tuple[int, float, str]:
    try:
        number = float(text)
    except ValueError:
        return 1, 0.0, text.casefold()
    return (0, number, text) if math.isfinite(number) else (1, 0.0, text)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _as_float(value: Any) -> float:
    try:
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.inf
