"""A connection to a host, with one bound on the time for its name and all of its addresses."""

from __future__ import annotations

import contextlib
import errno
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from hpctrack.errors import ConnectError

CONNECT_TIMEOUT_S = 7.5
"""For the name and all addresses together. A firewall that swallows packets becomes an error, ten
seconds after the command was typed at the latest."""

SILENT_TIMEOUT_MS = 120_000
"""What was sent and is not acknowledged for so long: the other side is gone, not slow."""

KEPT_HINT = "nothing is lost: the runs are kept here, and the next sync sends them"


def connect_tcp(host: str, port: int, *, timeout_s: float = CONNECT_TIMEOUT_S) -> socket.socket:
    """Return a connected socket.

    Raises
    ------
    ConnectError
        The name is not known, or no address answers in time; says ``host:port``.
    """
    deadline_s = time.monotonic() + timeout_s
    addresses = look_up(host, port, timeout_s=timeout_s)
    last: OSError = TimeoutError()
    for number, (family, kind, protocol, _name, address) in enumerate(addresses):
        # What is left is shared: a dead IPv6 address must not use up the time of the others.
        share_s = max((deadline_s - time.monotonic()) / (len(addresses) - number), 0.1)
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # no IPv6 here
            last = error
            continue
        sock.settimeout(share_s)
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
            continue
        return _tune(sock)
    raise make_connect_error(f"{host}:{port}", last, timeout_s)


class EagerSocket:
    """A socket that acknowledges at once what it receives.

    An sshd keeps its second small message back until the first is acknowledged (Nagle), and a
    kernel likes to wait 40 ms with that: three times in a login, measured.

    Parameters
    ----------
    sock : socket
        Connected.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._option = getattr(socket, "TCP_QUICKACK", None)

    def __getattr__(self, name: str) -> Any:
        """Do everything else as the socket does it."""
        return getattr(self._sock, name)

    def recv(self, max_bytes: int) -> bytes:
        """Receive, and acknowledge."""
        data = self._sock.recv(max_bytes)
        self._hurry()
        return data

    def send(self, data: bytes) -> int:
        """Send; the kernel then falls back to its patience."""
        sent = self._sock.send(data)
        self._hurry()
        return sent

    def close(self) -> None:
        """Close it; whoever waits to receive is woken, not left to look again in 0.1 s."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _hurry(self) -> None:
        if self._option is not None:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, self._option, 1)


def begin_tcp(
    host: str, port: int, *, timeout_s: float = CONNECT_TIMEOUT_S
) -> Callable[[], socket.socket]:
    """Begin to connect, and return what waits for it: `connect_tcp` beside other work."""
    done: queue.SimpleQueue[socket.socket | ConnectError] = queue.SimpleQueue()

    def connect() -> None:
        try:
            done.put(connect_tcp(host, port, timeout_s=timeout_s))
        except ConnectError as error:
            done.put(error)

    threading.Thread(target=connect, name="connect", daemon=True).start()

    def wait() -> socket.socket:
        found = done.get()
        if isinstance(found, ConnectError):
            raise found
        return found

    return wait


def look_up(host: str, port: int, *, timeout_s: float = CONNECT_TIMEOUT_S) -> list[Any]:
    """Return the addresses of a host, as `socket.getaddrinfo` does, or raise in time.

    Raises
    ------
    ConnectError
        The name is not known, or the name server does not answer.
    """
    answers: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except OSError as error:
            answers.put(error)
        except UnicodeError as error:
            answers.put(OSError(str(error)))

    # The resolver has a time of its own, up to 30 s, and cannot be interrupted.
    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise ConnectError(
            f"{host}:{port} cannot be reached: the name server does not answer"
            f" within {timeout_s:g} s",
            hint=f"is this machine on the network? {KEPT_HINT}",
        ) from None
    if isinstance(answer, OSError):
        raise ConnectError(
            f"{host}:{port} cannot be reached: the host's name is not known",
            hint=f"{answer.strerror or answer}; is it spelt right? {KEPT_HINT}",
        )
    return answer


def make_connect_error(shown: str, error: OSError, timeout_s: float) -> ConnectError:
    """Say why a host cannot be reached, and what may be done."""
    if isinstance(error, TimeoutError):
        why = f"no answer within {timeout_s:g} s"
    else:
        why = error.strerror or str(error)
    hint = "is the host up, and does a firewall or a VPN stand between?"
    if error.errno == errno.ECONNREFUSED:
        hint = "is sshd running there, and is the port right?"
    elif error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
        hint = "this machine has no way there; a login node may have one."
    return ConnectError(f"{shown} cannot be reached: {why}", hint=f"{hint} {KEPT_HINT}")


def _tune(sock: socket.socket) -> socket.socket:
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Without it the small messages of a handshake wait for each other: 3 round trips more.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_TIMEOUT_MS)
    return sock
