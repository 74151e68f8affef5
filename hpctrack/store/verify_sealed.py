"""What can be wrong with a sealed file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from hpctrack.errors import HpctrackError, NotFoundError, StoreFormatError
from hpctrack.store.hdf5 import open_file
from hpctrack.store.record import RunRecord
from hpctrack.store.schema import PLACE_TABLES, SEALED_KIND, Place
from hpctrack.store.sealed_file import (
    DAMAGE,
    MetricEntry,
    SealedReader,
    read_index,
    read_runs,
    read_sensor_index,
)
from hpctrack.store.sealed_layout import METRICS_GROUP, SYSTEM_GROUP
from hpctrack.store.verify_node import Checked, check_events

PIECE_ROWS = 1_000_000


def check_sealed_file(path: Path) -> Checked:
    """Read everything in a sealed file; nothing is raised for a damaged one."""
    found = Checked()
    try:
        with OpenSealed(path) as opened:
            _check_datasets(opened.file, found)
            sources = SealedReader(path).read_sources()
            found.errors += _check_place(path, SealedReader(path).read_record())
            _check_counts(opened.file, [one.facts.get("points") for one in sources], found)
            for source in sources:
                found.errors += check_events(source.events, opened)
    except NotFoundError:
        found.notes.append("gone while we looked: the run has just been sealed again")
    except HpctrackError as error:
        if not found.errors:
            found.errors.append(error.message)
    return found


class OpenSealed:
    """A sealed file that stays open: media are many.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: Any = None

    def __enter__(self) -> Self:
        """Open it."""
        self.file = open_file(self.path, kind=SEALED_KIND, swmr=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.file.close()

    def read_bytes(self, place: Place, offset: int, size: int) -> bytes:
        """Return bytes that an event points to.

        Raises
        ------
        StoreFormatError
            They are not there, or damaged.
        """
        try:
            found: bytes = self.file[PLACE_TABLES[place]][offset : offset + size].tobytes()
        except DAMAGE as error:
            raise StoreFormatError(f"{self.path} is damaged: {_first_line(error)}") from None
        if len(found) != size:
            raise StoreFormatError(f"{self.path}: bytes are missing")
        return found


def _check_place(path: Path, record: RunRecord) -> Iterator[str]:
    for key, said, expected in (
        ("run", record.id, path.parent.name),
        ("project", record.project, path.parent.parent.name),
    ):
        if said != expected:
            yield f"it is of {key} {said!r}, not {expected!r}"


def _check_datasets(file: Any, found: Checked) -> None:
    """Read every dataset, and so prove every checksum."""
    names: list[str] = []
    try:
        file.visititems(lambda name, item: _note(name, item, names))
    except DAMAGE as error:
        found.errors.append(f"not everything can be found: {_first_line(error)}")
    for name in names:
        try:
            _read_all(file[name])
        except DAMAGE as error:
            found.errors.append(f"/{name} is damaged: {_first_line(error)}")


def _note(name: str, item: Any, names: list[str]) -> None:
    if hasattr(item, "shape"):
        names.append(name)


def _read_all(dataset: Any) -> None:
    if not dataset.ndim:
        _ = dataset[()]
        return
    row = int(np.prod(dataset.shape[1:], dtype=np.int64))
    step = max(1, PIECE_ROWS // max(1, row))
    if dataset.chunks:
        step = -(-step // dataset.chunks[0]) * dataset.chunks[0]
    for start in range(0, dataset.shape[0], step):
        _ = dataset[start : start + step]


def _check_counts(file: Any, told: Sequence[object], found: Checked) -> None:
    """Compare the numbers of points that index, metrics and nodes tell of."""
    try:
        index = read_index(file)
        for entry in index.values():
            found.errors += _check_metric(file[METRICS_GROUP][entry.group], "metric", entry)
        for entry in read_sensor_index(file)[0].values():
            found.errors += _check_metric(file[SYSTEM_GROUP][entry.group], "sensor", entry)
        sizes = {place: int(file[name].shape[0]) for place, name in PLACE_TABLES.items()}
        found.errors += _check_offsets(file["events"][:], sizes)
    except DAMAGE as error:
        found.errors.append(f"the index does not lead to what it names: {_first_line(error)}")
        return
    found.points = sum(entry.points for entry in index.values())
    counts = [one for one in told if isinstance(one, int)]
    if len(counts) == len(told) and sum(counts) != found.points:
        found.errors.append(f"the nodes logged {sum(counts)} points, there are {found.points}")


def _check_metric(group: Any, what: str, entry: MetricEntry) -> Iterator[str]:
    _rank, _attempt, count = read_runs(group)
    there = {int(np.prod(group[name].shape, dtype=np.int64)) for name in ("wall_s", "value")}
    there.add(int(count.sum()))
    if there != {entry.points}:
        yield f"{what} {entry.name!r} has {sorted(there)} points, the index says {entry.points}"


def _check_offsets(events: Any, sizes: dict[Place, int]) -> Iterator[str]:
    beyond = sum(
        int(np.count_nonzero(events["offset"][mine] + events["size"][mine] > size))
        for place, size in sizes.items()
        for mine in [events["flags"] == place]
    )
    if beyond:
        yield f"{beyond} events point to bytes that are not there"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
