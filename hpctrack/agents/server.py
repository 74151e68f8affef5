"""The agent's loop: accept, read, flush when due, seal, leave."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import traceback
from collections.abc import Callable
from typing import Any

from hpctrack.agents.connection import Connection, refuse
from hpctrack.agents.console import ConsoleDrain
from hpctrack.agents.open_files import Spare, is_reserved
from hpctrack.agents.recorder import Recorder
from hpctrack.agents.resume import Chooser
from hpctrack.agents.sealer import Sealer
from hpctrack.agents.session import have_all_left
from hpctrack.agents.telemetry import Telemetry
from hpctrack.client.spawn import peer_uid
from hpctrack.core.clock import Clock

AUTO_SEAL_MAX_POINTS = 5_000_000
"""A longer run is left to ``hpctrack seal`` or ``sync``: sealing it here would take seconds from
the job's other runs."""

IDLE_WAIT_S = 60.0

_NO_MORE_FILES = frozenset({errno.EMFILE, errno.ENFILE})

LOOK_S = 0.05
"""Between two looks at the pipes of programs that have outlived their rank, and at ranks that have
not taken all of an answer yet."""


LAST_READING_S = 0.5
"""Sources may take so long for the last reading of a run."""

LAST_READING_WAITED_FOR_S = 0.2
"""The same, where the last rank waits for its answer meanwhile."""


class Server:
    """Serves the ranks of one node.

    Parameters
    ----------
    listener : socket or None
        Where ranks connect; None for a recorder on a thread, which has its one peer already.
    clock : Clock
        For everything that has to do with time.
    linger_s : float
        How long to stay for the job's next run when there is nothing to do.
    leave : callable
        Asked before leaving; closes the door and returns whether nobody stands in it.
    telemetry : Telemetry, optional
        Reads the node's sensors for the runs that want it.
    announce : callable
        Called with the first HELLO of each run, which says into what it is recorded.
    """

    def __init__(
        self,
        listener: socket.socket | None,
        *,
        clock: Clock,
        linger_s: float,
        leave: Callable[[], bool] = lambda: True,
        telemetry: Telemetry | None = None,
        announce: Callable[[dict[str, Any]], None] = lambda _hello: None,
    ) -> None:
        self._listener = listener
        self._clock = clock
        self._linger_s = linger_s
        self._leave = leave
        self._selector = selectors.DefaultSelector()
        self._connections: list[Connection] = []
        self._recorders: dict[tuple[str, str, str, int], Recorder] = {}
        self._consoles: list[ConsoleDrain] = []
        self._chooser = Chooser(clock)
        self._telemetry = telemetry
        self._announce = announce
        self._busy_s = clock.mono_s()
        self._sealer = Sealer(clock)
        self._spare = Spare()
        self.is_stopping = False
        self.watch(self._sealer.bell, self._settle)
        if listener is not None:
            listener.setblocking(False)  # noqa: FBT003 - socket's signature
            self._selector.register(listener, selectors.EVENT_READ, self._accept_all)

    def watch(self, source: socket.socket, callback: Callable[[], None]) -> None:
        """Call back when a socket can be read, such as one that a signal handler writes to."""
        self._selector.register(source, selectors.EVENT_READ, callback)

    def add_peer(self, peer: socket.socket) -> None:
        """Serve a rank that is connected already."""
        peer.setblocking(False)  # noqa: FBT003 - socket's signature
        connection = Connection(peer, self._find_recorder, self._chooser)
        self._connections.append(connection)
        self._selector.register(peer, selectors.EVENT_READ, lambda: self._serve(connection))

    def run(self) -> None:
        """Serve until there has been nothing to do for a while."""
        while True:
            for key, _mask in self._selector.select(self._wait_s()):
                key.data()
            self._flush_due()
            if self._telemetry is not None:
                self._telemetry.look_after(self._recorders.values())
            self._close_idle()
            self._look_after_consoles()
            if self._is_over():
                break
        self._close_all()

    def flush_all(self) -> None:
        """Write everything through now: somebody means to end us."""
        for recorder in self._recorders.values():
            recorder.flush()
            why = {"who": "scheduler", "why": "SIGTERM"}
            recorder.stop_request = recorder.stop_request or why
            self._tell_news(recorder)

    # -- ranks -----------------------------------------------------------------------------------

    def _accept_all(self) -> None:
        assert self._listener is not None  # noqa: S101 - registered with it
        while True:
            try:
                peer, _address = self._listener.accept()
            except OSError as error:
                if error.errno not in _NO_MORE_FILES or not self._turn_away():
                    return
                continue
            if is_reserved(peer.fileno()):
                refuse(peer)
                peer.close()
            elif peer_uid(peer) == os.getuid():
                self.add_peer(peer)
            else:
                peer.close()

    def _turn_away(self) -> bool:
        """Refuse a rank although there is no descriptor left for it; return whether it worked."""
        assert self._listener is not None  # noqa: S101 - it has said so
        peer = self._spare.accept(self._listener)
        if peer is None:
            return False
        refuse(peer)
        self._spare.close(peer)
        return True

    def _serve(self, connection: Connection) -> None:
        """Read from a rank; whatever goes wrong costs that rank its connection, not us our life."""
        try:
            self._read(connection)
        except Exception:  # noqa: BLE001 - the log is the only reader
            traceback.print_exc()
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if connection in self._connections:
            self._selector.unregister(connection.socket)
            self._connections.remove(connection)
            connection.leave()

    def _read(self, connection: Connection) -> None:
        is_there = connection.read()
        recorder = connection.recorder
        if not is_there:
            self._drop(connection)
        if connection.wants_settled:
            self._sealer.hurry()
            self._settle()
        if recorder is None or recorder.is_closed:
            return
        now = self._clock.mono_s()
        self._busy_s = now
        if connection.wants_answer or not is_there:
            self._answer(connection, recorder)
        elif recorder.next_due_s() <= now:
            recorder.tick(now)
        connection.tell_news()

    def _answer(self, connection: Connection, recorder: Recorder) -> None:
        """Flush; at a run's end close its file, in the order that suits the place."""
        is_written = recorder.flush(asked_by=connection.session)
        connection.tell_news()
        is_over = have_all_left(recorder.sessions)
        session = connection.session
        # The end of a Slurm step kills us the moment its last rank has its answer.
        is_doomed = bool(session and session.hello.get("job"))
        if is_over and is_doomed:
            self._conclude(recorder, LAST_READING_WAITED_FOR_S)
        if connection.wants_answer and is_written:
            connection.answer()
        if is_over and not is_doomed:
            self._conclude(recorder, LAST_READING_S)

    def _settle(self) -> None:
        """Answer those who wait until everything is sealed."""
        self._sealer.hush()
        if self._sealer.is_idle:
            for connection in self._connections:
                if connection.wants_settled:
                    connection.answer()

    def _find_recorder(self, hello: dict[str, Any]) -> Recorder:
        key = (str(hello["store"]), str(hello["project"]), str(hello["run"]), int(hello["attempt"]))
        if key not in self._recorders:
            self._sealer.wait_for_calm()
            self._recorders[key] = Recorder(hello, clock=self._clock)
            self._announce(hello)
            if self._telemetry is not None:
                self._telemetry.begin(hello, self.watch, self._take_readings)
        return self._recorders[key]

    def _take_readings(self) -> None:
        assert self._telemetry is not None  # noqa: S101 - it is what calls
        recorders = list(self._recorders.values())
        self._telemetry.deliver(recorders)
        for recorder in recorders:
            if recorder.notices:
                self._tell_news(recorder)

    # -- time ------------------------------------------------------------------------------------

    def _wait_s(self) -> float:
        now = self._clock.mono_s()
        due = [recorder.next_due_s() for recorder in self._recorders.values()]
        if self._consoles or any(one.has_unsent for one in self._connections):
            due.append(now + LOOK_S)
        due += [one.agreement.next_due_s() for one in self._recorders.values()]
        if not self._connections:
            due.append(self._busy_s + self._linger_s)
        due += [
            one.idle_since_s + self._linger_s
            for one in self._recorders.values()
            if not any(session.is_open for session in one.sessions)
        ]
        return min(IDLE_WAIT_S, max(0.0, min(due, default=now + IDLE_WAIT_S) - now))

    def _flush_due(self) -> None:
        now = self._clock.mono_s()
        for recorder in self._recorders.values():
            recorder.agreement.look()
        for connection in self._connections:
            connection.push()
            connection.tell_agreement()
            connection.leave_wish()
        for recorder in self._recorders.values():
            if recorder.next_due_s() <= now:
                told = len(recorder.notices)
                recorder.tick(now)
                if recorder.stop_request or len(recorder.notices) > told:
                    self._tell_news(recorder)

    def _tell_news(self, recorder: Recorder) -> None:
        for connection in self._connections:
            if connection.recorder is recorder:
                connection.tell_news()

    def _close_idle(self) -> None:
        """Close runs whose ranks have all left, also if the launcher promised more of them."""
        now = self._clock.mono_s()
        for recorder in list(self._recorders.values()):
            is_idle = not any(session.is_open for session in recorder.sessions)
            if is_idle and (self.is_stopping or now - recorder.idle_since_s >= self._linger_s):
                self._close(recorder)

    def _look_after_consoles(self) -> None:
        """Serve children that print although their rank, and its run, have ended."""
        for one in self._consoles:
            one.look()
        self._consoles = [one for one in self._consoles if not one.is_done]

    def _is_over(self) -> bool:
        if self._connections or self._recorders or self._consoles or not self._sealer.is_idle:
            return False
        is_idle = self._clock.mono_s() - self._busy_s >= self._linger_s
        if not (is_idle or self.is_stopping or self._listener is None):
            return False
        if self._listener is None:
            return True
        is_free = self._leave()
        self._accept_all()
        return is_free and not self._connections

    # -- the end of a run ------------------------------------------------------------------------

    def _conclude(self, recorder: Recorder, limit_s: float) -> None:
        """Read the node's sensors for the last time, and close."""
        if self._telemetry is not None:
            self._telemetry.conclude(recorder, self._recorders.values(), limit_s=limit_s)
        self._close(recorder)

    def _close(self, recorder: Recorder) -> None:
        for key, one in list(self._recorders.items()):
            if one is recorder:
                del self._recorders[key]
        points, path = recorder.points, recorder.path
        recorder.close()
        self._consoles += recorder.left_consoles
        wants = all(
            (one.hello.get("settings") or {}).get("seal") == "auto" for one in recorder.sessions
        )
        is_short = points <= AUTO_SEAL_MAX_POINTS
        wants_seal = wants and is_short and not recorder.is_spilled
        self._sealer.wait_for_calm()
        self._sealer.add(recorder.folder, path, wants_seal=wants_seal)

    def _close_all(self) -> None:
        for connection in self._connections:
            connection.leave()
        for recorder in list(self._recorders.values()):
            self._close(recorder)
        if self._telemetry is not None:
            self._telemetry.close()
        self._sealer.close()
        self._selector.close()
