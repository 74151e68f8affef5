"""The receiving side: takes items, checks them, publishes them, and says what it did.

It trusts nothing that it is told: names are checked, bytes are counted and hashed, the file is
opened and read, and no link in the store is followed. What goes wrong with one item is told in
its result; only a peer that breaks the protocol, or a store that cannot be used, ends it all.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core import __version__
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError, ProtocolError, RefusedError, SyncError
from hpctrack.store import accounting_file
from hpctrack.sync.files.inventory import HashCache, read_inventory
from hpctrack.sync.files.place import find_place
from hpctrack.sync.receiving.publication import FULL, publish
from hpctrack.sync.receiving.quarantine import IncomingFile, Quarantine, remove_abandoned
from hpctrack.sync.receiving.verification import check_file, find_extent
from hpctrack.sync.wire.byte_stream import ByteStream
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import (
    Begin,
    Data,
    Done,
    End,
    Error,
    Hello,
    Inventory,
    Item,
    ItemKind,
    Key,
    Outcome,
    Result,
)
from hpctrack.sync.wire.protocol import negotiate, split_inventory
from hpctrack.sync.wire.refusal import ItemRefusal, describe

IDLE_TIMEOUT_S = 3600.0
"""A sender that says nothing for so long is gone, though its connection may look alive. It may be
sealing runs meanwhile, so the bound is generous."""

ITEM_MAX_BYTES = {
    ItemKind.RUN: 1 << 40,
    ItemKind.SWEEP: 16 << 20,
    ItemKind.ACCOUNTING: accounting_file.MAX_BYTES,
}
"""1 TiB and 16 MiB: far above what is real, far below what fills a disk by mistake."""

INVENTORY_MAX_ITEMS = 1_000_000
"""They are held in memory until the last has come."""

SPARE_BYTES = 16 << 20
"""Room that an upload leaves on the file system, for those who record there."""


@dataclass(slots=True)
class _Upload:
    """The item that is coming; with a refusal, its bytes are read and thrown away."""

    number: int
    item: Item
    file: IncomingFile | None = None
    refusal: ItemRefusal | None = None

    def refuse(self, refusal: ItemRefusal) -> None:
        """Keep the first reason and free the space."""
        self.refusal = self.refusal or refusal
        self.discard()

    def discard(self) -> None:
        """Remove what has come."""
        if self.file is not None:
            self.file.discard()
            self.file = None


class Receiver:
    """One transfer into a store.

    Parameters
    ----------
    store : Path
        Made, when the first item comes, if its parent is there.
    stream : ByteStream
        To the sender.
    clock : Clock, optional
        For the age of abandoned uploads.
    """

    def __init__(self, store: Path, stream: ByteStream, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._talk = Conversation(stream, timeout_s=IDLE_TIMEOUT_S)
        self._clock = clock
        self._cache = HashCache(store)
        self._store_fd: int | None = None
        self._quarantine: Quarantine | None = None
        self._asked: list[Key] = []
        self._upload: _Upload | None = None
        self._is_told = False

    def serve(self) -> None:
        """Talk to the sender until it is done or gone.

        Raises
        ------
        HpctrackError
            Why the transfer ended early; the sender has been told, without any path.
        """
        ours = Hello(software=f"hpctrack {__version__}")
        try:
            self._talk.greet()
            self._talk.send(ours)
            self._talk.expect_greeting(timeout_s=IDLE_TIMEOUT_S)
            self._negotiate(ours, self._talk.receive_hello())
            self._serve_in_store()
        except EOFError:
            return  # killed or interrupted; everything acknowledged is safe
        except (ConnectionError, TimeoutError) as error:
            raise SyncError(f"the sender is gone: {type(error).__name__}") from None
        except ProtocolError as error:
            self._tell(Error("protocol", {"what": error.message}))
            raise
        except HpctrackError:
            raise
        except Exception as error:
            # A bug of ours: the name of the exception says no path, its text might.
            self._tell(Error("internal", {"what": type(error).__name__}))
            raise

    def _negotiate(self, ours: Hello, theirs: Hello) -> None:
        try:
            negotiate(ours, theirs)
        except ProtocolError:
            self._tell(Error("version", {"oldest": ours.oldest, "newest": ours.newest}))
            raise

    def _serve_in_store(self) -> None:
        """Answer until the sender is done; what was opened is closed and removed."""
        code = find_store_problem(self._store)
        if code:
            raise self._refuse_all(code)
        with contextlib.ExitStack() as stack:
            if self._store.is_dir():
                self._open_store(stack)
            stack.callback(self._cache.save)
            while self._answer(stack):
                pass

    def _open_store(self, stack: contextlib.ExitStack) -> int:
        """Return the store's descriptor; make its folder if need be."""
        if self._store_fd is None:
            try:
                self._store.mkdir(exist_ok=True)
                self._store_fd = os.open(self._store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                raise self._refuse_all("store-unwritable") from None
            stack.callback(os.close, self._store_fd)
            remove_abandoned(self._store_fd, self._clock)
        return self._store_fd

    def _open_quarantine(self, stack: contextlib.ExitStack) -> Quarantine:
        """Return the quarantine, which is not made before something comes."""
        if self._quarantine is None:
            try:
                self._quarantine = Quarantine(self._store, self._open_store(stack))
            except OSError:
                raise self._refuse_all("store-unwritable") from None
            stack.callback(self._quarantine.close)
            stack.callback(self._discard)
        return self._quarantine

    def _discard(self) -> None:
        if self._upload is not None:
            self._upload.discard()

    def _answer(self, stack: contextlib.ExitStack) -> bool:
        """Read one message and do what it asks; return False after the last one."""
        message = self._talk.receive()
        upload = self._upload
        match message:
            case Inventory() if upload is None:
                self._take_inventory(message)
            case Begin() if upload is None:
                self._upload = self._begin(message, stack)
            case Data(body) if upload is not None:
                self._write(upload, body)
            case End(number) if upload is not None and upload.number == number:
                self._talk.send(self._finish(upload, self._open_store(stack)))
                self._upload = None
            case Done() if upload is None:
                self._cache.save()
                self._talk.send(Done())
                return False
            case Error(code, facts):
                raise SyncError(f"the sender gave up: {describe(code, facts)}")
            case _:
                raise ProtocolError(f"{message.kind.name} may not come here")
        return True

    def _take_inventory(self, message: Inventory) -> None:
        self._asked += [item.key for item in message.items]
        if len(self._asked) > INVENTORY_MAX_ITEMS:
            raise ProtocolError(f"more than {INVENTORY_MAX_ITEMS} items are asked for")
        if not message.is_last:
            return
        fd = self._store_fd
        found = [] if fd is None else read_inventory(fd, self._asked, self._cache)
        self._asked = []
        for answer in split_inventory(found):
            self._talk.send(answer)

    def _begin(self, message: Begin, stack: contextlib.ExitStack) -> _Upload:
        store_fd, quarantine = self._open_store(stack), self._open_quarantine(stack)
        upload = _Upload(message.number, message.item)
        try:
            find_place(message.item.key)
            _check_size(message.item, store_fd)
            upload.file = quarantine.create_file()
        except ItemRefusal as refusal:
            upload.refuse(refusal)
        except OSError as error:
            upload.refuse(_translate(error, message.item))
        return upload

    def _write(self, upload: _Upload, data: bytes | memoryview) -> None:
        if upload.file is None:
            return
        item = upload.item
        got_bytes = upload.file.size_bytes + len(data)
        if got_bytes > item.size_bytes:
            facts = {"got_bytes": got_bytes, "size_bytes": item.size_bytes}
            upload.refuse(ItemRefusal("size-mismatch", **facts))
            return
        try:
            upload.file.write(data)
        except OSError as error:
            upload.refuse(_translate(error, item))

    def _finish(self, upload: _Upload, store_fd: int) -> Result:
        try:
            outcome = self._publish(upload, store_fd)
            return Result(upload.number, outcome)
        except ItemRefusal as refusal:
            why = refusal
        except OSError as error:
            why = _translate(error, upload.item)
        finally:
            upload.discard()
        return Result(upload.number, Outcome.REFUSED, why.code, why.facts)

    def _publish(self, upload: _Upload, store_fd: int) -> Outcome:
        if upload.refusal is not None or upload.file is None:
            raise upload.refusal or ItemRefusal("internal", what="no file")
        file, item = upload.file, upload.item
        if file.size_bytes != item.size_bytes:
            facts = {"got_bytes": file.size_bytes, "size_bytes": item.size_bytes}
            raise ItemRefusal("size-mismatch", **facts)
        if file.sha256 != item.sha256:
            raise ItemRefusal("hash-mismatch")
        file.make_durable()
        refusal = check_file(file.path, item.key)
        if refusal is not None:
            raise refusal
        extent = find_extent(file.path, item.key)
        return publish(self._store, store_fd, item, file, extent)

    def _refuse_all(self, code: str) -> HpctrackError:
        self._tell(Error(code))
        return RefusedError(f"{self._store}: {describe(code, {})}")

    def _tell(self, error: Error) -> None:
        """Say why it ends, once, to a sender that may be gone already."""
        if self._is_told:
            return
        self._is_told = True
        with contextlib.suppress(ConnectionError, TimeoutError):
            self._talk.send(error)


def find_store_problem(store: Path) -> str:
    """Return the code of why there can be no store here, or nothing."""
    if store.is_dir():
        return ""
    if os.path.lexists(store):
        return "not-a-folder"
    return "" if store.parent.is_dir() else "no-parent"


def _check_size(item: Item, store_fd: int) -> None:
    limit_bytes = ITEM_MAX_BYTES[item.key.kind]
    if item.size_bytes > limit_bytes:
        raise ItemRefusal("too-large", size_bytes=item.size_bytes, limit_bytes=limit_bytes)
    space = os.fstatvfs(store_fd)
    if item.size_bytes + SPARE_BYTES > space.f_bavail * space.f_frsize:
        raise ItemRefusal("no-space", size_bytes=item.size_bytes)


def _translate(error: OSError, item: Item) -> ItemRefusal:
    code = "no-space" if error.errno in FULL else "unwritable"
    return ItemRefusal(code, size_bytes=item.size_bytes)
