"""Power and energy of nodes of HPE Cray, which everybody may read."""

from __future__ import annotations

import re

from hpctrack.telemetry.counters import Odometer
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.reading import Device, Reading, Sample

ROOT = "sys/cray/pm_counters"

BELIEVABLE_W = 50_000.0

_COUNTER = re.compile(r"(?:(cpu|memory|accel)(\d*)_)?(power|energy)")

NAMES = {"": "node", "cpu": "cpu", "memory": "memory", "accel": "accelerator"}
"""What the counters are called there, and here. The node contains all others."""

UNITS = {"W", "J"}


def parse_counter(text: str) -> int | None:
    """Return a counter's value in watts or joules, or None if it is of another form.

    It is ``283 W`` on older machines, and with the time ``283 W 1667317532109411 us`` on newer.
    """
    value, _blank, rest = text.partition(" ")
    return int(value) if value.isdecimal() and rest[:1] in UNITS else None


class CrayPower:
    """Reads the counters of an HPE Cray.

    Parameters
    ----------
    files : KernelFiles

    Notes
    -----
    They are measured ten times a second, for the node and where there are such for processors,
    memory and each accelerator.
    """

    def __init__(self, files: KernelFiles) -> None:
        self._files = files
        matches = {name: _COUNTER.fullmatch(name) for name in files.names(ROOT)}
        self._counters = {name: match for name, match in matches.items() if match}
        self._meters: dict[str, Odometer] = {}
        self._mono_s: float | None = None
        self._told: set[str] = set()

    @property
    def has_node(self) -> bool:
        """Whether the node as a whole is told."""
        return "power" in self._counters or "energy" in self._counters

    def read(self, mono_s: float, into: Reading) -> None:
        """Add power and energy to a reading."""
        elapsed_s = 0.0 if self._mono_s is None else mono_s - self._mono_s
        self._mono_s = mono_s
        for name, match in self._counters.items():
            value = parse_counter(self._files.peek(f"{ROOT}/{name}") or "")
            if value is None:
                continue
            what = NAMES[match[1] or ""]
            device = f"{match[1]}{match[2]}" if match[2] else ""
            if device and device not in self._told:
                self._told.add(device)
                into.devices.append(Device(kind="sensor", key=device, name=device))
            if match[3] == "power":
                if value > 0:
                    into.samples.append(Sample(f"power/{what}_w", value, device))
                continue
            meter = self._meters.setdefault(name, Odometer())
            meter.add(value, at_most=BELIEVABLE_W * elapsed_s)
            into.samples.append(Sample(f"energy/{what}_j_total", meter.total, device))
