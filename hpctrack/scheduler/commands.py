"""Slurm's own commands, started with a bound on how long they may take.

Their words are parsed elsewhere. They are asked seldom and for many jobs at once: each call is
work for a daemon that all users of a cluster share.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.names import clean
from hpctrack.errors import SchedulerError
from hpctrack.scheduler.job_facts import JobFacts, add_shown, read_slurm
from hpctrack.scheduler.others import read_other
from hpctrack.scheduler.sacct import FIELDS, Life, gather_lives, parse_rows
from hpctrack.scheduler.scontrol import ShownJob, find_job

JOBS_IN_A_CALL = 200
"""A line of 2,000 characters, and a query that a database answers at once."""

DELIMITER = "\x1f"
"""The character that ASCII has for this. Names of jobs may hold the usual ``|``."""

SACCT_TIMEOUT_S = 60.0
SCONTROL_TIMEOUT_S = 5.0
"""A controller that answers later has other things to do."""

FIELDS_MISSING_MAX = len(FIELDS) // 2
"""How many fields may be unknown to a version before it is taken for something else."""

_UNKNOWN_FIELD = re.compile(r"[Ii]nvalid field requested: \"?(\w+)")


class Sacct:
    """``sacct``, to be asked for jobs.

    Parameters
    ----------
    environ : mapping
        To find it, and for it to run in.
    timeout_s : float
        For all calls together.
    clock : Clock, optional
        For that.

    Raises
    ------
    SchedulerError
        It is not here.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        timeout_s: float = SACCT_TIMEOUT_S,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        path = find_sacct(environ)
        if path is None:
            raise SchedulerError(
                "there is no `sacct` here",
                hint="run this on a login node of the cluster, with Slurm's commands on the PATH",
            )
        self._path = path
        self._environ = make_environment(environ)
        self._clock = clock
        self._deadline_s = clock.mono_s() + timeout_s
        self._timeout_s = timeout_s
        self._fields = list(FIELDS)

    def make_command(self, jobs: Sequence[str], cluster: str = "") -> list[str]:
        """Return the command line that asks for some jobs."""
        return [
            self._path,
            "--duplicates",
            "--parsable2",
            "--noconvert",
            f"--delimiter={DELIMITER}",
            f"--format={','.join(self._fields)}",
            *([f"--clusters={cluster}"] if cluster else []),
            f"--jobs={','.join(jobs)}",
        ]

    def ask(self, jobs: Sequence[str], cluster: str = "") -> list[Life]:
        """Return all lives of some jobs, as far as Slurm knows them.

        Parameters
        ----------
        jobs : sequence of str
            Numbers; of an array's task its own.
        cluster : str
            Where; empty for this one.

        Raises
        ------
        SchedulerError
            It failed, with its words, or took too long.
        """
        found: list[Life] = []
        for start in range(0, len(jobs), JOBS_IN_A_CALL):
            text = self._run(jobs[start : start + JOBS_IN_A_CALL], cluster)
            found += gather_lives(parse_rows(text, delimiter=DELIMITER))
        return found

    def _run(self, jobs: Sequence[str], cluster: str) -> str:
        """Run it, without the fields that this version does not know."""
        for _attempt in range(FIELDS_MISSING_MAX):
            left_s = self._deadline_s - self._clock.mono_s()
            try:
                done = run_bounded(self.make_command(jobs, cluster), self._environ, left_s)
            except subprocess.TimeoutExpired:
                raise SchedulerError(
                    f"sacct has not answered for {self._timeout_s:g} s",
                    hint="the accounting database may be busy; try again later",
                ) from None
            if not done.returncode:
                return done.stdout
            unknown = _UNKNOWN_FIELD.search(done.stderr)
            if unknown is None or not self._drop(unknown[1]):
                raise SchedulerError(f"sacct: {_last_words(done)}")
        raise SchedulerError("sacct knows too few of the fields that are asked for")

    def _drop(self, field: str) -> bool:
        kept = [one for one in self._fields if one.lower() != field.lower()]
        is_dropped = len(kept) < len(self._fields) and field.lower() not in {"jobid", "state"}
        if is_dropped:
            self._fields = kept
        return is_dropped


def find_sacct(environ: Mapping[str, str]) -> str | None:
    """Return where ``sacct`` is, or None."""
    return shutil.which("sacct", path=environ.get("PATH", ""))


def ask_scontrol(
    job_id: str, environ: Mapping[str, str], *, timeout_s: float = SCONTROL_TIMEOUT_S
) -> ShownJob | None:
    """Return what ``scontrol show job`` says of a job; None if it does not say it in time."""
    path = shutil.which("scontrol", path=environ.get("PATH", ""))
    if path is None or not job_id.isdigit():
        return None
    command = [path, "--oneliner", "show", "job", job_id]
    try:
        done = run_bounded(command, make_environment(environ), timeout_s)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else find_job(done.stdout, job_id)


def read_job_facts(
    environ: Mapping[str, str], *, timeout_s: float = SCONTROL_TIMEOUT_S
) -> JobFacts | None:
    """Return what can be known of the job that this process is in; None outside any.

    Parameters
    ----------
    environ : mapping
        The process's environment.
    timeout_s : float
        How long ``scontrol`` may take; 0 not to ask it.
    """
    facts = read_slurm(environ)
    if facts is None:
        return read_other(environ)
    shown = ask_scontrol(facts.job_id, environ, timeout_s=timeout_s) if timeout_s > 0 else None
    return add_shown(facts, shown) if shown is not None else facts


def make_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a command whose output is parsed.

    Times as seconds since 1970, so that nobody's time zone or summer time matters; no user's own
    choice of columns.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith("SACCT_")}
    return {**kept, "SLURM_TIME_FORMAT": "%s", "LC_ALL": "C"}


def run_bounded(
    command: Sequence[str], environ: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run a command that reads nothing; it is killed when the time is up."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=max(timeout_s, 0.001),
        env=environ,
        check=False,
    )


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    return next(_iter_words(done.stderr), f"it ended with {done.returncode}")


def _iter_words(text: str) -> Iterator[str]:
    """Yield what it says, the first line first, without its name in front."""
    for line in text.splitlines():
        words = clean(line.strip()).removeprefix("sacct: ").removeprefix("error: ")
        if words:
            yield words
