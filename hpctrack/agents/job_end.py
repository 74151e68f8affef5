"""When the job's time is up: told by the environment, else asked of Slurm on a thread.

Limits are extended while jobs run, so Slurm is asked again: the nearer the end, the sooner, and
once more before anything is made of the answer. A whole day takes about fifteen questions.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping

from hpctrack.core.clock import Clock
from hpctrack.scheduler.commands import make_environment, run_bounded
from hpctrack.scheduler.durations import parse_moment

ASK_TIMEOUT_S = 10.0
"""A controller that takes longer has other things to do."""

ASK_MIN_S = 60.0
ASK_MAX_S = 3600.0

FRESH_S = 15.0
"""An answer that is older is asked for again before a rule acts on it."""

NODE_DELAY_S = 0.05
NODE_DELAY_MAX_S = 60.0
"""By so much each node asks later than the one before: 1,000 nodes start at once. Before the
limit, the first that is answered executes the rule, and the others see that and need not ask."""

_EPOCH = re.compile(r"\d{9,}\Z", re.ASCII)
_FIELD = re.compile(r"(?:^|\s)(JobId|EndTime|TimeLimit)=(\S+)")

Ask = Callable[[], float | None]


class JobEnd:
    """Knows when the job's time is up, as far as anybody tells.

    Parameters
    ----------
    environ : mapping
        The job's.
    clock : Clock
    told_wall_s : float
        What the user says, UTC seconds; 0 if nothing. Then nobody is asked.
    node : int
        This node's number in the job.
    ask : callable, optional
        Returns the end, infinity for none, or None if nobody answers; runs on a thread.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        clock: Clock,
        told_wall_s: float = 0.0,
        node: int = 0,
        ask: Ask | None = None,
    ) -> None:
        self._clock = clock
        self._end_wall_s = told_wall_s or read_end(environ)
        can_ask = not told_wall_s and bool(environ.get("SLURM_JOB_ID"))
        self._ask = (ask or (lambda: ask_slurm(environ))) if can_ask else None
        self._delay_s = min(NODE_DELAY_S * node, NODE_DELAY_MAX_S)
        self._due_s = clock.mono_s() + self._delay_s
        self._near_s = math.inf
        self._asked_s = -math.inf
        # An answer that nobody has looked at yet; between two looks may be a minute.
        self._is_new = False
        self._thread: threading.Thread | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether nobody has told the end, and nobody is being asked."""
        is_asked = self._ask is not None and (self._asked_s < 0 or self._is_asking)
        return self._end_wall_s is None and not is_asked

    @property
    def _is_asking(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def look(self, needed_s: float) -> float | None:
        """Ask again if it is time to; return how much time is left, or None if that is not known.

        Parameters
        ----------
        needed_s : float
            The most time that any rule still waits for.

        Notes
        -----
        Never waits. While an answer that is too old would let a rule fire, the time left is not
        known: it is being asked for.
        """
        now_s = self._clock.mono_s()
        end_wall_s = self._end_wall_s
        left_s = None if end_wall_s is None else end_wall_s - self._clock.wall_s()
        if self._ask is None:
            return left_s
        if self._is_asking:
            return None
        is_near = left_s is not None and left_s <= needed_s
        self._near_s = min(self._near_s, now_s) if is_near else math.inf
        is_old = now_s - self._asked_s > FRESH_S and not self._is_new
        self._is_new = False
        if now_s >= self._due_s or (is_near and is_old):
            if is_near and now_s < self._near_s + self._delay_s:
                return None
            self._start(now_s)
            return None
        if left_s is not None:
            wait_s = min(ASK_MAX_S, max(ASK_MIN_S, (left_s - needed_s) / 2))
            self._due_s = self._asked_s + wait_s
        return left_s

    def _start(self, now_s: float) -> None:
        self._asked_s, self._due_s, self._is_new = now_s, now_s + ASK_MIN_S * 5, True
        self._thread = threading.Thread(target=self._run, name="hpctrack-job-end", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        assert self._ask is not None  # noqa: S101 - only then it is started
        found = self._ask()
        if found is not None:
            self._end_wall_s = found


_SHARED: dict[tuple[Clock, str, float], JobEnd] = {}


def find_job_end(
    environ: Mapping[str, str], *, clock: Clock, told_wall_s: float, node: int
) -> JobEnd:
    """Return the one `JobEnd` of this process: 200 short runs of a job ask no more than one."""
    key = (clock, name_job(environ), told_wall_s)
    if key not in _SHARED:
        _SHARED[key] = JobEnd(environ, clock=clock, told_wall_s=told_wall_s, node=node)
    return _SHARED[key]


def read_end(environ: Mapping[str, str]) -> float | None:
    """Return the end that Slurm, from 23.02 on, tells each job; None if it is not told."""
    text = environ.get("SLURM_JOB_END_TIME", "")
    return float(text) if _EPOCH.match(text) else None


def name_job(environ: Mapping[str, str]) -> str:
    """Return how Slurm's commands call this job; empty if it is none of Slurm's.

    The last task of an array has the array's own number: what names that means all of them.
    """
    array, task = environ.get("SLURM_ARRAY_JOB_ID", ""), environ.get("SLURM_ARRAY_TASK_ID", "")
    if array and task:
        return f"{array}_{task}"
    return environ.get("SLURM_JOB_ID_HET_GROUP_0") or environ.get("SLURM_JOB_ID", "")


def ask_slurm(environ: Mapping[str, str]) -> float | None:
    """Ask ``scontrol``; None if it does not answer in time."""
    path, job = shutil.which("scontrol", path=environ.get("PATH", "")), name_job(environ)
    if path is None or not job:
        return None
    command = [path, "--oneliner", "show", "job", job]
    try:
        done = run_bounded(command, make_environment(environ), ASK_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_end(done.stdout, environ.get("SLURM_JOB_ID", ""))


def parse_end(text: str, job_id: str) -> float | None:
    """Return when a job ends, from the output of ``scontrol show job``.

    Parameters
    ----------
    text : str
        One line for each job: of a heterogeneous one there are several.
    job_id : str
        The one that is meant; if it is not there, the first.

    Returns
    -------
    float or None
        UTC seconds, infinity if it has no limit; None if that is not told.
    """
    jobs = [fields for line in text.splitlines() if "JobId" in (fields := _read_fields(line))]
    if not jobs:
        return None
    fields = next((one for one in jobs if one["JobId"] == job_id), jobs[0])
    if fields.get("TimeLimit", "").upper() == "UNLIMITED":
        return math.inf
    return parse_moment(fields.get("EndTime", ""))


def _read_fields(line: str) -> dict[str, str]:
    """Read the first of each field; what users have chosen, such as a comment, comes later."""
    found: dict[str, str] = {}
    for key, value in _FIELD.findall(line):
        found.setdefault(key, value)
    return found
