"""Processor time that the job's cgroup may have, has had, and was refused."""

from __future__ import annotations

from hpctrack.telemetry.cgroups import Cgroup, JobCgroup
from hpctrack.telemetry.counters import Rates
from hpctrack.telemetry.kernel_files import KernelFiles, find_number, parse_cpu_list, parse_pairs
from hpctrack.telemetry.reading import Happening, Reading, Sample

THROTTLED_WARN_FRAC = 0.1
"""A warning is due when in this share of the periods the quota was used up."""

PERIODS_MIN = 50
"""Periods, mostly of 0.1 s, that are needed to say so."""


def parse_quota(text: str) -> float | None:
    """Return how many cores ``cpu.max`` allows, or None for as many as there are.

    Examples
    --------
    >>> parse_quota("150000 100000")
    1.5
    >>> parse_quota("max 100000")
    """
    words = text.split()
    if len(words) != 2 or not (words[0].isdecimal() and words[1].isdecimal()):  # noqa: PLR2004
        return None
    return int(words[0]) / int(words[1]) if int(words[1]) else None


def read_quota(files: KernelFiles, version: int, folder: str) -> float | None:
    """Return how many cores one cgroup may use, or None if it sets no limit."""
    if version != 1:
        return parse_quota(files.peek(f"{folder}/cpu.max") or "")
    quota = files.number(f"{folder}/cpu.cfs_quota_us")
    period = files.number(f"{folder}/cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def find_tightest_quota(files: KernelFiles, cgroup: Cgroup) -> tuple[str, float] | None:
    """Return the smallest quota of a cgroup and those around it, and which has it."""
    found = [
        (quota, folder)
        for folder in cgroup.levels()
        if (quota := read_quota(files, cgroup.version, folder)) is not None
    ]
    return (min(found)[1], min(found)[0]) if found else None


class CgroupCpu:
    """Reads the processor time of the job's cgroup.

    Parameters
    ----------
    files : KernelFiles
    job : JobCgroup
    """

    def __init__(self, files: KernelFiles, job: JobCgroup) -> None:
        self._files = files
        self._job = job
        self._cgroup = job.find("cpu")
        self._own = job.find_own("cpu")
        self._accounting = job.find("cpuacct")
        self._rates = Rates()
        self._periods = self._throttled = 0.0
        self._is_told = False

    def read(self, mono_s: float, into: Reading) -> None:
        """Add the processor time of the job to a reading."""
        used_s = self._read_used_s()
        if used_s is not None:
            rate = self._rates.rate("used", used_s, mono_s)
            into.samples.append(Sample("cgroup/cpu_s_total", used_s))
            if rate is not None:
                into.samples.append(Sample("cgroup/cores_used", rate))
        found = find_tightest_quota(self._files, self._own) if self._own else None
        if found and self._own:
            folder, cores = found
            into.samples.append(Sample("cgroup/cpu_quota_cores", cores))
            self._read_throttling(folder, cores, into)

    def _read_used_s(self) -> float | None:
        """Return the seconds that all processes of the job have used, also those of no rank."""
        for cgroup, name in ((self._accounting, "cpuacct.usage"), (self._cgroup, "cpu.stat")):
            for folder in self._job.levels(cgroup) if cgroup else ():
                text = self._files.peek(f"{folder}/{name}")
                if text is not None and name == "cpuacct.usage":
                    return int(text) / 1e9
                used = find_number(text or "", "usage_usec")
                if used is not None:
                    return used / 1e6
        return None

    def _read_throttling(self, folder: str, cores: float, into: Reading) -> None:
        stat = parse_pairs(self._files.peek(f"{folder}/cpu.stat") or "")
        if "nr_periods" not in stat or "nr_throttled" not in stat:
            return
        periods = self._rates.growth("periods", stat["nr_periods"])
        throttled = self._rates.growth("throttled", stat["nr_throttled"])
        if not periods or throttled is None:
            return  # no period in which anything ran
        into.samples.append(Sample("cgroup/cpu_throttled_frac", min(1.0, throttled / periods)))
        self._periods += periods
        self._throttled += throttled
        share = self._throttled / self._periods
        if not self._is_told and self._periods >= PERIODS_MIN and share >= THROTTLED_WARN_FRAC:
            self._is_told = True
            text = (
                f"this job may use {cores:g} cores and was stopped for that in {share:.0%} of the "
                "time; ask for more CPUs, or start fewer threads (OMP_NUM_THREADS)"
            )
            into.happenings.append(Happening("warning", "cpu-throttled", text))


def read_cpuset(files: KernelFiles, job: JobCgroup) -> frozenset[int]:
    """Return the cores of the job's cpuset; none if it has none of its own."""
    cgroup = job.find("cpuset")
    if cgroup is None or job.owner is None or job.is_top(cgroup, cgroup.folder):
        return frozenset()
    names = ("cpuset.effective_cpus", "cpuset.cpus")
    for name in names if cgroup.version == 1 else ("cpuset.cpus.effective",):
        cores = parse_cpu_list(files.peek(f"{cgroup.folder}/{name}") or "")
        if cores:
            return cores
    return frozenset()
