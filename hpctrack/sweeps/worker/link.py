"""The worker's end of the line to its trial: a private socket that rank 0 reports to.

What the two say to each other is in `hpctrack.core.trial_wire`.
"""

from __future__ import annotations

import selectors
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.core import trial_wire
from hpctrack.errors import ProtocolError

_BACKLOG = 16
_MESSAGES_MAX = 1000
"""At a turn: a program that reports without end must not keep us from all else."""

_REST_TURNS_MAX = 64
"""After its end: connections that nobody has accepted yet, and what they hold."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a trial has said since the last look.

    Parameters
    ----------
    reports : list of (int, dict)
        Steps and the values that were logged there.
    has_begun : bool
        Rank 0 has said who it is.
    raises : bool
        The program wants `hpctrack.Pruned`.
    asks : int
        How often it has asked whether to stop.
    """

    reports: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    has_begun: bool = False
    raises: bool = False
    asks: int = 0


class TrialLink:
    """A listening socket in a folder that only this user can enter.

    Attributes
    ----------
    path : str
        For ``HPCTRACK_SWEEP_SOCKET``.
    """

    def __init__(self) -> None:
        # A socket's path has at most 107 bytes: a user's TMPDIR may be too long for one.
        try:
            self._folder, self._listener = _bind(None)
        except OSError:
            self._folder, self._listener = _bind("/tmp")  # noqa: S108 - mkdtemp makes it private
        self.path = str(self._folder / "s")
        self._listener.listen(_BACKLOG)
        self._listener.settimeout(0)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self._listener, selectors.EVENT_READ, None)
        self._asked: list[tuple[socket.socket, int]] = []

    def listen(self, timeout_s: float) -> Heard:
        """Return what is said; waits at most so long for the first word."""
        reports: list[tuple[int, dict[str, float]]] = []
        asks, has_begun, raises = 0, False, False
        for key, _events in self.selector.select(timeout_s):
            if key.fileobj is self._listener:
                self._accept()
            elif key.data == "rank":
                assert isinstance(key.fileobj, socket.socket)  # noqa: S101 - registered as such
                for message in self._receive(key.fileobj):
                    if isinstance(message, trial_wire.Hello):
                        has_begun, raises = True, raises or message.raises
                    elif isinstance(message, trial_wire.Report):
                        reports.append((message.step, dict(message.values)))
                    elif isinstance(message, trial_wire.Ask):
                        asks += 1
                        self._asked.append((key.fileobj, message.number))
        return Heard(reports, has_begun, raises, asks)

    def listen_to_rest(self) -> Iterator[Heard]:
        """Yield what was said before the program ended, by whom we have not heard of yet too."""
        for _ in range(_REST_TURNS_MAX):
            if not self.selector.select(0):
                return
            yield self.listen(0)

    def answer(self, why: str) -> None:
        """Answer all that was asked.

        Parameters
        ----------
        why : str
            Why to stop; empty to go on.
        """
        for connection, number in self._asked:
            self._send(connection, trial_wire.Answer(number, bool(why), why))
        self._asked.clear()

    def tell(self, why: str) -> None:
        """Say unasked that the trial is to stop."""
        for key in list(self.selector.get_map().values()):
            if key.data == "rank" and isinstance(key.fileobj, socket.socket):
                self._send(key.fileobj, trial_wire.Stop(why))

    def close(self) -> None:
        """Hang up and remove the socket."""
        for key in list(self.selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self.selector.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self) -> None:
        with suppress(OSError):
            connection, _address = self._listener.accept()
            connection.settimeout(0)
            self.selector.register(connection, selectors.EVENT_READ, "rank")

    def _receive(self, connection: socket.socket) -> list[trial_wire.Message]:
        messages: list[trial_wire.Message] = []
        for _ in range(_MESSAGES_MAX):
            try:
                data = connection.recv(trial_wire.MESSAGE_MAX_BYTES + 1)
            except BlockingIOError:
                return messages
            except ConnectionResetError:
                # It has ended without reading all that we said; what it said is still there.
                continue
            except OSError:
                data = b""
            if not data:
                self.selector.unregister(connection)
                connection.close()
                self._asked = [one for one in self._asked if one[0] is not connection]
                return messages
            with suppress(ProtocolError):  # what cannot be understood is passed over
                messages.append(trial_wire.read_message(data))
        return messages

    @staticmethod
    def _send(connection: socket.socket, message: trial_wire.Message) -> None:
        with suppress(OSError):  # a rank that does not read, or has gone, cannot hold us up
            connection.send(trial_wire.pack_message(message))


def _bind(parent: str | None) -> tuple[Path, socket.socket]:
    folder = Path(tempfile.mkdtemp(prefix="hpctrack-trial-", dir=parent))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(str(folder / "s"))
    except OSError:
        listener.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, listener
