"""Rules about sensors, and how long hardware has been idle, on readings of telemetry. Pure.

The names of the sensors that rules know by themselves are here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field

from hpctrack.agents.rules import S_PER_MIN, Firing, Idleness, show_time
from hpctrack.core.rules import ABOVE, GPU_IDLE, MEMORY, Rule
from hpctrack.telemetry.reading import Sample

MEMORY_SENSOR = "cgroup/memory_used_frac"
"""Of the job's tightest limit on this node."""

GPU_SENSORS = frozenset({"gpu/util_frac", "gpu/sm_active_frac"})
"""A slice of a GPU has only the second; a device that has both idles when both do."""

PROCESS_SENSOR = "process/cores_used"
"""Of a rank with its children."""

GPU_IDLE_BELOW = 0.05
PROCESS_IDLE_BELOW = 0.1
"""Of a core: threads that only look after something use 1 or 2 % of it."""

GAP_MIN_S = 60.0
GAP_INTERVALS = 3.5
"""A stream that is silent for longer is not known any more, and what it has said does not count."""

Own = Iterable[tuple[Sample, int]]
"""Samples of one run, each with the rank that it is of, or -1."""


def find_gap_s(interval_s: float) -> float:
    """Return for how long a stream that is read at an interval may be silent."""
    return max(GAP_MIN_S, GAP_INTERVALS * interval_s)


@dataclass(slots=True)
class _Spell:
    """A time without a pause."""

    since_s: float | None = None
    seen_s: float = 0.0
    has_paused: bool = False

    def take(self, now_s: float, gap_s: float, *, is_so: bool) -> float | None:
        """Take in whether it is so now; return since when it is."""
        if not is_so:
            self.since_s, self.has_paused = None, True
        elif self.since_s is None or now_s - self.seen_s > gap_s:
            self.since_s = now_s
        self.seen_s = now_s
        return self.since_s


@dataclass(slots=True)
class IdleWatch:
    """Since when hardware of one kind has been idle.

    Parameters
    ----------
    gap_s : float
        See `find_gap_s`.
    """

    gap_s: float
    _spells: dict[Hashable, _Spell] = field(default_factory=dict)

    def take(self, key: Hashable, now_s: float, *, is_idle: bool) -> None:
        """Take in a sample."""
        self._spells.setdefault(key, _Spell()).take(now_s, self.gap_s, is_so=is_idle)

    def look(self, now_s: float, keys: Collection[Hashable] | None = None) -> Idleness:
        """Return since when all of it has been idle.

        Parameters
        ----------
        now_s : float
        keys : collection, optional
            What is meant, all of which must be known. Default all that is known.
        """
        known = {key: one for key, one in self._spells.items() if now_s - one.seen_s <= self.gap_s}
        if keys is not None:
            known = {key: one for key, one in known.items() if key in keys}
            if len(known) < len(keys):
                return Idleness(is_known=False)
        if not known:
            return Idleness(is_known=False)
        times = [one.since_s for one in known.values() if one.since_s is not None]
        return Idleness(
            is_known=True,
            since_s=max(times) if len(times) == len(known) else None,
            has_worked=any(one.has_paused for one in known.values()),
        )


class SensorRules:
    """Watches the samples of one run on one node.

    Parameters
    ----------
    gap_s : float
        See `find_gap_s`.

    Attributes
    ----------
    gpus, processes : IdleWatch
        The latter by process number.
    """

    def __init__(self, gap_s: float) -> None:
        self.gpus = IdleWatch(gap_s)
        self.processes = IdleWatch(gap_s)
        self._gap_s = gap_s
        self._rules: dict[str, tuple[Rule, re.Pattern[str]]] = {}
        self._by_name: dict[str, tuple[Rule, ...]] = {}
        self._seen: set[str] = set()
        self._spells: dict[Hashable, _Spell] = {}

    def add(self, rule: Rule) -> None:
        """Watch for one more."""
        target = MEMORY_SENSOR if rule.subject == MEMORY else rule.target
        pattern = ".*".join(re.escape(part) for part in target.split("*"))
        self._rules[rule.name] = (rule, re.compile(pattern))
        self._by_name.clear()

    def remove(self, rule: Rule) -> None:
        """Watch for it no more."""
        self._rules.pop(rule.name, None)
        self._by_name.clear()

    def take(self, own: Own, now_s: float) -> list[Firing]:
        """Look at a reading's samples; of each rule the first that it holds for is told.

        Parameters
        ----------
        own : iterable of (Sample, int)
        now_s : float
            Of a clock that never jumps.
        """
        firings: list[Firing] = []
        for sample, rank in own:
            self._follow_idle(sample, now_s)
            for rule in self._find_rules(sample.name):
                firing = self._check(rule, sample, rank, now_s)
                if firing is not None:
                    firings.append(firing)
                    self.remove(rule)
        idle = self.gpus.look(now_s)
        for rule, _pattern in list(self._rules.values()):
            if rule.subject == GPU_IDLE and idle.since_s is not None:
                idle_s = now_s - idle.since_s
                if idle_s >= rule.limit * S_PER_MIN:
                    text = f"all GPUs of the run on this node idle for {show_time(idle_s)}"
                    firings.append(Firing(rule, text, idle_s))
                    self.remove(rule)
        return firings

    def list_unseen(self) -> list[tuple[Rule, str]]:
        """Return the rules that nothing was read for, and what is missing."""
        return [
            (rule, _name_missing(rule))
            for rule, _pattern in self._rules.values()
            if rule.name not in self._seen
        ]

    def _follow_idle(self, sample: Sample, now_s: float) -> None:
        if sample.name in GPU_SENSORS:
            key = (sample.name, sample.device)
            self.gpus.take(key, now_s, is_idle=sample.value < GPU_IDLE_BELOW)
        elif sample.name == PROCESS_SENSOR:
            self.processes.take(sample.pid, now_s, is_idle=sample.value < PROCESS_IDLE_BELOW)

    def _find_rules(self, name: str) -> tuple[Rule, ...]:
        found = self._by_name.get(name)
        if found is None:
            mine = [
                rule
                for rule, pattern in self._rules.values()
                if (name in GPU_SENSORS if rule.subject == GPU_IDLE else pattern.fullmatch(name))
            ]
            self._seen.update(rule.name for rule in mine)
            found = self._by_name[name] = tuple(one for one in mine if one.subject != GPU_IDLE)
        return found

    def _check(self, rule: Rule, sample: Sample, rank: int, now_s: float) -> Firing | None:
        is_below = rule.test != ABOVE and rule.subject != MEMORY
        is_so = sample.value < rule.limit if is_below else sample.value > rule.limit
        key = (rule.name, sample.name, sample.device, sample.pid)
        since_s = self._spells.setdefault(key, _Spell()).take(now_s, self._gap_s, is_so=is_so)
        if since_s is None or now_s - since_s < rule.for_s:
            return None
        return Firing(rule, _describe(rule, sample), sample.value, rank, source=sample.name)


def _name_missing(rule: Rule) -> str:
    if rule.subject == MEMORY:
        return "the job has no memory limit on this node, or it cannot be read"
    if rule.subject == GPU_IDLE:
        return "no GPU can be read on this node"
    return f"nothing is read on this node that is called {rule.target!r}"


def _describe(rule: Rule, sample: Sample) -> str:
    if rule.subject == MEMORY:
        return f"the job uses {sample.value:.1%} of its memory limit on this node"
    of = f" of {sample.device}" if sample.device else ""
    held = f" for {rule.for_s:g} s" if rule.for_s else ""
    return f"{sample.name}{of} is {sample.value:g}, {rule.test} {rule.limit:g}{held}"
