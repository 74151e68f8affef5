"""What a rank says to its agent: never blocks, never raises, bounded, counted."""

from __future__ import annotations

import _struct as struct  # as in hpctrack.core.wire
import os
import select
from _socket import MSG_DONTWAIT, MSG_NOSIGNAL, SCM_RIGHTS, SOL_SOCKET  # see below
from _thread import RLock, start_new_thread  # `threading` loads seven files besides its own

from hpctrack.core import Record, wire
from hpctrack.core.clock import Clock
from hpctrack.core.wire import Kind
from hpctrack.errors import HpctrackError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Connection  # noqa: N812 - it is a connection here
    from collections import deque
    from collections.abc import Callable
    from typing import Any
else:
    from _collections import deque

RECONNECTS_MAX = 3
"""An agent that dies this often has a reason that a fourth start would not remove."""

LAST = "last"
"""Key of the kept frame that is said after all others: a question that waits for its answer."""

_SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL
"""Out of the module of C that `socket` is made of: that one makes enumerations of 300 constants and
loads four files more, which is 4 ms for each rank."""

_JOIN_BYTES = 256 * 1024


class Losses:
    """What a channel could not pass on.

    Attributes
    ----------
    frames : int
        How many there was no room for.
    agents : int
        How many agents died under us; what they had not confirmed is said again.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.agents = 0


class Greeting(Record):
    """The first thing that an agent is told: a frame and the files that go with it."""

    frame: bytes
    files: tuple[int, ...] = ()


class Channel:
    """A connection to the agent that outlives the agent.

    Parameters
    ----------
    connect : callable
        Returns a new non-blocking connection; raises `HpctrackError` if there can be none.
    clock : Clock
        For time-outs.
    buffer_bytes : int
        What may wait here while the agent is busy, or has not confirmed it yet. Frames beyond it
        are dropped and counted; those that are kept may use as much again.
    count_done : callable
        Returns how many frames of the present connection the agent has in its file.

    Notes
    -----
    One lock guards everything. It is held for a ``send`` that cannot block, never for a wait.
    Per-rank; safe from any thread.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        clock: Clock,
        buffer_bytes: int,
        count_done: Callable[[], int],
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._buffer_bytes = buffer_bytes
        self._count_done = count_done
        self._on_message: Callable[[int, dict[str, Any]], None] = _ignore
        self._greet: Callable[[], Greeting] = lambda: Greeting(b"")
        self._restate: Callable[[], list[bytes]] = list
        # Re-entrant: a signal handler of the program may speak in the middle of a frame.
        self._lock = RLock()
        self._is_sending = False
        self._late: deque[tuple[bytes, str]] = deque()
        self._socket: Connection | None = None
        self._decoder = wire.Decoder()
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._waiting_bytes = 0
        self._unconfirmed: deque[tuple[int, bytes]] = deque()
        self._unconfirmed_bytes = 0
        self._sent_frames = 0
        self._head_sent = 0
        self._helper: object = None
        self._kept: dict[str, bytes] = {}
        self._dead = ""
        self.losses = Losses()

    @property
    def problem(self) -> str:
        """Why nothing is recorded any more; empty while all is well."""
        return self._dead

    def open(
        self,
        greet: Callable[[], Greeting],
        on_message: Callable[[int, dict[str, Any]], None],
        restate: Callable[[], list[bytes]],
    ) -> None:
        """Connect and say who we are; if that cannot be, `problem` says why.

        Parameters
        ----------
        greet : callable
            Makes what every new connection begins with.
        on_message : callable
            Takes each (kind, JSON) that the agent sends, on whatever thread reads it.
        restate : callable
            Returns frames to say to another agent, behind those that were kept.
        """
        self._greet = greet
        self._on_message = on_message
        self._restate = restate
        self._reconnect()
        with self._lock:
            if self._socket is None and not self._dead:
                self._ensure_helper()

    def send(self, frame: bytes, *, keep: str = "") -> bool:
        """Pass a frame on; returns at once.

        Parameters
        ----------
        frame : bytes
            A whole frame.
        keep : str
            A key under which the frame is kept, in order of first use, to be said again to
            another agent should this one die. Frames without a key are said again until the
            agent has confirmed them.

        Returns
        -------
        bool
            False if there was no room; the frame is counted as lost.
        """
        with self._lock:
            if self._is_sending:
                self._late.append((frame, keep))
                return True
            self._is_sending = True
            try:
                is_held = self._send(frame, keep)
                while self._late:
                    self._send(*self._late.popleft())
            finally:
                self._is_sending = False
            return is_held

    def _send(self, frame: bytes, keep: str) -> bool:
        if keep:
            self._kept[keep] = frame
        if self._dead:
            self.losses.frames += 1
            return False
        if not self._waiting and self._socket is not None:
            try:
                sent = self._socket.send(frame, _SEND_FLAGS)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop_connection()
                sent = 0
            if sent == len(frame):
                self._note_sent(frame, is_kept=bool(keep))
                return True
            self._head_sent = sent
        is_held = self._hold_back(frame, is_kept=bool(keep))
        self._ensure_helper()
        return is_held

    def poll(self) -> None:
        """Read what the agent has said, if anything; returns at once."""
        with self._lock:
            connection = self._socket
            if connection is None:
                return
            try:
                data = connection.recv(65536, MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._drop_connection()
                self._ensure_helper()
                return
        self._read_messages(data)

    def drain(self, deadline_s: float, until: Callable[[], bool]) -> bool:
        """Send what waits and read answers until ``until()`` holds or the time is up.

        Parameters
        ----------
        deadline_s : float
            On the clock's monotonic time.

        Returns
        -------
        bool
            Whether ``until()`` holds.
        """
        while not until():
            left_s = deadline_s - self._clock.mono_s()
            if left_s <= 0 or self._dead:
                return until()
            with self._lock:
                connection = self._socket
            if connection is None:
                self._reconnect()
                continue
            self._step(connection, min(left_s, 0.5))
        return True

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._waiting

    def close(self) -> None:
        """Close the connection; later frames are counted as lost."""
        with self._lock:
            self._dead = self._dead or "the run is finished"
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def forget(self) -> None:
        """In a forked child: let go of the parent's connection without a word to the agent."""
        self._lock = RLock()
        self._is_sending = False
        self._waiting.clear()
        self._waiting_bytes = 0
        self._unconfirmed.clear()
        self._helper = None
        self.close()

    def _step(self, connection: Connection, timeout_s: float) -> None:
        """Wait until the socket can be written (if something waits) or read, then do that."""
        poller = select.poll()  # takes numbers of 1024 and more, which select.select does not
        try:
            poller.register(connection, select.POLLIN | (select.POLLOUT if self._waiting else 0))
            events = next((event for _fd, event in poller.poll(timeout_s * 1000)), 0)
        except (OSError, ValueError):
            events = select.POLLERR  # closed meanwhile
        if events & select.POLLOUT:
            with self._lock:
                self._send_waiting()
        if events & ~select.POLLOUT:
            self.poll()

    def _hold_back(self, frame: bytes, *, is_kept: bool) -> bool:
        limit = 2 * self._buffer_bytes if is_kept else self._buffer_bytes
        if not self._head_sent:
            # What was sent is only needed should the agent die; this frame is needed in any case.
            self._forget_unconfirmed(max(0, limit - self._waiting_bytes - len(frame)))
        held_bytes = self._waiting_bytes + self._unconfirmed_bytes
        if held_bytes + len(frame) > limit and not self._head_sent:
            self.losses.frames += 1
            return False
        self._waiting.append((frame, is_kept))
        self._waiting_bytes += len(frame)
        return True

    def _note_sent(self, frame: bytes, *, is_kept: bool) -> None:
        """Remember a frame until it is in the agent's file; with the lock held."""
        self._sent_frames += 1
        if not is_kept:
            self._unconfirmed.append((self._sent_frames, frame))
            self._unconfirmed_bytes += len(frame)
        self._forget_unconfirmed(self._buffer_bytes)

    def _forget_unconfirmed(self, limit_bytes: int) -> None:
        done = self._count_done() if self._unconfirmed else 0
        while self._unconfirmed and (
            self._unconfirmed[0][0] <= done or self._unconfirmed_bytes > limit_bytes
        ):
            _number, old = self._unconfirmed.popleft()
            self._unconfirmed_bytes -= len(old)

    def _send_waiting(self) -> None:
        """Send held-back frames, many at once; with the lock held."""
        while self._waiting and self._socket is not None:
            batch, size = [], 0
            for frame, _is_kept in self._waiting:
                batch.append(frame)
                size += len(frame)
                if size >= _JOIN_BYTES:
                    break
            data = memoryview(b"".join(batch))[self._head_sent :]
            try:
                sent = self._socket.send(data, _SEND_FLAGS)
            except BlockingIOError:
                return
            except OSError:
                self._drop_connection()
                return
            self._forget_sent(sent)
            if sent < len(data):
                return

    def _forget_sent(self, sent: int) -> None:
        sent += self._head_sent
        while self._waiting and sent >= len(self._waiting[0][0]):
            frame, is_kept = self._waiting.popleft()
            sent -= len(frame)
            self._waiting_bytes -= len(frame)
            self._note_sent(frame, is_kept=is_kept)
        self._head_sent = sent

    def _drop_connection(self) -> None:
        if self._socket is not None:
            self._forget_unconfirmed(self._buffer_bytes)  # the next agent counts from the start
            self._socket.close()
            self._socket = None
            self.losses.agents += 1
        self._head_sent = 0  # a frame that went half is said again, whole, to the next agent
        self._decoder = wire.Decoder()

    def _ensure_helper(self) -> None:
        """Start the thread that sends what waits; it ends when nothing does."""
        if self._helper is not None:
            return
        self._helper = me = object()
        try:
            start_new_thread(self._help, (me,))
        except RuntimeError:
            self._helper = None  # the interpreter is leaving: finish() drains by itself

    def _help(self, me: object) -> None:
        try:
            self._help_while_needed(me)
        except Exception as error:  # noqa: BLE001 - a thread of ours must not print a traceback
            self._give_up(f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                if self._helper is me:
                    self._helper = None

    def _help_while_needed(self, me: object) -> None:
        pid = os.getpid()
        while os.getpid() == pid:
            with self._lock:
                connection = self._socket
                if self._dead or (connection is not None and not self._waiting):
                    if self._helper is me:
                        self._helper = None
                    return
            if connection is None:
                self._reconnect()
            else:
                self._step(connection, 0.5)

    def _reconnect(self) -> None:
        """Find or start another agent and tell it who we are. Not with the lock held."""
        with self._lock:
            if self._has_ended_or_connected():
                return
            again = self.losses.agents <= RECONNECTS_MAX
        if not again:
            self._give_up(f"the agent died {RECONNECTS_MAX} times")
            return
        try:
            connection = self._connect()
        except HpctrackError as error:
            self._give_up(error.message)
            return
        with self._lock:
            if self._has_ended_or_connected():
                connection.close()  # another thread was quicker
                return
            greeting = self._greet()
            try:
                files = struct.pack(f"{len(greeting.files)}i", *greeting.files)
                rights = [(SOL_SOCKET, SCM_RIGHTS, files)]
                sent = connection.sendmsg([greeting.frame], rights, _SEND_FLAGS)
            except OSError:
                connection.close()
                self.losses.agents += 1
                return
            question = self._kept.get(LAST, b"")
            said = [(frame, True) for key, frame in self._kept.items() if key != LAST]
            said += [(frame, True) for frame in self._restate()]
            said += [(frame, False) for _number, frame in self._unconfirmed]
            self._unconfirmed.clear()
            self._unconfirmed_bytes = 0
            self._waiting.extendleft(reversed(said))
            if sent < len(greeting.frame):
                self._waiting.appendleft((greeting.frame, True))
                self._head_sent = sent
            if question and (question, True) not in self._waiting:
                self._waiting.append((question, True))
            self._waiting_bytes = sum(len(frame) for frame, _is_kept in self._waiting)
            self._sent_frames = int(sent == len(greeting.frame))
            self._socket = connection
            self._send_waiting()
            if self._waiting:
                self._ensure_helper()

    def _has_ended_or_connected(self) -> bool:
        return self._socket is not None or bool(self._dead)

    def _give_up(self, reason: str) -> None:
        with self._lock:
            self._dead = reason
            self.losses.frames += len(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
        self._on_message(Kind.NOTICE, {"level": "error", "code": "agent-lost", "text": reason})

    def _read_messages(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                self._on_message(frame.kind, frame.json())
        except HpctrackError as error:
            self._on_message(
                Kind.NOTICE, {"level": "warning", "code": error.code, "text": error.message}
            )


def _ignore(_kind: int, _message: dict[str, Any]) -> None:
    """Take messages before `Channel.open`: there are none."""
