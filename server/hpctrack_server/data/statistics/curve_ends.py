"""The lowest, the highest and the last value of curves: what statistics need of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import SEALED_NAME, run_folder
from hpctrack.errors import HpctrackError
from hpctrack.store.open_sealed import OpenSealed
from hpctrack.store.schema import FloatArray
from hpctrack.store.store import Store
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.entries import reading
from hpctrack_server.data.series.open_runs import Stamp, find_stamp
from hpctrack_server.settings import ServerSettings

ENDS_MAX = 65_536
"""Curves whose ends are remembered, a few hundred bytes each."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of a curve, which is the mean over the ranks.

    Parameters
    ----------
    low, high, last : float
        Of the values that are numbers.
    """

    low: float
    high: float
    last: float


class CurveEnds:
    """Finds and remembers the ends of curves. All of it runs on one thread.

    Parameters
    ----------
    settings : ServerSettings
        Where the store is.
    clock : Clock, optional
        For tests.
    """

    def __init__(self, settings: ServerSettings, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path: Path = Store(settings.store).path
        self._clock = clock
        self._known: OrderedDict[tuple[Path, str], tuple[Stamp, Ends | None]] = OrderedDict()

    def read_in_steps(
        self, project: str, ids: Sequence[str], name: str
    ) -> Generator[None, None, list[Ends | None]]:
        """Return the ends of a metric of some runs, read run by run.

        None for a run that has not logged it or cannot be read: it counts as a run without.
        """
        found: list[Ends | None] = []
        for one in ids:
            found.append(self._get(project, one, name))
            yield
        return found

    def _get(self, project: str, run_id: str, name: str) -> Ends | None:
        folder = run_folder(self._path, project, run_id)
        key, stamp = (folder, name), find_stamp(folder)
        held = self._known.get(key)
        if held is not None and held[0] == stamp:
            self._known.move_to_end(key)
            return held[1]
        found: Ends | None = None
        with suppress(HpctrackError), reading(f"{project}/{run_id}"):
            is_sealed = [file for file, *_facts in stamp] == [SEALED_NAME]
            found = read_sealed_ends(folder / SEALED_NAME, name) if is_sealed else None
            found = found or self._read_all(folder, name)
        self._known[key] = (stamp, found)
        while len(self._known) > ENDS_MAX:
            self._known.popitem(last=False)
        return found

    def _read_all(self, folder: Path, name: str) -> Ends | None:
        run = StoredRun(folder, clock=self._clock)
        try:
            mean = run.metric(name).reduce("mean", by="step").value
        finally:
            run.close()
        return find_ends(mean)


def read_sealed_ends(path: Path, name: str) -> Ends | None:
    """Return the ends of a sealed curve of one rank; None if more has to be looked at."""
    with OpenSealed(path) as sealed:
        if name not in sealed.index or sealed.index[name].ranks != 1:
            return None
        rank = sealed.ranks(name)[0]
        found = sealed.draw(name, rank, width=1)
        if found is None:  # it is short
            step = sealed.read_column(name, rank, "step")
            is_plain = sealed.find_current(name, rank, step) is None and (np.diff(step) > 0).all()
            return find_ends(sealed.read_column(name, rank, "value")) if is_plain else None
    # An infinite value hides which is the highest of the others.
    is_known = np.isfinite(found.last[2]) and np.isfinite(found.value).all()
    if not is_known or not len(found.value):
        return None
    return Ends(float(found.value.min()), float(found.value.max()), float(found.last[2]))


def find_ends(values: FloatArray) -> Ends | None:
    """Return the ends of a curve; None if none of it is a number. Pure."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    return Ends(float(known.min()), float(known.max()), float(known[-1]))
