"""Power and energy that sensors of the board measure: hwmon, the ACPI power meter, Grace."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hpctrack.telemetry.counters import Odometer
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.reading import Device, Reading, Sample

ROOT = "sys/class/hwmon"

METER = "power_meter"
"""The driver of ACPI power meters. One without a name is the whole node; firmware often asks the
board's management controller for it (IPMI DCMI), so no rights on that are needed."""

GRACE = {
    "module": "module",
    "grace": "cpu_package",
    "cpu": "cpu_core",
    "sysio": "cpu_io",
    "total": "cpu_package",
}
"""Rails of NVIDIA's Grace. The module contains the GPU of the same socket."""

GPU_DRIVERS = frozenset({"amdgpu", "nouveau", "i915", "xe"})
"""They have a source of their own."""

BELIEVABLE_W = 50_000.0

_VALUE = re.compile(r"(power\d+)_(average|input)|(energy\d+)_input")
_SOCKET = re.compile(r"(\w+) power socket (\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Sensor:
    """One value that can be read.

    Parameters
    ----------
    path : str
    name : str
        ``node``, ``cpu_package``, ``sensor``.
    device : str
        ``socket-0``, ``hwmon:name/label``; empty for the node.
    is_energy : bool
        A counter of microjoules, else microwatts.
    """

    path: str
    name: str
    device: str
    is_energy: bool
    meter: Odometer = field(default_factory=Odometer)
    mono_s: float | None = None


def find_sensors(files: KernelFiles) -> list[Sensor]:
    """Return the sensors of power and energy that this node has."""
    found = []
    for entry in files.names(ROOT):
        driver = (files.peek(f"{ROOT}/{entry}/name") or "").strip()
        if not driver or driver in GPU_DRIVERS:
            continue
        # Drivers of before Linux 3.15 put the values into the folder of the device.
        for folder in (f"{ROOT}/{entry}", f"{ROOT}/{entry}/device"):
            found += _find_values(files, folder, driver)
    return found


def _find_values(files: KernelFiles, folder: str, driver: str) -> list[Sensor]:
    found: dict[str, Sensor] = {}
    for value in files.names(folder):
        match = _VALUE.fullmatch(value)
        if not match:
            continue
        stem = match[1] or match[3]
        label = ""
        for name in (f"{stem}_label", f"{stem}_oem_info"):
            label = label or (files.peek(f"{folder}/{name}") or "").strip()
        name, device = _name_sensor(driver, stem, label)
        # Where both are told, the average is first by its name, and taken.
        found.setdefault(stem, Sensor(f"{folder}/{value}", name, device, bool(match[3])))
    return list(found.values())


def _name_sensor(driver: str, stem: str, label: str) -> tuple[str, str]:
    socket = _SOCKET.match(label)
    if socket and socket[1].lower() in GRACE:
        return GRACE[socket[1].lower()], f"socket-{socket[2]}"
    if driver == METER and not label:
        return "node", ""
    if driver == "ibmpowernv" and label == "System":
        return "node", ""
    return "sensor", f"hwmon:{driver}/{label or stem}"


class PowerSensors:
    """Reads the sensors of the board.

    Parameters
    ----------
    files : KernelFiles
    has_node : bool
        Somebody else tells the whole node already: sensors of that are left out.
    """

    def __init__(self, files: KernelFiles, *, has_node: bool = False) -> None:
        self._files = files
        self._sensors = [one for one in find_sensors(files) if one.name != "node" or not has_node]
        self._told: set[str] = set()

    @property
    def has_node(self) -> bool:
        """Whether one of them is of the whole node."""
        return any(one.name == "node" for one in self._sensors)

    @property
    def has_sockets(self) -> bool:
        """Whether some are of the processors' sockets."""
        return any(one.device.startswith("socket-") for one in self._sensors)

    def read(self, mono_s: float, into: Reading) -> None:
        """Add power and energy to a reading."""
        for sensor in self._sensors:
            value = self._files.number(sensor.path)
            if value is None or (not sensor.is_energy and value <= 0):
                continue  # nothing that answers draws no power
            if sensor.device and sensor.device not in self._told:
                self._told.add(sensor.device)
                kind = "socket" if sensor.device.startswith("socket") else "sensor"
                name = sensor.device.removeprefix("hwmon:")
                into.devices.append(Device(kind=kind, key=sensor.device, name=name))
            if sensor.is_energy:
                self._read_energy(sensor, value / 1e6, mono_s, into.samples)
            else:
                into.samples.append(Sample(f"power/{sensor.name}_w", value / 1e6, sensor.device))

    def _read_energy(
        self, sensor: Sensor, energy_j: float, mono_s: float, samples: list[Sample]
    ) -> None:
        elapsed_s = 0.0 if sensor.mono_s is None else mono_s - sensor.mono_s
        sensor.mono_s = mono_s
        grown_j = sensor.meter.add(energy_j, at_most=BELIEVABLE_W * elapsed_s)
        samples.append(Sample(f"energy/{sensor.name}_j_total", sensor.meter.total, sensor.device))
        if grown_j is not None and elapsed_s > 0:
            samples.append(Sample(f"power/{sensor.name}_w", grown_j / elapsed_s, sensor.device))
