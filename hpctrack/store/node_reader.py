"""Reading a live node file, while its agent writes it, or after the agent was killed."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from hpctrack.errors import StoreFormatError
from hpctrack.store.columns import Columns
from hpctrack.store.events import NodeEvents, iter_events, split_names
from hpctrack.store.hdf5 import open_file
from hpctrack.store.schema import LIVE_KIND, PULSE, ROOT_ATTRIBUTES


class NodeReader:
    """A live node file, open for reading.

    Cheap to keep: `refresh` sees what has been written since. Not safe for several threads.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    NotFoundError, StoreFormatError
        As `open_file`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_file(path, kind=LIVE_KIND, swmr=True)
        self.facts: dict[str, Any] = {
            key: _plain(self._file.attrs[key]) for key in ROOT_ATTRIBUTES if key in self._file.attrs
        }
        self.attempt = int(self.facts.get("attempt", 1))
        self.age_key = (
            self.attempt,
            int(self.facts.get("node", 0)),
            float(self.facts.get("created_wall_s", 0.0)),
        )
        self._grouped: tuple[int, dict[str, Columns]] = (-1, {})

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def refresh(self) -> None:
        """See what has been written since the file was opened or refreshed."""
        # In the opposite order of writing, see `read_events`.
        for name in (PULSE, "points", "events", "heap"):
            self._file[name].id.refresh()

    def read_events(self) -> NodeEvents:
        """Return everything but the numbers."""
        # The farewell first: a file that is closed has all its events, one that closes while
        # we read them must not look as if its ranks had vanished.
        pulse = self._read(PULSE)
        events, _names = self._read_events()
        facts = {**self.facts, "points": int(self._file["points"].shape[0])}
        return NodeEvents(facts, float(pulse[0]), bool(pulse[1]), events)

    def read_columns(self) -> dict[str, Columns]:
        """Return the points by metric; a point whose name is not there yet is left for later."""
        size = int(self._file["points"].shape[0])
        if self._grouped[0] != size:
            self._grouped = (size, self._group())
        return self._grouped[1]

    def _group(self) -> dict[str, Columns]:
        _events, names = self._read_events()
        points = self._read("points")
        if not len(points):
            return {}
        order = np.argsort(points["metric"], kind="stable")
        points = points[order]
        numbers, starts = np.unique(points["metric"], return_index=True)
        ends = [*starts[1:], len(points)]
        return {
            names[int(number)]: Columns.from_points(points[start:end], self.attempt)
            for number, start, end in zip(numbers, starts, ends, strict=True)
            if int(number) in names
        }

    def _read_events(self) -> Any:
        # The heap is read after the rows that point into it: what they mean is there by then.
        rows = self._read("events")
        self._file["heap"].id.refresh()
        return split_names(iter_events(rows, self._read("heap")))

    def _read(self, name: str) -> Any:
        try:
            return self._file[name][:]
        except (OSError, RuntimeError, KeyError) as error:
            raise StoreFormatError(f"{self.path}: {name} cannot be read: {error}") from None


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value
