"""A connection to a host, with one bound on the time for all of its addresses."""

from __future__ import annotations

import errno
import socket
import time

from hpctrack.errors import ConnectError

CONNECT_TIMEOUT_S = 10.0
"""For all addresses together. A firewall that swallows packets becomes an error."""


def connect_tcp(host: str, port: int, *, timeout_s: float = CONNECT_TIMEOUT_S) -> socket.socket:
    """Return a connected socket.

    Raises
    ------
    ConnectError
        The name is not known, or no address answers in time; says ``host:port``.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectError(
            f"{host}:{port} cannot be reached: the host's name is not known",
            hint=f"{error.strerror}; is it spelt right?",
        ) from None
    last: OSError = TimeoutError()
    for number, (family, kind, protocol, _name, address) in enumerate(addresses):
        # What is left is shared: a dead IPv6 address must not use up the time of the others.
        share_s = max((deadline_s - time.monotonic()) / (len(addresses) - number), 0.1)
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(share_s)
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
            continue
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock
    raise _make_error(f"{host}:{port}", last, timeout_s)


def _make_error(shown: str, error: OSError, timeout_s: float) -> ConnectError:
    if isinstance(error, TimeoutError):
        why = f"no answer within {timeout_s:g} s"
    else:
        why = error.strerror or str(error)
    hint = "is the host up, and does a firewall or a VPN stand between?"
    if error.errno == errno.ECONNREFUSED:
        hint = "is sshd running there, and is the port right?"
    return ConnectError(f"{shown} cannot be reached: {why}", hint=hint)
