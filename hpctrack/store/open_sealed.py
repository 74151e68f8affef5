"""A sealed file that stays open: any window of any series, for as long as somebody looks."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import HpctrackError, StoreFormatError
from hpctrack.store.hdf5 import open_file
from hpctrack.store.pyramid import BoolArray
from hpctrack.store.schema import SEALED_KIND, IntArray
from hpctrack.store.sealed_drawing import Drawing, DrawnSeries, LevelCache, draw_window
from hpctrack.store.sealed_file import DAMAGE, MetricEntry, read_index
from hpctrack.store.sealed_layout import BY_STEP_GROUP
from hpctrack.store.sealed_matrix import SealedMatrix
from hpctrack.store.sealed_series import SealedSeries, find_series, read_late

SERIES_MAX = 512
"""Series of one file whose places are remembered, a few hundred bytes each."""


class OpenSealed:
    """A sealed file that stays open for many questions. Not safe for several threads.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    NotFoundError, StoreFormatError
        It is not there, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_file(path, kind=SEALED_KIND, swmr=False)
        self._series: OrderedDict[tuple[str, int], SealedSeries | None] = OrderedDict()
        self._logged: OrderedDict[tuple[str, int], SealedSeries | None] = OrderedDict()
        self._levels = LevelCache()
        self._ranks: dict[str, list[int]] = {}
        self._places: dict[tuple[str, str], int] = {}
        self._drawable: OrderedDict[tuple[str, int], DrawnSeries | None] = OrderedDict()
        try:
            self.index: dict[str, MetricEntry] = self._guard(lambda: read_index(self._file))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        for kept in (
            self._series,
            self._logged,
            self._drawable,
            self._levels,
            self._ranks,
            self._places,
        ):
            kept.clear()
        self._file.close()

    def ranks(self, name: str) -> list[int]:
        """Return the ranks that have logged a metric; none if there is no such metric."""
        if name not in self.index:
            return []

        def read() -> list[int]:
            group = self._group(name)
            table = group["runs"]["rank"] if "runs" in group else group["rank"][:]
            return [int(one) for one in np.unique(table)]

        if name not in self._ranks:
            self._ranks[name] = self._guard(read)
        return list(self._ranks[name])

    def draw(
        self,
        name: str,
        rank: int,
        *,
        window: tuple[float | None, float | None] = (None, None),
        is_time: bool = False,
        width: int = 1000,
    ) -> Drawing | None:
        """Return what draws a window of one rank's points.

        Parameters
        ----------
        name : str
        rank : int
        window : (float or None, float or None), optional
            From the first step, or time in UTC seconds, to the last, both included.
        is_time : bool, optional
            Whether it is a window of time.
        width : int, optional
            At least so many stretches where there are as many points, and at most twice as many.

        Returns
        -------
        Drawing or None
            None if that cannot be told from the file's pyramid: the series is short, or from an
            older hpctrack, or steps are not in their order. Then all points must be read.

        Notes
        -----
        Reads a few thousand buckets and at most a thousand points, however long the series is.
        """

        def work() -> Drawing | None:
            drawable = self._find_drawable(name, rank)
            if drawable is None:
                return None
            return draw_window(drawable, window, is_time=is_time, width=width)

        found: Drawing | None = self._guard(work)
        return found

    def matrix(self, name: str) -> SealedMatrix | None:
        """Return a metric of all ranks, to be read while this file is open; None if there is none.

        What it reads may raise what h5py raises on a damaged file.
        """
        if name not in self.index:
            return None
        found: SealedMatrix = self._guard(lambda: SealedMatrix(self._group(name)))
        return found

    def place_of(self, name: str, column: str) -> int:
        """Return where a column is in the file: metrics logged in one call share columns."""

        def work() -> int:
            import h5py  # noqa: PLC0415 - see `open_file`

            return int(h5py.h5o.get_info(self._group(name)[column].id).addr)

        key = (name, column)
        if key not in self._places:
            self._places[key] = self._guard(work)
        return self._places[key]

    def read_column(self, name: str, rank: int, column: str) -> NDArray[Any]:
        """Return one rank's part of a column of a metric, in the order of logging.

        Parameters
        ----------
        name : str
        rank : int
        column : {"step", "wall_s", "value"}

        Returns
        -------
        ndarray, shape (n,)
            Superseded points too, see `find_current`; empty if the rank has none.
        """

        def work() -> NDArray[Any]:
            series = self._find_logged(name, rank)
            if series is None:
                return np.zeros(0, np.int64 if column == "step" else np.float64)
            if column == "step":
                return series.read_steps(0, series.points)
            read = series.read_times if column == "wall_s" else series.read_values
            return read(0, series.points)

        found: NDArray[Any] = self._guard(work)
        return found

    def find_current(self, name: str, rank: int, step: IntArray) -> BoolArray | None:
        """Tell which of a rank's points are not superseded; None if all are."""

        def work() -> BoolArray | None:
            series = self._find_logged(name, rank)
            if series is None or len(series.run_ends) < 2:  # noqa: PLR2004 - one attempt
                return None
            return series.is_current(0, step)

        found: BoolArray | None = self._guard(work)
        return found

    def _find(self, name: str, rank: int) -> SealedSeries | None:
        key = (name, rank)
        if key not in self._series:
            found = find_series(self._group(name), rank) if name in self.index else None
            self._series[key] = found
            if len(self._series) > SERIES_MAX:
                self._series.popitem(last=False)
        return self._series[key]

    def _find_drawable(self, name: str, rank: int) -> DrawnSeries | None:
        """Return a series that its pyramid alone can draw; None if it cannot."""
        key = (name, rank)
        if key not in self._drawable:
            series, found = self._find(name, rank), None
            if series is not None and series.offsets and series.is_located:
                last = series.group["last"][series.number]
                at = (int(last["step"]), float(last["wall_s"]), float(last["value"]))
                is_in_order = not len(read_late(series.group, rank))
                found = DrawnSeries(key, series, at, self._levels) if is_in_order else None
            self._drawable[key] = found
            if len(self._drawable) > SERIES_MAX:
                self._drawable.popitem(last=False)
        return self._drawable[key]

    def _find_logged(self, name: str, rank: int) -> SealedSeries | None:
        """Return the series as it was logged, also where there is one by step."""
        key = (name, rank)
        if key not in self._logged:
            found = self._find(name, rank)
            if found is not None and BY_STEP_GROUP in self._group(name):
                found = find_series(self._group(name), rank, as_logged=True)
            self._logged[key] = found
            if len(self._logged) > SERIES_MAX:
                self._logged.popitem(last=False)
        return self._logged[key]

    def _group(self, name: str) -> Any:
        return self._file["metrics"][self.index[name].group]

    def _guard(self, work: Any) -> Any:
        """Turn what h5py raises on a damaged file into our error."""
        try:
            return work()
        except HpctrackError:
            raise
        except DAMAGE as error:
            text = str(error).partition("\n")[0]
            raise StoreFormatError(f"{self.path} is damaged: {text}") from None
