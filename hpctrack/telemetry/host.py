"""The node and the job's ranks on it, as one source of telemetry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.telemetry import (
    cpu,
    disks,
    fabric,
    job_cgroup,
    lustre,
    memory,
    network,
    nfs,
    power,
    pressure,
)
from hpctrack.telemetry.gpu_places import NO_GPUS, GpuPlaces
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.obstacles import Obstacle
from hpctrack.telemetry.placement import Placement
from hpctrack.telemetry.process_details import ProcessDetails
from hpctrack.telemetry.process_trees import is_host_pid_namespace
from hpctrack.telemetry.processes import Processes
from hpctrack.telemetry.reading import Happening, Reading, Watch
from hpctrack.telemetry.rota import Rota

PROCESS_SHARE = 0.008
"""Of a core, for the processes of all ranks: 128 ranks cost a third of it, read each second. Where
there are thousands of processes, or the node is overloaded, they are read less often."""

SUBJECT_SHARE = 0.003
"""Of a core, for each other subject, which mostly costs a tenth of it. Hundreds of NFS mounts, or
firmware that is slow to answer, are read less often."""


class Subject(Protocol):
    """One thing to read: what it finds is added to a reading."""

    subject: str

    def read(self, watch: Watch, into: Reading) -> None:
        """Add what is measured now; nothing for what is not there."""
        ...


class HostSource:
    """Everything about the node but its GPUs.

    Parameters
    ----------
    root : Path
        What stands for ``/``.
    environ : mapping
        Of the job: where programs are, and what Slurm calls this node.
    find_gpus : callable
        Says where the GPUs are, for the check of the binding; never waits for a driver.
    clock : Clock
        Measures what dear readings cost.

    Notes
    -----
    One subject that fails costs that subject's reading and is told once; one that is not there
    costs nothing and is told by `describe_obstacles`. One that is dear on this node is read less
    often than it is asked for.
    """

    name = "host"

    def __init__(
        self,
        *,
        root: Path = Path("/"),
        environ: Mapping[str, str] | None = None,
        find_gpus: Callable[[], GpuPlaces] = lambda: NO_GPUS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        files = KernelFiles(root)
        self._cgroup = job_cgroup.CgroupReader(files)
        self._processes = Processes(files)
        self._details = ProcessDetails(files, self._processes, clock=clock)
        self._cores = cpu.Cores(files, self.find_cores, clock=clock)
        self._power = power.Power(files, environ=environ or {})
        self._subjects: tuple[Subject, ...] = (
            self._processes,
            self._details,
            self._cgroup,
            self._cores,
            Placement(
                files,
                self._processes,
                self._details,
                find_busy=lambda: self._cores.busy_frac,
                find_gpus=find_gpus,
                clock=clock,
            ),
            memory.NodeMemory(files),
            disks.Disks(files),
            network.Network(files),
            fabric.Fabric(files, clock=clock),
            lustre.Lustre(files),
            nfs.NfsMounts(files),
            self._power,
        )
        self._failed: set[str] = set()
        self._rotas = {
            one.subject: Rota(
                0.0, share=PROCESS_SHARE if one is self._processes else SUBJECT_SHARE, clock=clock
            )
            for one in self._subjects
        }

    def read(self, watch: Watch) -> Reading:
        """Return what is new and what is measured now."""
        reading = Reading()
        for subject in self._subjects:
            try:
                for _turn in self._rotas[subject.subject].turns(("",), watch.mono_s):
                    subject.read(watch, reading)
            except Exception as error:  # noqa: BLE001 - one subject must not cost the others
                if subject.subject not in self._failed:
                    self._failed.add(subject.subject)
                    reading.happenings.append(_describe_failure(subject.subject, error))
        reading.parents = self._processes.trees.owners() or None
        return reading

    def close(self) -> None:
        """Let go of what was started."""
        self._power.close()
        self._processes.close()

    def find_cores(self) -> frozenset[int]:
        """Return the cores of the job on this node: its cpuset, else where its ranks may run."""
        cpuset = self._cgroup.cpuset()
        if cpuset:
            return cpuset
        return frozenset().union(*(one.cores for one in self._details.statuses.values()))

    def find_root(self, pid: int) -> int | None:
        """Return the pid of the watched rank that a process belongs to, or None.

        For what others than the kernel tell by process, such as the memory of a GPU. May be
        called from any thread.
        """
        return self._processes.trees.find_root(pid)


def describe_obstacles(root: Path = Path("/")) -> list[Obstacle]:
    """Return what of this node cannot be read, why, and what would help.

    For ``hpctrack doctor``: a line each. What is simply not there (a fast network, Lustre) has a
    line without a remedy.
    """
    files = KernelFiles(root)
    found = []
    pressure_obstacle = pressure.find_obstacle(files)
    for module in (cpu, memory, job_cgroup, disks, network, fabric, lustre, nfs, power):
        found += module.find_obstacles(files)
    if pressure_obstacle:
        found.append(pressure_obstacle)
    if is_host_pid_namespace(files) is False:
        text = "this container has PIDs of its own, so a driver's numbers are not ours"
        remedy = "processes on GPUs cannot be told apart by rank; share the host's: --pid=host"
        found.append(Obstacle("pids", text, remedy))
    return found


def _describe_failure(subject: str, error: Exception) -> Happening:
    text = f"{subject}: a reading failed ({type(error).__name__}: {error}); told once"
    return Happening("warning", "telemetry-failed", text)
