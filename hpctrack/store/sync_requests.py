"""Wishes that a run be pushed at once: small files that a job writes and a transfer node finds.

On many sites only a transfer node reaches the outside. There `hpctrack sync --watch --triggered`
looks into ``<store>/.sync-requests``, and a job asks by putting a file there: its name says all,
and what is in it is for people. A wish is claimed by renaming its file, so that one that is made
while an earlier one is being served is not taken for served.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core.names import check_id
from hpctrack.errors import InvalidNameError

REQUESTS_FOLDER = ".sync-requests"

ALL = "@all"
"""Instead of ``project@run``: everything that is new."""

_WAITING = ".json"
_CLAIMED = ".claimed"


@dataclass(frozen=True, slots=True, order=True)
class SyncRequest:
    """A wish.

    Parameters
    ----------
    project, run : str
        Both empty: everything that is new.
    """

    project: str = ""
    run: str = ""

    def __str__(self) -> str:
        """Return what people call it."""
        return f"{self.project}/{self.run}" if self.run else "everything"

    @property
    def stem(self) -> str:
        """The name of its file, without what is behind it."""
        return f"{self.project}@{self.run}" if self.run else ALL

    @classmethod
    def parse(cls, name: str) -> SyncRequest | None:
        """Read it from the name of a file; None if it is another one."""
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
        if suffix not in {_WAITING, _CLAIMED}:
            return None
        if stem == ALL:
            return cls()
        project, _at, run = stem.partition("@")
        try:
            return cls(check_id(project, what="project"), check_id(run, what="run id"))
        except InvalidNameError:
            return None


def request_sync(store: Path, request: SyncRequest, *, wall_s: float, who: str = "") -> Path:
    """Ask that a run be pushed at once; asking again before that changes nothing.

    Parameters
    ----------
    store : Path
        The store's folder.
    request : SyncRequest
    wall_s : float
        Now, for people.
    who : str
        Who asks, for people.

    Returns
    -------
    Path
        The file that says so.

    Raises
    ------
    OSError
        It cannot be written.
    """
    folder = store / REQUESTS_FOLDER
    folder.mkdir(exist_ok=True)
    path = folder / f"{request.stem}{_WAITING}"
    scratch = folder / f".{secrets.token_hex(6)}.tmp"
    words = {"asked_wall_s": wall_s, "host": socket.gethostname(), "who": who}
    try:
        scratch.write_text(json.dumps(words))
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def claim_requests(store: Path, is_meant: Callable[[SyncRequest], bool]) -> list[SyncRequest]:
    """Return the wishes that wait, also those that somebody has claimed and not served.

    Parameters
    ----------
    store : Path
        The store's folder.
    is_meant : callable
        Others are left alone.

    Notes
    -----
    Safe for several processes: a wish is then served twice at worst, and a push that finds
    nothing new sends nothing.
    """
    folder = store / REQUESTS_FOLDER
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []
    found = set()
    for name in names:
        request = SyncRequest.parse(name)
        if request is None or not is_meant(request):
            continue
        if name.endswith(_WAITING):
            # Another one has been quicker: the file that it has made is found the next time.
            with contextlib.suppress(OSError):
                (folder / name).rename(folder / f"{request.stem}{_CLAIMED}")
        found.add(request)
    return sorted(found)


def settle_request(store: Path, request: SyncRequest) -> None:
    """Say that a wish has been served."""
    with contextlib.suppress(OSError):
        (store / REQUESTS_FOLDER / f"{request.stem}{_CLAIMED}").unlink()
