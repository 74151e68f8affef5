"""Whether there is time for another trial."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from hpctrack.agents.job_end import ask_slurm, read_end
from hpctrack.core.clock import Clock

ASK_INTERVAL_S = 300.0
"""Limits are extended while jobs run, so Slurm is asked again."""

MARGIN = 1.1
"""A trial may take a little longer than nine of ten have taken."""

LEAVE_S = 15.0
"""What leaving takes: a last word, a sealed run."""


NEARLY_UP_S = 30.0
"""With so little left a job that is told to end has reached its limit: Slurm counts in half
minutes."""


class TimeLeft:
    """How long this worker may go on.

    Parameters
    ----------
    environ : mapping
        The job's.
    clock : Clock
    limit_s : float, optional
        What the user allows, where no scheduler does.
    """

    def __init__(
        self, environ: Mapping[str, str], *, clock: Clock, limit_s: float | None = None
    ) -> None:
        self._environ = environ
        self._clock = clock
        self._began_s = clock.mono_s()
        self._limit_s = math.inf if limit_s is None else limit_s
        self._end_wall_s = read_end(environ)
        self._can_ask = bool(environ.get("SLURM_JOB_ID"))
        self._asked_s = -math.inf
        self.whole_s = self.left_s()

    def left_s(self, *, asks: bool = True) -> float:
        """Return the time that is left, infinity if nothing bounds it.

        Parameters
        ----------
        asks : bool
            Slurm may be asked again. Of a job that has just been cancelled it would say that it
            ends now.
        """
        now_s = self._clock.mono_s()
        if asks and self._can_ask and now_s - self._asked_s >= ASK_INTERVAL_S:
            self._asked_s = now_s
            told = ask_slurm(self._environ)
            self._end_wall_s = self._end_wall_s if told is None else told
        own_s = self._limit_s - (now_s - self._began_s)
        if self._end_wall_s is None:
            return own_s
        return min(own_s, self._end_wall_s - self._clock.wall_s())

    def has_room(self, durations_s: Sequence[float]) -> bool:
        """Tell whether a trial that begins now will probably end in time.

        Parameters
        ----------
        durations_s : sequence of float
            Of trials that ran to their end.

        Notes
        -----
        An allocation that is too short for any trial takes one all the same: with a checkpoint it
        ends in the next one, and without, somebody has to see that it does not fit.
        """
        needed_s = estimate_s(durations_s)
        left_s = self.left_s()
        if needed_s is None or left_s == math.inf:
            return left_s > 0
        if needed_s + LEAVE_S > self.whole_s:
            return left_s > 0.9 * self.whole_s
        return left_s >= needed_s + LEAVE_S


def estimate_s(durations_s: Sequence[float]) -> float | None:
    """Return how long a trial takes that is not stopped early; None if nobody knows. Pure.

    Nine of ten have been quicker, and a tenth is added.
    """
    if not durations_s:
        return None
    if len(durations_s) == 1:
        return MARGIN * durations_s[0]
    return MARGIN * statistics.quantiles(durations_s, n=10, method="inclusive")[-1]
