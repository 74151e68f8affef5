"""Which GPUs the ranks on this node have, as far as that can be known from the agent's place.

The agent runs in the cgroup of the rank that started it. Slurm constrains devices per job, per step
and, where GPUs are bound to tasks (``--gpus-per-task``, ``--gpu-bind``), per task: then each rank
sees its own GPU as number 0, and the agent can open the GPUs of its own rank only. A number in
another rank's list would name the wrong GPU. That is the case if Slurm has given the step more
GPUs on this node (``SLURM_GPUS_ON_NODE``) than we can open; then the lists of ranks in other
cgroups than ours are understood only where they hold UUIDs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpctrack.telemetry.cgroups import parse_memberships
from hpctrack.telemetry.gpu_source import Gpu
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.reading import Happening, WatchedRank
from hpctrack.telemetry.visible_gpus import Visible, combine_hip, find_visible, find_visible_amd


@dataclass(slots=True)
class Scope:
    """The GPUs of all ranks on this node.

    Parameters
    ----------
    gpus : list of Gpu
        Those that a rank may use and we may open, and the GPUs that slices among them belong to.
    by_rank : dict
        For each rank its GPUs in its own order; no entry where they are not known.
    happenings : list of Happening
        What is wrong with it.
    """

    gpus: list[Gpu] = field(default_factory=list)
    by_rank: dict[WatchedRank, tuple[Gpu, ...]] = field(default_factory=dict)
    happenings: list[Happening] = field(default_factory=list)


def find_scope(
    ranks: Sequence[WatchedRank],
    gpus: Sequence[Gpu],
    *,
    environ: Mapping[str, str],
    files: KernelFiles,
    vendor: str = "nvidia",
) -> Scope:
    """Find the GPUs of ranks.

    Parameters
    ----------
    ranks : sequence of WatchedRank
    gpus : sequence of Gpu
        All that we can open, as `hpctrack.telemetry.gpu_source.GpuSource.list_gpus` lists them.
    environ : mapping
        The agent's, which it has from a rank.
    files : KernelFiles
    vendor : str
        ``nvidia`` or ``amd``: of all these GPUs.

    Returns
    -------
    Scope
    """
    scope = Scope()
    order = environ.get("CUDA_DEVICE_ORDER", "")
    is_bound = _is_bound_to_task(environ, gpus)
    own_cgroup = read_cgroup(files, "self") if is_bound else ""
    for rank in ranks:
        told = _Told(rank, vendor)
        if is_bound and told.is_by_number and read_cgroup(files, rank.pid) != own_cgroup:
            scope.happenings.append(_OUT_OF_REACH)
            continue
        visible = told.find(gpus, order)
        if not visible.is_order_known and not visible.gpus and rank.visible_gpus:
            scope.happenings.append(_ORDER_UNKNOWN)
            continue
        if gpus and visible.cut_at and not told.means_nothing:
            scope.happenings.append(_tell_cut(told.lists, visible.cut_at))
        scope.by_rank[rank] = visible.gpus
    scope.happenings = list(dict.fromkeys(scope.happenings))
    wanted = {gpu.uuid for found in scope.by_rank.values() for gpu in found}
    wanted |= {gpu.parent for gpu in gpus if gpu.uuid in wanted}
    scope.gpus = [gpu for gpu in gpus if gpu.uuid in wanted]
    return scope


def read_cgroup(files: KernelFiles, pid: int | str) -> str:
    """Return the cgroup that constrains a process's devices, or an empty text.

    Notes
    -----
    Version 1 has a line of its own for devices; version 2 has one line for everything.
    """
    found = parse_memberships(files.peek(f"proc/{pid}/cgroup") or "")
    return found.get("devices") or found.get("") or ""


def _is_bound_to_task(environ: Mapping[str, str], gpus: Sequence[Gpu]) -> bool:
    told = environ.get("SLURM_GPUS_ON_NODE", "")
    usable = sum(1 for gpu in gpus if not gpu.is_sliced)
    return told.isdigit() and int(told) > usable


class _Told:
    """What a rank's lists say of the GPUs of one make."""

    def __init__(self, rank: WatchedRank, vendor: str) -> None:
        self._is_amd = vendor == "amd"
        self._cuda, self._rocr = rank.visible_gpus, rank.rocr_gpus
        self._hip = combine_hip(rank.hip_gpus, rank.visible_gpus)
        lists = (self._rocr, self._hip) if self._is_amd else (self._cuda,)
        self.lists = [one for one in lists if one is not None]

    @property
    def is_by_number(self) -> bool:
        """Whether a place in this cgroup decides; a list that counts another one's does not."""
        return not ((self.lists and self.lists[0]) or "0").startswith(("GPU-", "MIG-"))

    @property
    def means_nothing(self) -> bool:
        return any(map(_means_nothing, self.lists))

    def find(self, gpus: Sequence[Gpu], order: str) -> Visible:
        if self._is_amd:
            return find_visible_amd(self._rocr, self._hip, gpus)
        return find_visible(self._cuda, gpus, device_order=order)


def _means_nothing(listing: str) -> bool:
    """Whether a list says on purpose that there is no GPU, or no further one."""
    entries = [entry.strip() for entry in listing.split(",")]
    return entries[0] in {"", "NoDevFiles", "void", "none"} or "-1" in entries


_OUT_OF_REACH = Happening(
    "warning",
    "gpu-out-of-reach",
    "some ranks have GPUs that the agent may not open, as Slurm binds each task to its own; these "
    "are not recorded; ask for them with --gpus-per-node and --gpu-bind=none to have them recorded",
)

_ORDER_UNKNOWN = Happening(
    "warning",
    "gpu-order-unknown",
    "the GPUs of this node differ, and CUDA numbers them by speed, so it is not known which ones "
    "are used; set CUDA_DEVICE_ORDER=PCI_BUS_ID to have them recorded",
)


def _tell_cut(lists: Sequence[str], entry: str) -> Happening:
    listing = " and of these ".join(map(repr, lists))
    text = f"visible GPUs {listing}: {entry!r} names no GPU, or one a second time"
    return Happening("warning", "gpu-list-cut", f"{text}; the program sees none from there on")
