"""The runs of a sweep's trials: which there are, and what one recorded."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpctrack.core.layout import has_run_files, run_folder
from hpctrack.errors import HpctrackError
from hpctrack.store.record import RunRecord
from hpctrack.store.stored_run import StoredRun
from hpctrack.sweeps.sweep import Sweep


@dataclass(slots=True)
class TrialRuns:
    """Finds runs by one listing of each project's folder, not by asking for each run.

    The sweep's own project is listed first; the others only if a run is not there, because a
    program can choose another project.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    stale_after_s : float
        How long a live run may be silent before it counts as crashed, seconds.
    """

    sweep: Sweep
    stale_after_s: float = 60.0
    _names: dict[str, frozenset[str]] = field(default_factory=dict)
    _projects: tuple[str, ...] | None = None

    def find(self, number: int) -> str:
        """Return the project that has a trial's run; empty if there is none."""
        run_id = self.sweep.run_id(number)
        return next((one for one in self._iter_projects() if run_id in self._list(one)), "")

    def numbers(self) -> list[int]:
        """Return the trials that have a run in the sweep's own project, in order."""
        ends = (one.rpartition("-")[2] for one in self._list(self.sweep.project))
        numbers = sorted(int(one) for one in ends if one.isascii() and one.isdigit())
        return [one for one in numbers if self.find(one)]

    def read(self, number: int) -> RunRecord | None:
        """Return a trial's run; None if there is none that can be read."""
        run = self.open(number)
        if run is None:
            return None
        try:
            return run.record
        except HpctrackError:
            return None  # one broken run must not hide the sweep
        finally:
            run.close()

    def read_steps(self, number: int, metric: str) -> list[int]:
        """Return at which steps rank 0 of a trial's run has logged a metric, in order."""
        run = self.open(number)
        if run is None:
            return []
        try:
            return [int(one) for one in run.metric(metric).rank(0).step]
        except HpctrackError:
            return []  # it has not logged it yet
        finally:
            run.close()

    def open(self, number: int) -> StoredRun | None:
        """Open a trial's run, which the caller closes; None if there is none with files."""
        run_id = self.sweep.run_id(number)
        for project in self._iter_projects():
            if run_id not in self._list(project):
                continue
            folder = run_folder(self.sweep.store, project, run_id)
            try:
                is_run = has_run_files(folder)
            except OSError:
                continue  # it went away, or is not a folder
            if is_run:
                return StoredRun(folder, stale_after_s=self.stale_after_s)
        return None

    def _iter_projects(self) -> Iterator[str]:
        yield self.sweep.project
        if self._projects is None:
            found = _list_names(self.sweep.store)
            self._projects = tuple(
                one for one in sorted(found) if one != self.sweep.project and one[0] != "."
            )
        yield from self._projects

    def _list(self, project: str) -> frozenset[str]:
        if project not in self._names:
            beginning = f"{self.sweep.id}-"
            names = _list_names(self.sweep.store / project)
            self._names[project] = frozenset(one for one in names if one.startswith(beginning))
        return self._names[project]


def read_value(summary: Mapping[str, Any], name: str) -> float | None:
    """Return a metric of a run's summary; None if it is no finite number."""
    value = _look_up(summary, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _look_up(summary: Mapping[str, Any], name: str) -> Any:
    """Return a summary value; ``a.b`` also means ``b`` below ``a``, as in W&B."""
    if name in summary:
        return summary[name]
    head, dot, tail = name.partition(".")
    inner = summary.get(head)
    return _look_up(inner, tail) if dot and isinstance(inner, Mapping) else None


def _list_names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - 10,000 names, of which paths are made seldom
    except OSError:
        return []
