"""What a run has used: joules by host, device and rank, out of its samples. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpctrack.errors import NotFoundError
from hpctrack.store.carbon import CarbonIntensity
from hpctrack.store.schema import FloatArray
from hpctrack.store.sensor import DeviceRecord, Sensor
from hpctrack.store.series import Series

J_PER_KWH = 3.6e6

GAP_S = 150.0
"""Between two samples that are further apart than this nobody was reading: an attempt had ended, or
the source hung. A value that does not change is written once a minute, see `Sensor`."""

IDLE_UTIL_FRAC = 0.05
"""A GPU that is busy for less than this share of the time is idle."""

GPU_COUNTER, GPU_POWER, GPU_UTIL = "gpu/energy_j_total", "gpu/power_w", "gpu/util_frac"
NODE_COUNTERS = ("energy/node_j_total",)
NODE_POWERS = ("power/node_w",)
CPU_COUNTERS = ("energy/cpu_package_j_total", "energy/dram_j_total")
CPU_AND_MEMORY_COUNTERS = ("energy/cpu_j_total", "energy/memory_j_total")
"""What Cray's firmware tells instead."""

RANK_CPU = "process/cpu_s_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What a run has used, as far as it was measured.

    Parameters
    ----------
    joules : float
        Of all hosts. Where a host's meter was read it counts; else its GPUs and processors.
    by_host : mapping
        Joules by host.
    by_device : mapping
        Joules by (host, key of the device): GPUs and processor packages.
    by_rank : mapping
        Joules of devices that only some ranks may use, in equal parts, and of the host's
        processors, by the ranks' shares of processor time. What no rank can be named for is
        in nobody's.
    idle_j : float or None
        What GPUs used while they were idle; None if there are no GPUs whose use is known.
    gpu_j : float
    steps : int
        Distinct steps that were logged.
    samples : float or None
        What the caller says was processed.
    intensity : CarbonIntensity
    missing : tuple of str
        One line for each thing that is not in it.
    """

    joules: float
    by_host: Mapping[str, float]
    by_device: Mapping[tuple[str, str], float]
    by_rank: Mapping[int, float]
    idle_j: float | None
    gpu_j: float
    steps: int
    samples: float | None
    intensity: CarbonIntensity
    missing: tuple[str, ...]

    @property
    def kwh(self) -> float:
        """Kilowatt-hours."""
        return self.joules / J_PER_KWH

    @property
    def co2_g(self) -> float:
        """Grams of CO2 equivalent."""
        return self.kwh * self.intensity.g_per_kwh

    @property
    def idle_frac(self) -> float | None:
        """The share of the GPUs' energy that was used while they were idle."""
        return None if self.idle_j is None or not self.gpu_j else self.idle_j / self.gpu_j

    @property
    def j_per_step(self) -> float | None:
        """Joules per step; None if nothing was logged."""
        return self.joules / self.steps if self.steps else None

    @property
    def j_per_sample(self) -> float | None:
        """Joules per sample; None if nobody said how many there were."""
        return self.joules / self.samples if self.samples else None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "joules": self.joules,
            "kwh": self.kwh,
            "co2_g": self.co2_g,
            "intensity_g_per_kwh": self.intensity.g_per_kwh,
            "intensity_source": f"{self.intensity.place}: {self.intensity.source}",
            "idle_frac": self.idle_frac,
            "j_per_step": self.j_per_step,
            "j_per_sample": self.j_per_sample,
            "by_host": dict(self.by_host),
            "by_device": {
                f"{host}/{key}": joules for (host, key), joules in self.by_device.items()
            },
            "by_rank": {str(rank): joules for rank, joules in self.by_rank.items()},
            "missing": list(self.missing),
        }


@dataclass(slots=True)
class _Account:
    """What is known of each host while it is added up."""

    meter: dict[str, float] = field(default_factory=dict)
    gpu: dict[tuple[str, str], float] = field(default_factory=dict)
    cpu: dict[tuple[str, str], float] = field(default_factory=dict)
    idle: dict[tuple[str, str], float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def measure_energy(
    find: Callable[[str], Sensor],
    devices: Sequence[DeviceRecord],
    hosts: Iterable[str],
    *,
    intensity: CarbonIntensity,
    steps: int = 0,
    samples: float | None = None,
) -> Energy:
    """Add up what was sampled.

    Parameters
    ----------
    find : callable
        Returns a sensor by name; raises `NotFoundError` if there is none.
    devices : sequence of DeviceRecord
        Say which ranks may use which GPU.
    hosts : iterable of str
        All that took part.
    steps, intensity, samples
        See `Energy`.

    Notes
    -----
    A counter is preferred to power: it has seen what happened between two samples. Its growth is
    added up; what a counter grew while nobody was reading is not the run's, and one that begins
    anew adds nothing for that interval. Power counts for as long as it was the latest value.
    """
    account = _Account()
    _read_meters(find, account)
    _read_gpus(find, account)
    _read_processors(find, account)
    by_host: dict[str, float] = {}
    for host in sorted(hosts):
        parts = [
            joules
            for found in (account.gpu, account.cpu)
            for (of, _key), joules in found.items()
            if of == host
        ]
        if host in account.meter:
            by_host[host] = account.meter[host]
        elif parts:
            by_host[host] = sum(parts)
        _name_missing(host, account, devices)
    return Energy(
        joules=sum(by_host.values()),
        by_host=by_host,
        by_device={**account.gpu, **account.cpu},
        by_rank=_divide(find, account, devices),
        idle_j=sum(account.idle.values()) if account.idle else None,
        gpu_j=sum(account.gpu[key] for key in account.idle),
        steps=steps,
        samples=samples,
        intensity=intensity,
        missing=tuple(account.missing),
    )


def count_growth(series: Series) -> float:
    """Return how much a counter grew while it was read."""
    return float(_growth(series).sum())


def _growth(series: Series) -> FloatArray:
    """Return the growth in each interval; 0 where nobody was reading, or it began anew."""
    grown = np.diff(series.value)
    grown[(grown < 0) | (np.diff(series.wall_s) > GAP_S)] = 0
    return np.asarray(grown, np.float64)


def integrate(series: Series) -> float:
    """Return power over time; a value counts until the next one, unless nobody was reading."""
    return float(_spent(series).sum())


def find_held_s(series: Series) -> FloatArray:
    """Return for how long each value but the last held; 0 where nobody was reading.

    Returns
    -------
    ndarray of float64, shape (n - 1,)
        Seconds.
    """
    held_s = np.diff(series.wall_s)
    return np.asarray(np.where((held_s < 0) | (held_s > GAP_S), 0.0, held_s))


def hold_values(series: Series, wall_s: FloatArray) -> FloatArray:
    """Return the value that was the latest at each time; NaN before the first."""
    place = np.searchsorted(series.wall_s, wall_s, side="right") - 1
    return np.where(place < 0, np.nan, series.value[np.maximum(place, 0)])


def _spent(series: Series) -> FloatArray:
    return np.asarray(series.value[:-1] * find_held_s(series), np.float64)


def _read(find: Callable[[str], Sensor], name: str) -> Sensor | None:
    try:
        return find(name)
    except NotFoundError:
        return None


def _read_meters(find: Callable[[str], Sensor], account: _Account) -> None:
    for names, measure in ((NODE_COUNTERS, count_growth), (NODE_POWERS, integrate)):
        for name in names:
            for stream, series in _read(find, name) or ():
                account.meter.setdefault(stream.host, measure(series))


def _read_gpus(find: Callable[[str], Sensor], account: _Account) -> None:
    use = {(one.host, one.device): series for one, series in _read(find, GPU_UTIL) or ()}
    for name, measure in ((GPU_COUNTER, _growth), (GPU_POWER, _spent)):
        for stream, series in _read(find, name) or ():
            key = (stream.host, stream.device)
            if account.gpu.get(key):
                continue  # but a counter that stands still while power is drawn does not count
            spent = measure(series)
            account.gpu[key] = float(spent.sum())
            if key in use:
                idle = hold_values(use[key], series.wall_s[:-1]) < IDLE_UTIL_FRAC
                account.idle[key] = float(spent[idle].sum())


def _read_processors(find: Callable[[str], Sensor], account: _Account) -> None:
    for names in (CPU_COUNTERS, CPU_AND_MEMORY_COUNTERS):
        known = {host for host, _key in account.cpu}
        for name in names:
            for stream, series in _read(find, name) or ():
                if stream.host not in known:
                    key = (stream.host, stream.device or name)
                    account.cpu[key] = account.cpu.get(key, 0.0) + count_growth(series)


def _name_missing(host: str, account: _Account, devices: Sequence[DeviceRecord]) -> None:
    if host in account.meter:
        return
    has_cpu = any(of == host for of, _key in account.cpu)
    gpus = {one.key for one in devices if one.host == host and one.kind == "gpu"}
    unmetered = gpus - {key for of, key in account.gpu if of == host}
    if not has_cpu:
        account.missing.append(f"{host}: processors and memory (no meter can be read)")
    if unmetered:
        account.missing.append(f"{host}: {len(unmetered)} GPUs that tell no power")
    if has_cpu or gpus - unmetered:
        account.missing.append(f"{host}: board, fans, network and losses of the power supply")


def _divide(
    find: Callable[[str], Sensor], account: _Account, devices: Sequence[DeviceRecord]
) -> dict[int, float]:
    by_rank: dict[int, float] = {}
    users = {(one.host, one.key): one.ranks for one in devices}
    for key, joules in account.gpu.items():
        ranks = users.get(key) or ()
        for rank in ranks:
            by_rank[rank] = by_rank.get(rank, 0.0) + joules / len(ranks)
    used: dict[str, dict[int, float]] = {}
    for stream, series in _read(find, RANK_CPU) or ():
        if stream.rank >= 0:
            used.setdefault(stream.host, {})[stream.rank] = count_growth(series)
    for (host, _key), joules in account.cpu.items():
        total = sum(used.get(host, {}).values())
        for rank, cpu_s in used.get(host, {}).items() if total else ():
            by_rank[rank] = by_rank.get(rank, 0.0) + joules * cpu_s / total
    return dict(sorted(by_rank.items()))
