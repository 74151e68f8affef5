"""Whether ranks are where they should be: the rules, on what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpctrack.telemetry.kernel_files import format_cpu_list
from hpctrack.telemetry.numa import Topology, describe_cores
from hpctrack.telemetry.reading import Happening

BUSY_FRAC = 0.7
"""Shared cores must be this busy for a warning: ranks that sleep do not disturb one another."""

WAITING_FRAC = 0.3
"""Of the time in which its threads wanted a core, for how long a rank had to wait for one."""

LOCAL_MIN_FRAC = 0.5
"""A rank with less than this share of its memory on its own NUMA nodes is warned about."""

MEMORY_MIN_BYTES = 256 * 1024**2
"""Less memory than this is not worth a warning: most of it is libraries."""

BIND = "bind each rank to cores of its own: srun --cpu-bind=cores, mpirun --bind-to core"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankPlace:
    """Where a rank is, and what it does there.

    Parameters
    ----------
    rank, pid : int
    cores : frozenset of int
        That it may run on.
    threads : int
        Of it and its descendants.
    cores_used : float or None
        On average, lately.
    waiting_frac : float or None
        Of the time that its threads wanted to run, how long they waited for a core. Known only
        of ranks that use up their cores.
    memory_bytes : mapping
        By NUMA node; empty if it is not known.
    """

    rank: int
    pid: int
    cores: frozenset[int]
    threads: int = 1
    cores_used: float | None = None
    waiting_frac: float | None = None
    memory_bytes: Mapping[int, int] | None = None

    def local_frac(self, topology: Topology) -> float | None:
        """Return which share of its memory is on the NUMA nodes of its cores; None if unknown."""
        total = sum(self.memory_bytes.values()) if self.memory_bytes else 0
        near = topology.nodes_of(self.cores)
        if not (self.memory_bytes and total and near):
            return None
        return sum(self.memory_bytes.get(node, 0) for node in near) / total

    def is_squeezed(self, job_cores: frozenset[int]) -> bool:
        """Tell whether it has more threads than cores, and uses all of those that it may."""
        return (
            len(self.cores) < min(self.threads, len(job_cores))
            and self.cores_used is not None
            and self.cores_used >= BUSY_FRAC * len(self.cores)
        )


def find_shared(
    places: Sequence[RankPlace], idle: frozenset[int], topology: Topology
) -> list[Happening]:
    """Return warnings of ranks that have to share cores while others of the job are idle.

    Parameters
    ----------
    places : sequence of RankPlace
    idle : frozenset of int
        Cores of the job on which hardly anything runs.
    topology : Topology

    Notes
    -----
    Ranks must share if more of them are confined to a set of cores than it has. Ranks that may
    run anywhere are left to the kernel. Two hardware threads are one core here.
    """
    worst: tuple[float, frozenset[int], list[RankPlace]] | None = None
    for cores in {one.cores for one in places}:
        inside = [one for one in places if one.cores <= cores]
        count = topology.physical(cores)
        used = sum(one.cores_used or 0.0 for one in inside)
        # A sibling of a core that is used is no core to go to.
        free = topology.physical(idle) - topology.physical(idle & _spread(cores, topology))
        if len(inside) > count and used >= BUSY_FRAC * count and free > 0:
            crowding = len(inside) / count
            if worst is None or crowding > worst[0]:
                worst = (crowding, cores, inside)
    if worst is None:
        return []
    _crowding, cores, inside = worst
    text = (
        f"{_name_ranks(inside)} share {describe_cores(cores)} while {describe_cores(idle)} of this "
        f"job are idle; {BIND}"
    )
    return [Happening("warning", "cores-shared", text)]


def find_squeezed(
    places: Sequence[RankPlace], idle: frozenset[int], job_cores: frozenset[int]
) -> list[Happening]:
    """Return warnings of ranks whose threads wait for too few cores while others are idle."""
    found = [
        one
        for one in places
        if one.is_squeezed(job_cores)
        and one.waiting_frac is not None
        and one.waiting_frac >= WAITING_FRAC
        and idle - one.cores
    ]
    if not found:
        return []
    one = max(found, key=lambda place: place.waiting_frac or 0.0)
    text = (
        f"{_name_ranks(found)}: {one.threads} threads on {describe_cores(one.cores)} wait "
        f"{one.waiting_frac:.0%} of the time while other cores of this job are idle; "
        "give ranks more cores: --cpus-per-task=N with srun --cpu-bind=cores, or mpirun "
        "--map-by slot:PE=N --bind-to core; and OMP_NUM_THREADS=N"
    )
    return [Happening("warning", "cores-too-few", text)]


def find_far(places: Sequence[RankPlace], topology: Topology) -> list[Happening]:
    """Return warnings of ranks that have most of their memory on other NUMA nodes."""
    found = []
    for one in places:
        share = one.local_frac(topology)
        is_much = sum((one.memory_bytes or {}).values()) >= MEMORY_MIN_BYTES
        if share is not None and is_much and share < LOCAL_MIN_FRAC:
            found.append((share, one))
    if not found:
        return []
    share, one = min(found, key=lambda pair: pair[0])
    nodes = topology.nodes_of(one.cores)
    text = (
        f"{_name_ranks([place for _share, place in found])}: {1 - share:.0%} of the memory is on "
        f"other NUMA nodes than the cores (node {format_cpu_list(nodes)}), which is slow; bind "
        "before memory is allocated: srun --cpu-bind=cores --mem-bind=local, mpirun --bind-to core"
    )
    return [Happening("warning", "memory-far", text)]


def find_far_gpus(
    places: Sequence[RankPlace], gpu_nodes: Mapping[int, Mapping[str, int]], topology: Topology
) -> list[Happening]:
    """Return warnings of ranks that have no GPU on the NUMA nodes of their cores.

    Parameters
    ----------
    places : sequence of RankPlace
    gpu_nodes : mapping
        For each rank's pid its GPUs, with the NUMA node of each.
    topology : Topology

    Notes
    -----
    A rank with GPUs on several nodes cannot be near all of them, unless it has cores on all.
    """
    found = []
    for one in places:
        near = topology.nodes_of(one.cores)
        gpus = gpu_nodes.get(one.pid, {})
        if near and gpus and near.isdisjoint(gpus.values()):
            found.append((one, gpus))
    if not found:
        return []
    one, gpus = found[0]
    near, far = topology.nodes_of(one.cores), frozenset(gpus.values())
    text = (
        f"{_name_ranks([place for place, _gpus in found])}: the GPU is attached to NUMA node "
        f"{format_cpu_list(far)}, the rank's cores are on node {format_cpu_list(near)}, which is "
        "slow; use srun --gpu-bind=closest, or --gpus-per-task with --cpu-bind=cores"
    )
    return [Happening("warning", "gpu-far", text, min(gpus))]


def _spread(cores: frozenset[int], topology: Topology) -> frozenset[int]:
    return frozenset(
        sibling for core in cores for sibling in topology.siblings.get(core, frozenset((core,)))
    )


def _name_ranks(places: Sequence[RankPlace]) -> str:
    ranks = frozenset(one.rank for one in places)
    several = f" ({len(places)} processes, of several runs)" if len(ranks) < len(places) else ""
    return f"rank{'s' * (len(places) != 1)} {format_cpu_list(ranks)}{several}"
