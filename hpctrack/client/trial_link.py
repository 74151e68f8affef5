"""Rank 0's line to the worker of its sweep, see `hpctrack.core.trial_wire`.

Loaded in trials of a sweep only. Nothing here raises, and nothing waits but `TrialLink.ask`, which
has a bound.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from _thread import allocate_lock

from hpctrack.core.ring import identify, is_same
from hpctrack.core.trial_wire import (
    MESSAGE_MAX_BYTES,
    Answer,
    Ask,
    Hello,
    Message,
    Report,
    Stop,
    pack_message,
    read_message,
)
from hpctrack.errors import HpctrackError, is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpctrack.core.clock import Clock

_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class TrialLink:
    """A connection to the worker.

    Parameters
    ----------
    path : str
        The worker's socket.
    clock : Clock
        For time-outs.
    wait_s : float
        How long `ask` waits for an answer.

    Attributes
    ----------
    dropped : int
        Reports that found no room.
    stop : dict or None
        ``who`` and ``why`` once the worker has said that the trial is to end.
    """

    def __init__(self, path: str, *, clock: Clock, wait_s: float) -> None:
        self._clock = clock
        self._wait_s = wait_s
        self._lock = allocate_lock()
        self._asked = self._answered = 0
        self._has_news = False
        self._is_silent = False
        self.dropped = 0
        self.stop: dict[str, str] | None = None
        self._socket = _connect(path)
        self._identity = identify(self._socket.fileno()) if self._socket else (0, 0)

    @property
    def is_open(self) -> bool:
        """Whether there is a worker at the other end."""
        return self._socket is not None

    def greet(self, hello: Hello) -> None:
        """Say who we are."""
        self._send(hello)

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Pass values on; what finds no room is dropped and counted."""
        if self._socket is None:
            return
        self._has_news = True
        if not self._send(Report(step, values)) and self._socket is not None:
            self.dropped += 1

    def ask(self) -> dict[str, str] | None:
        """Return who wants the trial to end, and why; None if nobody does.

        Asks the worker if anything was reported since it last answered, and waits for it. A worker
        that has not answered in time is asked without waiting until it says something.
        """
        # A thread, or a signal handler, that comes in between is told what is known.
        if self.stop is not None or self._socket is None or not self._lock.acquire(blocking=False):
            return self.stop
        try:
            self._read()
            if self._is_told():
                # It came unasked: the worker is to know that the program has heard it.
                self._asked += 1
                self._send(Ask(self._asked))
            elif self._must_ask():
                self._asked += 1
                self._has_news = False
                if not self._send(Ask(self._asked)):
                    self._has_news = True
                elif not self._is_silent:
                    self._wait(lambda: self._answered >= self._asked)
            elif not self._asked:
                self._confirm()
        finally:
            self._lock.release()
        return self.stop

    def _confirm(self) -> None:
        """Let the worker know that a program listens that was told to stop before it asked."""
        if self.stop is not None:
            self._asked += 1
            self._send(Ask(self._asked))

    def close(self) -> None:
        """Hang up."""
        link, self._socket = self._socket, None
        if link is None:
            return
        if is_same(link.fileno(), self._identity):
            link.close()
        else:
            link.detach()  # the program has closed it, and the number is somebody else's by now

    def _is_told(self) -> bool:
        return self.stop is not None

    def _must_ask(self) -> bool:
        """Say whether there is something to ask about, and the worker may have time for it."""
        is_waiting = self._is_silent and self._answered < self._asked
        return self._has_news and self.stop is None and not is_waiting

    def _wait(self, until: Callable[[], bool]) -> None:
        deadline_s = self._clock.mono_s() + self._wait_s
        while self.stop is None and not until():
            link, left_s = self._socket, deadline_s - self._clock.mono_s()
            if link is None:
                return
            if left_s <= 0:
                self._is_silent = True
                return
            poller = select.poll()
            poller.register(link.fileno(), select.POLLIN)
            poller.poll(left_s * 1000)
            self._read()

    def _read(self) -> None:
        """Take what the worker has said, without waiting."""
        while self._socket is not None:
            try:
                if not is_same(self._socket.fileno(), self._identity):
                    self.close()
                    return
                data = self._socket.recv(MESSAGE_MAX_BYTES + 1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if is_of_a_signal(error):
                    raise
                data = b""
            if not data:
                self.close()
                return
            try:
                self._hear(read_message(data))
            except HpctrackError:
                continue  # of a newer worker, perhaps

    def _hear(self, message: Message) -> None:
        self._is_silent = False
        if isinstance(message, Answer):
            self._answered = max(self._answered, message.number)
            if not message.stop:
                return
        elif not isinstance(message, Stop):
            return
        self.stop = self.stop or {"who": "sweep", "why": message.why}

    def _send(self, message: Message) -> bool:
        """Send a packet; return False if there is no room, or nobody to send it to."""
        if self._socket is None:
            return False
        try:
            if not is_same(self._socket.fileno(), self._identity):
                self.close()
                return False
            self._socket.send(pack_message(message), _FLAGS)
        except HpctrackError:
            return False  # too long
        except OSError as error:
            if is_of_a_signal(error):
                raise
            if error.errno not in {errno.EAGAIN, errno.ENOBUFS, errno.EINTR}:
                self.close()
            return False
        return True


def _connect(path: str) -> socket.socket | None:
    """Return a connection; None where the worker is on another node, or gone."""
    if not hasattr(socket, "SOCK_SEQPACKET"):
        return None
    try:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    except OSError:
        return None
    try:
        link.setblocking(False)  # noqa: FBT003 - socket's signature
        link.connect(os.fspath(path))
    except (OSError, ValueError) as error:
        link.close()
        if is_of_a_signal(error):
            raise
        return None
    return link
