"""What the System tab asks for: sensors, samples, limits, marks, energy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.errors import HpctrackError, NotFoundError, UsageError
from hpctrack.store.read_times import find_read_times
from hpctrack.store.streams import Stream
from hpctrack_server.data.cache import ByteCache
from hpctrack_server.data.downsample import IntArray
from hpctrack_server.data.encode import Packed, make_encodable, pack_arrays, pack_floats
from hpctrack_server.data.entries import Entry, reading
from hpctrack_server.data.matrix.hosts import natural
from hpctrack_server.data.matrix.marks import list_marks
from hpctrack_server.data.matrix.picture import choose_limits, encode
from hpctrack_server.data.matrix.plane import How, reduce_ranks
from hpctrack_server.data.matrix.samples import Samples, make_line, make_strips
from hpctrack_server.data.matrix.sensor_groups import LIMITS, find_unit, group_sensors
from hpctrack_server.data.matrix.used import measure_used

LINES_MAX = 12
"""More lines than this cannot be told apart: they become strips."""

CACHE_BYTES = 256 * 1024 * 1024
SAMPLES_MAX = 16_000_000
"""More of one sensor are not read at once: 640 MB while that is done."""

FACTS_MAX = 500
"""Answers that are kept because making them reads all of a run's events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorQuery:
    """What a chart of a sensor asks for.

    Parameters
    ----------
    name : str
    host, device : str
        Only of these; empty: all.
    start_s, stop_s : float or None
        Seconds since the run began.
    width, height : int
        Pixels.
    how : How
    """

    name: str
    host: str = ""
    device: str = ""
    start_s: float | None = None
    stop_s: float | None = None
    width: int = 800
    height: int = 160
    how: How = How.MEAN


@dataclass(frozen=True, slots=True)
class _Held:
    version: int
    streams: tuple[Stream, ...]
    samples: Samples


class Telemetry:
    """Samples of runs, kept within a bound. For the thread of numbers only."""

    def __init__(self) -> None:
        self._cache: ByteCache[_Held] = ByteCache(CACHE_BYTES)
        self._facts: dict[tuple[Path, str], tuple[int, Any]] = {}

    def describe(self, entry: Entry) -> dict[str, Any]:
        """Return groups of sensors, hosts, devices, marks and the time that charts cover."""
        with reading(entry.label):
            found: dict[str, Any] = self._keep(entry, "describe", lambda: self._describe(entry))
            return found

    def energy(self, entry: Entry) -> dict[str, Any]:
        """Return what was used, by host and device; ``missing`` says what of it is not known."""
        with reading(entry.label):
            found: dict[str, Any] = self._keep(entry, "energy", lambda: measure_used(entry))
            return found

    def draw(self, entry: Entry, query: SensorQuery) -> bytes:
        """Return the samples of a sensor for a chart: lines of a few devices, strips of many.

        Raises
        ------
        HpctrackError
            There is no such sensor, host or device, or it cannot be read.
        """
        with reading(entry.label):
            held = self._samples(entry, query.name)
        which = choose_streams(held.streams, query.host, query.device)
        if not len(which):
            raise NotFoundError(
                f"{query.name!r} has no samples of that host or device",
                hint="choose another one, or all",
            )
        record = entry.read()
        begin_s, end_s = self._span(entry)
        # Clocks of nodes differ, and a run may have been cut off: no sample is left outside.
        end_s = max(end_s, held.samples.extent()[1])
        start_s = begin_s if query.start_s is None else query.start_s
        stop_s = end_s if query.stop_s is None else query.stop_s
        stop_s = stop_s if stop_s > start_s else start_s + 1.0
        streams = [held.streams[one] for one in which.tolist()]
        samples = held.samples.take(which) if len(which) < len(held.streams) else held.samples
        head = {
            "name": query.name, "unit": find_unit(query.name), "version": entry.version,
            "start": start_s, "stop": stop_s, "begin": begin_s, "end": end_s,
            "created": record.created_wall_s, "samples": len(samples.time_s),
            "limits": self._limits(entry, query), "total_streams": len(streams),
        }  # fmt: skip
        make = _pack_lines if len(streams) <= LINES_MAX else _pack_strips
        return make(samples, streams, (start_s, stop_s), query, head)

    def _describe(self, entry: Entry) -> dict[str, Any]:
        run, record = entry.run, entry.read()
        names = run.sensors()
        devices = run.devices()
        begin_s, end_s = self._span(entry)
        hosts = sorted({one.host for one in devices} | set(_hosts(entry)), key=natural)
        return {
            "groups": [
                {"key": group.key, "title": group.title,
                 "sensors": [{"name": one, "unit": find_unit(one)} for one in found]}
                for group, found in group_sensors(names)
            ],
            "hosts": hosts,
            "devices": [
                {"host": one.host, "key": one.key, "kind": one.kind, "name": one.name,
                 "ranks": None if one.ranks is None else list(one.ranks)}
                for one in devices
            ],
            "marks": list_marks(entry),
            "begin": begin_s, "end": end_s, "created": record.created_wall_s,
            "version": entry.version,
        }  # fmt: skip

    def _samples(self, entry: Entry, name: str) -> _Held:
        key = (entry.run.folder, name)
        held = self._cache.get(key)
        if held is not None and held.version == entry.version:
            return held
        sensor = entry.run.sensor(name)
        if len(sensor) > SAMPLES_MAX:
            raise UsageError(
                f"{name!r} has {len(sensor):,} samples: too many to be drawn here",
                hint=f"read it with Store(...).run({entry.run.id!r}).sensor({name!r})",
            )
        held = _Held(entry.version, sensor.streams, _make_samples(sensor, entry, self._gap(entry)))
        self._cache.put(key, held, held.samples.size_bytes)
        return held

    def _gap(self, entry: Entry) -> float:
        times = self._keep(entry, "times", lambda: find_read_times(entry.run.sources()))
        return float(times.gap_s)

    def _span(self, entry: Entry) -> tuple[float, float]:
        """Return the time of the run in seconds since it began; at least that of its ranks."""
        record = entry.read()
        times = self._keep(entry, "times", lambda: find_read_times(entry.run.sources()))
        spans = [span for found in times.spans.values() for span in found]
        ends = [end_s for _begin_s, end_s in spans] + [record.ended_wall_s or 0.0]
        begins = [begin_s for begin_s, _end_s in spans] + [record.created_wall_s]
        last = max(ends)
        first = min(begins) - record.created_wall_s
        return first, max(last - record.created_wall_s, first + 1.0)

    def _limits(self, entry: Entry, query: SensorQuery) -> list[dict[str, Any]]:
        """Return what bounds a sensor: the different last values of the sensor that tells it."""
        other = LIMITS.get(query.name)
        if query.name.endswith("_frac"):
            return []
        if other is None:
            return []
        try:
            held = self._samples(entry, other)
        except HpctrackError:
            return []
        which = choose_streams(held.streams, query.host, "")
        ends = held.samples.starts[which + 1] - 1
        values = sorted({float(one) for one in held.samples.value[ends].tolist()})
        chosen = values if len(values) <= 2 else [values[0], values[-1]]  # noqa: PLR2004
        return [{"name": other, "value": one} for one in chosen]

    def _keep(self, entry: Entry, what: str, make: Any) -> Any:
        key = (entry.run.folder, what)
        held = self._facts.get(key)
        if held is None or held[0] != entry.version:
            held = (entry.version, make())
            self._facts[key] = held
            while len(self._facts) > FACTS_MAX:
                self._facts.pop(next(iter(self._facts)))
        return held[1]


def choose_streams(streams: Sequence[Stream], host: str, device: str) -> IntArray:
    """Return which streams are of a host and device, by host, device and rank."""
    found = [
        number
        for number, one in enumerate(streams)
        if (not host or one.host == host) and (not device or one.device == device)
    ]
    found.sort(key=lambda one: (natural(streams[one].host), streams[one].rank,
                                natural(streams[one].device)))  # fmt: skip
    return np.array(found, np.int64)


def _hosts(entry: Entry) -> list[str]:
    return [one.host for one in entry.read().ranks if one.host]


def _make_samples(sensor: Any, entry: Entry, gap_s: float) -> Samples:
    """Put a sensor's samples one stream after the other, in the order of their times."""
    created = entry.read().created_wall_s
    times, values, lengths = [np.zeros(0)], [np.zeros(0)], [0]
    for _stream, series in sensor:
        order = np.argsort(series.wall_s, kind="stable")
        times.append(series.wall_s[order] - created)
        values.append(series.value[order])
        lengths.append(len(order))
    return Samples(np.cumsum(lengths), np.concatenate(times), np.concatenate(values), gap_s)


def _name_streams(streams: Sequence[Stream]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(_Label(one.host, one.device, one.rank)) for one in streams]


@dataclass(frozen=True, slots=True)
class _Label:
    host: str
    device: str
    rank: int


def _pack_lines(
    samples: Samples,
    streams: Sequence[Stream],
    window: tuple[float, float],
    query: SensorQuery,
    head: dict[str, Any],
) -> bytes:
    arrays = []
    for number in range(len(streams)):
        x, y = make_line(samples, number, *window, query.width)
        finite = np.where(np.isfinite(y), y, np.nan)
        arrays += [({"name": "x", "line": number}, Packed(x.astype("<f8"))),
                   ({"name": "y", "line": number}, pack_floats(finite))]  # fmt: skip
    return pack_arrays(
        make_encodable({**head, "view": "lines", "streams": _name_streams(streams)}), arrays
    )


def _pack_strips(
    samples: Samples,
    streams: Sequence[Stream],
    window: tuple[float, float],
    query: SensorQuery,
    head: dict[str, Any],
) -> bytes:
    cells = make_strips(samples, *window, query.width, query.how)
    rows, starts = reduce_ranks(np.ascontiguousarray(cells.T), query.height, query.how)
    is_share = query.name.endswith("_frac")
    low, high = choose_limits(rows, 0.0 if is_share else None, 1.0 if is_share else None)
    finite = rows[np.isfinite(rows)]
    about = {
        **head, "view": "strips", "streams": _name_streams(streams), "rows": len(rows),
        "columns": rows.shape[1], "low": low, "high": high, "how": str(query.how),
        "lowest": float(finite.min()) if len(finite) else None,
        "highest": float(finite.max()) if len(finite) else None,
    }  # fmt: skip
    return pack_arrays(
        make_encodable(about),
        [
            ({"name": "codes"}, Packed(encode(rows, low, high).reshape(-1))),
            ({"name": "starts"}, Packed(starts.astype("<u4"))),
            ({"name": "last"}, pack_floats(_last_values(samples))),
        ],
    )


def _last_values(samples: Samples) -> Any:
    ends = np.maximum(samples.starts[1:] - 1, 0)
    has = np.diff(samples.starts) > 0
    return np.where(has, samples.value[ends] if len(samples.value) else np.nan, np.nan)
