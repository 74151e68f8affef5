"""Optuna's journal on a shared file system, which outlives killed writers and full disks."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from hpctrack.errors import StoreError, StoreFullError
from hpctrack.sweeps.search.journal_lock import LinkLock

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class JournalRewrittenError(Exception):
    """Lines that were read are not there any more: a server lost them. Start over."""


class JournalFile(BaseJournalBackend):
    """Records, one a line, in a file that several processes append to.

    A line is a record once its line feed is there. A writer that finds a line without one, left
    by a killed writer, ends it; lines that are no records are not counted by anybody.

    Parameters
    ----------
    path : Path
        Of the file; made if it is not there.
    lock : LinkLock, optional
        Default: one beside the file.
    """

    def __init__(self, path: Path, lock: LinkLock | None = None) -> None:
        self._path = path
        self._lock = lock or LinkLock(path)
        self._next = 0
        self._offset = 0
        self._last = b""
        self._batch: list[dict[str, Any]] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():  # who only looks may not be allowed to touch it
                path.touch()
        except OSError as error:
            raise _store_error(path, error) from None

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Write the records of a block at once, at its end; reads in it see nothing new."""
        records: list[dict[str, Any]] = []
        self._batch = records
        try:
            yield
        finally:
            self._batch = None
        if records:
            self.append_logs(records)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the records from a number on."""
        if self._batch is not None:
            return
        if log_number_from != self._next:
            self._next, self._offset, self._last = 0, 0, b""
        try:
            data = self._read_from(self._offset - len(self._last))
        except OSError as error:
            raise _store_error(self._path, error, "read") from None
        if not data.startswith(self._last):
            raise JournalRewrittenError(str(self._path))
        at = len(self._last)
        end = data.find(b"\n", at) + 1
        while end:
            line = data[at:end]
            self._offset += len(line)
            self._last = line
            at, end = end, data.find(b"\n", end) + 1
            record = _parse(line)
            if record is not None:
                self._next += 1
                if self._next > log_number_from:
                    yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records; all of them or none."""
        if self._batch is not None:
            self._batch += logs
            return
        text = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in logs)
        while True:
            with self._lock.hold():
                if self._append(text.encode()):
                    return

    def close(self) -> None:
        """Forget the file."""
        self._lock.close()

    def _read_from(self, offset: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read()

    def _append(self, data: bytes) -> bool:
        """Write; False if the lock was lost before anything was written."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise _store_error(self._path, error) from None
        size_bytes, written = -1, 0
        try:
            size_bytes = os.fstat(descriptor).st_size
            if size_bytes and os.pread(descriptor, 1, size_bytes - 1) != b"\n":
                data = b"\n" + data
            # Whoever was stopped since it took the lock may have lost it.
            if not self._lock.is_mine():
                return False
            while written < len(data):
                written += os.write(descriptor, data[written:])
            os.fsync(descriptor)
        except OSError as error:
            self._take_back(descriptor, size_bytes, written)
            raise _store_error(self._path, error) from None
        finally:
            with suppress(OSError):
                os.close(descriptor)
        return True

    def _take_back(self, descriptor: int, size_bytes: int, written: int) -> None:
        """Cut off what was written of a record, unless somebody has written behind it."""
        with suppress(OSError):
            if (
                size_bytes >= 0
                and os.fstat(descriptor).st_size <= size_bytes + written
                and self._lock.is_mine()
            ):
                os.ftruncate(descriptor, size_bytes)


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a line's record; None if it is what a killed writer has left."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or "op_code" not in record:
        return None
    return record


def _store_error(path: Path, error: OSError, verb: str = "write") -> StoreError:
    kind = StoreFullError if error.errno in FULL else StoreError
    return kind(f"cannot {verb} {path}: {error.strerror}")
