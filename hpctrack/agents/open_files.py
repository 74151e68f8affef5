"""How many files a process may have open, for an agent that holds some for each rank."""

from __future__ import annotations

import contextlib
import os
import resource
import socket

SCARCE_SHARE = 0.6
"""Beyond this share of the limit nothing is held for a rank that it can do without."""

RESERVED = 20
"""Descriptors that no rank gets: node files, sealing, sensors and a rule's command need some."""


def raise_limit() -> None:
    """Let this process have as many files open as it may; ``ulimit -n`` often says 1,024."""
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def is_scarce(descriptor: int) -> bool:
    """Tell, by the number that a new descriptor got, whether they are running short."""
    return descriptor >= SCARCE_SHARE * _limit()


def is_reserved(descriptor: int) -> bool:
    """Tell, by the number that a new descriptor got, whether it is one of the last ones."""
    return descriptor >= _limit() - RESERVED


def _limit() -> float:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return float("inf") if soft == resource.RLIM_INFINITY else soft


class Spare:
    """One descriptor that is given up to turn somebody away when there are no others.

    A listener whose connection cannot be accepted stays readable: the loop would do nothing else.
    """

    def __init__(self) -> None:
        self._handle = -1
        self._take()

    def accept(self, listener: socket.socket) -> socket.socket | None:
        """Accept a connection that is to be closed at once; follow with `close`."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        try:
            return listener.accept()[0]
        except OSError:
            return None

    def close(self, peer: socket.socket) -> None:
        """Close the connection and be ready for the next one."""
        peer.close()
        self._take()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            self._handle = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
