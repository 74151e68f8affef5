"""The agent's process: from an inherited socket to the loop, and out again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from hpctrack.agents.open_files import raise_limit
from hpctrack.agents.server import Server
from hpctrack.agents.telemetry import Telemetry
from hpctrack.client.spawn import LISTEN_FD, RuntimeFolder, take_lock
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.joining import leave_card
from hpctrack.core.settings import environment
from hpctrack.errors import BusyError
from hpctrack.store.growing_file import has_abandoned_files
from hpctrack.telemetry.reading import Source

MAX_FD = 65536
"""Files that MPI libraries leave open across exec end well below; a rank's PMI socket held open by
us would keep its launcher waiting."""


def main(arguments: Sequence[str]) -> None:
    """Run the agent; called by `hpctrack.client.spawn`.

    Parameters
    ----------
    arguments : sequence of str
        One JSON object: ``folder`` and ``linger_s``.
    """
    os.closerange(LISTEN_FD + 1, MAX_FD)
    raise_limit()
    _use_all_cores()
    options = json.loads(arguments[0])
    folder = RuntimeFolder(options["folder"])
    with socket.socket(fileno=LISTEN_FD) as listener:
        server = Server(
            listener,
            clock=SYSTEM_CLOCK,
            linger_s=float(options["linger_s"]),
            leave=lambda: _leave(folder, listener),
            telemetry=Telemetry(_make_sources, clock=SYSTEM_CLOCK),
            announce=partial(_announce, folder),
        )
        _heed_signals(server)
        server.run()
    if has_abandoned_files():
        os._exit(0)  # HDF5 would say farewell to files that it must not touch again


def _announce(folder: RuntimeFolder, hello: Mapping[str, Any]) -> None:
    """Leave word of a run for programs that its own has not started."""
    with contextlib.suppress(OSError):
        leave_card(folder.path, folder.socket, hello)


def _make_sources() -> list[Source]:
    # Loaded when the first run wants telemetry; a broken driver's package must not end the agent.
    from hpctrack.telemetry.sources import make_sources  # noqa: PLC0415

    return make_sources(environment())


def _use_all_cores() -> None:
    """Leave the core that the first rank is bound to; the cgroup still keeps us in the job."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def _leave(folder: RuntimeFolder, listener: socket.socket) -> bool:
    """Take the socket's name away, so that the next rank starts another agent.

    Returns
    -------
    bool
        False if a rank is starting an agent right now: it has seen us and will connect.
    """
    try:
        lock = take_lock(folder.lock, wait_s=0.0)
    except BusyError:
        return False
    try:
        if _is_ours(folder, listener):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder.socket)  # noqa: PTH108 - a plain text
    finally:
        os.close(lock)
    return True


def _is_ours(folder: RuntimeFolder, listener: socket.socket) -> bool:
    """Whether the name still leads to our socket and not to a successor's."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with probe:
        probe.setblocking(False)  # noqa: FBT003 - socket's signature
        try:
            probe.connect(folder.socket)
        except OSError:
            return False
        with contextlib.suppress(OSError):
            peer, _address = listener.accept()
            peer.close()
            return True
    return False


def _heed_signals(server: Server) -> None:
    """Write everything through at SIGTERM, and stay while ranks do.

    Slurm sends it to the whole step at the time limit, on scancel and on preemption, KillWait
    before SIGKILL: ranks that handle it have more to say.
    """
    ours, theirs = socket.socketpair()
    for one in (ours, theirs):
        one.setblocking(False)  # noqa: FBT003 - socket's signature
    # Detached: the socket must live as long as the process, not as long as this call.
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)

    def on_signal() -> None:
        with contextlib.suppress(OSError):
            ours.recv(64)
        server.is_stopping = True
        server.flush_all()

    server.watch(ours, on_signal)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    # Sent to whole steps for the program's sake; their default would end us.
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
