"""What the search says about a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class PointState(StrEnum):
    """How a configuration stands in the study."""

    RUNNING = "running"
    FINISHED = "finished"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Point:
    """A configuration to try.

    Parameters
    ----------
    number : int
        By which the study knows it; not the number of the sweep's trial.
    parameters : dict
        Nested; conditional parameters whose condition does not hold are absent.
    """

    number: int
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRecord:
    """A configuration as the study remembers it.

    Parameters
    ----------
    number : int
        By which the study knows it.
    configuration : int
        Of the sweep: trial number divided by ``seeds``.
    state : PointState
        How it stands.
    parameters : dict
        Nested.
    values : tuple of float
        One for each metric; empty until it has finished.
    curve : tuple of (int, float)
        Reported iterations and values of the first metric.
    """

    number: int
    configuration: int
    state: PointState
    parameters: dict[str, Any]
    values: tuple[float, ...] = ()
    curve: tuple[tuple[int, float], ...] = ()
