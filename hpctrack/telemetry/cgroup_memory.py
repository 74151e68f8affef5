"""Memory of the job against its tightest limit."""

from __future__ import annotations

from hpctrack.telemetry.cgroups import Cgroup, JobCgroup
from hpctrack.telemetry.kernel_files import KernelFiles, find_number
from hpctrack.telemetry.memory_limit import MemoryLimit, find_tightest
from hpctrack.telemetry.oom import OomKills
from hpctrack.telemetry.reading import Reading, Sample


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
        self._kills = OomKills(files, job)

    def read(self, into: Reading) -> None:
        """Add the memory of the job to a reading."""
        limit = find_tightest(self._files, self._own) if self._own else None
        if self._cgroup is not None:
            self._read_use(self._cgroup, limit, into.samples)
        self._kills.read(limit, into)

    def _read_use(self, cgroup: Cgroup, limit: MemoryLimit | None, samples: list[Sample]) -> None:
        folder = limit.folder if limit else self._find_counted(cgroup)
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
        idle = find_number(self._files.peek(f"{folder}/memory.stat") or "", names[2])
        if idle is None:
            return
        used = max(0, charged - idle)
        samples.append(Sample("cgroup/memory_used_bytes", used))
        if limit:
            samples.append(Sample("cgroup/memory_limit_bytes", limit.limit_bytes))
            samples.append(Sample("cgroup/memory_used_frac", used / limit.limit_bytes))

    def _find_counted(self, cgroup: Cgroup) -> str | None:
        """Return the innermost folder from the job's on that counts memory; never the machine."""
        name = "memory.usage_in_bytes" if cgroup.version == 1 else "memory.current"
        folders = self._job.levels(cgroup)
        return next((one for one in folders if self._files.has(f"{one}/{name}")), None)
