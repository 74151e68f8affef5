"""What a panel works on: some columns of some runs, and its settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np

from hpctrack_server.components.panels.column import (
    Column,
    FloatArray,
    IntArray,
    Kind,
    is_worth_logarithm,
)

Choice = TypeVar("Choice", bound=StrEnum)


class PanelError(ValueError):
    """A panel cannot be drawn from what was asked; the reader can change that.

    Parameters
    ----------
    message, hint : str
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns of runs.

    Parameters
    ----------
    ids, names : tuple of str
        Of the runs.
    columns : mapping of str to Column
        By key; each has one value per run.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    columns: Mapping[str, Column]

    def column(self, key: str) -> Column:
        """Return a column that was asked for."""
        return self.columns[key]

    def numbers(self, key: str) -> Column:
        """Return a column of numbers.

        Raises
        ------
        PanelError
            It holds texts.
        """
        found = self.columns[key]
        if found.kind == Kind.CATEGORY and found.labels:
            raise PanelError(f"{key} holds texts, not numbers", "choose another column")
        return found


def pick(settings: Mapping[str, Any], name: str, default: str = "") -> str:
    """Return a setting that is a text."""
    value = settings.get(name, default)
    if not isinstance(value, str):
        raise PanelError(f"the setting {name!r} is no text")
    return value


def pick_key(settings: Mapping[str, Any], name: str) -> str:
    """Return a setting that names a column.

    Raises
    ------
    PanelError
        It is not set.
    """
    key = pick(settings, name)
    if not key:
        raise PanelError(f"no column is chosen for {name}", "choose one in the panel's settings")
    return key


def pick_keys(settings: Mapping[str, Any], name: str, *, most: int) -> list[str]:
    """Return a setting that names columns, each once."""
    value = settings.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise PanelError(f"the setting {name!r} is no list of columns")
    if len(value) > most:
        raise PanelError(f"{len(value)} columns are too many", f"choose at most {most}")
    return list(dict.fromkeys(value))


def pick_choice(settings: Mapping[str, Any], name: str, default: Choice) -> Choice:
    """Return a setting that is one of a few."""
    value = pick(settings, name, default)
    try:
        return type(default)(value)
    except ValueError:
        known = ", ".join(type(default))
        raise PanelError(f"the setting {name!r} is {value[:40]!r}", f"use one of {known}") from None


def pick_number(settings: Mapping[str, Any], name: str, *, most: int) -> int:
    """Return a setting that is a whole number from 0."""
    value = settings.get(name) or 0
    if not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise PanelError(f"the setting {name!r} is no number from 0 to {most}")
    return int(value)


def pick_log(settings: Mapping[str, Any], name: str, column: Column) -> bool:
    """Return whether an axis is logarithmic: as set, or where values span decades."""
    value = pick(settings, name, "auto")
    if column.kind != Kind.NUMBER or value == "linear":
        return False
    known = column.numbers[column.is_known]
    if value == "log":
        return bool((known > 0).any())
    return is_worth_logarithm(column.numbers)


def find_known(*columns: Column | None, is_log: bool = False) -> IntArray:
    """Return the rows that have all columns; with ``is_log`` the first must be above 0."""
    known = np.logical_and.reduce([one.is_known for one in columns if one is not None])
    if is_log and columns[0] is not None:
        known &= np.nan_to_num(columns[0].numbers) > 0
    return np.flatnonzero(known)


def scale_to_unit(values: FloatArray, *, is_log: bool) -> tuple[FloatArray, float, float]:
    """Return values from 0 to 1 as an axis places them, and its two ends in values."""
    shown = np.log10(values) if is_log else values
    low, high = float(shown.min()), float(shown.max())
    if not high > low:
        low, high = low - 0.5, high + 0.5
    unit = (shown - low) / (high - low)
    return unit, 10**low if is_log else low, 10**high if is_log else high
