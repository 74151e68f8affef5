"""Keeping two sealers of one run apart, on one machine or on two that share a file system."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.core.layout import SEAL_LOCK_NAME
from hpctrack.errors import BusyError
from hpctrack.store.replica_states import has_replicas, hold_replicas

LOCK_AGE_MAX_S = 3600.0
"""A lock older than this was left by a sealer that was killed on another machine."""

TOUCH_INTERVAL_S = 60.0

REPLICAS_WAIT_S = 0.5
"""For who adds to the run's replicas, which takes milliseconds."""


class SealLock:
    """The lock of a run that is being sealed.

    Parameters
    ----------
    folder : Path
        The run's.
    clock : Clock
        Tells when it must be touched.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / SEAL_LOCK_NAME
        self._clock = clock
        self._words = f"{_own_place()} {os.getpid()} {secrets.token_hex(8)}\n".encode()
        self._touched_s = clock.mono_s()

    def take(self) -> None:
        """Take it.

        Raises
        ------
        BusyError
            Somebody else has it.
        """
        for _attempt in range(2):
            try:
                # NFS honours O_EXCL from version 3 on.
                handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                self._clear_stale()
            else:
                try:
                    os.write(handle, self._words)
                except OSError:
                    self._path.unlink(missing_ok=True)
                    raise
                finally:
                    os.close(handle)
                return
        raise self._busy()

    def touch(self) -> None:
        """Say that the sealer is alive, now and then."""
        now_s = self._clock.mono_s()
        if now_s - self._touched_s > TOUCH_INTERVAL_S:
            self._touched_s = now_s
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def check(self) -> None:
        """Make sure that it is still ours.

        Raises
        ------
        BusyError
            This process slept so long that somebody took it for dead.
        """
        if self._read() != self._words:
            raise self._busy()

    def drop(self) -> None:
        """Give it back."""
        if self._read() == self._words:
            self._path.unlink(missing_ok=True)

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError:
            return b""

    def _clear_stale(self) -> None:
        """Remove a lock whose owner is gone."""
        with contextlib.suppress(FileNotFoundError):
            is_old = self._clock.wall_s() - self._path.stat().st_mtime > LOCK_AGE_MAX_S
            if not (is_old or _is_dead(self._read())):
                return
            # Of several that find it stale, one gets to rename it; the others find it gone.
            aside = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}.old")
            self._path.rename(aside)
            aside.unlink()

    def _busy(self) -> BusyError:
        return BusyError(
            f"somebody is sealing {self._path.parent.name}", hint=f"if not, remove {self._path}"
        )


@contextmanager
def hold_lock(folder: Path, clock: Clock) -> Iterator[SealLock]:
    """Hold the lock of a run's folder; nothing is added to replicas in it meanwhile.

    Raises
    ------
    BusyError
        Somebody else has it.
    """
    lock = SealLock(folder, clock)
    with hold_replicas(folder, wait_s=REPLICAS_WAIT_S) if has_replicas(folder) else nullcontext():
        lock.take()
        try:
            yield lock
        finally:
            lock.drop()


def _own_place() -> str:
    """Return what a process number means something in: the host and its process namespace."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = "?"
    return f"{socket.gethostname()}/{space}"


def _is_dead(words: bytes) -> bool:
    """Tell whether a lock's owner ran here and is gone; False if that cannot be known."""
    place, _, rest = words.decode("utf-8", "replace").partition(" ")
    number = rest.partition(" ")[0]
    if place != _own_place() or place.endswith("/?") or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
