"""Metrics of few points, of which a run may have ten thousand: made and read with few calls.

What h5py does for each group and data set that one opens costs more than the points.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpctrack.store.schema import FloatArray, IntArray
from hpctrack.store.sealed_layout import COLUMN_TYPES, RUN
from hpctrack.store.texts import write_attribute

SMALL_POINTS = 4096
"""Above, the points cost more than the calls."""


def create_group(place: Any, number: str, name: str, points: int) -> Any:
    """Create the group of a metric and return it.

    Parameters
    ----------
    place : h5py.Group
        ``/metrics`` or ``/system``.
    number, name : str
        What it is called there, and by its program.
    points : int
        How many it has.
    """
    made = h5py.h5g.create(place.id, number.encode())
    write_attribute(made, "name", name)
    write_attribute(made, "points", np.int64(points))
    return h5py.Group(made)


class SmallMetrics:
    """Reads small metrics of the layout ``rows``; a column that neighbours share is read once.

    Parameters
    ----------
    file : h5py.File
        A sealed one.
    """

    def __init__(self, file: Any) -> None:
        self._file = file.id
        self._known: dict[bytes, tuple[int, NDArray[Any]]] = {}

    def read(self, path: str) -> tuple[NDArray[Any], IntArray, FloatArray, FloatArray] | None:
        """Return runs, steps, times and values of a group; None if it is not that small."""
        group = h5py.h5g.open(self._file, path.encode())
        value = h5py.h5d.open(group, b"value")
        shape = value.shape
        if len(shape) != 1 or shape[0] > SMALL_POINTS:
            return None
        return (
            self._read_column(group, b"runs", RUN),
            self._read_column(group, b"step", COLUMN_TYPES["step"]),
            self._read_column(group, b"wall_s", COLUMN_TYPES["wall_s"]),
            _read(value, COLUMN_TYPES["value"]),
        )

    def _read_column(self, group: Any, name: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
        address = int(group.links.get_info(name).u)
        known = self._known.get(name)
        if known is None or known[0] != address:
            known = self._known[name] = address, _read(h5py.h5d.open(group, name), dtype)
        return known[1]


def _read(column: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    values = np.empty(column.shape, dtype)
    if values.size:
        column.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return values
