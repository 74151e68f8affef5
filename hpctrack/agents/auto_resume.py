"""``resume="auto"``: finding the run that the same program left unfinished.

``<project>/.resume/<program>-<launch>.json`` says which run a launch records into. A launch that
looks for a run to go on with takes such a file by renaming it to its own name, which only one can
do; agents of other nodes of that launch then find it under their own name.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.core.layout import RESUME_FOLDER
from hpctrack.core.names import check_id
from hpctrack.errors import HpctrackError
from hpctrack.store.record import RunRecord, State
from hpctrack.store.schema import EventKind
from hpctrack.store.stored_run import StoredRun

KEPT_MAX = 16
"""Files of runs that ended badly and were never resumed; older ones of a program are removed."""

BEGIN_MAX_S = 60.0
"""A launch that has chosen a run and written nothing for this long has died on the way."""

_SAFE = re.compile(r"[0-9a-f]{1,64}\Z")


def choose_auto_run(project: Path, program: str, launch: str, own_run: str, *, clock: Clock) -> str:
    """Return the run that a launch goes on with.

    Parameters
    ----------
    project : Path
        The project's folder.
    program : str
        What two starts of the program have in common, hexadecimal.
    launch : str
        This launch's token, hexadecimal.
    own_run : str
        The id that it has if there is nothing to resume.
    clock : Clock
        For the state of runs.

    Returns
    -------
    str
        The latest run of the program that has ended without success, or ``own_run``; the same on
        all nodes of the launch. Never raises.
    """
    if not (_SAFE.match(program) and _SAFE.match(launch)):
        return own_run
    folder = project / RESUME_FOLDER
    own = folder / f"{program}-{launch}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        chosen = _read(own) or _take_over(folder, program, own, clock)
        if chosen is None:
            claim(own, {"run": own_run})
            chosen = _read(own)
        _prune(folder, program)
    except OSError:
        return own_run
    return chosen or own_run


def forget_auto_run(project: Path, program: str, launch: str) -> None:
    """Note that the launch's run has finished: there is nothing to resume. Never raises."""
    if _SAFE.match(program) and _SAFE.match(launch):
        with contextlib.suppress(OSError):
            (project / RESUME_FOLDER / f"{program}-{launch}.json").unlink()


def _take_over(folder: Path, program: str, own: Path, clock: Clock) -> str | None:
    """Take the newest file whose run can be resumed; None if there is none."""
    for path in _iter_files(folder, program):
        run = _read(path)
        state = _judge(path, folder.parent / run, clock) if run else State.FINISHED
        if state == State.FINISHED:
            with contextlib.suppress(OSError):
                path.unlink()  # it is of no use to anybody
        elif state != State.RUNNING:
            mine = own.with_name(f".{own.name}.{secrets.token_hex(4)}")
            try:
                path.rename(mine)
            except FileNotFoundError:
                continue  # somebody else was faster
            if not _link(mine, own):
                # Another node of this launch has decided otherwise: its word counts.
                with contextlib.suppress(OSError):
                    mine.rename(path)
                return _read(own)
            os.utime(own)
            return run
        if own.exists():
            return _read(own)
    return None


def _judge(path: Path, folder: Path, clock: Clock) -> State:
    """Return the state of the run that a file names.

    Returns
    -------
    State
        `State.RUNNING` if anything of it may be alive, `State.FINISHED` if there is nothing to
        resume.
    """
    launch = path.stem.rpartition("-")[2]
    run = StoredRun(folder, clock=clock)
    try:
        is_begun = folder.is_dir() and launch in _read_launches(run)
        if not is_begun and clock.wall_s() - path.stat().st_mtime < BEGIN_MAX_S:
            return State.RUNNING  # the launch has chosen the run and is about to write into it
        if not folder.is_dir():
            return State.FINISHED
        record = run.told
    except (HpctrackError, OSError):
        return State.RUNNING
    finally:
        run.close()
    if record.state == State.FINISHED:
        return State.FINISHED
    return State.RUNNING if _may_live(record) else State.CRASHED


def _read_launches(run: StoredRun) -> set[str]:
    """Return the launches that rank 0 has been part of."""
    return {
        str(event.json().get("launch", ""))
        for source in run.sources()
        for event in source.events
        if event.kind == EventKind.START and event.rank == 0
    }


def _may_live(record: RunRecord) -> bool:
    """Tell whether a rank that has not ended may be alive; on this machine we can look."""
    host = socket.gethostname()
    running = [one for one in record.ranks if one.state == State.RUNNING]
    if not record.ranks:
        return record.state == State.RUNNING
    return any(one.host != host or Path(f"/proc/{one.pid}").exists() for one in running)


def claim(own: Path, told: Mapping[str, str]) -> None:
    """Write a file, unless it is there: all nodes that look at it afterwards see the same.

    Raises
    ------
    OSError
        It cannot be written.
    """
    scratch = own.with_name(f".{own.name}.{secrets.token_hex(4)}")
    scratch.write_text(json.dumps(told))
    _link(scratch, own)


def _link(scratch: Path, own: Path) -> bool:
    """Give a file its name unless that is taken; return whether it got it."""
    try:
        os.link(scratch, own)
    except FileExistsError:
        return False
    except OSError:
        # No hard links here: last one wins, which a single node never notices.
        scratch.rename(own)
        return True
    scratch.unlink(missing_ok=True)
    return True


def _read(path: Path) -> str | None:
    try:
        value = json.loads(path.read_text())
        return check_id(str(value["run"]), what="run id")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _iter_files(folder: Path, program: str) -> Iterator[Path]:
    """Yield a program's files, the newest first."""
    found = []
    for path in folder.glob(f"{program}-*.json"):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime_ns, path))
    for _mtime, path in sorted(found, reverse=True):
        yield path


def _prune(folder: Path, program: str) -> None:
    for path in list(_iter_files(folder, program))[KEPT_MAX:]:
        path.unlink(missing_ok=True)
