"""What ``scontrol show job`` prints, on one line (``-o``) or on many. Pure.

Slurm 19.05 to 25.05 print the same ``Key=Value`` pairs by their documentation (of 22.05 real output
was at hand), with keys that come and go; values are not quoted. So what a value may hold decides
where it ends: free text (a name, a comment, a command) ends at a key that is known to follow,
anything else at the next thing that looks like a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from hpctrack.scheduler.durations import parse_duration, parse_moment
from hpctrack.scheduler.hostlist import try_expand_hosts
from hpctrack.scheduler.sizes import MemoryRequest, parse_size
from hpctrack.scheduler.tres import parse_tres

FREE_TEXT = frozenset(
    {
        "AdminComment", "Command", "Comment", "Extra", "JobName", "StdErr", "StdIn", "StdOut",
        "SubmitLine", "SystemComment", "WorkDir", "CrontabSpec",
    }
)  # fmt: skip
"""Keys whose values users choose; they may hold spaces and ``=``."""

_AFTER_FREE_TEXT = frozenset(
    {
        *FREE_TEXT, "UserId", "HetJobIdSet", "Power", "NtasksPerTRES:0", "TresPerJob",
        "TresPerNode", "TresPerSocket", "TresPerTask", "TresBind", "TresFreq", "CpusPerTres",
        "MemPerTres", "Switches", "BurstBuffer", "BurstBufferState", "MailUser", "MailType",
        "KillOInInvalidDependent", "Container", "ContainerID", "SelinuxContext", "GresEnforceBind",
        "OOMKillStep", "CPU_max_freq", "CPU_min_freq", "CPU_governor", "CPU_freq",
    }
)  # fmt: skip
"""What follows a free text in any version; words of the text that look like keys do not end it."""

_KEY = re.compile(r"(?:^|(?<=\s))([A-Za-z][A-Za-z0-9_:/\-]*)=")

_NOTHING = frozenset({"", "(null)", "N/A", "None", "Unknown", "none"})


@dataclass(frozen=True, slots=True)
class ShownJob:
    """One job as ``scontrol`` shows it.

    Parameters
    ----------
    fields : mapping
        Key and value as printed, what is ``(null)`` or ``N/A`` left out.
    """

    fields: Mapping[str, str]

    @property
    def job_id(self) -> str:
        """Its own number; of an array's task not the array's."""
        return self.fields.get("JobId", "")

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that it has."""
        return tuple(try_expand_hosts(self.fields.get("NodeList", "")))

    @property
    def limit_s(self) -> float | None:
        """Its time limit; infinite if it has none, None if it is not settled."""
        return parse_duration(self.fields.get("TimeLimit", ""))

    @property
    def restarts(self) -> int | None:
        """How often it was requeued."""
        text = self.fields.get("Restarts", "")
        return int(text) if text.isdigit() else None

    @property
    def tres_asked(self) -> dict[str, float]:
        """What was asked for; older versions do not tell it once a job runs."""
        return parse_tres(self.fields.get("ReqTRES", ""))

    @property
    def tres_given(self) -> dict[str, float]:
        """What it has: ``AllocTRES``, in older versions ``TRES``."""
        return parse_tres(self.fields.get("AllocTRES") or self.fields.get("TRES", ""))

    @property
    def memory_asked(self) -> MemoryRequest | None:
        """What ``--mem`` or ``--mem-per-cpu`` said."""
        for key, per in (("MinMemoryNode", "node"), ("MinMemoryCPU", "cpu")):
            size_bytes = parse_size(self.fields.get(key, ""))
            if size_bytes:
                return MemoryRequest(size_bytes, per)
        return None

    def moment(self, key: str) -> float | None:
        """Return ``SubmitTime``, ``EligibleTime``, ``StartTime`` or ``EndTime``, UTC seconds."""
        return parse_moment(self.fields.get(key, ""))


def parse_jobs(text: str) -> list[ShownJob]:
    """Read all jobs of an output; whatever else is in it is passed over."""
    return [ShownJob(fields) for fields in map(_parse_one, _split_jobs(text)) if fields]


def find_job(text: str, job_id: str) -> ShownJob | None:
    """Return the job with this number: asked for an array, ``scontrol`` shows all its tasks."""
    return next((one for one in parse_jobs(text) if one.job_id == job_id), None)


def _split_jobs(text: str) -> Iterator[str]:
    """Cut before each ``JobId=`` that begins a line."""
    starts = [found.start() for found in re.finditer(r"^JobId=", text, re.MULTILINE)]
    for start, end in pairwise([*starts, len(text)]):
        yield text[start:end]


def _parse_one(text: str) -> dict[str, str]:
    """Read the pairs of one job; the first of several with one key counts."""
    fields: dict[str, str] = {}
    lines = [line for line in text.split("\n") if line.strip()]
    is_wide = bool(lines) and " UserId=" in lines[0]
    for line in lines:
        for key, value in _iter_pairs(line, is_wide=is_wide):
            nothing = {"", "(null)"} if key in FREE_TEXT else _NOTHING
            if value not in nothing:
                fields.setdefault(key, value)
    return fields


def _iter_pairs(line: str, *, is_wide: bool) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a line; ``is_wide`` if all of a job is on one."""
    marks = list(_KEY.finditer(line))
    place = 0
    while place < len(marks):
        key, start = marks[place][1], marks[place].end()
        place += 1
        if key in FREE_TEXT:
            # On a line of its own, free text goes to the end of it.
            while place < len(marks) and not (is_wide and marks[place][1] in _AFTER_FREE_TEXT):
                place += 1
        end = marks[place].start() if place < len(marks) else len(line)
        yield key, line[start:end].strip()
