"""The rules of one run on one node: looks at what the recorder sees, has done what they ask for."""

from __future__ import annotations

import difflib
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from hpctrack.agents.job_end import find_job_end
from hpctrack.agents.log_signs import LogSigns
from hpctrack.agents.rule_claims import claim_rule, is_claimed, list_claims, read_claim
from hpctrack.agents.rule_execution import Execution, Surroundings
from hpctrack.agents.rule_metrics import MetricRules
from hpctrack.agents.rule_secrets import list_actions
from hpctrack.agents.rule_sensors import Own, SensorRules, find_gap_s
from hpctrack.agents.rule_times import TimeRules
from hpctrack.agents.rules import NODE, Firing
from hpctrack.agents.session import Session
from hpctrack.core.clock import Clock
from hpctrack.core.rule_reading import read_rules
from hpctrack.core.rules import (
    CANCEL,
    GPU_IDLE,
    HANG,
    IS,
    MARK,
    MEMORY,
    METRIC,
    SENSOR,
    SIGNAL,
    TIME_LEFT,
    Rule,
    split_action,
)  # fmt: skip

FAREWELL_S = 10.0
"""How long the end of a run waits for a command of a rule. Ranks wait 30 s for their agent, and
the end of a Slurm step kills both."""

END_S = 4.0
"""For a command to end when it is told to, and then made to."""

MISSED_AFTER_S = 120.0
"""When a rule whose sensors have not been read is told to be of no use; some are read rarely."""

WITHOUT_CLAIM = frozenset({SIGNAL, CANCEL})
"""What may be done by an agent that cannot know whether another one does it too: a signal goes to
the ranks of this node only, and a job that is cancelled twice is cancelled."""

P = ParamSpec("P")

Say = Callable[[dict[str, Any], int], None]
"""Writes a note into the run, as of a rank or of `NODE`."""


def _guarded(method: Callable[Concatenate[RuleWatch, P], None]) -> Callable[..., None]:
    """Let a mistake of ours cost the rules, not the recorder, which has ranks to serve."""

    @wraps(method)
    def call(self: RuleWatch, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - see above
            traceback.print_exc()
            self.give_up(error)

    return call


class RuleWatch:
    """Watches one run on one node; costs nothing while there are no rules.

    Parameters
    ----------
    hello : mapping
        The first rank's HELLO.
    folder : Path
        The run's.
    clock : Clock
    environ : mapping
        The job's.
    names : mapping
        The recorder's number of each metric; grows.
    sessions : sequence of Session
        The recorder's; grows.
    say : callable
        See `Say`.

    Notes
    -----
    A rule that holds is taken by a file in the run's folder (`hpctrack.agents.rule_claims`), and
    its actions follow when the event that tells it has been written: see `act`.
    """

    def __init__(
        self,
        hello: Mapping[str, Any],
        *,
        folder: Path,
        clock: Clock,
        environ: Mapping[str, str],
        names: Mapping[str, int],
        sessions: Sequence[Session],
        say: Say,
    ) -> None:
        settings = hello.get("settings") or {}
        self._clock, self._sessions, self._say = clock, sessions, say
        self._here = Surroundings(
            clock=clock,
            environ=environ,
            store=Path(str(hello["store"])),
            folder=folder,
            cwd="/",
            project=str(hello["project"]),
            run=str(hello["run"]),
            host=str(hello.get("host", "")),
            attempt=int(hello.get("attempt", 1)),
            local_size=int(hello.get("local_size", 1)),
            find_ranks=self._find_ranks,
        )
        self._is_alone = int(hello.get("size", 1)) <= self._here.local_size
        self._rules: dict[str, Rule] = {}
        self._known: set[str] = set()
        self._names = names
        self._metrics = MetricRules(names)
        gap_s = find_gap_s(float(settings.get("telemetry_interval_s", 10.0)))
        self._sensors = SensorRules(gap_s)
        self._missed_s = clock.mono_s() + max(MISSED_AFTER_S, gap_s)
        self._node = int(hello.get("node", 0))
        signs = None if self._is_alone else LogSigns(folder, self._node, clock)
        self._times = TimeRules(clock, self._sensors, signs)
        self._executions: list[tuple[Rule, Execution]] = []
        self._remarked: set[str] = set()

    # -- what there is to watch for --------------------------------------------------------------

    @_guarded
    def begin(self, hello: Mapping[str, Any]) -> None:
        """Take the rules of a rank that has come; those of several ranks are put together."""
        self.note_logged()
        settings = hello.get("settings") or {}
        if not settings.get("rules"):
            return
        self._here = replace(self._here, cwd=str(settings.get("cwd") or "/"))
        rules, problems = read_rules(settings["rules"], "HELLO")
        for problem in problems:
            self._tell("warning", problem.in_a_line(), code="rules")
        for rule in rules:
            if rule.name in self._known:
                continue
            self._known.add(rule.name)
            # The agent before us, which has died, was here when it was executed.
            if not (int(hello.get("agents_lost", 0)) and self._is_claimed(rule)):
                self._rules[rule.name] = rule
                self._add(rule, float(settings.get("job_end_wall_s") or 0.0))

    def _add(self, rule: Rule, told_end_wall_s: float) -> None:
        if rule.subject == METRIC:
            self._metrics.add(rule)
        elif rule.subject in {SENSOR, MEMORY, GPU_IDLE}:
            self._sensors.add(rule)
        else:
            self._times.add(rule)
        if rule.subject == TIME_LEFT and self._times.job_end is None:
            self._times.job_end = find_job_end(
                self._here.environ,
                clock=self._clock,
                told_wall_s=told_end_wall_s,
                node=self._node,
            )

    def _is_claimed(self, rule: Rule) -> bool:
        return read_claim(self._here.folder, rule, self._here.attempt) is not None

    def _find_ranks(self) -> dict[int, int]:
        return {one.rank: one.pid for one in self._sessions if one.is_open}

    # -- what there is to see --------------------------------------------------------------------

    @property
    def has_rules(self) -> bool:
        """Whether there is anything left to watch for."""
        return bool(self._rules)

    def note_logged(self) -> None:
        """Take in that a rank has logged something."""
        self._times.note_logged()

    @_guarded
    def take_points(self, rows: bytes) -> None:
        """Look at points that are about to be written."""
        self.note_logged()
        for firing in self._metrics.take(rows):
            self._fire(firing)

    @_guarded
    def take_reading(self, own: Own) -> None:
        """Look at a reading's samples of this run."""
        if self._rules:
            for firing in self._sensors.take(own, self._clock.mono_s()):
                self._fire(firing)

    @_guarded
    def look(self) -> None:
        """Look at the time, and at what other nodes have found; every few seconds."""
        if not self._rules:
            return
        self._settle()
        for firing in self._times.look(self._find_ranks().values()):
            self._fire(firing)
        if self._clock.mono_s() >= self._missed_s:
            self._missed_s = math.inf
            for rule, missing in self._sensors.list_unseen():
                self._remark(rule, missing)
        if not self._is_alone:
            self._look_at_others()

    def _settle(self) -> None:
        for firing in self._metrics.settle():
            self._fire(firing)
        for remarks in (self._metrics.remarks, self._times.remarks):
            for rule, text in remarks:
                self._remark(rule, text)
            remarks.clear()

    def _look_at_others(self) -> None:
        """Do our part of what another node has found: signals go to the ranks of all nodes."""
        here = self._here
        waiting = [
            rule
            for rule in self._rules.values()
            if any(split_action(one)[0] == SIGNAL for one in rule.do)
        ]
        listed = list_claims(here.folder) if waiting else frozenset()
        for rule in waiting:
            if is_claimed(rule, here.attempt, listed) and (
                read_claim(here.folder, rule, here.attempt) == here.attempt
            ):
                self._follow(Firing(rule, f"{rule.describe()}, on another node"))

    # -- what is done ----------------------------------------------------------------------------

    def _fire(self, firing: Firing) -> None:
        rule, here = firing.rule, self._here
        if self._rules.get(rule.name) != rule:
            return
        if firing.rank == NODE and here.host:
            firing = firing._replace(text=f"{here.host}: {firing.text}")
        claimed = {"rule": rule.name, "text": firing.text, "host": here.host, "rank": firing.rank}
        claim = claim_rule(here.folder, rule, here.attempt, claimed)
        if claim.is_ours:
            self._announce(firing)
            self._execute(firing, rule.do)
        elif claim.problem:
            self._announce(firing)
            do = [one for one in rule.do if split_action(one)[0] in WITHOUT_CLAIM]
            told = list_actions(rule, here.environ)
            left = [one for one in told if split_action(one)[0] not in {*WITHOUT_CLAIM, MARK}]
            if left:
                text = f"{', '.join(left)} not done, another node may: {claim.problem}"
                self._tell("warning", text, rule=rule)
            self._execute(firing, do)
        elif claim.attempt == here.attempt:
            self._follow(firing)
        elif claim.attempt or self._is_alone:
            del self._rules[rule.name]
            when = f"in attempt {claim.attempt}" if claim.attempt else "before"
            self._tell("info", f"{firing.text}; it was executed {when}, once for the run", rule)
        # Else another node has made the file this moment, and `look` will find what is in it.

    def _follow(self, firing: Firing) -> None:
        """Do what every node does for itself."""
        do = [one for one in firing.rule.do if split_action(one)[0] == SIGNAL]
        self._execute(firing, do)

    def _execute(self, firing: Firing, do: Sequence[str]) -> None:
        rule = firing.rule
        del self._rules[rule.name]
        for kind in (self._metrics, self._sensors, self._times):
            kind.remove(rule)
        self._executions.append((rule, Execution(firing, do, self._here)))

    @property
    def is_busy(self) -> bool:
        """Whether actions are waiting or under way."""
        return bool(self._executions)

    @_guarded
    def act(self, *, is_last: bool = False) -> None:
        """Go on with the actions; call it when what was said before has been written."""
        for rule, execution in self._executions:
            for said in execution.act(is_last=is_last):
                self._tell(said.level, said.text, rule)
        self._executions = [one for one in self._executions if not one[1].is_done]

    @_guarded
    def finish(self) -> None:
        """Do what is left to do at the run's end; waits for commands, not for long."""
        deadline_s = self._clock.mono_s() + FAREWELL_S
        while self._executions:
            self.act(is_last=True)
            late_s = self._clock.mono_s() - deadline_s
            for _rule, execution in self._executions:
                execution.wait(0.05)
                if late_s >= 0:
                    execution.end()
            if late_s >= END_S:
                return

    def give_up(self, error: Exception) -> None:
        """Watch for nothing any more."""
        self._rules.clear()
        self._executions.clear()
        text = f"the rules are not watched any more: {type(error).__name__}: {error}"
        self._tell("error", text, code="rules")

    # -- what is told ----------------------------------------------------------------------------

    @_guarded
    def conclude(self) -> None:
        """At the end, look at what was put off, and name the metrics that were never logged."""
        if not self._rules:
            return
        self._settle()
        if self._is_alone:
            for rule in self._metrics.list_unseen():
                near = difflib.get_close_matches(rule.target, self._names, n=1)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                self._remark(rule, f"no metric {rule.target!r} was logged{meant}")

    def _announce(self, firing: Firing) -> None:
        rule, value = firing.rule, firing.value
        note: dict[str, Any] = {
            "level": "error" if rule.subject in {HANG, MEMORY} or rule.test == IS else "warning",
            "code": "rule",
            "rule": rule.name,
            "text": f"rule {rule.name}: {firing.text}",
            # JSON has no form for NaN and infinities.
            "value": value if value is None or math.isfinite(value) else str(value),
            "do": list_actions(rule, self._here.environ),
        }
        note |= {rule.subject: firing.source} if firing.source else {}
        note |= {} if firing.step is None else {"step": firing.step}
        note |= {"mark": True} if MARK in rule.do else {}
        self._say(note, firing.rank)

    def _remark(self, rule: Rule, text: str) -> None:
        """Say once why a rule cannot do what it is there for."""
        if rule.name not in self._remarked:
            self._remarked.add(rule.name)
            self._tell("warning", text, rule)

    def _tell(
        self, level: str, text: str, rule: Rule | None = None, code: str = "rule-note"
    ) -> None:
        note = {"level": level, "code": code, "text": text}
        if rule is not None:
            note |= {"text": f"rule {rule.name}: {text}", "rule": rule.name}
        self._say(note, NODE)
