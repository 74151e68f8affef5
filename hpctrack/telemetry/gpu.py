"""GPUs of the job: the source that the agent reads."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpctrack.telemetry.amd import AmdSource
from hpctrack.telemetry.gpu_places import GpuPlaces
from hpctrack.telemetry.gpu_source import GpuSource
from hpctrack.telemetry.gpu_watch import GpuWatch
from hpctrack.telemetry.nvml import NvmlSource
from hpctrack.telemetry.reading import Happening, Reading, Watch, WatchedRank


class GpuTelemetry:
    """Reads the GPUs that the ranks on this node may use, and no others.

    Parameters
    ----------
    sources : sequence of GpuSource
        One per vendor.
    environ : mapping
        The agent's environment, which it has from a rank: ``CUDA_DEVICE_ORDER`` and what Slurm
        says.
    root : Path
        Where ``proc`` and ``sys`` are.

    Attributes
    ----------
    watches : list of GpuWatch
        One per vendor; ``hpctrack doctor`` asks them what cannot be read.
    places : GpuPlaces
        As of the last reading; replaced as a whole, so that another thread can look at it while a
        driver hangs.

    Notes
    -----
    Samples are named ``gpu/`` and a name of `hpctrack.telemetry.gpu_source.VALUES`; those of a GPU
    or a slice have its UUID as device, those of a process (``gpu/process_memory_bytes``,
    ``gpu/process_sm_util_frac``) its number too. ``gpu/energy_j_total`` counts from the first
    reading of this source. A GPU of which the job may have a slice only has its power and energy
    named apart, ``gpu/parent_power_w`` and so on: they are not the job's alone.

    Happenings: gpu-no-package, gpu-no-library, gpu-no-driver, gpu-no-permission,
    gpu-driver-mismatch, gpu-driver-gone, gpu-driver-back, gpu-lost, gpu-back, gpu-throttled,
    gpu-throttle-over, gpu-ecc, gpu-memory-failing, gpu-xid, gpu-list-cut, gpu-order-unknown,
    gpu-out-of-reach.

    A driver may hang in any call. That blocks the thread that reads, and nothing else: ``close``
    from another thread returns at once and leaves the driver to the end of the process.
    """

    name = "gpu"

    def __init__(
        self,
        sources: Sequence[GpuSource],
        *,
        environ: Mapping[str, str],
        root: Path = Path("/"),
    ) -> None:
        self.watches = [GpuWatch(source, environ=environ, root=root) for source in sources]
        self._lock = threading.Lock()
        self._uses_of: tuple[tuple[WatchedRank, ...], list[int]] | None = None
        self._uses: dict[int, tuple[str, ...]] = {}
        self.places = GpuPlaces()

    def read(self, watch: Watch) -> Reading:
        """Return what is new and what is measured now."""
        reading = Reading()
        with self._lock:
            for one in self.watches:
                one.read_into(reading, watch)
            if any(one.has_gpus for one in self.watches):
                # On a node with one vendor's GPUs it is no news that there are none of another.
                reading.happenings = [one for one in reading.happenings if not _is_absence(one)]
            reading.uses = self._find_uses(watch.ranks)
        self.places = self._find_places(reading)
        return reading

    def _find_uses(self, ranks: tuple[WatchedRank, ...]) -> dict[int, tuple[str, ...]]:
        """Return the devices of all ranks; the same object while nothing has changed."""
        state = (ranks, [one.changes for one in self.watches])
        if state != self._uses_of:
            self._uses_of = state
            found = {rank.pid: self.find_keys(rank) for rank in ranks}
            self._uses = {pid: keys for pid, keys in found.items() if keys is not None}
        return self._uses

    def find_keys(self, rank: WatchedRank) -> tuple[str, ...] | None:
        """Return the keys of a rank's devices in the order in which it numbers them.

        Returns
        -------
        tuple of str or None
            None if they are not known.
        """
        found = [one.find_keys(rank) for one in self.watches]
        known = [keys for keys in found if keys is not None]
        return tuple(key for keys in known for key in keys) if known else None

    def _find_places(self, reading: Reading) -> GpuPlaces:
        used: dict[int, set[str]] = {}
        for sample in reading.samples:
            if sample.pid:
                used.setdefault(sample.pid, set()).add(sample.device)
        nodes = {key: node for one in self.watches for key, node in one.numa_nodes.items()}
        return GpuPlaces(nodes, reading.uses or {}, used)

    def close(self) -> None:
        """Let go of the drivers, unless one is hanging."""
        if self._lock.acquire(blocking=False):
            try:
                for one in self.watches:
                    one.close()
            finally:
                self._lock.release()


def _is_absence(happening: Happening) -> bool:
    return happening.level == "info" and happening.code.startswith("gpu-no-")


def make_gpu_telemetry(*, environ: Mapping[str, str], root: Path = Path("/")) -> GpuTelemetry:
    """Make the source for all vendors that we know.

    Parameters
    ----------
    environ : mapping
    root : Path
    """
    return GpuTelemetry([NvmlSource(root), AmdSource(root)], environ=environ, root=root)
