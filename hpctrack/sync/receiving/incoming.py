"""A large file that is coming in: counted, hashed and kept for the next connection."""

from __future__ import annotations

import os
from pathlib import Path

from hpctrack.core.layout import INCOMING_FOLDER
from hpctrack.store import accounting_file
from hpctrack.store.annotations import MERGED_MAX_BYTES
from hpctrack.sync.files.incoming_folder import PARTIAL_FOLDER
from hpctrack.sync.files.place import open_folder
from hpctrack.sync.receiving.journal import Journal
from hpctrack.sync.receiving.landing import Large
from hpctrack.sync.receiving.publication import translate
from hpctrack.sync.receiving.quarantine import Partial, Quarantine
from hpctrack.sync.wire.messages import Begin, End, ItemKind, Key, Outcome, Result
from hpctrack.sync.wire.refusal import ItemRefusal

MAX_BYTES = {
    ItemKind.RUN: 1 << 40,
    ItemKind.BLOB: 1 << 44,
    ItemKind.SWEEP: 16 << 20,
    ItemKind.PROGRESS: 64 << 20,
    ItemKind.ACCOUNTING: accounting_file.MAX_BYTES,
    ItemKind.ANNOTATIONS: MERGED_MAX_BYTES,
    ItemKind.LIVE: 0,
}
"""Far above what is real, far below what fills a disk by mistake. Node files come as rows."""

SPARE_BYTES = 16 << 20
"""Room that an upload leaves on the file system, for those who record there."""


class Incoming:
    """Takes one large file at a time; with a refusal, its bytes are read and thrown away.

    Parameters
    ----------
    store : Path
        The store, by its path.
    store_fd : int
        The store, open.
    quarantine : Quarantine
        Of this connection.
    journal : Journal
        Of this connection.
    """

    def __init__(
        self, store: Path, store_fd: int, quarantine: Quarantine, journal: Journal
    ) -> None:
        self._quarantine = quarantine
        self._journal = journal
        self._folder = store / INCOMING_FOLDER / PARTIAL_FOLDER
        self._store_fd = store_fd
        self._begin: Begin | None = None
        self._key: Key | None = None
        self._partial: Partial | None = None
        self._refusal: ItemRefusal | None = None

    @property
    def is_open(self) -> bool:
        """Whether a file has begun and not ended."""
        return self._begin is not None

    def begin(self, begin: Begin, key: Key, token: str) -> None:
        """Begin a file, or go on with one."""
        self._begin, self._key, self._refusal = begin, key, None
        try:
            self._check_size(key, begin.size_bytes, begin.offset_bytes)
            self._journal.check_room(key, begin.size_bytes)
            self._partial = self._open(token, begin.offset_bytes)
        except ItemRefusal as refusal:
            self._refuse(refusal)
        except BlockingIOError:
            self._refuse(ItemRefusal("busy"))
        except OSError as error:
            self._refuse(translate(error, begin.size_bytes))

    def write(self, data: bytes | memoryview) -> None:
        """Take bytes of it."""
        if self._partial is None or self._begin is None:
            return
        got_bytes, size_bytes = self._partial.size_bytes + len(data), self._begin.size_bytes
        if got_bytes > size_bytes:
            self._discard()
            self._refuse(ItemRefusal("size-mismatch", got_bytes=got_bytes, size_bytes=size_bytes))
            return
        try:
            self._partial.write(data)
        except OSError as error:
            self._refuse(translate(error, size_bytes))

    def end(self, end: End) -> Large | Result:
        """Return the file if all of it is there, or why it is refused."""
        begin, key, partial, refusal = self._begin, self._key, self._partial, self._refusal
        self._begin = self._key = self._refusal = None
        if begin is None or key is None or begin.number != end.number:
            refusal = refusal or ItemRefusal("not-wanted")
        elif partial is not None and partial.size_bytes != begin.size_bytes:
            facts = {"got_bytes": partial.size_bytes, "size_bytes": begin.size_bytes}
            self._discard()
            refusal = refusal or ItemRefusal("size-mismatch", **facts)
        elif partial is not None and partial.sha256 != end.sha256:
            self._discard()
            refusal = refusal or ItemRefusal("hash-mismatch")
        if refusal is not None or partial is None or key is None:
            self.close()
            why = refusal or ItemRefusal("internal", what="no file")
            return Result(end.number, Outcome.REFUSED, why.code, why.facts)
        self._partial = None
        return Large(end.number, key, end.sha256.hex(), partial)

    def close(self) -> None:
        """Let go of what has come of a file; it stays for the next connection."""
        if self._partial is not None:
            self._partial.close()
            self._partial = None

    def _open(self, token: str, offset_bytes: int) -> Partial:
        with open_folder(
            self._store_fd, (INCOMING_FOLDER, PARTIAL_FOLDER), create=True
        ) as folder_fd:
            try:
                return Partial(folder_fd, self._folder, token, offset_bytes)
            except BlockingIOError:
                if offset_bytes:
                    raise
        # Another connection is sending the same, or there are no locks: this one does it alone.
        return Partial(self._quarantine.fd, self._quarantine.path, token, 0, is_private=True)

    def _check_size(self, key: Key, size_bytes: int, there_bytes: int) -> None:
        limit_bytes = MAX_BYTES[key.kind]
        if size_bytes > limit_bytes:
            raise ItemRefusal("too-large", size_bytes=size_bytes, limit_bytes=limit_bytes)
        space = os.fstatvfs(self._store_fd)
        if size_bytes - there_bytes + SPARE_BYTES > space.f_bavail * space.f_frsize:
            raise ItemRefusal("no-space", size_bytes=size_bytes)

    def _refuse(self, refusal: ItemRefusal) -> None:
        """Keep the first reason."""
        self._refusal = self._refusal or refusal
        self.close()

    def _discard(self) -> None:
        """Throw away what has come: it is not what it was said to be."""
        if self._partial is not None:
            self._partial.file.discard()
            self.close()
