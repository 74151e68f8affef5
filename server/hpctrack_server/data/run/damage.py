"""What is left of a run that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpctrack.core.layout import has_run_files, run_folder
from hpctrack.errors import NotFoundError, UsageError
from hpctrack.store.verify import measure, verify_run
from hpctrack_server.data.provider import DataProvider

LOOK_MAX_BYTES = 256 << 20
"""Looking at all of it takes a second per 100 MB or so, in which no chart of anybody is drawn."""

FILES_MAX = 200


@dataclass(frozen=True, slots=True)
class LeftFile:
    """A file in the run's folder."""

    name: str
    size_bytes: int
    wall_s: float


def list_left(provider: DataProvider, project: str, run_id: str) -> tuple[LeftFile, ...]:
    """Return the files in a run's folder by name, readable or not; none if it is gone."""
    found = []
    try:
        for path in sorted(run_folder(provider.path, project, run_id).iterdir()):
            facts = path.stat()
            name = path.name.encode("utf-8", "replace").decode()
            found.append(LeftFile(name, facts.st_size, facts.st_mtime))
    except OSError:
        pass
    return tuple(found[:FILES_MAX])


def check_run(provider: DataProvider, project: str, run_id: str) -> dict[str, Any]:
    """Return what `hpctrack verify` finds, as JSON.

    Raises
    ------
    NotFoundError
        There is no such run.
    UsageError
        It is too large to be looked at beside everybody's charts.
    """
    folder = run_folder(provider.path, project, run_id)
    if not folder.is_dir() or not has_run_files(folder):
        raise NotFoundError(f"no run {run_id!r} in project {project!r}")
    size_bytes = measure(folder)
    if size_bytes > LOOK_MAX_BYTES:
        raise UsageError(
            f"its files have {size_bytes:,} bytes, which takes too long to look at here",
            hint=f"run `hpctrack verify {project}/{run_id}`",
        )
    report = verify_run(folder).to_json()
    for one in report["findings"]:
        one["what"] = str(one["what"]).replace(f"{provider.path}/", "")
    return report
