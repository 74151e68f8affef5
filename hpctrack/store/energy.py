"""What a run has used: joules by host, device and rank, out of its samples. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import NotFoundError
from hpctrack.store.carbon import CarbonIntensity
from hpctrack.store.read_times import ReadTimes
from hpctrack.store.schema import FloatArray
from hpctrack.store.sensor import DeviceRecord, Sensor
from hpctrack.store.series import Series
from hpctrack.store.spent import Spent, find_spent, grow
from hpctrack.store.streams import Stream

J_PER_KWH = 3.6e6

ALL_FRAC = 0.95
"""What was measured for less than this share of the run's time is told as a part."""

IDLE_UTIL_FRAC = 0.05
"""A GPU that is busy for less than this share of the time is idle."""

GPU_COUNTER, GPU_POWER, GPU_UTIL = "gpu/energy_j_total", "gpu/power_w", "gpu/util_frac"
PARENT_COUNTER, PARENT_POWER = "gpu/parent_energy_j_total", "gpu/parent_power_w"
NODE_COUNTER, NODE_POWER = "energy/node_j_total", "power/node_w"
CPU_METERS = (
    ("energy/cpu_package_j_total", "power/cpu_package_w"),
    ("energy/dram_j_total", "power/dram_w"),
)
CPU_AND_MEMORY_METERS = (
    ("energy/cpu_j_total", "power/cpu_w"),
    ("energy/memory_j_total", "power/memory_w"),
)
"""What Cray's firmware, or Slurm, tells instead."""

RANK_CPU = "process/cpu_s_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What a run has used, as far as it was measured.

    Parameters
    ----------
    joules : float
        Of all hosts. Where a host's meter was read it counts, unless it tells less than the
        host's own GPUs and processors together; else these.
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
        One line for each thing that is not in it, time in which nothing was measured too.
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


Key = tuple[str, str]
"""Host, and key of a device."""


@dataclass(slots=True)
class _Account:
    """What is known of each host while it is added up."""

    meter: dict[str, Spent] = field(default_factory=dict)
    gpu: dict[Key, Spent] = field(default_factory=dict)
    parent: dict[Key, Spent] = field(default_factory=dict)
    cpu: dict[Key, list[Spent]] = field(default_factory=dict)
    idle: dict[Key, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def find_parts(self, host: str) -> list[tuple[str, Spent]]:
        """Return what was measured of a host's GPUs and processors, each with its key."""
        found = [(key, one) for (of, key), one in self.gpu.items() if of == host]
        return found + [
            (key, one) for (of, key), some in self.cpu.items() if of == host for one in some
        ]


def measure_energy(
    find: Callable[[str], Sensor],
    devices: Sequence[DeviceRecord],
    hosts: Iterable[str],
    *,
    times: ReadTimes,
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
    times : ReadTimes
        Say for how long.
    steps, intensity, samples
        See `Energy`.

    Notes
    -----
    Of each meter see `find_spent`. One that has told nothing is in none of the mappings: what was
    not measured is not 0. A meter of the whole host that tells less than what was measured of its
    devices alone, because it was read later or does not move, is not its total.
    """
    account = _Account()
    for (host, _device), spent in _read_pairs(find, NODE_COUNTER, NODE_POWER).items():
        account.meter.setdefault(host, spent)
    account.gpu = _drop_silent(_read_pairs(find, GPU_COUNTER, GPU_POWER))
    account.parent = _drop_silent(_read_pairs(find, PARENT_COUNTER, PARENT_POWER))
    _read_processors(find, account)
    _find_idle(find, account)
    by_host: dict[str, float] = {}
    for host in sorted(hosts):
        joules = _add_up(host, account, devices, times)
        if joules > 0:
            by_host[host] = joules
    cpu_j = {key: sum(one.total_j for one in some) for key, some in account.cpu.items()}
    gpu_j = {key: one.total_j for key, one in account.gpu.items()}
    return Energy(
        joules=sum(by_host.values()),
        by_host=by_host,
        by_device={**gpu_j, **cpu_j},
        by_rank=_divide(find, gpu_j, cpu_j, devices),
        idle_j=sum(account.idle.values()) if account.idle else None,
        gpu_j=sum(gpu_j[key] for key in account.idle),
        steps=steps,
        samples=samples,
        intensity=intensity,
        missing=tuple(account.missing),
    )


def hold_values(series: Series, wall_s: FloatArray) -> FloatArray:
    """Return the value that was the latest at each time; NaN before the first."""
    place = np.searchsorted(series.wall_s, wall_s, side="right") - 1
    return np.where(place < 0, np.nan, series.value[np.maximum(place, 0)])


def _read(find: Callable[[str], Sensor], name: str) -> Sensor | None:
    try:
        return find(name)
    except NotFoundError:
        return None


def _read_all(
    find: Callable[[str], Sensor], name: str
) -> dict[Stream, tuple[Series, NDArray[np.bool_]]]:
    """Return each stream's samples, and between which of them somebody was reading."""
    sensor = _read(find, name)
    if sensor is None:
        return {}
    return {stream: (series, sensor.find_read(stream, series)) for stream, series in sensor}


def _read_pairs(
    find: Callable[[str], Sensor], counter: str, power: str, *, is_counted: bool = False
) -> dict[Key, Spent]:
    """Return what each meter tells that has power or a counter; or only if it has a counter.

    A host may have another number in the job at each attempt: then its meters have more streams.
    """
    counters, powers = _read_all(find, counter), _read_all(find, power)
    found: dict[Key, Spent] = {}
    for stream in counters if is_counted else dict.fromkeys([*counters, *powers]):
        spent = find_spent(counters.get(stream), powers.get(stream))
        key = (stream.host, stream.device)
        found[key] = found[key] + spent if key in found else spent
    return found


def _drop_silent(found: dict[Key, Spent]) -> dict[Key, Spent]:
    return {key: spent for key, spent in found.items() if spent.total_j > 0}


def _read_processors(find: Callable[[str], Sensor], account: _Account) -> None:
    for pairs in (CPU_METERS, CPU_AND_MEMORY_METERS):
        known = {host for host, _key in account.cpu}
        for counter, power in pairs:
            found = _drop_silent(_read_pairs(find, counter, power, is_counted=True))
            for (host, device), spent in found.items():
                if host not in known:
                    account.cpu.setdefault((host, device or counter), []).append(spent)


def _find_idle(find: Callable[[str], Sensor], account: _Account) -> None:
    uses: dict[Key, list[Series]] = {}
    for stream, (series, _is_read) in _read_all(find, GPU_UTIL).items():
        uses.setdefault((stream.host, stream.device), []).append(series)
    for key, some in uses.items():
        spent = account.gpu.get(key)
        if spent is not None:
            # Before its first sample a use is not known; of several the latest to begin counts.
            used = np.full(len(spent.begin_s), np.nan)
            for series in sorted(some, key=lambda one: float(one.wall_s[0])):
                held = hold_values(series, spent.begin_s)
                used = np.where(np.isnan(held), used, held)
            account.idle[key] = float(spent.joules[used < IDLE_UTIL_FRAC].sum())


def _add_up(
    host: str, account: _Account, devices: Sequence[DeviceRecord], times: ReadTimes
) -> float:
    """Return what a host has used, and name what is not in it; 0 if nothing was measured."""
    parts = account.find_parts(host)
    parts_j = sum(spent.total_j for _key, spent in parts)
    meter = account.meter.get(host)
    if meter is not None and meter.total_j > 0 and meter.total_j >= parts_j:
        _name_time(host, [("the node's meter", meter)], account, times)
        return meter.total_j
    _name_time(host, parts, account, times)
    if meter is not None and meter.total_j > 0:
        told = f"{meter.total_j:,.0f} J in {meter.total_s:,.0f} s"
        account.missing.append(
            f"{host}: the node's meter (it told {told}, less than its devices: {parts_j:,.0f} J)"
        )
    elif meter is not None:
        account.missing.append(f"{host}: the node's meter (it told nothing)")
    _name_missing(host, account, devices)
    return parts_j


def _name_time(
    host: str, parts: list[tuple[str, Spent]], account: _Account, times: ReadTimes
) -> None:
    """Say for how much of the run the part was measured that was measured least."""
    ran_s = times.ran_s(host)
    if not parts or not ran_s > 0:
        return
    what, least = min(parts, key=lambda one: one[1].total_s)
    if least.total_s < ALL_FRAC * ran_s:
        share = f"{least.total_s / ran_s:.0%} of the run's time"
        account.missing.append(
            f"{host}: {ran_s - least.total_s:,.1f} s of {ran_s:,.1f} s "
            f"({what} was measured for {share})"
        )


def _name_missing(host: str, account: _Account, devices: Sequence[DeviceRecord]) -> None:
    has_cpu = any(of == host for of, _key in account.cpu)
    gpus = {one.key for one in devices if one.host == host and one.kind == "gpu"}
    metered = {key for of, key in account.gpu if of == host}
    shared = {key for of, key in account.parent if of == host} - metered
    unmetered = gpus - metered - shared
    if not has_cpu:
        account.missing.append(f"{host}: processors and memory (no meter can be read)")
    if shared:
        joules = sum(account.parent[host, key].total_j for key in shared)
        account.missing.append(
            f"{host}: the job's slices of {len(shared)} GPUs (power of slices is not told apart; "
            f"with all others on them these GPUs used {joules:,.0f} J)"
        )
    if unmetered:
        account.missing.append(f"{host}: {len(unmetered)} GPUs that tell no power")
    if has_cpu or metered:
        account.missing.append(f"{host}: board, fans, network and losses of the power supply")


def _divide(
    find: Callable[[str], Sensor],
    gpu_j: Mapping[Key, float],
    cpu_j: Mapping[Key, float],
    devices: Sequence[DeviceRecord],
) -> dict[int, float]:
    by_rank: dict[int, float] = {}
    users = {(one.host, one.key): one.ranks for one in devices}
    for key, joules in gpu_j.items():
        ranks = users.get(key) or ()
        for rank in ranks:
            by_rank[rank] = by_rank.get(rank, 0.0) + joules / len(ranks)
    used: dict[str, dict[int, float]] = {}
    sensor = _read(find, RANK_CPU)
    for stream, series in sensor or ():
        if sensor is not None and stream.rank >= 0:
            grown = grow(series, sensor.find_read(stream, series))
            of = used.setdefault(stream.host, {})
            of[stream.rank] = of.get(stream.rank, 0.0) + grown
    for (host, _key), joules in cpu_j.items():
        total = sum(used.get(host, {}).values())
        for rank, cpu_s in used.get(host, {}).items() if total else ():
            by_rank[rank] = by_rank.get(rank, 0.0) + joules * cpu_s / total
    return dict(sorted(by_rank.items()))
