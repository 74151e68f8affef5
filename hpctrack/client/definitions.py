"""``run.define_metric``: how a metric is to be read, said once and understood by every reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpctrack.core.names import metric_name_problem
from hpctrack.errors import UsageError

SUMMARIES = ("min", "max", "mean", "last", "first", "best", "none")
"""What a summary can be; several are joined by commas. ``copy`` is W&B's other word for last."""

GOALS = ("minimize", "maximize")


@dataclass(frozen=True, slots=True)
class Definition:
    """How a metric is to be read.

    Parameters
    ----------
    name : str
        A metric, or the beginning of several with ``*`` at the end.
    step_metric : str
        The metric that it is drawn against; empty for the step.
    summary : tuple of str
        Out of `SUMMARIES`; empty for the last value.
    goal : str
        Out of `GOALS`; empty if nobody said.
    hidden : bool
        Not to be drawn unless it is asked for.
    """

    name: str
    step_metric: str = ""
    summary: tuple[str, ...] = ()
    goal: str = ""
    hidden: bool = False


def define(
    name: str,
    step_metric: str | Definition | None = None,
    *,
    summary: str | Sequence[str] | None = None,
    goal: str | None = None,
    hidden: bool | None = None,
    overwrite: bool | None = None,
) -> tuple[Definition, dict[str, Any]]:
    """Check a definition.

    Parameters
    ----------
    name : str
        A metric's name; ``*`` at its end stands for anything.
    step_metric : str or Definition, optional
        What it is drawn against.
    summary : str or sequence of str, optional
        One or several of `SUMMARIES`, joined by commas or as a sequence.
    goal : str, optional
        ``minimize`` or ``maximize``; says what ``best`` is.
    hidden : bool, optional
        Leave it out of charts that nobody asked for.
    overwrite : bool, optional
        Forget what was defined before for this name; by default what is given here is added.

    Returns
    -------
    Definition, dict
        For the user, and what is sent: only what was given.

    Raises
    ------
    UsageError
        Something here cannot be understood.
    """
    if not isinstance(name, str):
        raise UsageError(f"a metric's name is a text, not {name!r:.80}")
    stem = name.removesuffix("*")
    if "*" in stem:
        raise UsageError(f"metric {name!r:.80} has a * that is not at its end")
    problem = metric_name_problem(name)
    if problem:
        raise UsageError(f"metric {name!r:.80} cannot be defined: {problem}")
    against = step_metric.name if isinstance(step_metric, Definition) else step_metric or ""
    if "*" in against:
        raise UsageError(f"the step metric {against!r:.80} has a *", hint="name one metric")
    wanted = _split(summary)
    if goal is not None and goal not in GOALS:
        raise UsageError(f"the goal is {goal!r:.40}", hint=f"use one of {', '.join(GOALS)}")
    sent = {
        "name": name,
        "step_metric": against or None,
        "summary": list(wanted) if summary is not None else None,
        "goal": goal,
        "hidden": bool(hidden) if hidden is not None else None,
        "overwrite": True if overwrite else None,
    }
    made = Definition(name, against, wanted, goal or "", bool(hidden))
    return made, {key: value for key, value in sent.items() if value is not None}


def _split(summary: str | Sequence[str] | None) -> tuple[str, ...]:
    given = (summary or "").split(",") if isinstance(summary, str | None) else summary
    words = [str(one).strip() for one in given if str(one).strip()]
    for word in words:
        if word not in SUMMARIES and word != "copy":
            raise UsageError(
                f"the summary is {summary!r:.80}", hint=f"use some of {', '.join(SUMMARIES)}"
            )
    return tuple(dict.fromkeys("last" if word == "copy" else word for word in words))
