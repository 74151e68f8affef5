"""``hpctrack receive`` on another machine, through paramiko."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from hpctrack.errors import ConnectError
from hpctrack.sync.carriers.paramiko.host_check import check_server
from hpctrack.sync.carriers.paramiko.library import LOST, say
from hpctrack.sync.carriers.paramiko.login import Person, log_in
from hpctrack.sync.carriers.paramiko.session import PACKET_BYTES, Session, WrongGuessError
from hpctrack.sync.carriers.ssh_target import SshTarget
from hpctrack.sync.carriers.tcp import EagerSocket, connect_tcp
from hpctrack.sync.carriers.transport import STDERR_KEPT_BYTES

WRITE_TIMEOUT_S = 600.0
"""A receiver that takes nothing for so long hangs; a suspended laptop wakes up before."""

WRITE_BYTES = PACKET_BYTES - 64
"""What paramiko puts into one packet; longer pieces it would copy again and again."""


class ParamikoTransport:
    """A command on another machine, and the streams to it.

    Parameters
    ----------
    way : tuple of SshTarget
        The machines to go through; the command runs on the last one.
    command : str
        For the user's shell there.
    person : Person or None
        Who is asked for passphrases and second factors; None if nobody is.
    connected : callable, optional
        Returns a socket that is connected to the first machine.
    reason : str, optional
        Why this carrier was chosen.

    Raises
    ------
    ConnectError
        Nobody answers there.
    HostKeyError
        A machine's key is unknown, or another one than before.
    AuthError
        It accepts none of our keys.
    """

    carrier = "paramiko"

    def __init__(
        self,
        way: tuple[SshTarget, ...],
        command: str,
        *,
        person: Person | None = None,
        connected: Callable[[], socket.socket] | None = None,
        reason: str = "",
    ) -> None:
        self.peer = way[-1].shown
        self.reason = reason
        self._stderr = b""
        self._sessions: list[Session] = []
        try:
            self._channel = self._open(way, command, person, connected)
        except WrongGuessError:
            self._channel = self._open(way, command, person, None, is_hurried=False)
        # paramiko sets it whenever there are bytes to read, or no more will come.
        self._readable = threading.Event()
        self._channel.in_buffer.set_event(self._readable)

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Return at least one byte, or none at the end."""
        self._drain_stderr()
        self._channel.settimeout(timeout_s)
        try:
            data: bytes = self._channel.recv(max_bytes)
        except TimeoutError:
            raise
        except LOST as error:
            raise ConnectionError(say(error)) from None
        if not data and not self._channel.eof_received:
            raise self._explain_end()
        return data

    def poll(self, timeout_s: float) -> bool:
        """Tell whether a read would return at once."""
        self._drain_stderr()
        return self._readable.wait(timeout_s)

    def write(self, data: bytes) -> None:
        """Send everything. What comes meanwhile is taken by paramiko's own thread."""
        self._drain_stderr()
        self._channel.settimeout(WRITE_TIMEOUT_S)
        try:
            for offset in range(0, len(data), WRITE_BYTES):
                self._channel.sendall(data[offset : offset + WRITE_BYTES])
        except TimeoutError:
            raise
        except LOST as error:
            raise ConnectionError(say(error)) from None

    def read_stderr(self) -> str:
        """Return the end of what the other side has printed so far."""
        self._drain_stderr()
        return self._stderr.decode("utf-8", "replace")

    def wait(self, timeout_s: float) -> int | None:
        """Return the other side's exit status."""
        if not self._channel.status_event.wait(timeout_s):
            return None
        status = int(self._channel.recv_exit_status())
        return None if status < 0 else status

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(*LOST):
            self._channel.close()
        self._close_sessions()

    def _open(
        self,
        way: tuple[SshTarget, ...],
        command: str,
        person: Person | None,
        connected: Callable[[], socket.socket] | None,
        *,
        is_hurried: bool = True,
    ) -> Any:
        """Go all the way, and start the command at its end."""
        early = None
        try:
            for number, target in enumerate(way):
                session = Session(self._reach(way, number, connected), target.shown)
                self._sessions.append(session)
                check_server(session, target)
                is_early = is_hurried and target is way[-1]
                hurry = partial(session.hurry_command, command) if is_early else None
                early = log_in(session, target, person, hurry=hurry)
                session.set_keepalive(target.keepalive_s)
            return self._sessions[-1].run_command(command, early)
        except BaseException:
            self._close_sessions()
            raise

    def _reach(
        self,
        way: tuple[SshTarget, ...],
        number: int,
        connected: Callable[[], socket.socket] | None,
    ) -> Any:
        """Return a socket, or what stands for one, to a machine of the way."""
        target = way[number]
        if number:
            return _tunnel(self._sessions[-1], target)
        if connected is not None:
            return EagerSocket(connected())
        return EagerSocket(
            connect_tcp(target.host, target.port, timeout_s=target.connect_timeout_s)
        )

    def _explain_end(self) -> ConnectionError:
        is_refused = self._channel.event.is_set() and not self._channel.event_ready
        if is_refused and self._sessions[-1].is_active():
            return ConnectError(
                f"{self.peer} does not allow to start a command",
                hint="are shell commands allowed for this user there? see sshd's log",
            )
        return ConnectionError("the connection was lost")

    def _drain_stderr(self) -> None:
        """Take what is there: both streams share a window, and a full one would stop stdout."""
        while self._channel.recv_stderr_ready():
            data = self._channel.recv_stderr(65536)
            if not data:
                break
            self._stderr = (self._stderr + data)[-STDERR_KEPT_BYTES:]

    def _close_sessions(self) -> None:
        while self._sessions:
            self._sessions.pop().close()


class _Tunnel:
    """A channel in the place of a socket; closing it may come too late, and is no error."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def close(self) -> None:
        with contextlib.suppress(*LOST):
            self._channel.close()


def _tunnel(session: Session, target: SshTarget) -> Any:
    """Return a channel that the machine of a session connects to the next one."""
    try:
        return _Tunnel(
            session.open_channel(
                "direct-tcpip",
                (target.host, target.port),
                ("127.0.0.1", 0),
                timeout=target.connect_timeout_s,
            )
        )
    except LOST as error:
        raise ConnectError(
            f"{target.shown} cannot be reached from {session.shown}: {say(error)}",
            hint="does that machine see the other, and does its sshd allow forwarding?",
        ) from None
