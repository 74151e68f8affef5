"""Local disks of the node: what is read and written, and how busy they are."""

from __future__ import annotations

import re
from typing import NamedTuple

from hpctrack.telemetry.counters import Rates
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.obstacles import Obstacle
from hpctrack.telemetry.reading import Device, Reading, Sample, Watch

SECTOR_BYTES = 512
"""In ``diskstats``, whatever the disk's own sectors are."""

_NO_DISK = re.compile(r"(loop|ram|zram|dm-|md|sr|fd)\d*$|nvme\d+c\d+n\d+")
"""Memory, images, discs, paths of one disk, and what is made of several disks: those count
themselves."""


class DiskUse(NamedTuple):
    """One line of ``diskstats``."""

    reads: int
    read_bytes: int
    writes: int
    written_bytes: int
    busy_ms: int


def parse_diskstats(text: str) -> dict[str, DiskUse]:
    """Return the use of each block device, partitions too."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 14:  # noqa: PLR2004 - three for the name, eleven since Linux 2.6.25
            continue
        numbers = [int(one) for one in words[3:14]]
        found[words[2]] = DiskUse(
            numbers[0],
            numbers[2] * SECTOR_BYTES,
            numbers[4],
            numbers[6] * SECTOR_BYTES,
            numbers[9],
        )
    return found


class Disks:
    """Reads the whole disks of the node; all jobs' use of them.

    Parameters
    ----------
    files : KernelFiles
    """

    subject = "disks"

    def __init__(self, files: KernelFiles) -> None:
        self._files = files
        self._rates = Rates()
        self._told: set[str] = set()

    def read(self, watch: Watch, into: Reading) -> None:
        """Add the use of the disks to a reading."""
        text = self._files.peek("proc/diskstats")
        if text is None:
            return
        whole = set(self._files.names("sys/block"))
        for name, use in parse_diskstats(text).items():
            if name not in whole or _NO_DISK.match(name):
                continue
            if name not in self._told:
                self._told.add(name)
                into.devices.append(self._describe(name))
            self._add(name, use, watch.mono_s, into.samples)

    def _add(self, name: str, use: DiskUse, mono_s: float, samples: list[Sample]) -> None:
        for what, value in (
            ("read_bytes", use.read_bytes),
            ("written_bytes", use.written_bytes),
            ("reads", use.reads),
            ("writes", use.writes),
        ):
            rate = self._rates.rate((name, what), value, mono_s)
            if rate is not None:
                samples.append(Sample(f"disk/{what}_per_s", rate, name))
        busy = self._rates.rate((name, "busy"), use.busy_ms / 1000, mono_s)
        if busy is not None:
            samples.append(Sample("disk/busy_frac", min(1.0, busy), name))

    def _describe(self, name: str) -> Device:
        folder = f"sys/block/{name}"
        facts: dict[str, object] = {}
        sectors = self._files.number(f"{folder}/size")
        if sectors is not None:
            facts["size_bytes"] = sectors * SECTOR_BYTES
        rotational = self._files.number(f"{folder}/queue/rotational")
        if rotational is not None:
            facts["is_rotational"] = bool(rotational)
        model = (self._files.peek(f"{folder}/device/model") or "").strip()
        return Device(kind="disk", key=name, name=model or name, facts=facts)


def find_obstacles(files: KernelFiles) -> list[Obstacle]:
    """Return what of the disks cannot be read."""
    for name in ("proc/diskstats", "sys/block"):
        why = files.why(name)
        if why:
            return [Obstacle("disks", f"/{name}: {why}", "in a container, mount /proc and /sys")]
    return []
