"""What ``sacct --parsable2`` prints: jobs, their steps, and each life of a requeued job. Pure.

Fields differ between versions; what is read here is in all of 19.05 to 25.05 by their documentation
(of 22.05 real output was at hand), and what is missing or empty is None, never 0. Slurm itself
writes 0 where it has not measured (energy without a counter, memory between two samples): `Row`
takes those for not available, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpctrack.scheduler.durations import parse_duration, parse_moment
from hpctrack.scheduler.sizes import MemoryRequest, parse_request, parse_size
from hpctrack.scheduler.tres import count_gpus, parse_tres

FIELDS = (
    "JobID", "JobIDRaw", "Cluster", "User", "Account", "Partition", "QOS", "State", "ExitCode",
    "DerivedExitCode", "Submit", "Eligible", "Start", "End", "ElapsedRaw", "Timelimit",
    "Suspended", "AllocCPUS", "ReqCPUS", "NNodes", "NTasks", "NodeList", "ReqMem", "ReqTRES",
    "AllocTRES", "TotalCPU", "UserCPU", "SystemCPU", "MaxRSS", "AveRSS", "MaxVMSize",
    "MaxDiskRead", "MaxDiskWrite", "TRESUsageInTot", "TRESUsageInAve",
    "ConsumedEnergyRaw", "JobName",
)  # fmt: skip
"""What is asked for. The name comes last: it is the only one that may hold the delimiter."""

ACTIVE = frozenset(
    {
        "PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING", "REQUEUE_FED",
        "REQUEUE_HOLD", "SIGNALING", "STAGE_OUT", "STOPPED", "RESV_DEL_HOLD", "SPECIAL_EXIT",
    }
)  # fmt: skip
"""States from which a job goes on; every other one is its end, also one that is not known yet."""

CUT_SHORT = frozenset({"PREEMPTED", "REQUEUED", "NODE_FAIL"})
"""Ends of a life that another one may follow."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a job, or a step of it.

    Parameters
    ----------
    fields : mapping
        Name and text as printed.
    """

    fields: Mapping[str, str]

    @property
    def job_id(self) -> str:
        """The number of the job, of an array's task its own."""
        return self._text("JobIDRaw").partition(".")[0] or self.shown_id.partition(".")[0]

    @property
    def shown_id(self) -> str:
        """As people know it: ``1200_3``, ``1234+1``, ``4711.batch``."""
        return self._text("JobID")

    @property
    def step(self) -> str:
        """``batch``, ``extern``, ``interactive``, ``0``; empty for the job itself."""
        return self.shown_id.partition(".")[2]

    @property
    def state(self) -> str:
        """One word: ``CANCELLED by 1000`` is CANCELLED."""
        return self._text("State").partition(" ")[0].rstrip("+").upper()

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return bool(self.state) and self.state not in ACTIVE

    @property
    def exit_code(self) -> tuple[int, int] | None:
        """Exit code and signal."""
        code, _, number = self._text("ExitCode").partition(":")
        return (int(code), int(number)) if code.isdigit() and number.isdigit() else None

    @property
    def elapsed_s(self) -> float | None:
        """How long it has run, suspensions left out."""
        return self._number("ElapsedRaw")

    @property
    def limit_s(self) -> float | None:
        """The time limit; infinite if there is none."""
        return parse_duration(self._text("Timelimit"))

    @property
    def cpus(self) -> int:
        """Processors that were given, hardware threads where Slurm counts those; 0 if none."""
        return int(self._number("AllocCPUS") or 0)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return int(self._number("NNodes") or 0)

    @property
    def tasks(self) -> int:
        """Number of tasks of a step; 0 if it is not told."""
        return int(self._number("NTasks") or 0)

    @property
    def cpu_s(self) -> float | None:
        """User and system time; None where Slurm says 0, its word for not known."""
        return parse_duration(self._text("TotalCPU")) or None

    @property
    def task_rss_bytes(self) -> float | None:
        """The most that one task had in memory when Slurm looked."""
        return parse_size(self._text("MaxRSS")) or None

    @property
    def sum_rss_bytes(self) -> float | None:
        """What all tasks had at most, each at its own time, added up."""
        return parse_tres(self._text("TRESUsageInTot")).get("mem") or None

    @property
    def task_gpu_frac(self) -> float | None:
        """How many GPUs a task kept busy when Slurm looked last, on average over the tasks.

        None where no plug-in asks a driver, or Slurm says 0, its word for not known.
        """
        percent = parse_tres(self._text("TRESUsageInAve")).get("gres/gpuutil")
        return percent / 100.0 if percent else None

    @property
    def memory_asked(self) -> MemoryRequest | None:
        """What was asked for; None for all that the node has."""
        return parse_request(self._text("ReqMem"))

    @property
    def tres_asked(self) -> dict[str, float]:
        """Trackable resources that were asked for."""
        return parse_tres(self._text("ReqTRES"))

    @property
    def tres_given(self) -> dict[str, float]:
        """Trackable resources that were given."""
        return parse_tres(self._text("AllocTRES"))

    @property
    def gpus(self) -> int:
        """Number of GPUs that were given."""
        return count_gpus(self.tres_given)

    @property
    def energy_j(self) -> float | None:
        """Joules of the nodes while it ran; None where no plug-in counts them."""
        return self._number("ConsumedEnergyRaw") or None

    def moment(self, name: str) -> float | None:
        """Return ``Submit``, ``Eligible``, ``Start`` or ``End`` in UTC seconds."""
        return parse_moment(self._text(name))

    def _text(self, name: str) -> str:
        return self.fields.get(name, "").strip()

    def _number(self, name: str) -> float | None:
        text = self._text(name)
        return float(text) if text.isascii() and text.isdigit() else None


@dataclass(frozen=True, slots=True)
class Life:
    """A job from its start to its end or requeue.

    Parameters
    ----------
    job : Row
    steps : tuple of Row
        In the order of printing.
    """

    job: Row
    steps: tuple[Row, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether it has ended, and all its steps are known to have."""
        return self.job.is_final and all(one.is_final for one in self.steps)

    def step(self, name: str) -> Row | None:
        """Return a step by its name."""
        return next((one for one in self.steps if one.step == name), None)


def parse_rows(text: str, *, delimiter: str = "|") -> list[Row]:
    """Read an output with its header.

    A line with too few fields is the rest of the one before, whose name has a newline in it; of
    one with too many, the last field has the delimiter in it.
    """
    # Not splitlines: a name may hold what Unicode counts as the end of a line.
    lines = text.split("\n")
    names = lines[0].rstrip(delimiter).split(delimiter)
    found: list[list[str]] = []
    for line in lines[1:]:
        words = line.split(delimiter, len(names) - 1)
        if len(words) == len(names):
            found.append(words)
        elif found and line:
            found[-1][-1] += f"\n{line}"
    return [Row(dict(zip(names, words, strict=True))) for words in found]


def gather_lives(rows: Sequence[Row]) -> list[Life]:
    """Put steps to their jobs: with ``--duplicates`` each life is followed by its own steps."""
    found: list[tuple[Row, list[Row]]] = []
    for row in rows:
        if not row.step:
            found.append((row, []))
        elif found and found[-1][0].job_id == row.job_id:
            found[-1][1].append(row)
    return [Life(job, tuple(steps)) for job, steps in found]
