"""Memory of the node as a whole."""

from __future__ import annotations

from hpctrack.telemetry.kernel_files import KernelFiles, parse_pairs
from hpctrack.telemetry.obstacles import Obstacle
from hpctrack.telemetry.reading import Reading, Sample, Watch


class NodeMemory:
    """Reads the memory of the node: of all jobs on it, and of the system.

    Parameters
    ----------
    files : KernelFiles
    """

    subject = "memory"

    def __init__(self, files: KernelFiles) -> None:
        self._files = files

    def read(self, watch: Watch, into: Reading) -> None:  # noqa: ARG002 - all subjects' signature
        """Add the node's memory to a reading."""
        found = parse_pairs(self._files.read("proc/meminfo"))
        total, available = found.get("MemTotal"), found.get("MemAvailable")
        if total is not None:
            into.samples.append(Sample("host/memory_total_bytes", total))
        if available is not None:
            into.samples.append(Sample("host/memory_available_bytes", available))
        if total is not None and available is not None:
            into.samples.append(Sample("host/memory_used_bytes", total - available))
        swap, free = found.get("SwapTotal"), found.get("SwapFree")
        if swap and free is not None:
            into.samples.append(Sample("host/swap_total_bytes", swap))
            into.samples.append(Sample("host/swap_used_bytes", swap - free))


def find_obstacles(files: KernelFiles) -> list[Obstacle]:
    """Return what of the node's memory cannot be read."""
    why = files.why("proc/meminfo")
    return [Obstacle("memory", f"/proc/meminfo: {why}", "mount /proc")] if why else []
