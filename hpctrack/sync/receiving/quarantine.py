"""Where files wait until they have been checked: a folder of this transfer's own in the store."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.core.layout import INCOMING_FOLDER
from hpctrack.sync.files.place import list_names, open_folder, stat_no_follow

ABANDONED_AFTER_S = 24 * 3600.0
"""A folder that nothing was written to for a day was left by a receiver that was killed."""

_TOKEN = re.compile(r"[0-9a-f]{16}\Z")


class Quarantine:
    """A private folder ``<store>/.incoming/<token>``, removed with all it holds by `close`.

    Parameters
    ----------
    store : Path
        The store, by its path.
    store_fd : int
        The store, open.

    Raises
    ------
    OSError
        The store cannot be written.
    """

    def __init__(self, store: Path, store_fd: int) -> None:
        token = secrets.token_hex(8)
        self.path = store / INCOMING_FOLDER / token
        with open_folder(store_fd, (INCOMING_FOLDER,), create=True) as incoming_fd:
            self._incoming_fd = os.dup(incoming_fd)
        os.mkdir(token, 0o700, dir_fd=self._incoming_fd)
        with open_folder(self._incoming_fd, (token,)) as fd:
            self.fd = os.dup(fd)
        self._token = token
        self._count = 0

    def create_file(self) -> IncomingFile:
        """Make an empty file."""
        self._count += 1
        return IncomingFile(self, f"{self._count:06d}")

    def close(self) -> None:
        """Remove everything."""
        os.close(self.fd)
        _remove_folder(self._incoming_fd, self._token)
        os.close(self._incoming_fd)


class IncomingFile:
    """A file in quarantine, hashed while it is written.

    Parameters
    ----------
    quarantine : Quarantine
        Where.
    name : str
        Our own, never the peer's.
    """

    def __init__(self, quarantine: Quarantine, name: str) -> None:
        self.name = name
        self.path = quarantine.path / name
        self.size_bytes = 0
        self._quarantine = quarantine
        self._hash = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(name, flags, 0o666, dir_fd=quarantine.fd), "wb")

    @property
    def sha256(self) -> str:
        """The hash of what was written so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        self._file.write(data)
        self._hash.update(data)
        self.size_bytes += len(data)

    def make_durable(self) -> None:
        """Bring it to the disk and close it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def publish(self, folder_fd: int, name: str) -> None:
        """Move it to its place in one step, and bring that to the disk."""
        os.rename(self.name, name, src_dir_fd=self._quarantine.fd, dst_dir_fd=folder_fd)
        os.fsync(folder_fd)

    def discard(self) -> None:
        """Remove it, if it has not been published."""
        with contextlib.suppress(OSError):
            # Closing writes what is buffered, which fails on a full disk.
            self._file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self._quarantine.fd)


def remove_abandoned(store_fd: int, clock: Clock) -> None:
    """Remove what receivers that were killed have left; what cannot be removed stays."""
    with contextlib.suppress(OSError), open_folder(store_fd, (INCOMING_FOLDER,)) as incoming_fd:
        for name in filter(_TOKEN.match, list_names(incoming_fd)):
            last_wall_s = _last_change_wall_s(incoming_fd, name)
            if last_wall_s is not None and clock.wall_s() - last_wall_s > ABANDONED_AFTER_S:
                _remove_folder(incoming_fd, name)


def _last_change_wall_s(incoming_fd: int, name: str) -> float | None:
    """Return when a quarantine folder or a file in it was last written, None if it is none."""
    status = stat_no_follow(incoming_fd, name)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return None
    times = [status.st_mtime]
    with contextlib.suppress(OSError), open_folder(incoming_fd, (name,)) as fd:
        found = (stat_no_follow(fd, one) for one in list_names(fd))
        times += [one.st_mtime for one in found if one is not None]
    return max(times)


def _remove_folder(incoming_fd: int, name: str) -> None:
    """Remove a folder of ours: flat, and whatever it holds is a file."""
    with contextlib.suppress(OSError):
        with open_folder(incoming_fd, (name,)) as fd:
            for one in list_names(fd):
                with contextlib.suppress(OSError):
                    os.unlink(one, dir_fd=fd)
        os.rmdir(name, dir_fd=incoming_fd)
