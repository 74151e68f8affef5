"""Hashes of a store's files, and a cache that spares reading them again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
import sys
from io import BufferedReader
from pathlib import Path

from hpctrack.core.layout import HASHES_NAME, FileStamp
from hpctrack.sync.files.place import Place, open_file_no_follow, open_folder
from hpctrack.sync.wire.messages import TOKEN_BYTES

CACHE_MAX_BYTES = 256 * 1024 * 1024
"""A million runs; a longer file is not ours."""

SHORT_CHARS = 40

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

    def find(self, name: str, status: os.stat_result | FileStamp) -> str:
        """Return the hash of a file that is as it was when it was hashed, or nothing.

        Parameters
        ----------
        name : str
            The path in the store.
        status : stat_result or FileStamp
            Of the file.
        """
        known = self._load().get(name)
        if known is None or known[:3] != identify(status):
            return ""
        return known[3]

    def remember(self, name: str, status: os.stat_result | FileStamp, digest: str) -> None:
        """Keep the hash of a file."""
        self._load()[name] = (*identify(status), digest)
        self._is_changed = True

    def hash_file(self, file: BufferedReader, name: str) -> str:
        """Return the SHA-256 of an open file, from memory if it is unchanged.

        Parameters
        ----------
        file : binary file
            At its beginning.
        name : str
            The path in the store.
        """
        status = os.fstat(file.fileno())
        known = self.find(name, status)
        if known:
            return known
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.remember(name, status, digest)
        return digest

    def save(self) -> None:
        """Write the cache if it has changed; a store that cannot be written has none."""
        if not self._is_changed:
            return
        # A new file of a name that nobody can guess: whoever may write to the store could have put
        # a link there that leads out of it.
        scratch = self._path.with_name(f"{HASHES_NAME}.{secrets.token_hex(4)}.tmp")
        with contextlib.suppress(OSError):
            with scratch.open("x") as file:
                file.write(json.dumps(self._load(), separators=(",", ":")))
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


def identify(status: os.stat_result | FileStamp) -> FileStamp:
    """Return what a file's content can be known by without reading it."""
    if isinstance(status, FileStamp):
        return status
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ino)


def make_token(sha256: str) -> bytes:
    """Return what an offer says of a file with a hash."""
    return bytes.fromhex(sha256)[:TOKEN_BYTES]


def make_stamp_token(name: str, status: os.stat_result | FileStamp) -> bytes:
    """Return what an offer says of a file that was never read."""
    text = f"{name}\n{tuple(identify(status))}"
    return hashlib.sha256(text.encode()).digest()[:TOKEN_BYTES]


def is_stamped(store_fd: int, place: Place, token: bytes) -> bool:
    """Tell whether a store's file is the very one that a token was made of without reading it.

    Path, size, time and inode are those of no copy: the peer's store is this one, over a file
    system that both see.

    Parameters
    ----------
    store_fd : int
        The store's folder.
    place : Place
    token : bytes
        Of an offer, see `make_stamp_token`.
    """
    try:
        status = os.stat(place.name, dir_fd=store_fd, follow_symlinks=False)
    except OSError:
        return False
    return make_stamp_token(place.name, status) == token


def hash_place(store_fd: int, place: Place, cache: HashCache) -> str:
    """Return the hash of a store's file; nothing if there is none, or a link is on the way.

    Parameters
    ----------
    store_fd : int
        The store's folder.
    place : Place
        Of which a peer may have given the names.
    cache : HashCache
        Of this store.
    """
    try:
        status = os.stat(place.name, dir_fd=store_fd, follow_symlinks=False)
        # A file with the size, time and inode of one that was hashed is that one, however the
        # way there looks.
        known = cache.find(place.name, status) if stat.S_ISREG(status.st_mode) else ""
        return known or _read_place(store_fd, place, cache)
    except OSError:
        return ""


def _read_place(store_fd: int, place: Place, cache: HashCache) -> str:
    with open_folder(store_fd, place.folders) as folder_fd:
        fd = open_file_no_follow(folder_fd, place.file)
    if fd is None:
        return ""
    with os.fdopen(fd, "rb") as file:
        return cache.hash_file(file, place.name)


def _read_cache(path: Path) -> dict[str, _Entry]:
    """Read the cache; anything that is not as we write it is not there."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > CACHE_MAX_BYTES:
                return {}
            found = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    entries = {}
    while found:  # one by one: of 100,000 runs both forms take 70 MB
        name, entry = found.popitem()
        if isinstance(entry, list) and [type(one) for one in entry] == [int, int, int, str]:
            size_bytes, mtime_ns, inode, told = entry
            # What folders hold is said in a few words, the same for most of them.
            told = told if len(told) > SHORT_CHARS else sys.intern(told)
            entries[name] = (size_bytes, mtime_ns, inode, told)
    return entries
