"""How a sweep and its trials stand: the forms that everything about results works on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hpctrack.sweeps.control import Wish
from hpctrack.sweeps.results.cost import Cost, Effort, estimate_eta_s, measure_cost
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.result import TrialResult, TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStatus:
    """How one trial stands.

    Parameters
    ----------
    number : int
        Which.
    state : TrialState
        How.
    parameters : dict
        Nested.
    run_id : str
        Of its run, if the program makes one.
    configuration, repeat : int
        Which point it tries, and for which time, from 0.
    has_run : bool
        Whether there is a run.
    run_state : str
        running, finished, failed, crashed; empty if there is no run, or if its trial has said all
        that is asked, so that nobody has looked into it.
    run_project : str
        Where the run is; a program can choose another project than the sweep's.
    result : TrialResult or None
        What it said itself.
    metric : float or None
        The sweep's metric: what the trial says, else what its run's summary has.
    values : dict of str to float
        All metrics of the sweep that are known, by name, and those that its constraints need.
    log : str
        Where its output is; empty if it is not known.
    """

    number: int
    state: TrialState
    parameters: dict[str, Any]
    run_id: str
    configuration: int = 0
    repeat: int = 0
    has_run: bool = False
    run_state: str = ""
    run_project: str = ""
    result: TrialResult | None = None
    metric: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    log: str = ""

    @property
    def exit_code(self) -> int | None:
        """The program's; None while it runs, and if nobody knows."""
        return self.result.exit_code if self.result else None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        result = self.result
        return {
            "number": self.number,
            "configuration": self.configuration,
            "repeat": self.repeat,
            "state": self.state.value,
            "parameters": self.parameters,
            "exit_code": self.exit_code,
            "signal": result.signal if result else "",
            "message": result.message if result else "",
            "why": result.why if result else "",
            "run": self.run_id,
            "has_run": self.has_run,
            "run_state": self.run_state,
            "run_project": self.run_project,
            "metric": self.metric,
            "metrics": self.values,
            "iterations": result.iterations if result else 0,
            "job": result.job if result else "",
            "worker": result.worker if result else "",
            "host": result.host if result else "",
            "attempt": result.attempt if result else 1,
            "failures": result.failures if result else 0,
            "cpus": result.cpus if result else None,
            "gpus": result.gpus if result else None,
            "started_wall_s": result.started_wall_s if result else None,
            "ended_wall_s": result.ended_wall_s if result else None,
            "duration_s": result.duration_s if result else None,
            "earlier_s": result.earlier_s if result else 0.0,
            "log": self.log,
            "log_tail": result.log_tail if result else "",
        }


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """How a sweep stands.

    Parameters
    ----------
    sweep : Sweep
        Which.
    trials : tuple of TrialStatus
        All that were submitted, or run by hand, by number.
    wall_s : float
        When this was read, UTC seconds.
    wish : Wish
        What people want of its workers.
    wisher : str
        Whose wish that is: a user, or ``target`` if a trial has reached what was wanted.
    """

    sweep: Sweep
    trials: tuple[TrialStatus, ...]
    wall_s: float = 0.0
    wish: Wish = Wish.RUN
    wisher: str = ""

    def counts(self) -> dict[str, int]:
        """Return how many trials are in each state."""
        return count_states(one.state for one in self.trials)

    @property
    def open_count(self) -> int | None:
        """How many trials nobody was given yet; None if the sweep has no end."""
        total = self.sweep.file.trial_count()
        return None if total is None else max(total - len(self.trials), 0)

    @property
    def over_count(self) -> int:
        """How many trials have ended, in whatever way."""
        return sum(one.state.is_over for one in self.trials)

    @property
    def is_done(self) -> bool:
        """Whether nothing more will happen: all trials are over, or nobody may begin another."""
        if self.over_count < len(self.trials):
            return False
        return self.open_count == 0 or self.wish in {Wish.STOP, Wish.CANCEL}

    def iter_efforts(self) -> Iterable[Effort]:
        """Yield what each trial took, a running one so far."""
        for one in self.trials:
            result = one.result
            yield Effort(
                state=one.state,
                duration_s=find_duration_s(one, self.wall_s),
                earlier_s=result.earlier_s if result else 0.0,
                iterations=result.iterations if result else 0,
                pace_s=result.pace_s if result else None,
                cpus=result.cpus if result else None,
                gpus=result.gpus if result else None,
            )

    def cost(self) -> Cost:
        """Return what the trials have used, and what early stopping has saved."""
        return measure_cost(tuple(self.iter_efforts()))

    def eta_s(self) -> float | None:
        """Return about how long the rest takes, seconds; None if nothing can be said."""
        if self.open_count is None:
            return None
        running = sum(one.state == TrialState.RUNNING for one in self.trials)
        efforts = tuple(self.iter_efforts())
        return estimate_eta_s(efforts, open_count=self.open_count, workers=running)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        metrics = [{"name": one.name, "goal": one.goal} for one in self.sweep.file.metrics]
        return {
            "id": self.sweep.id,
            "name": self.sweep.name,
            "project": self.sweep.project,
            "method": self.sweep.file.method,
            "seed": self.sweep.seed,
            "seeds": self.sweep.file.seeds,
            "metric": metrics[0] if metrics else None,
            "metrics": metrics,
            "trial_count": self.sweep.file.trial_count(),
            "open": self.open_count,
            "counts": self.counts(),
            "over": self.over_count,
            "wish": self.wish.value,
            "wisher": self.wisher,
            "eta_s": self.eta_s(),
            "cost": self.cost().to_json(),
            "wall_s": self.wall_s,
            "trials": [one.to_json() for one in self.trials],
        }


def find_duration_s(one: TrialStatus, wall_s: float) -> float | None:
    """Return how long a trial took, or has been running by the clocks of two machines."""
    if one.result is None:
        return None
    if one.state == TrialState.RUNNING:
        return max(wall_s - one.result.started_wall_s, 0.0)
    return one.result.duration_s


def count_states(states: Iterable[TrialState]) -> dict[str, int]:
    """Count the states, in the order of a trial's life."""
    counted = Counter(states)
    return {state.value: counted[state] for state in TrialState}
