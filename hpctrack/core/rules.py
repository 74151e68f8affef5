"""Rules that a run is watched by on its nodes.

A rule names one thing to look at (`SUBJECTS`), what has to be true of it, and what to do then.
`hpctrack.core.rule_reading` makes them of what users write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

METRIC, SENSOR = "metric", "sensor"
GPU_IDLE, MEMORY, TIME_LEFT = "gpu_idle_min", "memory_frac", "time_left_min"
HANG, SILENT = "hang_min", "silent_min"

SUBJECTS = (METRIC, SENSOR, GPU_IDLE, MEMORY, TIME_LEFT, HANG, SILENT)
"""What can be looked at; a rule has exactly one of these keys."""

IS, ABOVE, BELOW, PLATEAU = "is", "above", "below", "plateau"

NEED_TELEMETRY = frozenset({SENSOR, GPU_IDLE, MEMORY, HANG})

MARK, SIGNAL, COMMAND, STOP, CANCEL = "mark", "signal", "command", "stop", "cancel"
ACTIONS = (MARK, SIGNAL, COMMAND, STOP, CANCEL)

RUN, ATTEMPT = "run", "attempt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Parameters
    ----------
    name : str
        A valid id; tag and file are called by it.
    subject : str
        Out of `SUBJECTS`.
    target : str
        Of a metric or sensor: its name, or a pattern with ``*``.
    test : str
        Out of `TESTS`; empty if the subject needs none.
    limit : float
        What the test, or else the subject, compares with: a value, minutes, or a share of 1.
    steps : int
        So many values of a metric in a row; of a plateau the width of the window.
    for_s : float
        So long without a pause, seconds.
    rank : int or None
        Whose metric; None is any rank's.
    do : tuple of str
        Actions in their order, ``signal:NAME`` and ``command:TEXT`` with what they need.
    once : str
        ``run``: executed once in the life of the run; ``attempt``: once in each attempt.
    """

    name: str
    subject: str
    target: str = ""
    test: str = ""
    limit: float = 0.0
    steps: int = 1
    for_s: float = 0.0
    rank: int | None = None
    do: tuple[str, ...] = (MARK,)
    once: str = RUN

    @property
    def condition(self) -> tuple[object, ...]:
        """What tells it from rules that watch for something else."""
        return (
            self.subject, self.target, self.test, self.limit, self.steps, self.for_s, self.rank,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return what `parse_rule` reads back."""
        told: dict[str, Any] = {"name": self.name, self.subject: self.target or self.limit}
        if self.test:
            told[self.test] = "nan" if self.test == IS else self.limit
        told |= {"steps": self.steps} if self.steps > 1 else {}
        told |= {"for_s": self.for_s} if self.for_s else {}
        told |= {} if self.rank is None else {"rank": self.rank}
        return {**told, "do": list(self.do), "once": self.once}

    def describe(self) -> str:
        """Return the condition in words."""
        limit = f"{self.limit:g}"
        if self.subject in {METRIC, SENSOR}:
            return f"{self.target} {self._describe_test(limit)}"
        return {
            GPU_IDLE: f"all GPUs idle for {limit} min",
            MEMORY: f"memory above {limit} of its limit",
            TIME_LEFT: f"{limit} min to the time limit",
            HANG: f"nothing logged for {limit} min while processor or GPUs are idle",
            SILENT: f"nothing logged for {limit} min",
        }[self.subject]

    def _describe_test(self, limit: str) -> str:
        if self.test == PLATEAU:
            return f"changes by less than {limit} over {self.steps:,} values"
        said = "is NaN or infinite" if self.test == IS else f"{self.test} {limit}"
        said += f", {self.steps:,} times in a row" if self.steps > 1 else ""
        said += f" for {self.for_s:g} s" if self.for_s else ""
        return said if self.rank is None else f"{said}, on rank {self.rank}"


def split_action(action: str) -> tuple[str, str]:
    """Return an action's word and what it needs: ``("signal", "USR1")``."""
    word, _, needed = action.partition(":")
    return word, needed


def dump_rules(rules: Iterable[Rule]) -> str:
    """Return JSON that `hpctrack.core.rule_reading.load_rules` reads; empty text for no rules."""
    told = [rule.to_json() for rule in rules]
    return json.dumps(told, separators=(",", ":")) if told else ""
