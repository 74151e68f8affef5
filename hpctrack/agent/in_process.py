"""The last resort: the agent on a thread of the rank, when no process can be started.

Loaded by name from `hpctrack.client.spawn`, so that the rank's layer does not know it.
"""

from __future__ import annotations

import socket
import threading

from hpctrack.agent.server import Server
from hpctrack.core.clock import SYSTEM_CLOCK


def start() -> socket.socket:
    """Start a recorder on a thread and return the rank's end of a connection to it."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # noqa: FBT003 - socket's signature
    server = Server(None, clock=SYSTEM_CLOCK, linger_s=0.0)
    server.add_peer(ours)
    threading.Thread(target=server.run, name="hpctrack-recorder", daemon=True).start()
    return theirs
