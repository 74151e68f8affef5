"""Memory of the job against its tightest limit, and the kernel killing for want of it."""

from __future__ import annotations

from dataclasses import dataclass

from hpctrack.telemetry.cgroups import Cgroup, JobCgroup
from hpctrack.telemetry.kernel_files import NONE_AT_ALL, KernelFiles, parse_pairs
from hpctrack.telemetry.reading import Happening, Reading, Sample

TREE_MAX_FOLDERS = 2000
"""Steps and tasks of a job that are looked through after a kill."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A limit that holds for the job.

    Parameters
    ----------
    folder : str
        The cgroup that has it.
    limit_bytes : int
    """

    folder: str
    limit_bytes: int


def read_limit(files: KernelFiles, version: int, folder: str) -> int | None:
    """Return the limit of one cgroup in bytes, or None if it has none."""
    name = "memory.limit_in_bytes" if version == 1 else "memory.max"
    limit = files.number(f"{folder}/{name}")  # "max" is no number
    return limit if limit is not None and 0 < limit < NONE_AT_ALL else None


def find_tightest(files: KernelFiles, cgroup: Cgroup) -> MemoryLimit | None:
    """Return the smallest limit of a cgroup and those around it; of equal ones the outermost.

    What is used counts at the level of the limit, so that neighbours that share it are seen.
    """
    tightest = None
    for folder in cgroup.levels():
        limit = read_limit(files, cgroup.version, folder)
        if limit is not None and (tightest is None or limit <= tightest.limit_bytes):
            tightest = MemoryLimit(folder, limit)
    return tightest


class CgroupMemory:
    """Reads the memory of the job's cgroup.

    Parameters
    ----------
    files : KernelFiles
    job : JobCgroup

    Notes
    -----
    Used is what is charged without the part of the page cache that was not touched lately: the
    kernel drops that before it kills. Charged may reach the limit in a healthy job that reads
    many files.
    """

    def __init__(self, files: KernelFiles, job: JobCgroup) -> None:
        self._files = files
        self._job = job
        self._cgroup = job.find("memory")
        self._own = job.find_own("memory")
        self._limit: MemoryLimit | None = None
        self._kills: dict[str, int] | None = None
        self._node_kills: int | None = None
        self._hits: int | None = None

    def read(self, into: Reading) -> None:
        """Add the memory of the job to a reading."""
        cgroup, own = self._cgroup, self._own
        if cgroup is None or own is None:
            return
        self._limit = find_tightest(self._files, own)
        self._read_use(cgroup, into.samples)
        self._look_for_kills(cgroup, into)

    def _read_use(self, cgroup: Cgroup, samples: list[Sample]) -> None:
        folder = self._limit.folder if self._limit else self._find_counted(cgroup)
        if folder is None:
            return
        names = (
            ("memory.usage_in_bytes", "memory.max_usage_in_bytes", "total_inactive_file")
            if cgroup.version == 1
            else ("memory.current", "memory.peak", "inactive_file")
        )
        charged = self._files.number(f"{folder}/{names[0]}")
        if charged is None:
            return
        samples.append(Sample("cgroup/memory_charged_bytes", charged))
        peak = self._files.number(f"{folder}/{names[1]}")
        if peak is not None:
            samples.append(Sample("cgroup/memory_charged_peak_bytes", peak))
        idle = parse_pairs(self._files.peek(f"{folder}/memory.stat") or "").get(names[2])
        if idle is None:
            return
        used = max(0, charged - idle)
        samples.append(Sample("cgroup/memory_used_bytes", used))
        if self._limit:
            limit = self._limit.limit_bytes
            samples.append(Sample("cgroup/memory_limit_bytes", limit))
            samples.append(Sample("cgroup/memory_used_frac", used / limit))

    def _find_counted(self, cgroup: Cgroup) -> str | None:
        """Return the innermost folder from the job's on that counts memory; never the machine."""
        name = "memory.usage_in_bytes" if cgroup.version == 1 else "memory.current"
        for folder in cgroup.levels():
            if self._job.is_top(cgroup, folder):
                return None
            if self._files.has(f"{folder}/{name}"):
                return folder
        return None

    # -- kills -----------------------------------------------------------------------------------

    def _look_for_kills(self, cgroup: Cgroup, into: Reading) -> None:
        """Tell when the kernel has killed a process of the job for want of memory."""
        node_kills = parse_pairs(self._files.peek("proc/vmstat") or "").get("oom_kill")
        is_quiet = node_kills is not None and node_kills == self._node_kills
        self._node_kills = node_kills
        if self._kills is not None and is_quiet:
            return  # nowhere on the machine
        before, self._kills = self._kills, self._count_kills(cgroup)
        hits_before, self._hits = self._hits, self._count_hits()
        if before is None:
            return
        count = sum(max(0, kills - before.get(folder, 0)) for folder, kills in self._kills.items())
        if count:
            is_limit = None not in (hits_before, self._hits) and self._hits != hits_before
            into.happenings.append(self._describe(count, is_limit=is_limit))

    def _count_kills(self, cgroup: Cgroup) -> dict[str, int]:
        """Return the kills by cgroup; version 2 adds up what is below, version 1 does not."""
        if cgroup.version != 1:
            folder = next(
                (one for one in cgroup.levels() if self._files.has(f"{one}/memory.events")), None
            )
            if folder is None:
                return {}
            events = parse_pairs(self._files.peek(f"{folder}/memory.events") or "")
            return {folder: events.get("oom_kill", 0)}
        if self._job.is_top(cgroup, cgroup.folder):
            return {}
        found: dict[str, int] = {}
        folders = [cgroup.folder]
        while folders and len(found) < TREE_MAX_FOLDERS:
            folder = folders.pop()
            control = parse_pairs(self._files.peek(f"{folder}/memory.oom_control") or "")
            found[folder] = control.get("oom_kill", 0)
            folders += [
                f"{folder}/{name}"
                for name in self._files.names(folder)
                if not name.startswith(("memory.", "cgroup.", "tasks", "notify_on", "release_"))
            ]
        return found

    def _count_hits(self) -> int | None:
        """Return how often the tightest limit was met, or None if that is not told."""
        if self._limit is None or self._cgroup is None:
            return None
        folder = self._limit.folder
        if self._cgroup.version == 1:
            return self._files.number(f"{folder}/memory.failcnt")
        return parse_pairs(self._files.peek(f"{folder}/memory.events") or "").get("oom")

    def _describe(self, count: int, *, is_limit: bool) -> Happening:
        what = "a process" if count == 1 else f"{count} processes"
        text = f"the kernel killed {what} of this job for want of memory"
        limit = self._limit
        if limit and is_limit:
            size = f"{limit.limit_bytes / 2**30:.1f} GiB"
            text += f": the limit of {size} was reached; ask for more memory, or use less"
            if self._job.owner and self._job.owner.kind == "slurm":
                text += " (sbatch --mem, --mem-per-cpu, --mem-per-gpu)"
        else:
            text += ": the node itself was full; use fewer ranks on it, or less memory"
        return Happening("error", "oom-kill", text)
