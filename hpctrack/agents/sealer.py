"""What is done for a run that is over, beside the loop: its file is synced to disk, or sealed."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.store.seal import seal_run
from hpctrack.store.space import sync_folder
from hpctrack.store.stored_run import StoredRun

CALM_S = 0.25
"""So long nobody must have begun or ended a run: sealing takes turns with the loop, and a job of
short runs should have it to itself."""


AUTO_SEAL_MAX_METRICS = 5_000
"""A run of more is left to ``hpctrack seal`` or ``sync``: each takes about 1 ms, however few its
points are."""


class Sealer:
    """Works off runs that are over, one after the other, on a thread of its own.

    Both take as long as the disk wants: a job of many short runs must not wait for it between
    two of them.

    Parameters
    ----------
    clock : Clock

    Attributes
    ----------
    bell : socket
        Can be read when there was nothing left to do.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = 0
        self._thread: threading.Thread | None = None
        self._busy_s = clock.mono_s()
        self._hurry = threading.Event()
        self.bell, self._rope = socket.socketpair()
        for one in (self.bell, self._rope):
            one.setblocking(False)  # noqa: FBT003 - socket's signature

    @property
    def is_idle(self) -> bool:
        """Whether everything is done."""
        return not self._open

    def add(self, folder: Path, path: Path | None, *, wants_seal: bool) -> None:
        """Take on a run that this agent has closed.

        Parameters
        ----------
        folder : Path
            The run's.
        path : Path or None
            Its last file, which the disk may not have yet.
        wants_seal : bool
            Seal it if all its ranks on all nodes have said good-bye.
        """
        with self._lock:
            self._open += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="hpctrack-sealer", daemon=True)
            self._thread.start()
        self._tasks.put(lambda: self._do(folder, path, wants_seal=wants_seal))

    def wait_for_calm(self) -> None:
        """Note that a run has begun or ended: another one may follow at once."""
        self._busy_s = self._clock.mono_s()

    def hurry(self) -> None:
        """Do not wait for a calm moment: somebody waits for us."""
        self._hurry.set()

    def hush(self) -> None:
        """Take note of the bell."""
        with contextlib.suppress(BlockingIOError):
            while self.bell.recv(4096):
                pass

    def close(self) -> None:
        """Wait until everything is done."""
        self.hurry()
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join()
        self.bell.close()
        self._rope.close()

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            self._await_calm()
            try:
                task()
            except Exception:  # noqa: BLE001 - the node files are whole; the log is the only reader
                traceback.print_exc()
            with self._lock:
                self._open -= 1
            if not self._open:
                self._hurry.clear()
                with contextlib.suppress(OSError):
                    self._rope.send(b"!")

    def _await_calm(self) -> None:
        while not self._hurry.is_set():
            left_s = self._busy_s + CALM_S - self._clock.mono_s()
            if left_s <= 0:
                break
            self._hurry.wait(left_s)

    def _do(self, folder: Path, path: Path | None, *, wants_seal: bool) -> None:
        if wants_seal and self._is_due(folder):
            seal_run(folder, clock=self._clock)
        elif path is not None:
            _sync(path)

    def _is_due(self, folder: Path) -> bool:
        """Tell whether every rank of every node has said good-bye; else somebody else will seal.

        Nor is a run due whose sealing would keep the job's others waiting.
        """
        run = StoredRun(folder, clock=self._clock)
        try:
            ranks = run.ranks()
            return (
                all(source.is_closed for source in run.sources())
                and len(ranks) >= run.told.size
                and all(rank.exit_code is not None for rank in ranks)
                and len(run.metrics()) <= AUTO_SEAL_MAX_METRICS
            )
        finally:
            run.close()


def _sync(path: Path) -> None:
    """Make the disk have a file that may have been sealed or moved meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        sync_folder(path.parent)
