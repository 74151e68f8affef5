"""From what a driver answers to samples: rates and totals out of counters. Pure."""

from __future__ import annotations

from typing import Final

from hpctrack.telemetry.asks import SLOW_S
from hpctrack.telemetry.gpu_source import OF_THE_WHOLE, Counter, Gpu, GpuReading
from hpctrack.telemetry.growth import Growth
from hpctrack.telemetry.reading import Sample

POWER_MOST_W: Final = 5_000.0
"""No GPU draws this much; a counter of energy that says so has been reset, or lies."""

RATE_MOST_BYTES_PER_S: Final = 4e12
"""The same for links."""

SELDOM: Final = frozenset({"memory_total_bytes", "memory_reserved_bytes"})
"""What comes with a reading but hardly ever changes: told when it does, and as often as what is
asked for seldom."""


class GpuSamples:
    """Makes the samples of one GPU, or one slice.

    Parameters
    ----------
    gpu : Gpu
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._growths: dict[str, Growth] = {}
        self._last_s: float | None = None
        self._seldom: dict[str, tuple[float, float]] = {}
        self._names: dict[str, str] = {}

    def make(self, reading: GpuReading, mono_s: float) -> list[Sample]:
        """Return all samples of a reading.

        Parameters
        ----------
        reading : GpuReading
        mono_s : float
            When it was taken.
        """
        key = self._gpu.uuid
        samples = [
            Sample(self._names.get(name) or self._learn_name(name), float(value), key)
            for name, value in reading.values.items()
            if name not in SELDOM or self._is_due(name, value, mono_s)
        ]
        passed_s = mono_s - self._last_s if self._last_s is not None else 0.0
        self._last_s = mono_s
        for name, counter in reading.counters.items():
            if name == "energy_j":
                samples.append(self._add_energy(counter, passed_s))
            else:
                samples += self._find_rate(name, counter, passed_s)
        for process in reading.processes:
            if process.memory_bytes is not None:
                memory = float(process.memory_bytes)
                samples.append(Sample("gpu/process_memory_bytes", memory, key, process.pid))
            if process.sm_util_frac is not None:
                share = process.sm_util_frac
                samples.append(Sample("gpu/process_sm_util_frac", share, key, process.pid))
        return samples

    def _learn_name(self, name: str) -> str:
        found = self._names[name] = self._name(name, OF_THE_WHOLE)
        return found

    def _name(self, name: str, named_apart: frozenset[str]) -> str:
        is_apart = self._gpu.is_sliced and name in named_apart
        return f"gpu/parent_{name}" if is_apart else f"gpu/{name}"

    def _is_due(self, name: str, value: float, mono_s: float) -> bool:
        last, last_s = self._seldom.get(name, (None, 0.0))
        if value == last and mono_s - last_s < SLOW_S:
            return False
        self._seldom[name] = (value, mono_s)
        return True

    def _add_energy(self, counter: Counter, passed_s: float) -> Sample:
        growth = self._growths.setdefault("energy_j", Growth())
        # A second more, as the driver's own clock is not ours.
        growth.add(counter.raw, POWER_MOST_W * (passed_s + 1.0) / counter.scale)
        name = self._name("energy_j_total", frozenset({"energy_j_total"}))
        return Sample(name, growth.total * counter.scale, self._gpu.uuid)

    def _find_rate(self, name: str, counter: Counter, passed_s: float) -> list[Sample]:
        growth = self._growths.setdefault(name, Growth())
        most = RATE_MOST_BYTES_PER_S * (passed_s + 1.0) / counter.scale
        resets = growth.resets
        step = growth.add(counter.raw, most)
        if step is None or passed_s <= 0 or growth.resets != resets:
            return []
        return [Sample(f"gpu/{name}_per_s", step * counter.scale / passed_s, self._gpu.uuid)]
