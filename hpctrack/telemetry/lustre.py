"""Lustre file systems as this node uses them."""

from __future__ import annotations

from typing import NamedTuple

from hpctrack.telemetry.counters import Rates
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.obstacles import Obstacle
from hpctrack.telemetry.reading import Device, Reading, Sample, Watch

FOLDERS = ("proc/fs/lustre/llite", "sys/kernel/debug/lustre/llite")
"""Where clients tell what they did: up to about 2.11, and since then, for root only."""

DATA = {"read_bytes": "read_bytes", "write_bytes": "written_bytes"}

OPERATIONS = {
    "open": "opens",
    "close": "closes",
    "getattr": "getattrs",
    "setattr": "setattrs",
    "create": "creates",
    "mknod": "creates",
    "unlink": "unlinks",
    "mkdir": "mkdirs",
    "rmdir": "rmdirs",
    "rename": "renames",
    "readdir": "readdirs",
    "statfs": "statfs",
    "fsync": "fsyncs",
    "seek": "seeks",
    "inode_permission": "permission_checks",
}
"""How operations are called there, and here."""


class LustreCount(NamedTuple):
    """One line of a client's ``stats``.

    Parameters
    ----------
    samples : int
        How often.
    unit : str
        What the sum is of: ``bytes``, ``usec`` (or ``usecs``), ``regs``, ``reqs``.
    total : int or None
        Bytes or microseconds in all; None where it is not told.
    """

    samples: int
    unit: str
    total: int | None


def parse_client_stats(text: str) -> dict[str, LustreCount]:
    """Return what a client has done since it was mounted (or its counters were cleared).

    A line is ``read_bytes 658 samples [bytes] 4096 716800 5971968``: how often, the smallest, the
    largest and the sum; since 2.12 the sum of squares too.
    """
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4 or words[2] != "samples" or not words[1].isdecimal():  # noqa: PLR2004
            continue
        total = int(words[6]) if len(words) > 6 and words[6].isdecimal() else None  # noqa: PLR2004
        found[words[0]] = LustreCount(int(words[1]), words[3].strip("[]"), total)
    return found


def parse_mount_points(text: str) -> dict[str, str]:
    """Return where Lustre file systems are mounted, by name, of ``/proc/self/mounts``."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 2 and words[2] == "lustre":  # noqa: PLR2004 - source, place, kind
            # 10.1.0.1@o2ib:10.1.0.2@o2ib:/scratch/subfolder
            name = words[0].rpartition(":/")[2].partition("/")[0]
            found.setdefault(name, words[1])
    return found


class Lustre:
    """Reads what this node does on Lustre file systems; all jobs' use of them.

    Parameters
    ----------
    files : KernelFiles
    """

    subject = "lustre"

    def __init__(self, files: KernelFiles) -> None:
        self._files = files
        self._rates = Rates()
        self._told: set[str] = set()

    def read(self, watch: Watch, into: Reading) -> None:
        """Add the use of the file systems to a reading."""
        for folder in FOLDERS:
            for instance in self._files.names(folder):
                text = self._files.peek(f"{folder}/{instance}/stats")
                if text is None:
                    continue
                key = self._tell(instance, into)
                self._add(key, parse_client_stats(text), watch.mono_s, into.samples)

    def _add(
        self, key: str, counts: dict[str, LustreCount], mono_s: float, samples: list[Sample]
    ) -> None:
        amounts: dict[str, int] = dict.fromkeys(("reads", "writes", *DATA.values()), 0)
        # The kernel leaves out what has never happened: that is zero, if anything is told.
        for name, what in DATA.items():
            count = counts.get(name)
            if count is not None and count.total is not None:
                amounts[what] = count.total
                amounts["reads" if name == "read_bytes" else "writes"] = count.samples
        amounts["metadata_operations"] = 0
        for name, what in OPERATIONS.items():
            done = counts[name].samples if name in counts else 0
            amounts["metadata_operations"] += done
            if name in counts:
                amounts[what] = amounts.get(what, 0) + done
        for what, amount in amounts.items():
            rate = self._rates.rate((key, what), amount, mono_s)
            if rate is not None:
                samples.append(Sample(f"lustre/{what}_per_s", rate, key))

    def _tell(self, instance: str, into: Reading) -> str:
        """Return the key of a client, and describe it the first time.

        The instance is ``scratch-ffff8f2a3c4d5000``: the file system, and where in the kernel's
        memory this mount is.
        """
        name = instance.rpartition("-")[0] or instance
        key = f"lustre:{instance}"
        if key not in self._told:
            self._told.add(key)
            points = parse_mount_points(self._files.peek("proc/self/mounts") or "")
            facts = {"mount_point": points[name]} if name in points else {}
            into.devices.append(Device(kind="mount", key=key, name=f"Lustre {name}", facts=facts))
        return key


def find_obstacles(files: KernelFiles) -> list[Obstacle]:
    """Return what of Lustre cannot be read."""
    points = parse_mount_points(files.peek("proc/self/mounts") or "")
    if not points:
        return [Obstacle("lustre", "no Lustre file system is mounted here")]
    for folder in FOLDERS:
        if any(files.peek(f"{folder}/{one}/stats") is not None for one in files.names(folder)):
            return []
    if files.why("sys/kernel/debug") == "permission denied":
        return [
            Obstacle(
                "lustre",
                "/sys/kernel/debug/lustre: permission denied",
                "clients since 2.12 tell their numbers to root only; administrators may allow "
                "more with: mount -o remount,mode=755 /sys/kernel/debug",
            )
        ]
    return [
        Obstacle("lustre", f"/{FOLDERS[0]} and /{FOLDERS[1]} tell nothing", "is debugfs mounted?")
    ]
