"""What a store has: hashes of its files, and a cache that spares reading them again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

from hpctrack.core.layout import HASHES_NAME
from hpctrack.sync.files.place import Place, find_place, open_file_no_follow, open_folder
from hpctrack.sync.wire.messages import Item, Key
from hpctrack.sync.wire.refusal import ItemRefusal

CACHE_MAX_BYTES = 256 * 1024 * 1024
"""A million runs; a longer file is not ours."""

_Entry = tuple[int, int, int, str]


class HashCache:
    """Hashes of files that have not changed since.

    A file counts as unchanged if size, modification time in ns and inode are the same: sealed
    files are never written to, only replaced by rename, which gives another inode. Safe for
    several processes: the last one's entries win, and a lost entry costs one hash.

    Parameters
    ----------
    store : Path
        The store's folder.
    """

    def __init__(self, store: Path) -> None:
        self._path = store / HASHES_NAME
        self._entries: dict[str, _Entry] | None = None
        self._is_changed = False

    def hash_file(self, file: BufferedReader, name: str) -> tuple[str, int]:
        """Return SHA-256 and size of an open file, from memory if it is unchanged.

        Parameters
        ----------
        file : binary file
            At its beginning.
        name : str
            The path in the store.
        """
        status = os.fstat(file.fileno())
        identity = (status.st_size, status.st_mtime_ns, status.st_ino)
        known = self._load().get(name)
        if known is not None and known[:3] == identity:
            return known[3], status.st_size
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._load()[name] = (*identity, digest)
        self._is_changed = True
        return digest, file.tell()

    def save(self) -> None:
        """Write the cache if it has changed; a store that cannot be written has none."""
        if not self._is_changed:
            return
        scratch = self._path.with_name(f"{HASHES_NAME}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            scratch.write_text(json.dumps(self._load(), separators=(",", ":")))
            scratch.replace(self._path)
            self._is_changed = False
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)

    def _load(self) -> dict[str, _Entry]:
        if self._entries is None:
            self._entries = _read_cache(self._path)
        return self._entries


def recall_hashes(store: Path) -> dict[str, _Entry]:
    """Return what the cache of a store says: size, modification time, inode and SHA-256 by path.

    For who wants to know what a file was when it was hashed, not what it is.
    """
    return _read_cache(store / HASHES_NAME)


def read_inventory(store_fd: int, keys: Iterable[Key], cache: HashCache) -> list[Item]:
    """Return those of some items that a store has.

    Parameters
    ----------
    store_fd : int
        The store's folder.
    keys : iterable of Key
        Asked for by a peer; names that are not allowed, and what lies behind a link, are not there.
    cache : HashCache
        Of this store.
    """
    found = []
    for key in keys:
        try:
            place = find_place(key)
        except ItemRefusal:
            continue
        hashed = _hash_place(store_fd, place, cache)
        if hashed is not None:
            found.append(Item(key, *hashed))
    return found


def _hash_place(store_fd: int, place: Place, cache: HashCache) -> tuple[str, int] | None:
    try:
        with open_folder(store_fd, place.folders) as folder_fd:
            fd = open_file_no_follow(folder_fd, place.file)
            if fd is None:
                return None
            with os.fdopen(fd, "rb") as file:
                return cache.hash_file(file, str(place.path))
    except OSError:
        return None


def _read_cache(path: Path) -> dict[str, _Entry]:
    """Read the cache; anything that is not as we write it is not there."""
    try:
        if path.stat().st_size > CACHE_MAX_BYTES:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: (entry[0], entry[1], entry[2], entry[3])
        for name, entry in found.items()
        if isinstance(entry, list) and [type(one) for one in entry] == [int, int, int, str]
    }
