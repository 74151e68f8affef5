"""NFS mounts as this node uses them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from hpctrack.telemetry.counters import Rates
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.obstacles import Obstacle
from hpctrack.telemetry.reading import Device, Reading, Sample, Watch

_DEVICE = re.compile(
    r"device (?P<source>.*) mounted on (?P<point>.*) with fstype (?P<kind>nfs4?)\b"
)


class OperationUse(NamedTuple):
    """One line of the statistics per operation.

    Parameters
    ----------
    operations : int
    transmissions : int
        More than operations where some had to be sent again.
    timeouts : int
    rtt_ms : int
        From sending to the answer, of all operations together.
    execute_ms : int
        The same with waiting in the queue of this client.
    """

    operations: int
    transmissions: int
    timeouts: int
    rtt_ms: int
    execute_ms: int


@dataclass(slots=True)
class NfsMount:
    """What the kernel says of one NFS mount.

    Parameters
    ----------
    source, point : str
        ``server:/export`` and where it is mounted.
    version : str
        3, 4.2; empty if it is not told.
    read_bytes, written_bytes : int or None
        What went over the network for reading and writing.
    operations : dict
        By name: ``READ``, ``GETATTR``.
    """

    source: str
    point: str
    version: str = ""
    read_bytes: int | None = None
    written_bytes: int | None = None
    operations: dict[str, OperationUse] = field(default_factory=dict)


def parse_mountstats(text: str) -> list[NfsMount]:
    """Return the NFS mounts of ``/proc/self/mountstats``; others have no numbers."""
    found: list[NfsMount] = []
    mount: NfsMount | None = None
    for line in text.splitlines():
        if line.startswith("device "):
            match = _DEVICE.match(line)
            mount = NfsMount(match["source"], match["point"]) if match else None
            if mount:
                found.append(mount)
        elif mount:
            name, _colon, rest = line.strip().partition(":")
            _add_line(mount, name, rest.split())
    return found


def _add_line(mount: NfsMount, name: str, words: list[str]) -> None:
    if name == "opts" and words:
        version = re.search(r"(?:^|,)vers=([\d.]+)", words[0])
        mount.version = version[1] if version else ""
    elif name == "bytes" and len(words) >= 6:  # noqa: PLR2004 - the fifth and sixth are meant
        mount.read_bytes, mount.written_bytes = int(words[4]), int(words[5])
    elif name.isupper() and len(words) >= 8 and all(one.isdecimal() for one in words[:8]):  # noqa: PLR2004
        one = [int(word) for word in words[:8]]
        mount.operations[name] = OperationUse(one[0], one[1], one[2], one[6], one[7])


class NfsMounts:
    """Reads what this node does on NFS mounts; all jobs' use of them.

    Parameters
    ----------
    files : KernelFiles

    Notes
    -----
    The kernel tells this from memory: a server that does not answer delays nothing here.
    """

    subject = "nfs"

    def __init__(self, files: KernelFiles) -> None:
        self._files = files
        self._rates = Rates()
        self._told: set[str] = set()

    def read(self, watch: Watch, into: Reading) -> None:
        """Add the use of the mounts to a reading."""
        text = self._files.peek("proc/self/mountstats")
        if text is None or " with fstype nfs" not in text:
            return
        seen: list[NfsMount] = []
        for mount in parse_mountstats(text):
            if any(_is_same(mount, one) for one in seen):
                continue  # mounted in two places, with one set of numbers
            seen.append(mount)
            key = f"nfs:{mount.point}"
            if key not in self._told:
                self._told.add(key)
                facts = {"mount_point": mount.point, "version": mount.version}
                into.devices.append(
                    Device(kind="mount", key=key, name=f"NFS {mount.source}", facts=facts)
                )
            self._add(key, mount, watch.mono_s, into.samples)

    def _add(self, key: str, mount: NfsMount, mono_s: float, samples: list[Sample]) -> None:
        every = mount.operations.values()
        operations = sum(one.operations for one in every)
        again = sum(max(0, one.transmissions - one.operations) for one in every)
        for what, amount in (
            ("read_bytes", mount.read_bytes),
            ("written_bytes", mount.written_bytes),
            ("operations", operations),
            ("retransmissions", again),
            ("timeouts", sum(one.timeouts for one in every)),
        ):
            rate = None if amount is None else self._rates.rate((key, what), amount, mono_s)
            if rate is not None:
                samples.append(Sample(f"nfs/{what}_per_s", rate, key))
        self._add_latency(key, mount, samples)

    def _add_latency(self, key: str, mount: NfsMount, samples: list[Sample]) -> None:
        """Add how long an operation took on average; nothing if there was none."""
        for name in ("all", "READ", "WRITE"):
            uses = (
                list(mount.operations.values())
                if name == "all"
                else [mount.operations[name]] * (name in mount.operations)
            )
            stem = "nfs/" if name == "all" else f"nfs/{name.lower()}_"
            done = self._rates.growth((key, name, "n"), sum(one.operations for one in uses))
            rtt_ms = self._rates.growth((key, name, "rtt"), sum(one.rtt_ms for one in uses))
            all_ms = self._rates.growth((key, name, "all"), sum(one.execute_ms for one in uses))
            if done and rtt_ms is not None and all_ms is not None:
                samples.append(Sample(f"{stem}rtt_s", rtt_ms / done / 1000, key))
                samples.append(Sample(f"{stem}latency_s", all_ms / done / 1000, key))


def _is_same(one: NfsMount, other: NfsMount) -> bool:
    return one.source == other.source and one.operations == other.operations


def find_obstacles(files: KernelFiles) -> list[Obstacle]:
    """Return what of NFS cannot be read."""
    why = files.why("proc/self/mountstats")
    if why:
        return [Obstacle("nfs", f"/proc/self/mountstats: {why}", "mount /proc")]
    if not parse_mountstats(files.peek("proc/self/mountstats") or ""):
        return [Obstacle("nfs", "no NFS file system is mounted here")]
    return []
