"""How busy each GPU of a run was while a job lasted, out of its samples. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import NotFoundError
from hpctrack.store.sensor import Sensor
from hpctrack.store.series import Series

SENSORS: Final = ("gpu/util_frac", "gpu/graphics_active_frac")
"""The share of time in which anything ran on a GPU; slices have only the second. The first one that
a device has counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """One GPU, or one slice, in a stretch of time.

    Parameters
    ----------
    host, device : str
    busy_frac : float
        Mean over ``measured_s``.
    peak_frac : float
        The highest sample; 0 if it was never seen at work.
    measured_s : float
        For how long somebody was reading.
    """

    host: str
    device: str
    busy_frac: float
    peak_frac: float
    measured_s: float


def measure_gpu_use(
    find: Callable[[str], Sensor], *, since_wall_s: float, until_wall_s: float
) -> list[GpuUse]:
    """Return what each GPU did in a stretch of time, by host and device.

    Parameters
    ----------
    find : callable
        Returns a sensor by name; raises `NotFoundError` if there is none.
    since_wall_s, until_wall_s : float
        UTC seconds.

    Notes
    -----
    A sample holds until the next one. Time in which nobody was reading is not in it; see
    `hpctrack.store.read_times.ReadTimes`.
    """
    found: dict[tuple[str, str], GpuUse] = {}
    for name in SENSORS:
        try:
            sensor = find(name)
        except NotFoundError:
            continue
        for stream, series in sensor:
            key = (stream.host, stream.device)
            if key not in found:
                is_read = sensor.find_read(stream, series)
                use = _measure(key, series, is_read, since_wall_s, until_wall_s)
                if use is not None:
                    found[key] = use
    return [found[key] for key in sorted(found)]


def _measure(
    key: tuple[str, str],
    series: Series,
    is_read: NDArray[np.bool_],
    since_wall_s: float,
    until_wall_s: float,
) -> GpuUse | None:
    begins_s, ends_s = series.wall_s[:-1], series.wall_s[1:]
    is_read = is_read & ~np.isnan(series.value[:-1])
    held_s = np.minimum(ends_s, until_wall_s) - np.maximum(begins_s, since_wall_s)
    held_s = np.where(is_read, np.maximum(held_s, 0.0), 0.0)
    measured_s = float(held_s.sum())
    if not measured_s > 0:
        return None
    counts = held_s > 0
    values = series.value[:-1][counts]
    return GpuUse(
        host=key[0],
        device=key[1],
        busy_frac=float(np.average(values, weights=held_s[counts])),
        peak_frac=float(values.max()),
        measured_s=measured_s,
    )
