"""What a run has used of its nodes, out of its sensors: a summary for people. Pure.

What was not measured is None, and is shown nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import NotFoundError
from hpctrack.store.energy import Energy, hold_values
from hpctrack.store.schema import FloatArray
from hpctrack.store.sensor import Sensor
from hpctrack.store.series import Series

SENSORS: Mapping[str, str] = {
    "gpu_util": "gpu/util_frac",
    "gpu_memory": "gpu/memory_used_bytes",
    "gpu_memory_total": "gpu/memory_total_bytes",
    "gpu_power": "gpu/power_w",
    "cpu_util": "host/cpu_util_frac",
    "rank_cores": "process/cores_used",
    "rank_memory": "process/rss_bytes",
    "job_cores": "cgroup/cores_used",
    "job_memory": "cgroup/memory_used_bytes",
    "job_memory_frac": "cgroup/memory_used_frac",
    "memory_limit": "cgroup/memory_limit_bytes",
    "node_power": "power/node_w",
}
"""The sensors that a summary is made of, by what they say."""

Find = Callable[[str], Sensor]

Read = Callable[[str], Sensor | None]
"""Takes a key of `SENSORS`; None: nobody has read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run has used; None: not measured.

    Parameters
    ----------
    gpus : int or None
        How many were sampled.
    gpu_util_mean_frac, gpu_util_max_frac : float or None
        Mean over time and GPUs, and the highest sample of any.
    gpu_memory_mean_bytes, gpu_memory_max_bytes : float or None
        Likewise, of one GPU.
    gpu_memory_total_bytes : float or None
        Of the GPU with the highest share.
    gpu_memory_max_frac : float or None
        The highest share of its memory that any has used.
    gpu_power_mean_w : float or None
        Mean over time, summed over the GPUs.
    cpu_util_mean_frac : float or None
        Of the job's processors, mean over time and nodes.
    cores_used_mean : float or None
        Cores kept busy, mean over time, summed over nodes.
    memory_peak_bytes : float or None
        The most that any node's job has used.
    memory_limit_bytes : float or None
        The limit on that node.
    memory_peak_frac : float or None
    node_power_mean_w : float or None
        Mean over time, summed over nodes.
    cores_source, memory_source : str
        The sensor that says so: the job's cgroup, else the ranks' processes added up.
    """

    gpus: int | None = None
    gpu_util_mean_frac: float | None = None
    gpu_util_max_frac: float | None = None
    gpu_memory_mean_bytes: float | None = None
    gpu_memory_max_bytes: float | None = None
    gpu_memory_total_bytes: float | None = None
    gpu_memory_max_frac: float | None = None
    gpu_power_mean_w: float | None = None
    cpu_util_mean_frac: float | None = None
    cores_used_mean: float | None = None
    cores_source: str = ""
    memory_peak_bytes: float | None = None
    memory_limit_bytes: float | None = None
    memory_peak_frac: float | None = None
    memory_source: str = ""
    node_power_mean_w: float | None = None

    def __bool__(self) -> bool:
        """Tell whether anything was measured."""
        return any(getattr(self, one.name) not in {None, ""} for one in fields(self))

    def to_json(self, energy: Energy | None = None) -> dict[str, Any]:
        """Return a JSON-able form: only what was measured."""
        found: dict[str, Any] = {
            one.name: value
            for one in fields(self)
            if (value := getattr(self, one.name)) not in {None, ""}
        }
        if energy is not None:
            found["energy"] = energy.to_json()
        return found


def measure_usage(find: Find) -> Usage:
    """Sum up what was sampled.

    Parameters
    ----------
    find : callable
        Returns a sensor by name; raises `NotFoundError` if there is none.

    Notes
    -----
    Means are over the time in which somebody read: not over the gap between two attempts.
    """

    @cache
    def read(what: str) -> Sensor | None:
        try:
            return find(SENSORS[what])
        except NotFoundError:
            return None

    return Usage(
        **_measure_gpus(read),
        **_measure_cores(read),
        **_measure_memory(read),
        cpu_util_mean_frac=_mean(_means(read, "cpu_util")),
        gpu_power_mean_w=_total(_means(read, "gpu_power")),
        node_power_mean_w=_total(_means(read, "node_power")),
    )


def _measure_gpus(read: Read) -> dict[str, Any]:
    util, memory = read("gpu_util"), read("gpu_memory")
    keys = {
        (stream.host, stream.device)
        for sensor in (util, memory, read("gpu_power"))
        for stream, _series in sensor or ()
    }
    found: dict[str, Any] = {
        "gpus": len(keys) or None,
        "gpu_util_mean_frac": _mean(_means(read, "gpu_util")),
        "gpu_util_max_frac": None if util is None else _highest(util.max()),
        "gpu_memory_mean_bytes": _mean(_means(read, "gpu_memory")),
        "gpu_memory_max_bytes": None if memory is None else _highest(memory.max()),
    }
    totals = {
        (stream.host, stream.device): float(series.value[-1])
        for stream, series in read("gpu_memory_total") or ()
    }
    shares = [
        (float(np.nanmax(series.value)) / total, total)
        for stream, series in memory or ()
        if (total := totals.get((stream.host, stream.device), 0.0)) > 0
    ]
    if shares:
        found["gpu_memory_max_frac"], found["gpu_memory_total_bytes"] = max(shares)
    return found


def _measure_cores(read: Read) -> dict[str, Any]:
    """Add up cores over nodes: of the cgroup if it can be read, else of the ranks' processes."""
    for what in ("job_cores", "rank_cores"):
        used = _total(_means(read, what))
        if used is not None:
            return {"cores_used_mean": used, "cores_source": SENSORS[what]}
    return {}


def _measure_memory(read: Read) -> dict[str, Any]:
    used = read("job_memory")
    if used is None:
        return _add_up_ranks(read)
    peaks = {stream.host: float(np.nanmax(series.value)) for stream, series in used}
    host = max(peaks, key=lambda one: peaks[one])
    found: dict[str, Any] = {"memory_peak_bytes": peaks[host], "memory_source": used.name}
    limits = {stream.host: float(series.value[-1]) for stream, series in read("memory_limit") or ()}
    shares = {one: peaks[one] / limits[one] for one in peaks if limits.get(one, 0) > 0}
    if shares:
        tightest = max(shares, key=lambda one: shares[one])
        found |= {
            "memory_peak_bytes": peaks[tightest],
            "memory_limit_bytes": limits[tightest],
            "memory_peak_frac": shares[tightest],
        }
    return found


def _add_up_ranks(read: Read) -> dict[str, Any]:
    """Return the peak of the sum over a node's ranks; memory that ranks share counts for each."""
    sensor = read("rank_memory")
    if sensor is None:
        return {}
    by_host: dict[str, list[Series]] = {}
    for stream, series in sensor:
        by_host.setdefault(stream.host, []).append(series)
    peak = max(_peak_of_sum(group) for group in by_host.values())
    return {"memory_peak_bytes": peak, "memory_source": sensor.name}


def _peak_of_sum(group: list[Series]) -> float:
    """Add values that held at the same time; a rank counts from its first sample to its last."""
    wall_s = np.unique(np.concatenate([one.wall_s for one in group]))
    total = np.zeros(len(wall_s))
    for one in group:
        held = hold_values(one, wall_s)
        total += np.where((wall_s >= one.wall_s[0]) & (wall_s <= one.wall_s[-1]), held, 0.0)
    return float(np.nanmax(total))


def _means(read: Read, what: str) -> FloatArray:
    """Return each stream's mean over the time in which it was read."""
    sensor = read(what)
    if sensor is None:
        return np.zeros(0)
    return np.array(
        [_mean_over_time(series, sensor.find_read(stream, series)) for stream, series in sensor]
    )


def _mean_over_time(series: Series, is_read: NDArray[np.bool_]) -> float:
    held_s = np.where(is_read, np.diff(series.wall_s), 0.0)
    if not held_s.sum() > 0:
        return float(series.value[-1])
    return float(np.average(series.value[:-1], weights=held_s))


def _mean(values: FloatArray) -> float | None:
    return float(np.nanmean(values)) if len(values) and not np.isnan(values).all() else None


def _total(values: FloatArray) -> float | None:
    return float(np.nansum(values)) if len(values) and not np.isnan(values).all() else None


def _highest(values: FloatArray) -> float | None:
    return float(np.nanmax(values)) if len(values) and not np.isnan(values).all() else None
