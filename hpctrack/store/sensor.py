"""The samples of one sensor of a run: what a device, a rank or a node was measured to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import NotFoundError
from hpctrack.store.metric import Metric
from hpctrack.store.read_times import ReadTimes
from hpctrack.store.schema import FloatArray
from hpctrack.store.series import WALL, RankMatrix, Series
from hpctrack.store.streams import SensorColumns, Stream


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device that samples are of.

    Parameters
    ----------
    host : str
    node : int
    key, kind, name, parent : str
        See `hpctrack.telemetry.reading.Device`.
    facts : mapping
        What does not change.
    ranks : tuple of int or None
        Those that may use it; None: nothing is known.
    """

    host: str
    node: int
    key: str
    kind: str = ""
    name: str = ""
    parent: str = ""
    facts: Mapping[str, Any] | None = None
    ranks: tuple[int, ...] | None = None


class Sensor:
    """All samples of one sensor. Made by `StoredRun.sensor`.

    Parameters
    ----------
    name : str
        Path with the unit at its end, such as ``gpu/util_frac``.
    samples : SensorColumns
    find_times : callable, optional
        Returns the run's times; called when they are asked for.

    Attributes
    ----------
    name : str
    streams : tuple of Stream
        What it is of, sorted: host, device or rank.

    Notes
    -----
    A value that did not change was not written each time: it holds until the next sample, and is
    written again at least once a minute while it is read, or at each reading where these are
    rarer. So a longer gap means that nothing was read; `find_read` tells.

    Examples
    --------
    >>> run.sensor("gpu/util_frac").mean()          # doctest: +SKIP
    >>> run.sensor("gpu/util_frac").matrix().values  # doctest: +SKIP
    """

    def __init__(
        self,
        name: str,
        samples: SensorColumns,
        find_times: Callable[[], ReadTimes] = ReadTimes,
    ) -> None:
        self.name = name
        self._find_times = find_times
        self.streams = tuple(samples.streams)
        self._metric = Metric(name, samples.columns)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._metric)

    def __repr__(self) -> str:
        """Name the sensor."""
        return (
            f"<hpctrack.Sensor {self.name!r}: {len(self)} samples of {len(self.streams)} streams>"
        )

    def __iter__(self) -> Iterator[tuple[Stream, Series]]:
        """Yield each stream with its samples; ``x`` is UTC seconds."""
        for number, stream in enumerate(self.streams):
            yield stream, self._metric.rank(number, by=WALL)

    def find_read(self, stream: Stream, series: Series) -> NDArray[np.bool_]:
        """Tell for each pair of a stream's neighbouring samples whether it was read between them.

        Returns
        -------
        ndarray of bool, shape (n - 1,)
        """
        return self._find_times().find_read(stream.host, series.wall_s)

    def of(
        self, *, host: str | None = None, device: str | None = None, rank: int | None = None
    ) -> Series:
        """Return the samples of one stream.

        Parameters
        ----------
        host, device : str, optional
        rank : int, optional
            As many of them as are needed to tell it from the others.

        Raises
        ------
        NotFoundError
            No stream, or more than one, is like that.
        """
        wanted = {"host": host, "device": device, "rank": rank}
        found = [
            number
            for number, stream in enumerate(self.streams)
            if all(one is None or getattr(stream, key) == one for key, one in wanted.items())
        ]
        if len(found) != 1:
            raise NotFoundError(
                f"{self.name!r} has {len(found)} such streams",
                hint="`sensor.streams` lists them; say host=, device= or rank=",
            )
        return self._metric.rank(found[0], by=WALL)

    def matrix(self, *, samples: int | None = None) -> RankMatrix:
        """Return streams x intervals of time; each has the last value sampled before its end.

        Parameters
        ----------
        samples : int, optional
            How many intervals; default as many as a stream has samples, at most 1,000.
        """
        return self._metric.matrix(by=WALL, samples=samples)

    def reduce(self, how: str, *, samples: int | None = None) -> Series:
        """Return one value per interval of time over all streams; see `Metric.reduce`."""
        return self._metric.reduce(how, by=WALL, samples=samples)

    def mean(self) -> FloatArray:
        """Return each stream's mean over time: a value counts for as long as it held.

        Returns
        -------
        ndarray of float64, shape (streams,)
        """
        return np.array([_mean_over_time(series) for _stream, series in self])

    def max(self) -> FloatArray:
        """Return each stream's highest value, shape (streams,)."""
        return np.array([np.nanmax(series.value) for _stream, series in self])

    def last(self) -> FloatArray:
        """Return each stream's latest value, shape (streams,)."""
        return np.array([series.value[-1] for _stream, series in self])


def _mean_over_time(series: Series) -> float:
    """Weigh each value by the time until the next one; of a single sample that is its value."""
    held_s = np.diff(series.wall_s)
    if not len(held_s) or not held_s.sum() > 0:
        return float(series.value[-1])
    return float(np.average(series.value[:-1], weights=np.maximum(held_s, 0)))
