"""The kernel killing processes for want of memory."""

from __future__ import annotations

from collections import deque

from hpctrack.telemetry.cgroups import Cgroup, JobCgroup
from hpctrack.telemetry.kernel_files import KernelFiles, find_number
from hpctrack.telemetry.memory_limit import MemoryLimit
from hpctrack.telemetry.reading import Happening, Reading

TREE_MAX_FOLDERS = 2000
"""Steps and tasks of a job that are looked through after a kill."""

FILE_PREFIXES = ("memory.", "cgroup.", "tasks", "notify_on", "release_", "cpu", "pids.", "devices.")
"""What of a version 1 cgroup's folder is no cgroup in it."""


class OomKills:
    """Notices kills in the job's cgroup.

    Parameters
    ----------
    files : KernelFiles
    job : JobCgroup

    Notes
    -----
    The kernel counts its kills on the whole machine: while that number stands still, nothing else
    has to be looked at.
    """

    def __init__(self, files: KernelFiles, job: JobCgroup) -> None:
        self._files = files
        self._job = job
        self._cgroup = job.find("memory")
        self._kills: dict[str, int] | None = None
        self._node_kills: int | None = None
        # A kill may be counted a look later than the limit that was met.
        self._hits: deque[int | None] = deque(maxlen=3)

    def read(self, limit: MemoryLimit | None, into: Reading) -> None:
        """Add what the kernel has done to the job since the last look.

        Parameters
        ----------
        limit : MemoryLimit or None
            The tightest that holds for the job.
        into : Reading
        """
        self._hits.append(self._count_hits(limit))
        node_before = self._node_kills
        vmstat = self._files.peek("proc/vmstat") or ""
        self._node_kills = find_number(vmstat, "oom_kill")
        is_quiet = self._node_kills is not None and self._node_kills == node_before
        if self._kills is not None and is_quiet:
            return
        before, self._kills = self._kills, self._count_kills()
        if before is None:
            return
        if self._kills:
            count = sum(
                max(0, kills - before.get(folder, 0)) for folder, kills in self._kills.items()
            )
            if count:
                into.happenings.append(self._describe(count, limit))
        elif node_before is not None and self._node_kills is not None:
            count = self._node_kills - node_before
            text = (
                f"the kernel killed {_name(count)} on this node for want of memory; it cannot be "
                "told whether of this job, which has no cgroup of its own"
            )
            if count > 0:
                into.happenings.append(Happening("warning", "oom-kill", text))

    def _count_kills(self) -> dict[str, int]:
        """Return the kills by cgroup; none if the job has no cgroup of its own.

        Version 2 counts for a cgroup what happens below it too, version 1 does not.
        """
        cgroup = self._cgroup
        if cgroup is None or self._job.is_top(cgroup, cgroup.folder):
            return {}
        if cgroup.version == 1:
            return self._count_below(cgroup)
        for folder in cgroup.levels():
            text = self._files.peek(f"{folder}/memory.events")
            if text is not None:
                return {folder: find_number(text, "oom_kill") or 0}
        return {}

    def _count_below(self, cgroup: Cgroup) -> dict[str, int]:
        found: dict[str, int] = {}
        folders = [cgroup.folder]
        while folders and len(found) < TREE_MAX_FOLDERS:
            folder = folders.pop()
            text = self._files.peek(f"{folder}/memory.oom_control")
            if text is None:
                continue
            found[folder] = find_number(text, "oom_kill") or 0
            names = self._files.names(folder)
            folders += [f"{folder}/{one}" for one in names if not one.startswith(FILE_PREFIXES)]
        return found

    def _count_hits(self, limit: MemoryLimit | None) -> int | None:
        """Return how often the tightest limit was met, or None if that is not told."""
        if limit is None or self._cgroup is None:
            return None
        if self._cgroup.version == 1:
            return self._files.number(f"{limit.folder}/memory.failcnt")
        return find_number(self._files.peek(f"{limit.folder}/memory.events") or "", "oom")

    def _describe(self, count: int, limit: MemoryLimit | None) -> Happening:
        text = f"the kernel killed {_name(count)} of this job for want of memory: "
        known = {one for one in self._hits if one is not None}
        if limit and len(known) > 1:
            text += f"the limit of {limit.limit_bytes / 2**30:.3g} GiB was reached; "
            text += "ask for more memory, or use less"
            if self._job.owner and self._job.owner.kind == "slurm":
                text += " (sbatch --mem, --mem-per-cpu, --mem-per-gpu)"
        else:
            text += "the node itself was full; run fewer ranks on it, or use less memory"
        return Happening("error", "oom-kill", text)


def _name(count: int) -> str:
    return "a process" if count == 1 else f"{count} processes"
