"""Asking another process whether a file that a stranger has made is a sealed file of ours.

The HDF5 library can crash on files that are made for that, or search them for ever. So it opens
them in a process of its own, which is started when it is needed first and serves one file after
the other. A file that costs this process its life is refused, and the next file gets a new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any, Self

from hpctrack.core.settings import environment
from hpctrack.store.skeleton.summary import Skeleton

TIMEOUT_S = 60.0
BYTES_PER_S = 20_000_000
"""A file is given a minute, and more if it is large: what is packed tightly is unpacked."""

ANSWER_BYTES_MAX = 65536 * 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about a file.

    Parameters
    ----------
    code : str
        Why it is refused, one of `hpctrack.sync.wire.refusal.REASONS`; empty if it is not.
    where : str
        The object in the file that is the reason.
    skeleton : Skeleton or None
        What it says that it is, if it is not refused.
    """

    code: str = ""
    where: str = "/"
    skeleton: Skeleton | None = None


class StrictChecker:
    """Has files checked, by a process that is started when the first one comes.

    Safe to be used by several threads; they wait for each other.

    Parameters
    ----------
    timeout_s : float, optional
        For a small file.
    """

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def check_bytes(self, data: bytes | memoryview) -> Verdict:
        """Check a file that is in memory."""
        descriptor = os.memfd_create("foreign", os.MFD_CLOEXEC)
        with open(descriptor, "r+b", buffering=0) as file:  # noqa: PTH123 - it has no path
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
            return self.check_descriptor(descriptor)

    def check_descriptor(self, descriptor: int) -> Verdict:
        """Check a file that is open for reading, of any size."""
        timeout_s = self._timeout_s + os.fstat(descriptor).st_size / BYTES_PER_S
        with self._lock:
            try:
                answer = self._ask(descriptor, timeout_s)
            except (OSError, ValueError):
                # It crashed, or would not end: both is what such a file may be made for.
                self._end()
                return Verdict("not-a-run")
        if "code" in answer:
            return Verdict(str(answer["code"]), str(answer["where"]))
        return Verdict(skeleton=Skeleton(**answer))

    def _ask(self, descriptor: int, timeout_s: float) -> dict[str, Any]:
        connection = self._connect()
        connection.settimeout(timeout_s)
        socket.send_fds(connection, [f"{timeout_s:.0f}".encode()], [descriptor])
        answer = b""
        while not answer.endswith(b"\n"):
            piece = connection.recv(65536)
            if not piece or len(answer) > ANSWER_BYTES_MAX:
                raise ValueError("no answer")
            answer += piece
        found: dict[str, Any] = json.loads(answer)
        return found

    def _connect(self) -> socket.socket:
        if self._connection is None:
            mine, its = socket.socketpair()
            with its:
                self._child = subprocess.Popen(
                    # -P: nothing is imported from wherever this process happens to be.
                    [sys.executable, "-P", "-m", _WORKER, str(its.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**environment(), **_QUIET},
                    pass_fds=[its.fileno()],
                )
            self._connection = mine
        return self._connection

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._child is not None:
            with contextlib.suppress(OSError):
                self._child.kill()
            self._child.wait()
        self._child = self._connection = None


_WORKER = "hpctrack.store.strict_worker"

_QUIET = {
    "HDF5_PLUGIN_PRELOAD": "::",  # HDF5's word for no plug-ins at all
    "HDF5_PLUGIN_PATH": "/nonexistent",
    "HDF5_USE_FILE_LOCKING": "FALSE",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
