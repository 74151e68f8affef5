"""One vendor's driver over the life of a job: it comes, loses a GPU, goes away and comes back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from hpctrack.telemetry.gpu_health import GpuHealth
from hpctrack.telemetry.gpu_samples import GpuSamples
from hpctrack.telemetry.gpu_scope import Scope, find_scope
from hpctrack.telemetry.gpu_source import (
    Absence,
    DriverAbsentError,
    Gpu,
    GpuLostError,
    GpuReading,
    GpuSource,
)
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.numa import read_pci_node
from hpctrack.telemetry.reading import Device, Happening, Reading, Watch, WatchedRank

PROBE_S: Final = 60.0
PROBE_MAX_S: Final = 600.0
"""How long to wait before a driver, or a lost GPU, is tried again; doubled up to the second. To
initialise NVML anew takes seconds where a GPU is broken, and interrupts the others' readings."""


class GpuWatch:
    """Reads the GPUs of the ranks through one driver.

    Parameters
    ----------
    source : GpuSource
    environ : mapping
        The agent's environment.
    root : Path
        Where ``proc`` and ``sys`` are.

    Attributes
    ----------
    numa_nodes : dict
        Of each GPU and slice of the ranks, by key: the NUMA node that it is attached to, None if
        that is not told.
    changes : int
        Grows when `find_keys` may answer otherwise.
    """

    def __init__(
        self, source: GpuSource, *, environ: Mapping[str, str], root: Path = Path("/")
    ) -> None:
        self._source = source
        self._environ = environ
        self._files = KernelFiles(root)
        self._is_open = False
        self._due_s = -math.inf
        self._pace_s = PROBE_S
        self._absence = ""
        self._gpus: list[Gpu] = []
        self._ranks: tuple[WatchedRank, ...] | None = None
        self._scope = Scope()
        self._lost: set[str] = set()
        self._told: set[str] = set()
        self._speaking: set[str] = set()
        self._happenings: set[Happening] = set()
        self._samples: dict[str, GpuSamples] = {}
        self._health: dict[str, GpuHealth] = {}
        self.numa_nodes: dict[str, int | None] = {}
        self.changes = 0

    def read_into(self, reading: Reading, watch: Watch) -> None:
        """Add what is new and what is measured now."""
        if not watch.ranks and not self._is_open:
            return
        try:
            if not self._is_open or (self._lost and watch.mono_s >= self._due_s):
                self._probe(reading, watch.mono_s)
            if self._is_open:
                self._follow(reading, watch.ranks)
                self._read_gpus(reading, watch.mono_s)
                self._read_events(reading, watch.mono_s)
        except DriverAbsentError as error:
            self._take_absence(reading, error, watch.mono_s)

    @property
    def has_gpus(self) -> bool:
        """Whether the driver is there and lets us have a GPU."""
        return self._is_open and bool(self._gpus)

    def find_keys(self, rank: WatchedRank) -> tuple[str, ...] | None:
        """Return the keys of a rank's devices in its own order, or None if they are not known."""
        gpus = self._scope.by_rank.get(rank)
        return None if gpus is None else tuple(gpu.uuid for gpu in gpus)

    def list_absences(self, key: str) -> Mapping[str, Absence]:
        """Say what of a device has been asked for in vain, and why."""
        gpus = [gpu for gpu in self._gpus if gpu.uuid == key]
        return self._source.list_absences(gpus[0]) if gpus else {}

    def close(self) -> None:
        """Let go of the driver."""
        self._source.close()
        self._is_open = False
        self._due_s = math.inf

    def _probe(self, reading: Reading, mono_s: float) -> None:
        if mono_s < self._due_s:
            return
        self._source.open()
        listed = self._source.list_gpus()
        # A list of numbers means what it meant when the ranks started: with every GPU in it.
        numbers = {gpu.uuid for gpu in listed}
        if all(gpu.uuid in numbers for gpu in self._gpus):
            self._gpus = listed
        if self._absence == "gpu-driver-gone":
            text = f"the {self._source.vendor} driver is back: its GPUs are recorded again"
            reading.happenings.append(Happening("info", "gpu-driver-back", text))
        self._is_open, self._absence, self._ranks = True, "", None
        self._due_s = mono_s + self._pace_s
        self._pace_s = min(self._pace_s * 2, PROBE_MAX_S) if self._lost else PROBE_S
        self._tell_those_back(reading, numbers, mono_s)

    def _tell_those_back(self, reading: Reading, listed: Iterable[str], mono_s: float) -> None:
        for gpu in self._gpus:
            if gpu.uuid in self._lost and gpu.uuid in listed:
                try:
                    self._ask(gpu, mono_s)
                except GpuLostError:
                    continue
                self._lost.discard(gpu.uuid)
                text = f"GPU {gpu.name} at {gpu.pci_bus_id} answers again"
                reading.happenings.append(Happening("info", "gpu-back", text, gpu.uuid))

    def _follow(self, reading: Reading, ranks: tuple[WatchedRank, ...]) -> None:
        if ranks == self._ranks:
            return
        self._ranks = ranks
        self.changes += 1
        self._scope = find_scope(
            ranks, self._gpus, environ=self._environ, files=self._files, vendor=self._source.vendor
        )
        for happening in self._scope.happenings:
            if happening not in self._happenings:
                self._happenings.add(happening)
                reading.happenings.append(happening)
        for gpu in self._scope.gpus:
            if gpu.uuid not in self._told:
                self._told.add(gpu.uuid)
                numa_node = self.numa_nodes[gpu.uuid] = read_pci_node(self._files, gpu.pci_bus_id)
                reading.devices.append(_describe(gpu, numa_node))

    def _read_gpus(self, reading: Reading, mono_s: float) -> None:
        for gpu in self._scope.gpus:
            if gpu.uuid in self._lost:
                continue
            try:
                found = self._ask(gpu, mono_s)
            except GpuLostError as error:
                self._take_loss(reading, gpu, error, mono_s)
                continue
            samples = self._samples.setdefault(gpu.uuid, GpuSamples(gpu))
            reading.samples += samples.make(found, mono_s)
            health = self._health.setdefault(gpu.uuid, GpuHealth(gpu))
            reading.happenings += health.note(found.values, mono_s)

    def _ask(self, gpu: Gpu, mono_s: float) -> GpuReading:
        found = self._source.read(gpu, mono_s)
        has_values = bool(found.values or found.counters)
        if not has_values and gpu.uuid in self._speaking:
            # What a lost GPU says depends on the driver; silence on everything is clear too.
            raise GpuLostError("it answers no question any more")
        if has_values:
            self._speaking.add(gpu.uuid)
        return found

    def _read_events(self, reading: Reading, mono_s: float) -> None:
        whole = {gpu.uuid: gpu for gpu in self._scope.gpus if not gpu.parent}
        for event in self._source.read_events(list(whole.values())):
            gpu = whole.get(event.uuid)
            if gpu is not None:
                health = self._health.setdefault(gpu.uuid, GpuHealth(gpu))
                reading.happenings += health.note_xid(event.xid, mono_s)

    def _take_loss(self, reading: Reading, gpu: Gpu, error: GpuLostError, mono_s: float) -> None:
        if not self._lost:
            self._pace_s = PROBE_S
            self._due_s = mono_s + self._pace_s
        self._lost.add(gpu.uuid)
        text = f"GPU {gpu.name} at {gpu.pci_bus_id} is lost ({error}): it is not recorded any more"
        reading.happenings.append(Happening("error", "gpu-lost", text, gpu.uuid))

    def _take_absence(self, reading: Reading, error: DriverAbsentError, mono_s: float) -> None:
        self._source.close()
        was_open, self._is_open = self._is_open, False
        self._pace_s = PROBE_S if was_open else min(self._pace_s * 2, PROBE_MAX_S)
        self._due_s = mono_s + self._pace_s if error.may_return else math.inf
        # A driver that has gone is told of once, not again as "not loaded" at each try.
        if error.level is not None and not self._absence:
            reading.happenings.append(Happening(error.level, error.code, error.text))
        self._absence = self._absence or error.code


def _describe(gpu: Gpu, numa_node: int | None) -> Device:
    facts = dict(gpu.facts)
    if numa_node is not None and not gpu.parent:
        facts["numa_node"] = numa_node
    kind = "mig" if gpu.parent else "gpu"
    return Device(kind=kind, key=gpu.uuid, name=gpu.name, parent=gpu.parent, facts=facts)
