"""Which trial a worker takes next: one that somebody has left behind, else a new one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

from hpctrack.core.clock import Clock
from hpctrack.errors import StoreFormatError
from hpctrack.sweeps.folder import create_json
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.claims import Claim, find_last_claim, list_claims, make_claim
from hpctrack.sweeps.worker.heartbeat import Liveness, WorkerFacts
from hpctrack.sweeps.worker.result import (
    TrialResult,
    TrialState,
    read_result,
    read_word,
    write_result,
)

INTERRUPTIONS_MAX = 10
"""A trial that has killed its worker, or met the end of its allocation, so often is given up."""

SAMPLE = 50
"""Of so many trials that have ended before, a worker that begins learns how long one takes."""

LOOK_INTERVAL_S = 10.0
"""Between two looks at the trials of others while there are new ones to take."""


class TrialPool:
    """The trials of a sweep, as one worker sees them.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    me : WorkerFacts
        Who takes them.
    liveness : Liveness
        Who else is alive.
    clock : Clock
    limit : int, optional
        How many new trials the submission of this worker takes in all.
    settled : collection of int, optional
        Trials that are known to be over.
    on_loss : callable, optional
        Called with the last word on a trial that is given up.

    Notes
    -----
    Costs one look at a folder at first, later one small file for each trial that others run, every
    10 s. Any number of workers, on any nodes, may do this at once.
    """

    def __init__(
        self,
        sweep: Sweep,
        me: WorkerFacts,
        liveness: Liveness,
        *,
        clock: Clock,
        limit: int | None = None,
        settled: frozenset[int] = frozenset(),
        on_loss: Callable[[TrialResult], None] = lambda _result: None,
    ) -> None:
        self._sweep = sweep
        self._folder = sweep.folder
        self._me = me
        self._liveness = liveness
        self._clock = clock
        self._limit = limit
        self._tickets = 0
        self._has_ticket = False
        self._settled = set(settled)
        self._on_loss = on_loss
        begun = list_claims(self._folder)
        self._open = {trial: newest for trial, newest in begun.items() if trial not in settled}
        # Not beyond the last one: a trial that somebody has run by hand leaves a gap before it.
        self._next = next(one for one in itertools.count() if one not in begun)
        self._looked_s = -LOOK_INTERVAL_S
        self.durations_s: list[float] = []
        for trial in sorted(settled)[-SAMPLE:]:
            self._learn(read_result(self._folder, trial))

    def take(self) -> Claim | None:
        """Take a trial; None if there is none that this worker could take now.

        Raises
        ------
        StoreError
            Nothing can be written.
        """
        if self._clock.mono_s() - self._looked_s >= LOOK_INTERVAL_S:
            claim = self._take_again()
            if claim is not None:
                return claim
        return self._take_new() or self._take_again()

    def retake(self, trial: int) -> Claim | None:
        """Take the next attempt of a trial; None if somebody else has it, or it is over.

        Raises
        ------
        StoreError
            Nothing can be written.
        """
        return self._try_again(trial)

    def settle(self, trial: int) -> None:
        """Note that a trial is over."""
        self._settled.add(trial)
        self._open.pop(trial, None)

    def is_hopeful(self) -> bool:
        """Tell whether a trial may soon be free: somebody who has one has been silent for long."""
        claims = (self._find_claim(trial) for trial in self._open)
        return any(one is not None and self._liveness.is_late(one) for one in claims)

    @property
    def running_count(self) -> int:
        """How many trials are others', as far as this worker has looked."""
        return len(self._open)

    def _take_new(self) -> Claim | None:
        total = self._sweep.file.trial_count()
        while total is None or self._next < total:
            if not self._take_ticket():
                return None
            trial = self._next
            claim = self._me.claim(trial, 1, failures=0, wall_s=self._clock.wall_s())
            while not make_claim(self._folder, claim):
                self._open.setdefault(trial, 1)
                trial += 1
                if total is not None and trial >= total:
                    self._next = trial
                    return None
                claim = replace(claim, trial=trial)
            self._has_ticket = False
            self._open[trial] = 1
            self._next = trial + 1
            return claim
        return None

    def _take_ticket(self) -> bool:
        """Count a new trial against the limit of this worker's submission."""
        if self._limit is None or self._me.share is None or self._has_ticket:
            return True
        while self._tickets < self._limit:
            self._tickets += 1
            path = self._folder.ticket(self._me.share, self._tickets)
            if not path.exists() and create_json(path, {"worker": self._me.id}):
                # It is kept until a trial is taken with it, whatever goes wrong in between.
                self._has_ticket = True
                return True
        self._find_others()
        return False

    def _find_others(self) -> None:
        """Learn of the trials that others have begun: without new ones, nothing else tells us."""
        for trial, newest in list_claims(self._folder).items():
            if trial not in self._settled:
                self._open.setdefault(trial, newest)

    def _take_again(self) -> Claim | None:
        self._looked_s = self._clock.mono_s()
        for trial in sorted(self._open):
            claim = self._try_again(trial)
            if claim is not None:
                # There may be more of them: the next take() looks again.
                self._looked_s -= LOOK_INTERVAL_S
                return claim
        return None

    def _try_again(self, trial: int) -> Claim | None:
        """Take the next attempt of a trial if nobody works on it and it is not over."""
        try:
            return self._try_free(trial, self._read_open(trial))
        except StoreFormatError:
            return None  # what cannot be read just now may say that it is over

    def _try_free(self, trial: int, word: TrialResult | None) -> Claim | None:
        claim = self._find_claim(trial)
        if trial not in self._open or claim is None:
            return None
        said = word if word is not None and word.attempt == claim.attempt else None
        is_free = said is not None and said.state == TrialState.WAITING
        if not is_free and not self._liveness.is_dead(claim):
            return None
        failures = said.failures if said is not None else claim.failures
        # An attempt that its worker gave back says nothing against the trial.
        is_return = is_free and failures == claim.failures
        following = self._me.claim(
            trial,
            claim.attempt + 1,
            failures=failures,
            returns=claim.returns + is_return,
            wall_s=self._clock.wall_s(),
        )
        # What has ended since the first look is not run again.
        self._read_open(trial)
        if trial not in self._open:
            return None
        if following.interruptions > INTERRUPTIONS_MAX:
            self._give_up(trial, claim, word)
            return None
        if not make_claim(self._folder, following):
            return None
        self._open[trial] = following.attempt
        self._read_open(trial)
        return following if trial in self._open else None

    def _read_open(self, trial: int) -> TrialResult | None:
        word = read_word(self._folder, trial)
        if word is not None and word.state.is_over:
            self.settle(trial)
            self._learn(word)
        return word

    def _learn(self, word: TrialResult | None) -> None:
        """Note how long a trial takes that runs to its end in one go."""
        if word is None or word.state != TrialState.FINISHED or word.attempt > 1:
            return
        if word.duration_s is not None:
            self.durations_s.append(word.duration_s)

    def _find_claim(self, trial: int) -> Claim | None:
        try:
            return find_last_claim(self._folder, trial, known=self._open.get(trial, 0))
        except StoreFormatError:
            return None  # it cannot be read just now

    def _give_up(self, trial: int, claim: Claim, word: TrialResult | None) -> None:
        last = word or TrialResult(trial=trial, state=TrialState.RUNNING)
        last = replace(
            last,
            state=TrialState.FAILED,
            attempt=claim.attempt,
            worker=claim.worker,
            host=claim.host,
            job=claim.job,
            message=f"{INTERRUPTIONS_MAX + 1} attempts were cut short: "
            "killed with their worker, out of memory, or out of time",
            ended_wall_s=self._clock.wall_s(),
        )
        write_result(self._folder, last)
        self.settle(trial)
        self._on_loss(last)
