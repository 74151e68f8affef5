"""Where the database lies if nobody says so, and how a file system wants to be written to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

SERVER_FOLDER = ".server"
"""Of a store that a server keeps: its keys and its audit lie there."""

FILE_NAME = "dashboard.sqlite"

LOCAL_KINDS = frozenset({
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs",
})  # fmt: skip
"""File systems of one machine. SQLite's WAL keeps its index in shared memory: on NFS or Lustre two
login nodes would each have their own, and destroy the file."""


def find_database(wanted: str, store: Path, environ: Mapping[str, str]) -> str:
    """Return the URL of the database, or the path of its file.

    Parameters
    ----------
    wanted : str
        What was asked for: a URL, a path, or empty.
    store : Path
        The store's folder.
    environ : mapping
        For ``XDG_STATE_HOME``.
    """
    if wanted:
        return wanted
    server = store / SERVER_FOLDER
    if server.is_dir():
        return str(server / FILE_NAME)
    home = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    # A store need not belong to who looks at it, so each user has a file for each store.
    mark = hashlib.blake2b(str(store.resolve()).encode("utf-8", "replace"), digest_size=6)
    return str(Path(home) / "hpctrack" / f"dashboard-{mark.hexdigest()}.sqlite")


def is_local_folder(folder: Path, mounts: str) -> bool:
    """Tell whether only this machine sees a folder, from the text of ``/proc/self/mounts``. Pure.

    What is not known counts as shared.
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:  # noqa: PLR2004 - source, place, kind
            continue
        place = words[1].replace("\\040", " ")
        if folder.is_relative_to(place) and len(place) >= best:
            best, kind = len(place), words[2]
    return kind in LOCAL_KINDS
