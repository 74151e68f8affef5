"""What a rank says to its agent: never blocks, never raises, bounded, counted."""

from __future__ import annotations

import _struct as struct  # as in hpctrack.core.wire
import os
import select
from _socket import MSG_DONTWAIT, MSG_NOSIGNAL, SCM_RIGHTS, SOL_SOCKET  # see below
from _thread import RLock, start_new_thread  # signal handlers cannot part what they do

from hpctrack.client.outbox import Outbox
from hpctrack.core import Record, wire
from hpctrack.core.clock import Clock
from hpctrack.core.ring import identify, is_same
from hpctrack.core.wire import Kind
from hpctrack.errors import HpctrackError, is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Connection  # noqa: N812 - it is a connection here
    from collections import deque
    from collections.abc import Callable
    from typing import Any
else:
    from _collections import deque

RECONNECTS_MAX = 3
"""Agents that die more often within `REST_S` have a reason that another start does not remove."""

REST_S = 600.0
"""Then there is none for so long. The program's end asks once more, whenever it comes."""

LAST = "last"
"""Key of the kept frame that is said after all others: a question that waits for its answer."""

_SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL
"""Out of the module of C that `socket` is made of: that one makes enumerations of 300 constants and
loads four files more, which is 4 ms for each rank."""


class Losses:
    """What a channel could not pass on.

    Attributes
    ----------
    frames : int
        How many there was no room for.
    agents : int
        How many agents died under us; what they had not confirmed is said again.
    cuts : int
        How often the program has closed the connection.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.agents = 0
        self.cuts = 0


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
    One lock guards everything. It is held for a ``send`` that cannot block, never for a wait, and
    not while somebody is told what the agent has said.
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
        self._on_message: Callable[[int, dict[str, Any]], None] = _ignore
        self._greet: Callable[[], Greeting] = lambda: Greeting(b"")
        self._restate: Callable[[], list[bytes]] = list
        self._prepare: Callable[[], None] = _do_nothing
        # Re-entrant: a signal handler of the program may speak in the middle of a frame.
        self._lock = RLock()
        self._is_sending = False
        self._late: deque[tuple[bytes, str, bool]] = deque()
        self._socket: Connection | None = None
        self._identity = (0, 0)
        self._lost_s: deque[float] = deque(maxlen=RECONNECTS_MAX + 1)
        self._heard: deque[tuple[int, bytes | dict[str, Any]]] = deque()
        self._decoder = wire.Decoder()
        self._outbox = Outbox(buffer_bytes, count_done)
        self._helper: object = None
        self._kept: dict[str, bytes] = {}
        self._dead = ""
        self.was_cut = False
        self.losses = Losses()

    @property
    def problem(self) -> str:
        """Why nothing is recorded any more; empty while all is well."""
        if self._dead or not self._is_resting():
            return self._dead
        minutes = f"{REST_S / 60:g} minutes"
        return f"the agent died {len(self._lost_s)} times within {minutes}, and gets a rest as long"

    def open(
        self,
        greet: Callable[[], Greeting],
        on_message: Callable[[int, dict[str, Any]], None],
        restate: Callable[[], list[bytes]],
        prepare: Callable[[], None],
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
        prepare : callable
            Called before each connection, without the lock.
        """
        self._greet = greet
        self._on_message = on_message
        self._restate = restate
        self._prepare = prepare
        self._reconnect()
        with self._lock:
            if self._socket is None and not self._dead:
                self._ensure_helper()

    def send(self, frame: bytes, *, keep: str = "", is_forced: bool = False) -> bool:
        """Pass a frame on; returns at once.

        Parameters
        ----------
        frame : bytes
            A whole frame.
        keep : str
            A key under which the frame is kept, in order of first use, to be said again to
            another agent should this one die. Frames without a key are said again until the
            agent has confirmed them.
        is_forced : bool
            Have it wait even if there is no room: to be asked for once, not in a loop.

        Returns
        -------
        bool
            False if there was no room; the frame is counted as lost.
        """
        with self._lock:
            if self._is_sending:
                self._late.append((frame, keep, is_forced))
                return True
            self._is_sending = True
            try:
                # What a signal handler's exception has cut short comes first.
                while self._late:
                    self._send(*self._late.popleft())
                is_held = self._send(frame, keep, is_forced)
                while self._late:
                    self._send(*self._late.popleft())
            finally:
                self._is_sending = False
        self._tell()
        return is_held

    def _send(self, frame: bytes, keep: str, is_forced: bool) -> bool:  # noqa: FBT001 - internal
        if keep:
            self._kept[keep] = frame
        if self._dead:
            self.losses.frames += 1
            return False
        self._outbox.put(frame, is_kept=bool(keep))
        if len(self._outbox) == 1:
            self._send_waiting()
            if not self._outbox:
                return True
        is_held = is_forced or self._outbox.trim()
        self.losses.frames += not is_held
        self._ensure_helper()
        return is_held

    def poll(self) -> None:
        """Read what the agent has said, if anything; returns at once."""
        with self._lock:
            if not self._is_ours():
                self._ensure_helper()
            else:
                self._receive()
        self._tell()

    def _receive(self) -> None:
        """Read once; with the lock held."""
        assert self._socket is not None  # noqa: S101 - checked by the callers
        pieces: list[bytes] = []
        try:
            # No signal handler runs between the system call and the list: see _send_waiting.
            pieces.extend(map(self._socket.recv, (65536,), (MSG_DONTWAIT,)))
        except BlockingIOError:
            return
        except OSError as error:
            if is_of_a_signal(error):
                raise
        finally:
            if pieces and pieces[0]:
                self._hear(pieces[0])
        if not pieces or not pieces[0]:
            self._drop_connection()
            self._ensure_helper()

    def _hear(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                self._heard.append((frame.kind, bytes(frame.body)))
        except HpctrackError as error:
            self._note(error.code, error.message, level="warning")

    def _note(self, code: str, text: str, *, level: str = "error") -> None:
        self._heard.append((Kind.NOTICE, {"level": level, "code": code, "text": text}))

    def _tell(self) -> None:
        """Pass on what was heard: without the lock, because a terminal may make us wait."""
        while self._heard:
            try:
                kind, said = self._heard.popleft()
            except IndexError:
                return  # another thread was quicker
            try:
                told = wire.Frame(kind, 0, memoryview(said)).json() if type(said) is bytes else said
            except HpctrackError as error:
                told = {"level": "warning", "code": error.code, "text": error.message}
                kind = Kind.NOTICE
            self._on_message(kind, told)  # type: ignore[arg-type]

    def drain(self, deadline_s: float, until: Callable[[], bool], *, is_last: bool = False) -> bool:
        """Send what waits and read answers until ``until()`` holds or the time is up.

        Parameters
        ----------
        deadline_s : float
            On the clock's monotonic time.
        is_last : bool
            Ask one more agent even if too many have died.

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
                connection = self._socket if self._is_ours() else None
            if connection is not None:
                self._step(connection, min(left_s, 0.5))
            elif not self._is_resting() or is_last:
                is_last = is_last and not self._is_resting()
                self._reconnect(is_forced=True)
            else:
                return until()
        return True

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._outbox

    def close(self) -> None:
        """Close the connection; later frames are counted as lost."""
        with self._lock:
            self._dead = self._dead or "the run is finished"
            self._let_go()
            self._outbox.drop_unconfirmed()

    def forget(self) -> None:
        """In a forked child: let go of the parent's connection without a word to the agent."""
        self._lock = RLock()
        self._is_sending = False
        self._outbox.drop_all()
        self._late.clear()
        self._heard.clear()
        self._helper = None
        self.close()

    def _is_ours(self) -> bool:
        """Whether there is a connection; with the lock held.

        A program may have closed it along with all that it does not know, and the number may mean a
        file of its own by now: then it is left alone, and another connection made.
        """
        if self._socket is None:
            return False
        if is_same(self._socket.fileno(), self._identity):
            return True
        self.was_cut = True
        if not self.losses.cuts:
            text = "the program has closed hpctrack's connection; another one is made"
            self._note("closed", text, level="warning")
        self.losses.cuts += 1
        self._outbox.drop_unconfirmed()  # the agent lives, and has it
        self._drop_connection()
        return False

    def _let_go(self) -> None:
        if self._socket is None:
            return
        if is_same(self._socket.fileno(), self._identity):
            self._socket.close()
        else:
            self._socket.detach()
        self._socket = None

    def _step(self, connection: Connection, timeout_s: float) -> None:
        """Wait until the socket can be written (if something waits) or read, then do that."""
        poller = select.poll()
        events = select.POLLIN | (select.POLLOUT if self._outbox else 0)
        try:
            poller.register(connection.fileno(), events)
            found = poller.poll(timeout_s * 1000)
        except (OSError, ValueError) as error:  # somebody has closed it meanwhile
            if is_of_a_signal(error):
                raise
            found = [(-1, select.POLLIN)]
        if not found:
            return
        with self._lock:
            if self._socket is connection and self._is_ours():
                if found[0][1] & select.POLLOUT:
                    self._send_waiting()
                if found[0][1] & ~select.POLLOUT and self._socket is connection:
                    self._receive()
        self._tell()

    def _send_waiting(self) -> None:
        """Send held-back frames, many at once; with the lock held."""
        while self._outbox and self._is_ours():
            assert self._socket is not None  # noqa: S101 - see above
            data, counts = self._outbox.gather(), list[int]()
            try:
                # Signal handlers run between two steps of a program, and may raise: in C there is
                # none between the system call and the list, so what was sent is known.
                counts.extend(map(self._socket.send, (data,), (_SEND_FLAGS,)))
            except BlockingIOError:
                return
            except OSError as error:
                if is_of_a_signal(error):
                    raise
            finally:
                if counts:
                    self._outbox.note_sent(counts[0])
            if not counts:
                self._drop_connection()
            elif counts[0] < len(data):
                return

    def _drop_connection(self) -> None:
        if self._socket is not None:
            self._outbox.end()
            self._let_go()
            self._note_loss()
        self._decoder = wire.Decoder()

    def _note_loss(self) -> None:
        """Count a lost agent; when too many die in a short time, leave them in peace for a while.

        What was on its way may be what they die of: it is dropped, and counted.
        """
        if not self.was_cut:
            self.losses.agents += 1
        self._lost_s.append(self._clock.mono_s())
        if not self._is_resting():
            return
        self.losses.frames += self._outbox.drop_unconfirmed()
        self._note("agent-lost", f"{self.problem}; until then what finds no room here is dropped")

    def _is_resting(self) -> bool:
        """Whether so many agents have died lately that no other one is started now."""
        lost_s = self._lost_s
        return len(lost_s) > RECONNECTS_MAX and self._clock.mono_s() - lost_s[0] < REST_S

    def _ensure_helper(self) -> None:
        """Start the thread that sends what waits; it ends when nothing does."""
        if self._helper is not None or self._dead or (self._socket is None and self._is_resting()):
            return
        self._helper = me = object()
        try:
            start_new_thread(self._help, (me,))
        except RuntimeError:
            self._helper = None  # the interpreter is leaving: finish() drains by itself

    def _help(self, me: object) -> None:
        pid = os.getpid()
        try:
            while os.getpid() == pid:
                with self._lock:
                    connection = self._socket if self._is_ours() else None
                    is_idle = connection is not None and not self._outbox
                    if self._dead or is_idle or (connection is None and self._is_resting()):
                        if self._helper is me:
                            self._helper = None
                        break
                if connection is None:
                    self._reconnect()
                else:
                    self._step(connection, 0.5)
            self._tell()
        except Exception as error:  # noqa: BLE001 - a thread of ours must not print a traceback
            self._give_up(f"{type(error).__name__}: {error}")
        finally:
            if self._helper is me:
                self._helper = None

    def _reconnect(self, *, is_forced: bool = False) -> None:
        """Find or start another agent and tell it who we are. Not with the lock held."""
        with self._lock:
            if self._has_ended_or_connected() or (self._is_resting() and not is_forced):
                return
        try:
            self._prepare()
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
            except OSError as error:
                connection.close()
                if is_of_a_signal(error):
                    raise
                self._note_loss()
                return
            said = [frame for key, frame in self._kept.items() if key != LAST]
            question = self._kept.get(LAST, b"")
            self._outbox.begin(greeting.frame, sent, [*said, *self._restate()], question)
            self._identity = identify(connection.fileno())
            self._socket = connection
            self.was_cut = False
            self._send_waiting()
            if self._outbox:
                self._ensure_helper()

    def _has_ended_or_connected(self) -> bool:
        return self._socket is not None or bool(self._dead)

    def _give_up(self, reason: str) -> None:
        with self._lock:
            self._dead = self._dead or reason
            self.losses.frames += self._outbox.drop_all()
            self._note("agent-lost", f"{reason}; nothing more is recorded")
        self._tell()


def _do_nothing() -> None:
    """Prepare nothing before `Channel.open`."""


def _ignore(_kind: int, _message: dict[str, Any]) -> None:
    """Take messages before `Channel.open`: there are none."""
