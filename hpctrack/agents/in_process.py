"""The last resort: the agent on a thread of the rank, when no process can be started.

Loaded by name from `hpctrack.client.spawn`, so that the rank's layer does not know it.
"""

from __future__ import annotations

import socket
import threading
import time

from hpctrack.agents.server import Server
from hpctrack.core.clock import SYSTEM_CLOCK

_threads: list[threading.Thread] = []


def start() -> socket.socket:
    """Start a recorder on a thread and return the rank's end of a connection to it."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # noqa: FBT003 - socket's signature
    server = Server(None, clock=SYSTEM_CLOCK, linger_s=0.0)
    server.add_peer(ours)
    thread = threading.Thread(target=server.run, name="hpctrack-recorder", daemon=True)
    thread.start()
    _threads.append(thread)
    return theirs


def wait(timeout_s: float) -> bool:
    """Wait until the recorders have closed, and sealed, what their ranks have left.

    A thread that the interpreter's end stops inside HDF5 keeps HDF5's lock, and whoever cleans up
    after that waits for ever.

    Parameters
    ----------
    timeout_s : float
        Longest wait for all of them, seconds.

    Returns
    -------
    bool
        Whether they are done.
    """
    deadline_s = time.monotonic() + timeout_s
    for thread in _threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    _threads[:] = [one for one in _threads if one.is_alive()]
    return not _threads
