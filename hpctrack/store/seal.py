"""Sealing: many node files become one, and are removed only after it was read back."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import SEAL_LOCK_NAME, SEALED_NAME, iter_node_files
from hpctrack.errors import BusyError, StoreError, StoreFormatError
from hpctrack.store.columns import Columns
from hpctrack.store.record import State
from hpctrack.store.sealed_file import SealedReader, write_sealed
from hpctrack.store.stored_run import StoredRun

LOCK_AGE_MAX_S = 3600.0
"""A sealer's lock older than this was left by one that was killed; sealing is safe to repeat."""


@dataclass(frozen=True, slots=True)
class SealResult:
    """What sealing did.

    Parameters
    ----------
    path : Path
        The sealed file.
    points : int
        Points in it.
    node_files : int
        Files that went into it; 0 if the run was sealed already.
    """

    path: Path
    points: int
    node_files: int


def seal_run(
    folder: Path, *, clock: Clock = SYSTEM_CLOCK, stale_after_s: float = 60.0, force: bool = False
) -> SealResult:
    """Seal a run. Idempotent; killed anywhere, it can be repeated and nothing is lost.

    Parameters
    ----------
    folder : Path
        The run's folder.
    clock : Clock
        For the age of a lock and of the last sign of life.
    stale_after_s : float
        A node file silent for this long has lost its agent.
    force : bool
        Also seal a run that seems to be running.

    Raises
    ------
    BusyError
        The run is running, or somebody else is sealing it.
    StoreFormatError
        A node file cannot be read: sealing would lose it.
    StoreError
        The folder cannot be written, or the sealed file does not hold what went in.
    """
    run = StoredRun(folder, clock=clock, stale_after_s=stale_after_s)
    target = folder / SEALED_NAME
    if run.is_sealed:
        run.close()
        _remove(iter_node_files(folder))  # left by a sealer that was killed at its last step
        return SealResult(target, sum(SealedReader(target).metric_sizes().values()), 0)
    record = run.record
    is_alive = any(rank.state == State.RUNNING for rank in record.ranks)
    if (record.state == State.RUNNING or is_alive) and not force:
        run.close()
        raise BusyError(f"run {run.id} is running", hint="seal it when it has finished")
    try:
        with _sealing(folder, clock):
            return _seal(run, target, clock)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from None
    finally:
        run.close()


def _seal(run: StoredRun, target: Path, clock: Clock) -> SealResult:
    run.refresh()
    node_files = list(iter_node_files(run.folder))
    if run.unreadable():
        raise StoreFormatError(
            f"run {run.id} has a node file that cannot be read",
            hint="move it out of the folder to seal the rest",
        )
    sources = run.sources()
    metrics = run.columns()
    expected = sum(source.facts["points"] for source in sources)
    scratch = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    scratch.unlink(missing_ok=True)
    try:
        write_sealed(scratch, run.record, sources, metrics, wall_s=clock.wall_s())
        points = _check(scratch, metrics)
        if points != expected:
            raise StoreError(
                f"run {run.id} has {expected} points, the sealed file {points}: not sealed"
            )
        _make_durable(scratch)
        scratch.replace(target)
        _make_durable(target.parent)
    finally:
        scratch.unlink(missing_ok=True)
    _remove(node_files)
    return SealResult(target, points, len(node_files))


def _check(path: Path, metrics: dict[str, Columns]) -> int:
    """Read the sealed file back, checksums and all, and return how many points it holds."""
    found = SealedReader(path).read_columns()
    for name, columns in metrics.items():
        if name not in found or len(found[name]) != len(columns):
            raise StoreError(f"{path}: metric {name!r} did not survive sealing")
    return sum(len(columns) for columns in found.values())


def _remove(node_files: Iterable[Path]) -> None:
    for path in list(node_files):
        path.unlink(missing_ok=True)


def _make_durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _sealing(folder: Path, clock: Clock) -> Iterator[None]:
    """Keep other sealers out; made with O_EXCL, which NFS honours from version 3 on."""
    lock = folder / SEAL_LOCK_NAME
    for _attempt in range(2):
        try:
            handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            break
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if clock.wall_s() - lock.stat().st_mtime > LOCK_AGE_MAX_S:
                    lock.unlink(missing_ok=True)
    else:
        raise BusyError(f"somebody is sealing {folder.name}", hint=f"if not, remove {lock}")
    try:
        os.write(handle, f"{socket.gethostname()} {os.getpid()}\n".encode())
        os.close(handle)
        yield
    finally:
        lock.unlink(missing_ok=True)
