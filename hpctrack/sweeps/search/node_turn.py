"""Taking turns among the processes of one node: whose turn it is may ask the file server.

It is only a courtesy: the lock of the file is what excludes. But dozens of workers of a node that
all try to take it would keep the server busy, and who has just released it would win against all
others. The kernel keeps this one, so it costs no server anything and ends with its process.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpctrack.core.clock import Clock

WAIT_S = 0.004
"""Mean of one wait; the same for all, or those who came last would come first."""

_RANDOM = random.SystemRandom()


class NodeTurn:
    """One process of a node at a time, or after some patience several.

    Parameters
    ----------
    path : Path
        What they take turns at.
    patience_s : float
        Who has waited for so long goes on: the other one may be stopped.
    clock : Clock
        For tests.
    """

    def __init__(self, path: Path, *, patience_s: float, clock: Clock) -> None:
        digest = hashlib.blake2b(os.fsencode(path.absolute()), digest_size=8).hexdigest()
        self._path = Path(tempfile.gettempdir()) / f"hpctrack-turns-{os.getuid()}" / digest
        self._patience_s = patience_s
        self._clock = clock
        self._descriptor = -1
        self._pid = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for one's turn, and pass it on afterwards."""
        is_ours = self._wait()
        try:
            yield
        finally:
            if is_ours:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0 and self._pid == os.getpid():
            os.close(self._descriptor)
        self._descriptor = -1

    def _wait(self) -> bool:
        if (self._descriptor < 0 or self._pid != os.getpid()) and not self._open():
            return False
        deadline_mono_s = self._clock.mono_s() + self._patience_s
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._clock.mono_s() >= deadline_mono_s:
                    return False
                time.sleep(_RANDOM.uniform(0.5, 1.5) * WAIT_S)
            except OSError:
                return False
            else:
                return True

    def _open(self) -> bool:
        """Open the file, in a folder that is ours; False if that cannot be."""
        # A fork would share its parent's turn: it opens the file for itself.
        self._pid, self._descriptor = os.getpid(), -1
        folder = self._path.parent
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                return False  # somebody else's trap
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        return self._descriptor >= 0
