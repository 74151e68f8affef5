"""What is known of the replicas in a run's folder: node files that are copies of another machine's.

``.replica.json`` says how far each has come, and when its original was looked at: whether a run is
going on is judged as of then. Standard library only: who watches a run, or offers what is new, does
without numpy and h5py.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpctrack.core.layout import REPLICA_LOCK_NAME, REPLICAS_NAME, REPLICAS_SPARE_NAME, NodeFileName
from hpctrack.errors import BusyError, StoreError
from hpctrack.store.space import exchange, explain, sync_folder
from hpctrack.store.tails import NodeState
from hpctrack.store.vocabulary import TABLE_ROW_BYTES

MAX_BYTES = 64 * 1024 * 1024
"""A quarter of a million node files; a longer file is not ours."""

READ_ATTEMPTS = 10

LOCK_WAIT_S = 10.0
LOCK_POLL_S = 0.01

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


def read_replicas(folder: Path) -> dict[str, NodeState]:
    """Return what each replica in a run's folder has for good, by the file's name.

    Parameters
    ----------
    folder : Path
        The run's; ``/proc/self/fd/<number>`` will do.

    Notes
    -----
    What cannot be read is not there: then everything is sent once more, and passed over.
    """
    found = _read(folder)
    return {name: state for name, state in found.items() if _is_file(folder / name)}


def has_replicas(folder: Path) -> bool:
    """Tell whether something is said of replicas in a run's folder."""
    return _is_file(folder / REPLICAS_NAME)


def _read(folder: Path) -> dict[str, NodeState]:
    data = _read_bytes(folder / REPLICAS_NAME)
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    states = {name: _parse(one) for name, one in told.items() if NodeFileName.parse(name)}
    return {name: state for name, state in states.items() if state is not None}


def write_replicas(folder: Path, states: Mapping[str, NodeState], *, is_durable: bool) -> None:
    """Replace what is known, in one step; only for who holds the run's replicas.

    Parameters
    ----------
    folder : Path
    states : mapping
        All of them.
    is_durable : bool
        Wait until the disk has it.

    Raises
    ------
    StoreError, StoreFullError
        It cannot be written; what was there is kept.
    """
    told = {name: _tell(one) for name, one in states.items()}
    data = json.dumps(told, separators=(",", ":")).encode()
    path, spare = folder / REPLICAS_NAME, folder / REPLICAS_SPARE_NAME
    flags = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # What was there before the last time is written over, and then takes its name back.
        with os.fdopen(os.open(spare, flags, 0o644), "wb", buffering=0) as file:
            while data:
                data = data[file.write(data) :]
            file.truncate()
            if is_durable:
                os.fsync(file.fileno())
        if not exchange(spare, path):
            spare.replace(path)
        if is_durable:
            sync_folder(folder)
    except OSError as error:
        raise explain(error, path) from None


class ReplicaStates:
    """The same for readers, who look again and again: a call of the system if nothing has changed.

    Parameters
    ----------
    folder : Path
        The run's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: tuple[int, int, int] | None = None
        self._states: dict[str, NodeState] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look again; to be called before the node files are looked at.

        A replica is written before what is known of it, so who asks in this order never takes
        signs of life for older than they are.
        """
        try:
            there = (self._folder / REPLICAS_NAME).lstat()
        except OSError:
            self._stamp, self._states = None, {}
            return
        stamp = _stamp(there)
        if stamp != self._stamp:
            self._states = _read(self._folder)
            self._stamp = stamp

    def as_of_wall_s(self, name: str) -> float | None:
        """Return when a file's original was looked at, by its machine's clock.

        None if the file is no replica.
        """
        state = self._states.get(name)
        return state.as_of_wall_s if state is not None else None

    def newest_wall_s(self) -> float | None:
        """Return when any original was looked at last; None if there is no replica."""
        return max((one.as_of_wall_s for one in self._states.values()), default=None)


@contextmanager
def hold_replicas(folder: Path, *, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Keep two receivers of one run apart, and a receiver and a sealer.

    Parameters
    ----------
    folder : Path
        The run's.
    wait_s : float, optional
        How long to wait for somebody else.

    Raises
    ------
    BusyError
        Somebody else has held them for so long.
    StoreError
        The folder cannot be written.

    Notes
    -----
    The kernel gives the lock back when its holder dies. Where the file system has no locks, two
    receivers find out by the file that one of them has replaced under the other.
    """
    path = folder / REPLICA_LOCK_NAME
    deadline_s = time.monotonic() + wait_s
    handle = _open_lock(path)
    try:
        while not _try_lock(handle, path):
            if time.monotonic() > deadline_s:
                raise BusyError(f"somebody else writes the replicas of {folder.name}")
            time.sleep(LOCK_POLL_S)
            os.close(handle)
            handle = _open_lock(path)
        yield
    finally:
        os.close(handle)


def _open_lock(path: Path) -> int:
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # Others may seal the run: whom the folder lets write may have the lock, too.
        return os.open(path, flags, 0o666)
    except OSError as error:
        raise explain(error, path) from None


def _try_lock(handle: int, path: Path) -> bool:
    """Take the lock of a file that still has its name."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise StoreError(f"{path} cannot be locked: {error.strerror}") from None
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except OSError:
        return False  # its last holder has removed it


def forget_replicas(folder: Path) -> None:
    """Remove what is known when no replica is left; only for who holds them."""
    for name in (REPLICAS_NAME, REPLICAS_SPARE_NAME, REPLICA_LOCK_NAME):
        with contextlib.suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _read_bytes(path: Path) -> bytes:
    """Return a file's bytes, none if it cannot be read; not of one that is being written over."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for _attempt in range(READ_ATTEMPTS):
        try:
            with os.fdopen(os.open(path, flags), "rb", buffering=0) as file:
                before = os.fstat(file.fileno())
                data = file.read(min(before.st_size, MAX_BYTES)) or b""
            if _stamp(before) == _stamp(path.lstat()):
                return data
        except OSError:
            return b""
    return b""


def _stamp(there: os.stat_result) -> tuple[int, int, int]:
    return there.st_ino, there.st_mtime_ns, there.st_size


def _tell(state: NodeState) -> dict[str, Any]:
    return {
        "uuid": state.uuid,
        "rows": dict(state.rows),
        "pulse_wall_s": state.pulse_wall_s,
        "closed_wall_s": state.closed_wall_s,
        "as_of_wall_s": state.as_of_wall_s,
    }


def _parse(told: Any) -> NodeState | None:
    """Return a state as somebody has written it, or None if it is none."""
    try:
        rows = {name: told["rows"].get(name, 0) for name in TABLE_ROW_BYTES}
        times = [told[key] for key in ("pulse_wall_s", "closed_wall_s", "as_of_wall_s")]
        is_good = all(type(one) is int and one >= 0 for one in rows.values()) and all(
            type(one) in {int, float} and math.isfinite(one) for one in times
        )
        if not is_good or not isinstance(told["uuid"], str):
            return None
        pulse_wall_s, closed_wall_s, as_of_wall_s = map(float, times)
    except (TypeError, LookupError, AttributeError, OverflowError):
        return None
    return NodeState(
        uuid=told["uuid"],
        rows=rows,
        pulse_wall_s=pulse_wall_s,
        closed_wall_s=closed_wall_s,
        as_of_wall_s=as_of_wall_s,
    )
