"""Rules about time: ranks that fall silent, and the job's limit."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from hpctrack.agents.job_end import JobEnd
from hpctrack.agents.log_signs import LogSigns
from hpctrack.agents.rule_sensors import SensorRules
from hpctrack.agents.rules import S_PER_MIN, Firing, Idleness, show_time
from hpctrack.core.clock import Clock
from hpctrack.core.rules import HANG, SILENT, TIME_LEFT, Rule


class TimeRules:
    """Watches one run on one node.

    Parameters
    ----------
    clock : Clock
    sensors : SensorRules
        Knows what is idle.
    signs : LogSigns or None
        Knows whether ranks of other nodes log; None if there are no others.

    Attributes
    ----------
    job_end : JobEnd or None
        Set it before a rule about it is added.
    remarks : list of (Rule, str)
        What a user should know of a rule that does not fire; the caller empties it.
    """

    def __init__(self, clock: Clock, sensors: SensorRules, signs: LogSigns | None = None) -> None:
        self._clock, self._sensors, self._signs = clock, sensors, signs
        self._rules: dict[str, Rule] = {}
        self._logged_s = clock.mono_s()
        self.job_end: JobEnd | None = None
        self.remarks: list[tuple[Rule, str]] = []

    def add(self, rule: Rule) -> None:
        """Watch for one more."""
        self._rules[rule.name] = rule

    def remove(self, rule: Rule) -> None:
        """Watch for it no more."""
        self._rules.pop(rule.name, None)

    def note_logged(self) -> None:
        """Take in that a rank has logged something."""
        self._logged_s = self._clock.mono_s()

    def look(self, pids: Collection[int]) -> list[Firing]:
        """Look at the time.

        Parameters
        ----------
        pids : collection of int
            Of the ranks that are here; without any nothing can hang.
        """
        quiet = self._list({HANG, SILENT})
        if quiet and self._signs is not None:
            self._signs.give(self._logged_s, min(one.limit for one in quiet) * S_PER_MIN)
        found = [self._check_quiet(one, pids) for one in quiet if pids]
        found += self._check_limits(self._list({TIME_LEFT}))
        firings = [one for one in found if one is not None]
        for firing in firings:
            self.remove(firing.rule)
        return firings

    def _list(self, subjects: set[str]) -> list[Rule]:
        return [one for one in self._rules.values() if one.subject in subjects]

    def _check_quiet(self, rule: Rule, pids: Collection[int]) -> Firing | None:
        now_s = self._clock.mono_s()
        idle: dict[str, Idleness] = {}
        if rule.subject == HANG:
            idle = {"its processes are idle": self._sensors.processes.look(now_s, pids)}
            gpus = self._sensors.gpus.look(now_s)
            # A program that has never used its GPUs does not hang because they idle.
            idle |= {"its GPUs are idle": gpus} if gpus.has_worked else {}
        firing = check_quiet(rule, now_s=now_s, logged_s=self._logged_s, idle=idle)
        if firing is not None and self._signs is not None:
            limit_s = rule.limit * S_PER_MIN
            return firing if self._signs.find_quiet_s(limit_s) >= limit_s else None
        is_quiet = now_s - self._logged_s >= rule.limit * S_PER_MIN
        if firing is None and is_quiet and not any(one.is_known for one in idle.values()):
            text = "nothing is logged, but whether the hardware is idle cannot be seen here"
            self.remarks.append((rule, text))
        return firing

    def _check_limits(self, rules: list[Rule]) -> list[Firing | None]:
        if not rules or self.job_end is None:
            return []
        left_s = self.job_end.look(max(one.limit for one in rules) * S_PER_MIN)
        if self.job_end.is_unknown:
            text = "the scheduler does not tell when the job ends; set job_end_wall_s"
            self.remarks += [(rule, text) for rule in rules]
        if left_s is None or left_s == math.inf:
            return []
        return [check_time_left(rule, left_s) for rule in rules]


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
