"""Sensors in groups, with the limits that belong to them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SensorGroup:
    """What a reader looks at together.

    Parameters
    ----------
    key, title : str
    parts : tuple of str
        Beginnings of the names of its sensors.
    first : tuple of str
        Those that come first.
    """

    key: str
    title: str
    parts: tuple[str, ...]
    first: tuple[str, ...] = ()


GROUPS = (
    SensorGroup("gpu", "GPU use", ("gpu/",), ("gpu/util_frac", "gpu/sm_active_frac")),
    SensorGroup(
        "gpu-memory", "GPU memory", ("gpu/memory_used", "gpu/memory_reserved", "gpu/memory_total",
        "gpu/process_memory"), ("gpu/memory_used_bytes",),
    ),
    SensorGroup(
        "power", "Power and energy",
        ("power/", "energy/", "gpu/power", "gpu/energy", "gpu/parent_"),
        ("gpu/power_w", "power/node_w"),
    ),
    SensorGroup(
        "heat", "Temperature", ("gpu/temp", "gpu/memory_temp", "gpu/hotspot", "gpu/fan"),
        ("gpu/temp_c",),
    ),
    SensorGroup(
        "clocks", "Clocks and throttling", ("gpu/sm_clock", "gpu/memory_clock",
        "gpu/clock_event_reasons", "core/freq", "cgroup/cpu_throttled"), ("gpu/sm_clock_mhz",),
    ),
    SensorGroup(
        "gpu-links", "GPU links and errors", ("gpu/pcie", "gpu/nvlink", "gpu/ecc", "gpu/retired",
        "gpu/remapped"),
    ),
    SensorGroup(
        "cpu", "Processors", ("core/", "host/cpu", "host/load", "host/cores", "host/tasks",
        "process/c", "process/threads", "cgroup/c", "process/numa"),
        ("cgroup/cores_used", "process/cores_used", "core/util_frac"),
    ),
    SensorGroup(
        "memory", "Memory", ("host/memory", "host/swap", "cgroup/memory", "process/rss",
        "process/pss", "process/swap", "process/m"),
        ("cgroup/memory_used_bytes", "host/memory_used_bytes", "process/rss_bytes"),
    ),
    SensorGroup("network", "Network and fabric", ("net/", "fabric/")),
    SensorGroup(
        "files", "File systems and disks", ("lustre/", "nfs/", "disk/", "process/"),
    ),
)  # fmt: skip
"""A sensor is in the group with the longest part that its name begins with."""

OTHER = SensorGroup("other", "Other", ())

LIMITS = {
    "gpu/power_w": "gpu/power_limit_w",
    "gpu/power_instant_w": "gpu/power_limit_w",
    "gpu/parent_power_w": "gpu/parent_power_limit_w",
    "gpu/memory_used_bytes": "gpu/memory_total_bytes",
    "gpu/process_memory_bytes": "gpu/memory_total_bytes",
    "gpu/sm_clock_mhz": "gpu/sm_clock_max_mhz",
    "gpu/memory_clock_mhz": "gpu/memory_clock_max_mhz",
    "cgroup/memory_used_bytes": "cgroup/memory_limit_bytes",
    "cgroup/memory_charged_bytes": "cgroup/memory_limit_bytes",
    "host/memory_used_bytes": "host/memory_total_bytes",
    "host/swap_used_bytes": "host/swap_total_bytes",
    "process/cores_used": "process/cores_allowed",
    "process/rss_bytes": "cgroup/memory_limit_bytes",
    "cgroup/cores_used": "cgroup/cpu_quota_cores",
}
"""What bounds a sensor, as another sensor tells."""

HOST_CODES = (
    "oom",
    "gpu",
    "cpu",
    "cores",
    "memory",
    "node",
    "preempt",
    "disk",
    "lost",
    "telemetry",
)
"""Warnings whose code begins so are marked in the charts."""


def group_sensors(names: Iterable[str]) -> list[tuple[SensorGroup, list[str]]]:
    """Return the groups that have sensors, each with its sensors in order."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(find_group(name).key, []).append(name)
    return [
        (group, sorted(found[group.key], key=lambda name: (_place(group, name), name)))
        for group in (*GROUPS, OTHER)
        if group.key in found
    ]


def find_group(name: str) -> SensorGroup:
    """Return the group of a sensor."""
    best, length = OTHER, 0
    for group in GROUPS:
        for part in group.parts:
            if name.startswith(part) and len(part) > length:
                best, length = group, len(part)
    return best


def _place(group: SensorGroup, name: str) -> int:
    return group.first.index(name) if name in group.first else len(group.first)


def find_unit(name: str) -> str:
    """Return the unit that a sensor's name ends in."""
    for end, unit in (
        ("_bytes_per_s", "B/s"), ("_bits_per_s", "bit/s"), ("_per_s", "/s"), ("_bytes", "B"),
        ("_frac", ""), ("_w", "W"), ("_c", "\N{DEGREE SIGN}C"), ("_mhz", "MHz"), ("_hz", "Hz"),
        ("_j_total", "J"), ("_s_total", "s"), ("_total", ""), ("_s", "s"),
    ):  # fmt: skip
        if name.endswith(end):
            return unit
    return ""
