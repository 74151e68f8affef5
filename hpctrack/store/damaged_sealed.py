"""Reading a sealed file of which not everything is there: what leads to its parts may be lost."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from hpctrack.errors import StoreFormatError
from hpctrack.store.hdf5 import find_library, open_file, plain
from hpctrack.store.schema import SEALED_KIND
from hpctrack.store.sealed_file import DAMAGE, read_index, read_runs, read_sensor_index
from hpctrack.store.sealed_layout import METRICS_GROUP, SYSTEM_GROUP
from hpctrack.store.space import HEAD_BYTES, find_end
from hpctrack.store.streams import to_steps
from hpctrack.store.verify_sealed import OpenSealed

HEAD_MARK = b"OHDR"
"""What the head of each object begins with."""


@dataclass(frozen=True, slots=True)
class FoundGroup:
    """A metric or a sensor.

    Parameters
    ----------
    file : h5py.Group or None
        None if it cannot be found.
    points : int
        What the file says that it has.
    """

    file: Any
    points: int


class OpenDamaged(OpenSealed):
    """A damaged sealed file, or a copy of it that HDF5 opens.

    Parameters
    ----------
    path : Path
        The file.
    scratch : Path
        A folder for the copy: HDF5 opens no file that is shorter than its head says.

    Attributes
    ----------
    metrics, sensors : dict of str to FoundGroup
        By name.
    told_points : int
        Of all metrics that are known of.

    Raises
    ------
    StoreFormatError
        It cannot be opened at all.
    """

    def __init__(self, path: Path, scratch: Path) -> None:
        super().__init__(path)
        self._scratch = scratch
        self.metrics: dict[str, FoundGroup] = {}
        self.sensors: dict[str, FoundGroup] = {}

    @property
    def told_points(self) -> int:
        """How many points the metrics should have."""
        return sum(one.points for one in self.metrics.values())

    def __enter__(self) -> Self:
        """Open it."""
        there = self.path
        try:
            self.file = open_file(there, kind=SEALED_KIND, swmr=False)
        except StoreFormatError:
            there = _lengthen(self.path, self._scratch)
            try:
                self.file = open_file(there, kind=SEALED_KIND, swmr=False)
            except StoreFormatError as error:
                text = error.message.replace(str(there), str(self.path))
                raise StoreFormatError(text) from None
        try:
            self._find(there)
        except BaseException:
            self.file.close()
            raise
        return self

    def _find(self, there: Path) -> None:
        is_complete = True
        try:
            index, sensors = read_index(self.file), read_sensor_index(self.file)[0]
        except DAMAGE:
            is_complete = False
        else:
            for place, entries, found in (
                (METRICS_GROUP, index, self.metrics),
                (SYSTEM_GROUP, sensors, self.sensors),
            ):
                for name, entry in entries.items():
                    group = self._get(f"{place}/{entry.group}")
                    found[name] = FoundGroup(group, entry.points)
                    is_complete &= group is not None
        if not is_complete:
            self._look_everywhere(there)

    def _get(self, name: str) -> Any:
        with contextlib.suppress(*DAMAGE):
            return self.file[name]
        return None

    def _look_everywhere(self, there: Path) -> None:
        """Find groups that nothing leads to any more."""
        for group in _iter_groups(self.file, there):
            try:
                name, points = str(plain(group.attrs["name"])), int(group.attrs["points"])
                is_sensor = name in self.sensors or _is_sensor(group)
            except DAMAGE:
                continue
            found = self.sensors if is_sensor else self.metrics
            if name not in found or found[name].file is None:
                found[name] = FoundGroup(group, points)


def _is_sensor(group: Any) -> bool:
    """Tell a sensor by its samples, which are of no attempt and have their time as their step."""
    _rank, attempt, _count = read_runs(group)
    if attempt.any():
        return False
    part = np.s_[: group["step"].chunks[0]]
    wall_s = group["wall_s"]
    return wall_s.ndim == 1 and bool((to_steps(wall_s[part]) == group["step"][part]).all())


def _iter_groups(file: Any, path: Path) -> Iterator[Any]:
    """Yield all groups of a file, wherever their heads are; heads have checksums."""
    library = find_library()
    if library is None:
        return
    open_object = library.H5Oopen_by_addr
    open_object.restype, open_object.argtypes = ctypes.c_int64, [ctypes.c_int64, ctypes.c_uint64]
    with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(HEAD_MARK)
        while at >= 0:
            number = open_object(file.id.id, at)
            if number > 0:
                found = h5py.h5i.wrap_identifier(number)
                if isinstance(found, h5py.h5g.GroupID):
                    yield h5py.Group(found)
            at = data.find(HEAD_MARK, at + 1)


def _lengthen(path: Path, scratch: Path) -> Path:
    """Copy a file and give it the length that its head tells of; what was cut off is zeros."""
    copy = scratch / "lengthened.h5"
    try:
        with path.open("rb") as file:
            end = find_end(file.read(HEAD_BYTES))
            size = os.fstat(file.fileno()).st_size
        if end <= size:
            return path
        shutil.copyfile(path, copy)
        os.truncate(copy, end)
    except OSError as error:
        raise StoreFormatError(f"{path} cannot be copied: {error.strerror or error}") from None
    return copy
