"""What a rule says when it holds, and the rules about time. Pure: no clock, no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hpctrack.core.rules import SILENT, Rule

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


def check_quiet(
    rule: Rule, *, now_s: float, logged_s: float, idle: Mapping[str, Idleness]
) -> Firing | None:
    """Tell whether nothing has been logged for as long as a rule allows.

    Parameters
    ----------
    rule : Rule
        About ``hang_min`` or ``silent_min``.
    now_s, logged_s : float
        Now, and when a rank of the node logged last, on one clock.
    idle : mapping
        By the name of the hardware. One kind that idles is enough for a hang: ranks that wait
        for each other may keep the processor busy, or the GPU, but hardly both.
    """
    limit_s = rule.limit * S_PER_MIN
    quiet_s = now_s - logged_s
    if quiet_s < limit_s:
        return None
    text = f"no rank of this node has logged anything for {show_time(quiet_s)}"
    if rule.subject == SILENT:
        return Firing(rule, text, quiet_s)
    for name, one in idle.items():
        if one.since_s is not None and now_s - one.since_s >= limit_s:
            return Firing(rule, f"{text} while {name}", quiet_s)
    return None


def check_time_left(rule: Rule, left_s: float) -> Firing | None:
    """Tell whether the job's time is up as soon as a rule wants to know."""
    if left_s > rule.limit * S_PER_MIN:
        return None
    text = f"{show_time(max(0.0, left_s))} left to the job's time limit"
    return Firing(rule, text, left_s)


def show_time(seconds: float) -> str:
    """Return ``45 s`` or ``12.5 min``."""
    if seconds < 2 * S_PER_MIN:
        return f"{seconds:.0f} s"
    return f"{round(seconds / S_PER_MIN, 1):g} min"
