"""What a filter means: a tree of conditions on the columns of a run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Comparison(StrEnum):
    """How two values are compared."""

    EQUAL = "=="
    UNEQUAL = "!="
    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="

    @property
    def is_ordered(self) -> bool:
        """Whether it asks which of two is the larger."""
        return self not in EQUALITIES

    @property
    def turned(self) -> Comparison:
        """The same with its two sides exchanged."""
        return Comparison(str(self).translate(_OTHER_WAY))


EQUALITIES = (Comparison.EQUAL, Comparison.UNEQUAL)
_OTHER_WAY = str.maketrans("<>", "><")


class ValueKind(StrEnum):
    """What stands for a value."""

    NUMBER = "number"
    DURATION = "duration"
    """Seconds; before a time column: that long ago, if it is negative."""
    TEXT = "text"
    FLAG = "flag"
    TIME = "time"
    """UTC seconds."""


@dataclass(frozen=True, slots=True)
class Column:
    """The name of a column, and where it stands."""

    key: str
    at: int
    end: int


@dataclass(frozen=True, slots=True)
class Value:
    """A value, and where it stands.

    Parameters
    ----------
    kind : ValueKind
    value : float, int, str or bool
    at, end : int
    span_s : float
        Of a time: how long it lasts; a date lasts a day.
    """

    kind: ValueKind
    value: float | int | str | bool
    at: int
    end: int
    span_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Compare:
    """A column beside a value, or beside another column."""

    column: Column
    comparison: Comparison
    value: Value | Column


@dataclass(frozen=True, slots=True)
class OneOf:
    """A column has one of some values; of a column of lists: one of its items is among them."""

    column: Column
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Contains:
    """A text has a part, in any case; a list has an item, exactly."""

    column: Column
    value: Value


@dataclass(frozen=True, slots=True)
class Matches:
    """A regular expression is found in a text, or in an item of a list."""

    column: Column
    pattern: Value


@dataclass(frozen=True, slots=True)
class Exists:
    """A run has a value there."""

    column: Column


@dataclass(frozen=True, slots=True)
class IsNan:
    """A number is none."""

    column: Column


@dataclass(frozen=True, slots=True)
class IsTrue:
    """A flag is set."""

    column: Column


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite: what is not there fulfils it too."""

    part: Condition


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    parts: tuple[Condition, ...]


Condition = Compare | OneOf | Contains | Matches | Exists | IsNan | IsTrue | Not | And | Or
