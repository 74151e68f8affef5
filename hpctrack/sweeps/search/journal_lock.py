"""One writer at a time on a shared file system: a lock made of a hard link.

See decision 0017 for why it is a link, when a lock counts as left behind, and what is left to
happen if two processes hold it after all.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import BusyError, StoreError
from hpctrack.sweeps.search.node_turn import NodeTurn

GRACE_S = 30.0
"""A lock of another host that stays as it is for so long belongs to a dead process."""

PATIENCE_S = 300.0
"""Whoever waits longer is told so; a lock is held for one append."""

LEFT_S = 86_400.0
"""A process that has not begun to write for so long may have been killed."""

WAIT_S = 0.01
"""Mean of one wait. One process of each node waits here, and the wait does not grow: else who has
waited longest would try most rarely."""

LOOK_EVERY_S = 1.0
"""Between two looks at who holds the lock; opening it costs more than trying to take it."""

LOOKS = 4
"""At least so many looks must have seen the same before a lock is taken over."""

SLOW_LOOK = 3
"""If a look comes so many times later than it should, the file system stood still, or we did."""

_RANDOM = random.SystemRandom()


@dataclass(slots=True)
class _Watch:
    """What a waiter has seen of the lock and its file."""

    seen: tuple[object, ...] = ()
    steady_s: float = 0.0
    looked_mono_s: float = 0.0


class LinkLock:
    """Excludes other processes, also on other hosts, while one appends to a file.

    Parameters
    ----------
    path : Path
        Of the file that is protected; the lock lies beside it.
    grace_s : float
        How long the lock of a process that cannot be seen from here must be unchanged, and the
        file not grow, before it is taken over.
    clock : Clock
        For tests.
    """

    def __init__(
        self, path: Path, *, grace_s: float = GRACE_S, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._file = path
        self._lock = path.with_name(f"{path.name}.lock")
        self._mine = path.with_name(f".{path.name}.lock-{secrets.token_hex(6)}")
        self._grace_s = grace_s
        self._look_every_s = min(LOOK_EVERY_S, grace_s / LOOKS)
        self._clock = clock
        self._pid = 0
        self._inode = 0
        self._since_mono_s = 0.0
        self._turn = NodeTurn(path, patience_s=grace_s, clock=clock)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock.

        Raises
        ------
        BusyError
            Others held it for minutes.
        StoreError
            The folder cannot be written.
        """
        with self._turn.take():
            self._acquire()
            try:
                yield
            finally:
                self._release()

    def is_mine(self) -> bool:
        """Tell whether nobody has taken the lock over; who was stopped meanwhile has to look."""
        if self._clock.mono_s() - self._since_mono_s < self._grace_s / 2:
            return True
        return self._is_lock_mine()

    def _is_lock_mine(self) -> bool:
        try:
            # Opening makes an NFS client ask the server; a bare stat may be answered from memory.
            with self._lock.open("rb") as file:
                return os.fstat(file.fileno()).st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Remove what lies beside the file."""
        self._turn.close()
        if self._pid == os.getpid():
            with suppress(OSError):
                self._mine.unlink()
            self._pid = 0

    def _acquire(self) -> None:
        started_mono_s = self._since_mono_s = self._clock.mono_s()
        watch = _Watch(looked_mono_s=started_mono_s)
        while not self._try():
            now_mono_s = self._clock.mono_s()
            if now_mono_s - started_mono_s > PATIENCE_S:
                raise BusyError(
                    f"{self._lock} was held by others for {PATIENCE_S:g} s",
                    hint="with this many workers, give the sweep a `storage` of postgresql://",
                )
            if now_mono_s - watch.looked_mono_s >= self._look_every_s:
                self._look(watch, now_mono_s)
            time.sleep(WAIT_S * _RANDOM.uniform(0.5, 1.5))
            self._since_mono_s = self._clock.mono_s()

    def _try(self) -> bool:
        try:
            if self._pid != os.getpid():
                self._make_mine()
            os.link(self._mine, self._lock)
        except FileExistsError:
            return self._is_linked()
        except FileNotFoundError:
            self._pid = 0  # somebody has tidied the folder
            return False
        except OSError as error:
            # The link may have been made although the answer says no: NFS repeats requests.
            if self._is_linked():
                return True
            raise StoreError(
                f"cannot lock {self._file}: {error.strerror}",
                hint="the file system must have hard links; or give the sweep a `storage`",
            ) from None
        return True

    def _is_linked(self) -> bool:
        """Tell whether the lock is ours although `link` said that it exists."""
        try:
            return self._mine.stat().st_nlink > 1 and self._is_lock_mine()
        except OSError:
            return False

    def _make_mine(self) -> None:
        """Write who we are; after a fork this is somebody else than before."""
        if self._pid:
            self._mine = self._mine.with_name(f".{self._file.name}.lock-{secrets.token_hex(6)}")
        try:
            self._mine.write_text(json.dumps(describe_process()))
            self._inode = self._mine.stat().st_ino
        except OSError as error:
            raise StoreError(f"cannot lock {self._file}: {error.strerror}") from None
        self._pid = os.getpid()
        self._tidy()

    def _tidy(self) -> None:
        """Remove what killed processes have left; who lives after all makes a new one."""
        with suppress(OSError):
            now_s = self._mine.stat().st_mtime  # the server's clock
            for path in self._file.parent.glob(f".{self._file.name}.lock-*"):
                found = path.stat()
                if found.st_nlink == 1 and now_s - found.st_mtime > LEFT_S:
                    path.unlink()

    def _release(self) -> None:
        if self.is_mine():
            with suppress(OSError):
                self._lock.unlink()

    def _look(self, watch: _Watch, now_mono_s: float) -> None:
        """Take the lock away from a process that is dead."""
        passed_s = now_mono_s - watch.looked_mono_s
        watch.looked_mono_s = now_mono_s
        try:
            with self._lock.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                owner = file.read()
            with self._file.open("rb") as file:
                size_bytes = os.fstat(file.fileno()).st_size
        except OSError:
            watch.steady_s = 0.0
            return  # released just now, or out of reach
        seen = (inode, owner, size_bytes)
        if seen != watch.seen or passed_s > SLOW_LOOK * self._look_every_s:
            watch.seen, watch.steady_s = seen, 0.0
        else:
            watch.steady_s += passed_s
        if watch.steady_s >= self._grace_s or is_dead(owner):
            self._break(inode)
            watch.seen, watch.steady_s = (), 0.0

    def _break(self, inode: int) -> None:
        """Remove a lock, and put it back if it was another one that came in between."""
        aside = self._lock.with_name(f".{self._lock.name}-{secrets.token_hex(6)}")
        with suppress(OSError):
            if self._lock.stat().st_ino != inode:
                return
            self._lock.rename(aside)
            try:
                if aside.stat().st_ino != inode:
                    os.link(aside, self._lock)
            finally:
                aside.unlink()


def describe_process() -> dict[str, object]:
    """Return what tells this process from all others, here and on other hosts."""
    return {
        "host": socket.gethostname(),
        "boot": _read_line("/proc/sys/kernel/random/boot_id"),
        "pids": _read_link("/proc/self/ns/pid"),
        "pid": os.getpid(),
        "start": _read_start(os.getpid()),
    }


def is_dead(owner: bytes) -> bool:
    """Tell whether a process that described itself is surely dead; of other hosts nobody knows."""
    try:
        described = json.loads(owner)
        pid = int(described["pid"])
        mine = describe_process()
        if not mine["boot"] or any(described[key] != mine[key] for key in ("host", "boot", "pids")):
            return False
        return bool(described["start"] != _read_start(pid))
    except (ValueError, KeyError, TypeError):
        return False


def _read_start(pid: int) -> str:
    """Return when a process began, in ticks; empty if there is none, or it is a zombie."""
    stat = _read_line(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in {"Z", "X"}:  # noqa: PLR2004 - proc(5) counts them
        return ""
    return fields[19]


def _read_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _read_link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
