"""What a stored run was measured to use: sensors and devices; `StoredRun` inherits it."""

from __future__ import annotations

import abc
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from hpctrack.errors import NotFoundError
from hpctrack.store.carbon import find_intensity
from hpctrack.store.columns import Columns
from hpctrack.store.described import DescribedRun
from hpctrack.store.energy import Energy, measure_energy
from hpctrack.store.events import NodeEvents
from hpctrack.store.metric import Metric
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.read_times import ReadTimes, find_read_times
from hpctrack.store.schema import EventKind
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.sensor import DeviceRecord, Sensor
from hpctrack.store.streams import SensorColumns, join_sensors


class MeasuredRun(DescribedRun):
    """A run's telemetry."""

    _times: ReadTimes | None = None

    @abc.abstractmethod
    def _parts(self) -> tuple[SealedReader | None, list[NodeReader]]:
        """Return the files to read; `StoredRun` knows them."""

    @abc.abstractmethod
    def sources(self) -> list[NodeEvents]:
        """Return what each node file says; `StoredRun` reads it."""

    def sensors(self) -> list[str]:
        """Return the names of what was sampled on the nodes, sorted; none if nothing was."""
        sealed, readers = self._parts()
        names = {name for reader in readers for name in reader.read_sensors()}
        return sorted(names | set(sealed.sensor_names() if sealed else ()))

    def sensor(self, name: str) -> Sensor:
        """Return all samples of one sensor.

        Parameters
        ----------
        name : str
            Such as ``gpu/util_frac``; `sensors` lists them.

        Raises
        ------
        NotFoundError
            It was never sampled; the hint names the nearest ones.
        """
        sealed, readers = self._parts()
        parts: list[SensorColumns] = []
        earlier = sealed.read_sensor(name) if sealed else None
        if earlier is not None:
            parts.append(earlier)
        for reader in readers:
            found = reader.read_sensors().get(name)
            if found is not None:
                parts.append(found)
        if not parts:
            near = difflib.get_close_matches(name, self.sensors(), n=3, cutoff=0.4)
            hint = f"did you mean {', '.join(near)}?" if near else "`run.sensors()` lists them"
            raise NotFoundError(f"run {self.id} has no samples of {name!r}", hint=hint)
        return Sensor(name, join_sensors(parts), self._find_times)

    def devices(self, kind: str | None = None) -> list[DeviceRecord]:
        """Return the devices that samples are of, by host and key.

        Parameters
        ----------
        kind : str, optional
            Such as ``gpu``; default all.
        """
        found = _read_devices(self.sources())
        return [one for one in found if kind is None or one.kind == kind]

    def energy(
        self, *, intensity: str | float = "WORLD", samples: float | str | None = None
    ) -> Energy:
        """Return what the run has used: joules by host, device and rank, kWh and CO2.

        Parameters
        ----------
        intensity : str or float, optional
            Country code, or grams of CO2 equivalent per kWh; see `find_intensity`.
        samples : float or str, optional
            How many samples were processed, or the metric whose highest value says it.

        Raises
        ------
        NotFoundError
            Nothing of the kind was measured, or there is no such metric.
        UsageError
            No such country is known.
        """
        grams = find_intensity(intensity)
        count = self._highest(samples) if isinstance(samples, str) else samples
        missing: tuple[str, ...] = ()
        if self.sensors():
            sources = self.sources()
            hosts = {str(one.facts.get("host", "")) for one in sources}
            devices = list(_read_devices(sources))
            found = measure_energy(
                self.sensor,
                devices,
                hosts,
                times=self._find_times(),
                intensity=grams,
                samples=count,
            )
            if found.by_host:
                return replace(found, steps=self._count_steps())
            missing = found.missing
        raise NotFoundError(
            f"no energy was measured for run {self.id}",
            hint="; ".join(
                (*missing, "`hpctrack doctor` on the node says which meters can be read there")
            ),
        )

    @abc.abstractmethod
    def metric(self, name: str, *, attempt: int | None = None) -> Metric:
        """Return one metric; `StoredRun` reads it."""

    @abc.abstractmethod
    def columns(self, names: Sequence[str] | None = None) -> dict[str, Columns]:
        """Return the points of metrics; `StoredRun` reads them."""

    def _find_times(self) -> ReadTimes:
        """Return when somebody was reading; kept until `refresh`, as each sensor asks."""
        if self._times is None:
            self._times = find_read_times(self.sources())
        return self._times

    def _highest(self, name: str) -> float:
        return float(self.metric(name).summary()["max"])

    def _count_steps(self) -> int:
        """Count the distinct steps of the metric that has most, reading nothing but steps."""
        sealed, readers = self._parts()
        if sealed and not readers:
            return sealed.count_steps()
        counts = (len(np.unique(one.step)) for one in self.columns().values())
        return max(counts, default=0)


def _read_devices(sources: Sequence[NodeEvents]) -> Iterable[DeviceRecord]:
    known: dict[tuple[str, str], DeviceRecord] = {}
    for source in sources:
        host, node = str(source.facts.get("host", "")), int(source.facts.get("node", 0))
        for event in source.events:
            if event.kind != EventKind.DEVICE:
                continue
            said = event.json()
            key, ranks = str(said.get("key", "")), said.get("ranks")
            known[host, key] = DeviceRecord(
                host,
                node,
                key,
                kind=str(said.get("kind", "")),
                name=str(said.get("name", "")),
                parent=str(said.get("parent", "")),
                facts=dict(said.get("facts") or {}),
                ranks=None if ranks is None else tuple(int(one) for one in ranks),
            )
    return [known[one] for one in sorted(known)]
