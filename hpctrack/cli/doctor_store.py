"""Whether the store can hold runs, and whether a run comes through; a part of ``doctor``."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hpctrack.cli.doctor_node import NodeFinding
from hpctrack.client import session
from hpctrack.core.rule_reading import OFF
from hpctrack.core.settings import Settings
from hpctrack.errors import NotFoundError
from hpctrack.store.store import Store

FREE_LEAST_GB = 1.0
TRY_BYTES = 1024 * 1024
"""Written and removed again: neither a quota nor a permission of a file server shows elsewhere."""

REMOVE_TRIES = 10
REMOVE_WAIT_S = 0.3

PREFIX = ".hpctrack-doctor-"

_REMEDIES = {
    errno.ENOSPC: "make room, or set HPCTRACK_DIR to a folder elsewhere",
    errno.EDQUOT: "your quota is used up: make room, or set HPCTRACK_DIR to a folder elsewhere",
    errno.EROFS: "set HPCTRACK_DIR to a folder that this node may write",
}
_ELSEWHERE = "set HPCTRACK_DIR to a folder of yours"


def check_store(settings: Settings) -> Iterator[NodeFinding]:
    """Tell whether the store can be written, and which of its runs cannot be read."""
    path = Path(settings.dir).expanduser().absolute()
    folder = find_folder(path)
    problem = _try_to_write(folder)
    if problem:
        yield NodeFinding("bad", "store", f"{path} cannot be written: {problem}")
    else:
        free_gb = shutil.disk_usage(folder).free / 1e9
        is_enough = free_gb >= FREE_LEAST_GB
        shown = f"{free_gb:.0f} GB free" if is_enough else f"only {free_gb:.1f} GB free"
        remedy = "" if is_enough else f"; {_REMEDIES[errno.ENOSPC]}"
        runs = f": {len(Store(path).runs())} runs," if path.exists() else " will be made;"
        yield NodeFinding("ok" if is_enough else "bad", "store", f"{path}{runs} {shown}{remedy}")
    if path.is_dir():
        for run, error in Store(path).broken():
            yield NodeFinding("bad", "store", f"{run.project}/{run.id}: {error.message}")


def check_run(settings: Settings) -> Iterator[NodeFinding]:
    """Log a real run where runs are to be, in a folder of its own, and read it back."""
    place: Path | None = find_folder(Path(settings.dir).expanduser().absolute())
    if _try_to_write(place) or shutil.disk_usage(str(place)).free / 1e9 < FREE_LEAST_GB:
        place = None  # the store's problem was told; the rest can be tried
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        value = _record_and_read(folder, settings)
    finally:
        _remove(folder)
    if value == [1.0]:
        text = f"a run was recorded, confirmed and read back in {folder.parent}"
        yield NodeFinding("ok", "run", text)
    else:
        text = f"a test run in {folder.parent} was not confirmed; see the agent's log by its socket"
        yield NodeFinding("bad", "run", text)


def _record_and_read(folder: Path, settings: Settings) -> list[float]:
    # A rule of the user's could end the job that this is tried in.
    told = {"runtime_dir": settings.runtime_dir, "quiet": True, "seal": "manual", "rules": OFF}
    run = session.init("doctor", id="check", dir=folder, mode="offline", settings=told)
    run.log({"value": 1.0}, step=1)
    if not run.finish():
        return []
    try:
        found = Store(folder).run("check", project="doctor")
    except NotFoundError:  # the agent could not write here, and has written elsewhere
        return []
    try:
        return list(found.metric("value").values.tolist())
    finally:
        found.close()


def _remove(folder: Path) -> None:
    """Remove a folder that the agent may make again, for what it learns after the run's end."""
    for _time in range(REMOVE_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(REMOVE_WAIT_S)
        if not folder.exists():
            return


def find_folder(path: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _try_to_write(folder: Path | None) -> str:
    """Return why nothing can be written in a folder, and what to do; empty if it can."""
    if folder is None or not folder.is_dir():
        return f"{folder} is no folder; {_ELSEWHERE}"
    try:
        with tempfile.TemporaryFile(prefix=PREFIX, dir=folder) as file:
            file.write(bytes(TRY_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, _ELSEWHERE)
        return f"{error.strerror or error}; {remedy}"
    return ""
