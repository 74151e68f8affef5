"""What is asked of a project's runs, and what comes back. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hpctrack_server.language.keys import split_order

PAGE_ROWS = 50


class Scope(StrEnum):
    """Which runs a table is about."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    DELETED = "deleted"
    ALL = "all"


class ColumnKind(StrEnum):
    """What a column holds."""

    NUMBER = "number"
    TEXT = "text"
    FLAG = "flag"
    TIME = "time"
    """UTC seconds."""
    LIST = "list"
    """Of texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    """One key of an order."""

    key: str
    is_descending: bool = False

    @classmethod
    def parse(cls, text: str) -> tuple[SortKey, ...]:
        """Read ``-created,name``: a minus in front is descending."""
        return tuple(cls(key=key, is_descending=falls) for key, falls in split_order(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs, in which order.

    Parameters
    ----------
    filter : str
        In the query language: ``config.lr > 1e-3 and state == "finished"``; empty takes all.
    search : str
        A regular expression (RE2) over name, id, user and tags, without regard to case.
    ids : tuple of str
        Only these, and, unless ``sort`` says otherwise, in this order; empty takes all.
    sort : tuple of SortKey
        Empty is newest first.
    scope : Scope
        Active runs are neither archived nor deleted.
    start, count : int
        The part of the matches that is wanted.
    """

    filter: str = ""
    search: str = ""
    ids: tuple[str, ...] = ()
    sort: tuple[SortKey, ...] = ()
    scope: Scope = Scope.ACTIVE
    start: int = 0
    count: int = PAGE_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """A column that a project's table could show.

    Parameters
    ----------
    key : str
        ``state``, ``config.model.layers``, ``summary.val/acc``, ``slurm.partition``.
    kind : ColumnKind
    count : int
        How many runs have a value.
    distinct : int
        How many different ones, counted up to 1,000.
    """

    key: str
    kind: ColumnKind
    count: int
    distinct: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """What matches.

    Parameters
    ----------
    rows : tuple of dict
        By column key, without what a run does not have; each has ``id`` and ``state``.
    matches, total : int
        Runs that fit the query, and runs of the scope.
    version : str
        Differs whenever the table looks different.
    pending : int
        Runs of the project that have not been read yet: it is being looked at for the first time.
    """

    rows: tuple[dict[str, Any], ...]
    matches: int
    total: int
    version: str
    pending: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs that agree in some keys.

    Parameters
    ----------
    key : tuple
        Their values, in the order of the keys; None where a run has none.
    ids : tuple of str
    values : dict
        Of each number column: its mean over the runs, as ``{"mean", "min", "max", "std", "n"}``.
    """

    key: tuple[Any, ...]
    ids: tuple[str, ...]
    values: dict[str, dict[str, float]] = field(default_factory=dict)
