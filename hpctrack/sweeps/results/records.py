"""What the study of a sweep remembers, if there is one."""

from __future__ import annotations

from hpctrack.errors import HpctrackError
from hpctrack.sweeps.search.packages import demand_packages
from hpctrack.sweeps.search.point import PointRecord
from hpctrack.sweeps.sweep import Sweep


def read_records(sweep: Sweep) -> list[PointRecord]:
    """Return the configurations of this sweep in its study; none if it cannot be read.

    A study is not made here: who only looks must not write. What a study has is a convenience for
    results, which stand in the trials' files and in the runs.
    """
    if not sweep.file.storage and not sweep.folder.journal.exists():
        return []
    try:
        demand_packages()
        from hpctrack.sweeps.search.search import Search  # noqa: PLC0415 - half a second for Optuna

        with Search.open(sweep) as search:
            return [one for one in search.records() if one.configuration >= 0]
    except HpctrackError:
        return []
