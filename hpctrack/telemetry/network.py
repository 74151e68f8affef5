"""Network interfaces of the node."""

from __future__ import annotations

from typing import NamedTuple

from hpctrack.telemetry.counters import Rates
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.obstacles import Obstacle
from hpctrack.telemetry.reading import Device, Reading, Sample, Watch


class InterfaceUse(NamedTuple):
    """One line of ``/proc/net/dev``; errors and drops of both directions together."""

    received_bytes: int
    received_packets: int
    sent_bytes: int
    sent_packets: int
    errors: int
    drops: int


def parse_interfaces(text: str) -> dict[str, InterfaceUse]:
    """Return the use of each interface, of ``/proc/net/dev``."""
    found = {}
    for line in text.splitlines():
        name, colon, rest = line.rpartition(":")
        words = rest.split()
        if not colon or len(words) < 16 or not words[0].isdecimal():  # noqa: PLR2004 - two of eight
            continue
        one = [int(word) for word in words]
        found[name.strip()] = InterfaceUse(
            one[0], one[1], one[8], one[9], one[2] + one[10], one[3] + one[11]
        )
    return found


class Network:
    """Reads the interfaces that have hardware behind them; all jobs' use of them.

    Parameters
    ----------
    files : KernelFiles

    Notes
    -----
    Bonds, bridges and the like would count the same bytes once more. In a container that sees no
    hardware, all its interfaces but the loopback are read.
    """

    subject = "network"

    def __init__(self, files: KernelFiles) -> None:
        self._files = files
        self._rates = Rates()
        self._told: set[str] = set()

    def read(self, watch: Watch, into: Reading) -> None:
        """Add the use of the interfaces to a reading."""
        text = self._files.peek("proc/net/dev")
        if text is None:
            return
        uses = parse_interfaces(text)
        real = {name for name in uses if self._files.has(f"sys/class/net/{name}/device")}
        for name in sorted(real or uses.keys() - {"lo"}):
            if name not in self._told:
                self._told.add(name)
                into.devices.append(self._describe(name))
            for what, value in uses[name]._asdict().items():
                rate = self._rates.rate((name, what), value, watch.mono_s)
                if rate is not None:
                    into.samples.append(Sample(f"net/{what}_per_s", rate, name))

    def _describe(self, name: str) -> Device:
        facts: dict[str, object] = {}
        speed = self._files.number(f"sys/class/net/{name}/speed")
        if speed is not None and speed > 0:
            facts["link_bits_per_s"] = speed * 1_000_000
        mtu = self._files.number(f"sys/class/net/{name}/mtu")
        if mtu is not None:
            facts["mtu_bytes"] = mtu
        return Device(kind="net", key=name, name=name, facts=facts)


def find_obstacles(files: KernelFiles) -> list[Obstacle]:
    """Return what of the network cannot be read."""
    why = files.why("proc/net/dev")
    return [Obstacle("network", f"/proc/net/dev: {why}", "mount /proc")] if why else []
