"""Energy that processors count themselves: RAPL, of Intel and AMD."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from hpctrack.telemetry.counters import Odometer
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.obstacles import Obstacle
from hpctrack.telemetry.reading import Device, Reading, Sample

ROOT = "sys/class/powercap"

_ZONE = re.compile(r"intel-rapl(?:-tpmi)?:\d+(?::\d+)?")
"""Zones of the processors, AMD's too. ``intel-rapl-mmio`` counts the same packages once more."""

_PACKAGE = re.compile(r"package-(\d+)")

DOMAINS = {"core": "cpu_core", "uncore": "cpu_uncore", "dram": "dram", "psys": "platform"}
"""What the domains are called there, and here. The package contains core and uncore, not dram;
psys is about everything on the board."""

AMD = ("AuthenticAMD", "HygonGenuine")
"""Their domain ``core`` is the energy of one core, not of all: it is left out."""

BELIEVABLE_W = 5000.0
"""More than any socket draws: a step that means more was a reset of the counter."""


@dataclass(slots=True)
class Zone:
    """One domain of one socket.

    Parameters
    ----------
    folder : str
    name : str
        ``cpu_package``, ``dram``.
    device : str
        ``socket-0``; empty for the node.
    meter : Odometer
        In joules.
    mono_s : float or None
        When it was read last.
    """

    folder: str
    name: str
    device: str
    meter: Odometer = field(default_factory=Odometer)
    mono_s: float | None = None


def find_zones(files: KernelFiles) -> list[Zone]:
    """Return the domains that this node's processors tell of."""
    found = []
    is_amd = _is_amd(files)
    for entry in files.names(ROOT):
        if not _ZONE.fullmatch(entry):
            continue
        name = (files.peek(f"{ROOT}/{entry}/name") or "").strip()
        package = _PACKAGE.match(name)
        outer = entry if entry.count(":") == 1 else entry.rpartition(":")[0]
        socket = _PACKAGE.match((files.peek(f"{ROOT}/{outer}/name") or "").strip())
        device = f"socket-{socket[1]}" if socket else ""
        what = "cpu_package" if package else DOMAINS.get(name)
        span_uj = files.number(f"{ROOT}/{entry}/max_energy_range_uj")
        if what and not (is_amd and what == "cpu_core"):
            meter = Odometer(span_uj / 1e6 if span_uj else None)
            found.append(Zone(f"{ROOT}/{entry}", what, device, meter))
    return found


class Rapl:
    """Reads what the processors count.

    Parameters
    ----------
    files : KernelFiles
    """

    def __init__(self, files: KernelFiles) -> None:
        self._files = files
        self._zones = find_zones(files)
        self._told: set[str] = set()

    def read(self, mono_s: float, into: Reading) -> None:
        """Add energy and power to a reading."""
        # Packages of several dies have a zone for each: together they are the socket.
        totals_j: dict[tuple[str, str], float] = {}
        powers_w: dict[tuple[str, str], float] = {}
        for zone in self._zones:
            energy_uj = self._files.number(f"{zone.folder}/energy_uj")
            if energy_uj is None:
                continue
            elapsed_s = 0.0 if zone.mono_s is None else mono_s - zone.mono_s
            zone.mono_s = mono_s
            grown_j = zone.meter.add(energy_uj / 1e6, at_most=BELIEVABLE_W * elapsed_s)
            key = (zone.name, zone.device)
            totals_j[key] = totals_j.get(key, 0.0) + zone.meter.total
            power_w = math.nan if grown_j is None or elapsed_s <= 0 else grown_j / elapsed_s
            powers_w[key] = powers_w.get(key, 0.0) + power_w
        for (name, device), total_j in totals_j.items():
            if device and device not in self._told:
                self._told.add(device)
                into.devices.append(
                    Device(kind="socket", key=device, name=device.replace("-", " "))
                )
            into.samples.append(Sample(f"energy/{name}_j_total", total_j, device))
            power_w = powers_w[name, device]
            if not math.isnan(power_w):
                into.samples.append(Sample(f"power/{name}_w", power_w, device))


def find_obstacle(files: KernelFiles) -> Obstacle | None:
    """Return why the processors' energy cannot be read, or None if it can."""
    zones = find_zones(files)
    if not zones:
        return Obstacle(
            "power",
            "the processors tell no energy (no intel-rapl in /sys/class/powercap)",
            "virtual machines have none; else load the module intel_rapl_msr",
        )
    why = files.why(f"{zones[0].folder}/energy_uj")
    if not why:
        return None
    return Obstacle(
        "power",
        f"/{zones[0].folder}/energy_uj: {why}",
        "since 2020 only root may read it; administrators may allow it to a group or all: "
        "chmod a+r /sys/class/powercap/intel-rapl*/energy_uj (at each boot, by udev or tmpfiles)",
    )


def _is_amd(files: KernelFiles) -> bool:
    try:
        start = files.read_small("proc/cpuinfo")  # of hundreds of cores, the first is enough
    except OSError:
        return False
    return any(name in start for name in AMD)
