"""What carries a push: two byte streams, and what the other side prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from hpctrack.sync.wire.byte_stream import ByteStream

STDERR_KEPT_BYTES = 8192
"""The last words of the other side are for a message, not for a log."""


class Transport(ByteStream, Protocol):
    """A running ``hpctrack receive`` and the streams to it.

    Attributes
    ----------
    peer : str
        What people call the other side.
    carrier : str
        ``local``, ``paramiko`` or ``ssh``.
    reason : str
        Why this carrier was chosen, or empty if it is the usual one.

    Notes
    -----
    A carrier that is still connecting while it is used (the system's ``ssh``) says in `read`,
    `write` or `wait` what has gone wrong: `ConnectError`, `HostKeyError` or `AuthError`.
    """

    @property
    def carrier(self) -> str:
        """Return ``local``, ``paramiko`` or ``ssh``."""
        ...

    @property
    def reason(self) -> str:
        """Why this carrier was chosen, or empty if it is the usual one."""
        ...

    @property
    def peer(self) -> str:
        """What people call the other side, such as ``login:22``."""
        ...

    def read_stderr(self) -> str:
        """Return the end of what the other side has printed so far."""
        ...

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit status of the other side, or None if it does not come in time."""
        ...

    def close(self) -> None:
        """End the connection; the other side sees the end of its input. May be called twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """How to reach a remote.

    Parameters
    ----------
    remote_command : str or None
        Shell words that start hpctrack on the other side, unquoted, so that they may be
        ``module load python && hpctrack``. None: ``hpctrack``, or this very one if it is local.
    transport : str, optional
        ``paramiko``, ``ssh`` (the system's), or ``auto``: what suits the host.
    identity : Path or None
        The only key to try.
    known_hosts : Path or None
        Instead of the user's and the system's files.
    ssh_config : Path or None
        Instead of ``~/.ssh/config``.
    batch : bool, optional
        Never ask on the terminal: not for passphrases, not for a second factor.
    """

    transport: Literal["auto", "paramiko", "ssh"] = "auto"
    remote_command: str | None = None
    identity: Path | None = None
    known_hosts: Path | None = None
    ssh_config: Path | None = None
    batch: bool = False
