"""What the dashboard was told at its start; read once, then passed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 8091
"""Tried first when no port is asked for, so that a forwarded port stays the same every day."""

TOKEN_MIN_CHARS = 16
"""Anybody on a login node can try tokens on a loopback port, thousands per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How one dashboard process runs.

    Parameters
    ----------
    store : Path
        The store's folder.
    stale_after_s : float
        How long a live run may be silent before it counts as crashed, seconds.
    is_following : bool
        Whether the store's folders are looked at; False shows a saved table as it is, to measure
        one whose runs do not exist.
    poll_interval_s : float
        Time between two looks at runs that somebody watches, seconds.
    cache_bytes : int
        How much of the runs' numbers is kept in memory.
    prefix : str
        Path before all addresses, such as ``/hpctrack`` behind a proxy; empty, or with a slash in
        front and none behind.
    database : str
        Where saved views and workspaces are: a file, or a URL of SQLAlchemy; empty: beside a
        server's store, else in the user's state folder.
    """

    store: Path
    stale_after_s: float = 60.0
    is_following: bool = True
    poll_interval_s: float = 0.5
    cache_bytes: int = 256 * 1024 * 1024
    prefix: str = ""
    database: str = ""
