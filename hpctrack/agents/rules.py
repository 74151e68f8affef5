"""What rules of all kinds have in common: what one says when it holds. Pure."""

from __future__ import annotations

from typing import NamedTuple

from hpctrack.core.rules import Rule

S_PER_MIN = 60.0

NODE = -1
"""Rank of a firing that is of no rank."""


class Firing(NamedTuple):
    """A rule whose condition holds.

    Parameters
    ----------
    rule : Rule
    text : str
        What was seen, in a line.
    value : float or None
        What was compared.
    rank : int
        Whose it is; `NODE` if it is the node's.
    step : int or None
        Of a metric.
    source : str
        Name of the metric or sensor.
    """

    rule: Rule
    text: str
    value: float | None = None
    rank: int = NODE
    step: int | None = None
    source: str = ""


class Idleness(NamedTuple):
    """What is known of a kind of hardware.

    Parameters
    ----------
    is_known : bool
        It is measured here.
    since_s : float or None
        All of it has been idle since then; None if some of it is at work.
    has_worked : bool
        Some of it was seen at work before.
    """

    is_known: bool
    since_s: float | None = None
    has_worked: bool = False


def show_time(seconds: float) -> str:
    """Return ``45 s`` or ``12.5 min``."""
    if seconds < 2 * S_PER_MIN:
        return f"{seconds:.0f} s"
    return f"{round(seconds / S_PER_MIN, 1):g} min"
