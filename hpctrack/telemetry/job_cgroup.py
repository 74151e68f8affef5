"""The control group of the job as one subject: memory, processors, pressure."""

from __future__ import annotations

from hpctrack.telemetry.cgroup_cpu import CgroupCpu, read_cpuset
from hpctrack.telemetry.cgroup_memory import CgroupMemory
from hpctrack.telemetry.cgroups import JobCgroup
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.obstacles import Obstacle
from hpctrack.telemetry.pressure import Pressure
from hpctrack.telemetry.reading import Reading, Watch


class CgroupReader:
    """Reads the job's cgroup; finds it anew when the ranks are of another.

    Parameters
    ----------
    files : KernelFiles
    """

    subject = "cgroup"

    def __init__(self, files: KernelFiles) -> None:
        self._files = files
        self._pid: int | None = None
        self._text: str | None = None
        self._parts: tuple[CgroupMemory, CgroupCpu, Pressure] | None = None
        self.job: JobCgroup | None = None

    def find(self, watch: Watch) -> None:
        """Look which cgroup the first rank that lives is in; before the first one came, ours."""
        if self._pid is not None and any(one.pid == self._pid for one in watch.ranks):
            return
        for pid in (*(one.pid for one in watch.ranks), None):
            text = self._files.peek(f"proc/{pid or 'self'}/cgroup")
            if text is None or (pid is None and self._text is not None):
                continue
            self._pid = pid
            if text != self._text:
                self._text = text
                self._turn_to(JobCgroup(self._files, pid or "self"))
            return

    def _turn_to(self, job: JobCgroup) -> None:
        if self.job and self.job.owner and self.job.owner == job.owner:
            return  # another task of the same job
        self.job = job
        self._parts = (
            CgroupMemory(self._files, job),
            CgroupCpu(self._files, job),
            Pressure(self._files, job),
        )

    def read(self, watch: Watch, into: Reading) -> None:
        """Add what the cgroup says to a reading."""
        self.find(watch)
        if self._parts is None:
            return
        memory, cpu, pressure = self._parts
        memory.read(into)
        cpu.read(watch.mono_s, into)
        pressure.read(into)

    def cpuset(self) -> frozenset[int]:
        """Return the cores of the job; none if it has no cpuset of its own."""
        return read_cpuset(self._files, self.job) if self.job else frozenset()


def find_obstacles(files: KernelFiles) -> list[Obstacle]:
    """Return what of the cgroup of this process cannot be read."""
    why = files.why("proc/self/cgroup")
    if why:
        remedy = "the job's memory limit is not known here"
        return [Obstacle("cgroup", f"/proc/self/cgroup: {why}", remedy)]
    job = JobCgroup(files, "self")
    found = []
    for controller, what in (("memory", "memory and its limit"), ("cpu", "CPU quota")):
        cgroup, own = job.find(controller), job.find_own(controller)
        if own is not None and (hidden := files.why(own.folder)):
            text = f"/{own.folder}: {hidden}, so no {what}"
            found.append(Obstacle("cgroup", text, "in a container, bind the host's /sys/fs/cgroup"))
        elif own is None:
            text = f"no cgroup with the controller {controller} is mounted, so no {what}"
            remedy = "in a container, bind the host's /sys/fs/cgroup"
            found.append(Obstacle("cgroup", text, remedy))
        elif cgroup is None or job.is_top(cgroup, cgroup.folder):
            text = f"this process is in no cgroup of its own for {controller}, so no {what}"
            remedy = (
                "under Slurm: TaskPlugin=task/cgroup, ConstrainRAMSpace=yes, ConstrainCores=yes"
            )
            found.append(Obstacle("cgroup", text, remedy))
    return found
