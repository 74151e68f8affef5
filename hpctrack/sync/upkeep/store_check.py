"""Whether a store that receives still has what came: structure, and the bytes themselves.

`hpctrack.store.verify` proves the checksums that HDF5 keeps, of the numbers; here every byte of a
sealed file is compared with the hash that it was received with, and what lies beside the runs is
looked at too.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hpctrack.core.layout import (
    ACCOUNTING_NAME,
    ANNOTATIONS_FOLDER,
    BLOBS_FOLDER,
    OWNER_NAME,
    SEALED_NAME,
    SERVER_FOLDER,
    SWEEP_NAME,
    SWEEPS_FOLDER,
    NodeFileName,
    is_leftover,
    is_set_aside,
    scan_runs,
)
from hpctrack.core.names import is_id
from hpctrack.errors import HpctrackError, NotFoundError, StoreFormatError
from hpctrack.store.accounting_file import parse_accounting
from hpctrack.store.annotations import Annotations
from hpctrack.store.folder_lock import HELD_NAME, LOCK_NAME
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.verify import Finding, Report, Severity, measure, verify_run
from hpctrack.sync.files.inventory import recall_hashes
from hpctrack.sync.upkeep.audit import AUDIT_NAME, Action, iter_events
from hpctrack.sync.upkeep.quotas import QUOTAS_NAME, list_projects, read_quotas

CLOCK_SLACK_S = 60.0
"""The file server's clock may be that far ahead of the clock of the machine that logs."""

SMALL_MAX_BYTES = 64 * 1024 * 1024

NAMED_MAX = 5
"""Runs that are named of those that have gone."""

_LOCKS = frozenset({LOCK_NAME, HELD_NAME})
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Received:
    """What the log says of a sealed file.

    Parameters
    ----------
    sha256 : str
    wall_s : float
        When it was published.
    """

    sha256: str
    wall_s: float


Stamp = tuple[int, int, int]
"""Size, modification time in ns, and inode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the sealed file of a run should be.

    Parameters
    ----------
    received : Received or None
        By the log.
    stamp : Stamp or None
    sha256 : str
        By the cache of hashes: of the file that had this stamp.
    """

    received: Received | None = None
    stamp: Stamp | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """How thorough to be.

    Parameters
    ----------
    quick : bool
        Only whether files are there and can be opened.
    stale_after_s : float
        See `verify_run`.
    """

    quick: bool = False
    stale_after_s: float = 60.0


THOROUGH = CheckOptions()


def check_store(
    store: Path,
    *,
    project: str | None = None,
    options: CheckOptions = THOROUGH,
    jobs: int = 1,
    on_bytes: Callable[[int], None] = lambda _size_bytes: None,
) -> Iterator[Report]:
    """Look at everything in a store, and yield what was found, run by run. Changes nothing.

    Parameters
    ----------
    store : Path
        The store's folder.
    project : str, optional
        Only this one.
    options : CheckOptions, optional
        How thorough to be.
    jobs : int, optional
        How many processes read runs: HDF5 reads one file at a time in each. Of other files, how
        many are read at once.
    on_bytes : callable, optional
        For a progress bar: called with the size of each run, and of each other file, that is
        done.

    Yields
    ------
    Report
        Of a run; or of ``.blobs``, ``.sweeps`` and ``.annotations`` of a project, and of
        ``.server``, if there are any.

    Raises
    ------
    NotFoundError
        There is no such project.
    """
    if project is not None and not (store / project).is_dir():
        raise NotFoundError(f"no project {project!r} in {store}")
    folders = [Path(found.path) for found in scan_runs(store, project)]
    received = _list_received(store)
    expected = _list_expected(store, folders, received)
    check = partial(check_run, options=options)
    for report in _map(check, folders, [expected[one] for one in folders], jobs):
        if report is not None:
            on_bytes(report.size_bytes)
            yield report
    for one in [project] if project else list_projects(store):
        yield from _check_beside(store / one, options, jobs, on_bytes)
    if project is None and (store / SERVER_FOLDER).is_dir():
        there = {(folder.parent.name, folder.name) for folder in folders}
        yield _check_server_folder(store, sorted(received.keys() - there))


def measure_store(store: Path, project: str | None = None) -> int:
    """Return how many bytes `check_store` will report, about."""
    runs = sum(measure(Path(found.path)) for found in scan_runs(store, project))
    names = [project] if project else list_projects(store)
    beside = (store / name / one for name in names for one in _BESIDE)
    return runs + sum(_size(path) for folder in beside for path in _iter_files(folder))


def _map(
    check: Callable[[Path, Expected], Report | None],
    folders: list[Path],
    expected: list[Expected],
    jobs: int,
) -> Iterator[Report | None]:
    if jobs == 1 or len(folders) < 2:  # noqa: PLR2004 - nothing to share
        yield from map(check, folders, expected)
        return
    # Not by fork: a thread of ours may hold a lock of HDF5.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(folders)), mp_context=context) as pool:
        yield from pool.map(check, folders, expected, chunksize=4)


def _list_received(store: Path) -> dict[tuple[str, str], Received]:
    """Return what the log says of each run: the last time counts."""
    return {
        (str(event.get("project")), str(event.get("id"))): Received(
            str(event["sha256"]), float(event["wall_s"])
        )
        for event in iter_events(store)
        if event.get("kind") == "run"
        and event.get("action") in {Action.PUBLISHED, Action.REPLACED}
        and event.get("sha256")
    }


def _list_expected(
    store: Path, folders: list[Path], received: Mapping[tuple[str, str], Received]
) -> dict[Path, Expected]:
    """Return what each run's sealed file should be, by the log and by the cache of hashes."""
    hashes = recall_hashes(store)
    found = {}
    for folder in folders:
        project, run = folder.parent.name, folder.name
        known = hashes.get(f"{project}/{run}/{SEALED_NAME}")
        found[folder] = Expected(
            received=received.get((project, run)),
            stamp=known[:3] if known else None,
            sha256=known[3] if known else "",
        )
    return found


def check_run(folder: Path, expected: Expected, *, options: CheckOptions) -> Report | None:
    """Look at one run; None if it is gone.

    Parameters
    ----------
    folder : Path
        The run's.
    expected : Expected
        What its sealed file should be.
    options : CheckOptions
        How thorough to be.
    """
    if options.quick:
        report = _open_files(folder)
    else:
        try:
            report = verify_run(folder, stale_after_s=options.stale_after_s)
        except NotFoundError:
            return None
        report.findings += _check_hash(folder / SEALED_NAME, expected)
    if (folder / ACCOUNTING_NAME).exists():
        report.findings += _check_accounting(folder)
    if (folder / OWNER_NAME).exists():
        report.findings += _check_owner(folder / OWNER_NAME)
    return report


def _open_files(folder: Path) -> Report:
    report = Report(folder.name, folder.parent.name)
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        report.findings.append(_error("", f"the folder cannot be read: {error.strerror}"))
        return report
    for path in paths:
        try:
            if path.name == SEALED_NAME:
                report.points += sum(SealedReader(path).metric_sizes().values())
            elif NodeFileName.parse(path.name):
                NodeReader(path).close()
            else:
                continue
        except NotFoundError:
            continue  # sealed just now
        except HpctrackError as error:
            report.findings.append(_error(path.name, error.message))
        report.files += 1
        report.size_bytes += _size(path)
    return report


def _check_hash(path: Path, expected: Expected) -> Iterator[Finding]:
    if expected.received is None and expected.stamp is None:
        return
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        if expected.received is not None:
            yield _error(SEALED_NAME, "it was received, and is not there any more")
        return
    except OSError as error:
        yield _error(SEALED_NAME, f"it cannot be read: {error.strerror}")
        return
    stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
    received = expected.received
    if stamp == expected.stamp and found != expected.sha256:
        yield _error(SEALED_NAME, _differ("those that were hashed", expected.sha256, found))
    elif received is not None and found not in {received.sha256, expected.sha256}:
        if status.st_mtime <= received.wall_s + CLOCK_SLACK_S:
            yield _error(SEALED_NAME, _differ("those that were received", received.sha256, found))
        else:
            what = "it was written anew on this machine after it had been received"
            yield Finding(SEALED_NAME, what, Severity.WARNING)


def _differ(what: str, expected: str, found: str) -> str:
    return f"its bytes are not {what}: SHA-256 {found[:12]}..., not {expected[:12]}..."


def _check_accounting(folder: Path) -> Iterator[Finding]:
    try:
        told = parse_accounting((folder / ACCOUNTING_NAME).read_bytes())
    except OSError as error:
        yield _error(ACCOUNTING_NAME, f"it cannot be read: {error.strerror}")
        return
    if told is None:
        yield _error(ACCOUNTING_NAME, "it is damaged: sync it again")
    elif (told.get("project"), told.get("run")) != (folder.parent.name, folder.name):
        yield _error(ACCOUNTING_NAME, f"it is of {told.get('project')}/{told.get('run')}")


def _check_owner(path: Path) -> Iterator[Finding]:
    """Nobody but the owner may go on with a run: with a damaged name nobody may."""
    try:
        owner = path.read_text().strip()
    except (OSError, ValueError):
        owner = ""
    if not is_id(owner):
        yield _error(OWNER_NAME, "it is damaged: it is to be the user whose run it is")


_BESIDE = (BLOBS_FOLDER, SWEEPS_FOLDER, ANNOTATIONS_FOLDER)


def _check_beside(
    project: Path, options: CheckOptions, jobs: int, on_bytes: Callable[[int], None]
) -> Iterator[Report]:
    """Look at what a project has besides its runs."""
    checks: dict[str, Callable[[Path], str | None]] = {
        BLOBS_FOLDER: partial(_check_blob, options=options),
        SWEEPS_FOLDER: _check_json,
        ANNOTATIONS_FOLDER: _check_annotations,
    }
    for name in _BESIDE:
        report = Report(name, project.name)
        paths = list(_iter_files(project / name))
        with ThreadPoolExecutor(jobs) as pool:  # hashing lets other threads run
            for path, what in zip(paths, pool.map(checks[name], paths), strict=True):
                report.files += 1
                size_bytes = _size(path)
                report.size_bytes += size_bytes
                on_bytes(size_bytes)
                if what:
                    file = str(path.relative_to(project / name))
                    report.findings.append(_error(file, what))
        if report.files:
            yield report


def _iter_files(folder: Path) -> Iterator[Path]:
    """Yield the files that mean something: no locks, and nothing of sweeps that run here."""
    for at, _folders, names in os.walk(folder):
        for name in sorted(names):
            is_odd = is_leftover(name) or is_set_aside(name) or name in _LOCKS
            if not is_odd and (folder.name != SWEEPS_FOLDER or name == SWEEP_NAME):
                yield Path(at, name)


def _check_blob(path: Path, *, options: CheckOptions) -> str | None:
    if not _SHA256.match(path.name) or path.parent.name != path.name[:2]:
        return "not a file of ours"
    if options.quick:
        return None
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return None if found == path.name else _differ("those of its name", path.name, found)


def _check_annotations(path: Path) -> str | None:
    what = _check_json(path)
    if what is None and Annotations.from_bytes(path.read_bytes()) is None:
        what = "it is damaged: these are no annotations"
    return what


def _check_json(path: Path) -> str | None:
    try:
        if _size(path) > SMALL_MAX_BYTES:
            return "it is too long to be ours"
        found: Any = json.loads(path.read_bytes())
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except (ValueError, RecursionError):
        return "it is damaged: it is no JSON"
    return None if isinstance(found, Mapping) else "it is damaged: it is no JSON object"


def _check_server_folder(store: Path, missing: list[tuple[str, str]]) -> Report:
    report = Report(SERVER_FOLDER, "", files=1)
    try:
        read_quotas(store)
    except StoreFormatError as error:
        report.findings.append(_error(QUOTAS_NAME, error.message))
    if missing:
        # Somebody may have removed them on purpose: nothing else removes a run.
        names = ", ".join("/".join(one) for one in missing[:NAMED_MAX])
        more = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
        what = f"received once, and not there any more: {names}{more}"
        report.findings.append(Finding(AUDIT_NAME, what, Severity.WARNING))
    return report


def _error(file: str, what: str) -> Finding:
    return Finding(file, what, Severity.ERROR)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
