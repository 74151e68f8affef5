"""Where the ranks are: cores, NUMA nodes, memory; warns when that is unlucky."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hpctrack.core.clock import Clock
from hpctrack.telemetry.binding import (
    RankPlace,
    find_far,
    find_far_gpus,
    find_shared,
    find_squeezed,
)
from hpctrack.telemetry.counters import Rates
from hpctrack.telemetry.cpu import IDLE_FRAC
from hpctrack.telemetry.gpu_places import NO_GPUS, GpuPlaces
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.numa import Topology, read_topology
from hpctrack.telemetry.process_details import ProcessDetails
from hpctrack.telemetry.process_files import parse_numa_maps, parse_schedstat
from hpctrack.telemetry.processes import Processes
from hpctrack.telemetry.reading import Happening, Reading, Sample, Watch
from hpctrack.telemetry.rota import Rota

CHECK_PERIOD_S = 10.0

CHECKS_NEEDED = 3
"""In a row that must find the same, before a user is warned: start-up is not how a job runs."""

MEMORY_PERIOD_S = 120.0
MEMORY_SHARE = 0.0005
"""Of a core, for all ranks: the kernel walks through all pages of a process to tell its nodes."""


class Placement:
    """Reads where the ranks are, and checks the binding.

    Parameters
    ----------
    files : KernelFiles
    processes, details
        Have read the ranks just before.
    find_busy : callable
        Says how busy each core of the job was lately, as shares.
    find_gpus : callable
        Says where the GPUs are; never waits for a driver.
    clock : Clock
        Measures what dear readings cost.
    """

    subject = "placement"

    def __init__(
        self,
        files: KernelFiles,
        processes: Processes,
        details: ProcessDetails,
        *,
        find_busy: Callable[[], Mapping[int, float]],
        find_gpus: Callable[[], GpuPlaces] = lambda: NO_GPUS,
        clock: Clock,
    ) -> None:
        self._files = files
        self._processes = processes
        self._details = details
        self._find_busy = find_busy
        self._find_gpus = find_gpus
        self._rota = Rota(MEMORY_PERIOD_S, share=MEMORY_SHARE, clock=clock)
        self._topology: Topology | None = None
        self._memory: dict[int, dict[int, int]] = {}
        self._waits = Rates()
        self._checked_s: float | None = None
        self._suspicions: dict[str, int] = {}
        self._told: set[str] = set()

    @property
    def topology(self) -> Topology:
        """Where the node's cores are; read once."""
        if self._topology is None:
            self._topology = read_topology(self._files)
        return self._topology

    def read(self, watch: Watch, into: Reading) -> None:
        """Add where the ranks are to a reading, and what is wrong with that."""
        ranks = self._processes.ranks
        self._memory = {pid: one for pid, one in self._memory.items() if pid in ranks}
        if len(self.topology.nodes) > 1:
            for pid in self._rota.turns(ranks, watch.mono_s):
                self._read_memory(pid, into.samples)
        is_due = self._checked_s is None or watch.mono_s - self._checked_s >= CHECK_PERIOD_S
        if ranks and is_due:
            self._checked_s = watch.mono_s
            places = self.find_places(watch)
            for one in places:
                into.samples.append(Sample("process/cores_allowed", len(one.cores), pid=one.pid))
            into.happenings += self._check(places)

    def find_places(self, watch: Watch) -> list[RankPlace]:
        """Return where each rank is, as far as it is known."""
        job_cores = frozenset(self._find_busy())
        places = []
        # A process may have several runs: it is in one place all the same.
        for rank in {one.pid: one for one in watch.ranks}.values():
            use = self._processes.ranks.get(rank.pid)
            status = self._details.statuses.get(rank.pid)
            if use is None or status is None or not status.cores:
                continue
            place = RankPlace(
                rank=rank.rank,
                pid=rank.pid,
                cores=status.cores,
                threads=use.threads,
                cores_used=use.cores_used,
                memory_bytes=self._memory.get(rank.pid),
            )
            if place.is_squeezed(job_cores):
                place = replace(place, waiting_frac=self._measure_waiting(rank.pid))
            places.append(place)
        return places

    def _measure_waiting(self, root: int) -> float | None:
        """Return the share of the time since the last check that a rank's threads had to wait."""
        ran_s = waited_s = 0.0
        for pid in self._processes.trees.members.get(root, ()):
            for thread in self._files.names(f"proc/{pid}/task"):
                text = self._files.peek(f"proc/{pid}/task/{thread}/schedstat") or ""
                found = parse_schedstat(text)
                if found is not None:
                    ran_s += found[0]
                    waited_s += found[1]
        ran = self._waits.growth((root, "ran"), ran_s)
        waited = self._waits.growth((root, "waited"), waited_s)
        return waited / (ran + waited) if ran and waited is not None else None

    def _read_memory(self, root: int, samples: list[Sample]) -> None:
        found: dict[int, int] = {}
        for pid in self._processes.trees.members.get(root, ()):
            text = self._files.peek(f"proc/{pid}/numa_maps") or ""
            for node, size in parse_numa_maps(text).items():
                found[node] = found.get(node, 0) + size
        if not found:
            return
        self._memory[root] = found
        status = self._details.statuses.get(root)
        if status is not None:
            place = RankPlace(rank=0, pid=root, cores=status.cores, memory_bytes=found)
            share = place.local_frac(self.topology)
            if share is not None:
                samples.append(Sample("process/numa_local_frac", share, pid=root))

    def _check(self, places: list[RankPlace]) -> list[Happening]:
        """Return the warnings that are due: those found several times in a row, once each."""
        busy = self._find_busy()
        idle = frozenset(core for core, share in busy.items() if share < IDLE_FRAC)
        members = self._processes.trees.members
        found = [
            *find_shared(places, idle, self.topology),
            *find_squeezed(places, idle, frozenset(busy)),
            *find_far(places, self.topology),
            *find_far_gpus(places, self._find_gpus().find_nodes(members), self.topology),
        ]
        seen = {one.code: self._suspicions.get(one.code, 0) + 1 for one in found}
        self._suspicions = seen
        due = [one for one in found if seen[one.code] >= CHECKS_NEEDED]
        new = [one for one in due if one.code not in self._told]
        self._told |= {one.code for one in new}
        return new
