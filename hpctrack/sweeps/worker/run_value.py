"""What a trial's run has recorded of the sweep's metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from hpctrack.core.layout import has_run_files, run_folder
from hpctrack.errors import HpctrackError
from hpctrack.store.record import RunRecord
from hpctrack.store.stored_run import StoredRun
from hpctrack.sweeps.sweep import Sweep


def read_run(sweep: Sweep, number: int, *, stale_after_s: float = 60.0) -> RunRecord | None:
    """Return what is known of a trial's run; None if there is none.

    A program can choose another project than the sweep's, so all are looked through.
    """
    run = open_run(sweep, number, stale_after_s=stale_after_s)
    if run is None:
        return None
    try:
        return run.record
    except HpctrackError:
        return None  # one broken run must not hide the sweep
    finally:
        run.close()


def open_run(sweep: Sweep, number: int, *, stale_after_s: float = 60.0) -> StoredRun | None:
    """Open a trial's run for reading; None if there is none."""
    run_id = sweep.run_id(number)
    for project in _iter_projects(sweep):
        folder = run_folder(sweep.store, project, run_id)
        if folder.is_dir() and has_run_files(folder):
            return StoredRun(folder, stale_after_s=stale_after_s)
    return None


def read_values(sweep: Sweep, record: RunRecord | None) -> tuple[float | None, ...]:
    """Return the sweep's metrics from a run's summary; None for what it has not got."""
    if record is None:
        return (None,) * len(sweep.file.metrics)
    return tuple(as_number(look_up(record.summary, one.name)) for one in sweep.file.metrics)


def read_steps(sweep: Sweep, number: int, metric: str) -> list[int]:
    """Return at which steps a trial's run has logged a metric so far, in order."""
    run = open_run(sweep, number)
    if run is None:
        return []
    try:
        return sorted({int(one) for one in run.metric(metric).rank(0).step})
    except HpctrackError:
        return []
    finally:
        run.close()


def as_number(value: Any) -> float | None:
    """Return a number that can be compared; None for anything else, NaN included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        return None
    return float(value)


def look_up(summary: Mapping[str, Any], name: str) -> Any:
    """Return a summary value; ``a.b`` also means ``b`` below ``a``, as in W&B."""
    if name in summary:
        return summary[name]
    head, dot, tail = name.partition(".")
    inner = summary.get(head)
    return look_up(inner, tail) if dot and isinstance(inner, Mapping) else None


def _iter_projects(sweep: Sweep) -> Iterable[str]:
    yield sweep.project
    for path in sorted(sweep.store.iterdir()):
        if path.name != sweep.project and not path.name.startswith(".") and path.is_dir():
            yield path.name
