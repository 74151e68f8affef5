"""How long work waits for processors, memory and disks (pressure stall information)."""

from __future__ import annotations

import re

from hpctrack.telemetry.cgroups import JobCgroup
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.obstacles import Obstacle
from hpctrack.telemetry.reading import Reading, Sample

RESOURCES = ("cpu", "memory", "io")

_LINE = re.compile(r"(some|full) avg10=([\d.]+) avg60=[\d.]+ avg300=[\d.]+ total=(\d+)")


def parse_pressure(text: str) -> dict[str, tuple[float, float]]:
    """Return, for ``some`` and ``full``, the share of the last 10 s and the seconds in all.

    Some: at least one task had to wait. Full: all that wanted to run had to, and nothing went on.
    """
    return {
        match[1]: (float(match[2]) / 100, int(match[3]) / 1e6) for match in _LINE.finditer(text)
    }


class Pressure:
    """Reads the pressure in the job's cgroup; of the whole node where that is not told.

    Parameters
    ----------
    files : KernelFiles
    job : JobCgroup
    """

    def __init__(self, files: KernelFiles, job: JobCgroup) -> None:
        self._files = files
        cgroup = job.find("")
        folders = job.levels(cgroup) if cgroup else ()
        self._folder = next(
            (one for one in folders if files.peek(f"{one}/cpu.pressure") is not None), None
        )

    def read(self, into: Reading) -> None:
        """Add the pressure to a reading."""
        for resource in RESOURCES:
            name, group = f"proc/pressure/{resource}", "host"
            if self._folder:
                name, group = f"{self._folder}/{resource}.pressure", "cgroup"
            for kind, (share, total_s) in parse_pressure(self._files.peek(name) or "").items():
                if resource == "cpu" and kind == "full" and group == "host":
                    continue  # not defined for a machine; the kernel says 0
                stem = f"{group}/{resource}_pressure_{kind}"
                into.samples.append(Sample(f"{stem}_frac", share))
                into.samples.append(Sample(f"{stem}_s_total", total_s))


def find_obstacle(files: KernelFiles) -> Obstacle | None:
    """Return why there is no pressure to be read, or None if there is."""
    why = files.why("proc/pressure/cpu")
    if not why:
        return None
    return Obstacle(
        "pressure",
        f"/proc/pressure/cpu: {why}",
        "the kernel tells it from 4.20 on, if started with psi=1",
    )
