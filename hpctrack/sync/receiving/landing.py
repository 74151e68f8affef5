"""From bytes that have come to files that everybody sees: in groups, on a thread of their own.

Small files are written and checked as they come and published by the hundred: one look at the disk
for all of them instead of one for each. While a group is brought to the disk the next one comes in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.receiving.publication import Arrived, Publisher, path_of, translate
from hpctrack.sync.receiving.quarantine import Partial, Quarantine, QuarantinedFile, sync_files
from hpctrack.sync.wire.messages import Key, Outcome, Result, Rows
from hpctrack.sync.wire.refusal import ItemRefusal

GROUP_FILES = 512
GROUP_BYTES = 16 * 1024 * 1024
"""What is held in memory of small files before they are written."""

MAX_WAITING = 2
"""Groups that wait for the disk; of more the sender has to wait."""


@dataclass(frozen=True, slots=True)
class Small:
    """A small file as it has come; its hash was checked."""

    number: int
    key: Key
    sha256: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Large:
    """A large file that is complete; its hash was checked."""

    number: int
    key: Key
    sha256: str
    partial: Partial


class Landing:
    """Publishes what comes; results are told in the order in which things came.

    Parameters
    ----------
    store_fd : int
        The store, open.
    quarantine : Quarantine
        Of this connection.
    cache : HashCache
        Of the store.
    policy : Policy
        Of this connection.
    tell : callable
        Told the results of a group, on the thread of the landing.
    """

    def __init__(
        self,
        store_fd: int,
        quarantine: Quarantine,
        cache: HashCache,
        policy: Policy,
        tell: Callable[[Sequence[tuple[Result, Key, int, str]]], None],
    ) -> None:
        self._store_fd = store_fd
        self._quarantine = quarantine
        self._cache = cache
        self._policy = policy
        self._tell = tell
        self._group: list[Small] = []
        self._group_bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="landing")
        self._free = threading.Semaphore(MAX_WAITING)
        self._futures: list[Future[None]] = []

    def add_small(self, small: Small) -> None:
        """Take a small file."""
        self._group.append(small)
        self._group_bytes += len(small.data)
        if len(self._group) >= GROUP_FILES or self._group_bytes >= GROUP_BYTES:
            self.submit()

    def add_large(self, large: Large) -> None:
        """Take a large file."""
        self.submit()
        self._run(lambda: self._land_large(large))

    def add_rows(self, key: Key, rows: Rows) -> None:
        """Take new rows of a node file; their hash was checked."""
        self.submit()
        self._run(lambda: self._land_rows(key, rows))

    def add_refused(self, key: Key, result: Result) -> None:
        """Take the news that something is not taken; it is told after what came before."""
        self.submit()
        self._run(lambda: self._tell([(result, key, 0, "")]))

    def submit(self) -> None:
        """Publish the small files that have come so far."""
        if self._group:
            group, self._group, self._group_bytes = self._group, [], 0
            self._run(lambda: self._land_group(group))

    def finish(self) -> None:
        """Publish everything and wait until it is safe.

        Raises
        ------
        Exception
            Whatever went wrong on the thread that is not the fault of one item.
        """
        self.submit()
        futures, self._futures = self._futures, []
        wait(futures)  # all of them, even if the first one cannot tell its results any more
        for one in futures:
            one.result()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _run(self, work: Callable[[], None]) -> None:
        while self._futures and self._futures[0].done():
            self._futures.pop(0).result()
        self._free.acquire()
        future = self._thread.submit(work)
        future.add_done_callback(lambda _future: self._free.release())
        self._futures.append(future)

    # -- on the thread -------------------------------------------------------------------------

    def _land_group(self, group: Sequence[Small]) -> None:
        from hpctrack.sync.receiving.verification import (  # noqa: PLC0415 - brings numpy
            check_small,
        )

        refusals = check_small([(one.key, one.data) for one in group])
        answers: list[Outcome | ItemRefusal] = [one or Outcome.PRESENT for one in refusals]
        arrived: dict[int, Arrived] = {}
        for place, (one, refusal) in enumerate(zip(group, refusals, strict=True)):
            if refusal is None:
                try:
                    file = self._quarantine.add(one.data)
                    arrived[place] = Arrived(one.number, one.key, one.sha256, len(one.data), file)
                except OSError as error:
                    answers[place] = translate(error, len(one.data))
        self._publish(arrived, answers)
        self._report(group, answers, [len(one.data) for one in group])

    def _land_large(self, large: Large) -> None:
        from hpctrack.sync.receiving.verification import check_file  # noqa: PLC0415 - brings numpy

        file, size_bytes = large.partial.file, large.partial.size_bytes
        answer: list[Outcome | ItemRefusal] = [Outcome.PRESENT]
        try:
            large.partial.make_durable()
            check_file(file.path, large.key)
            arrived = Arrived(large.number, large.key, large.sha256, size_bytes, file)
            self._publish({0: arrived}, answer, is_durable=True)
        except ItemRefusal as refusal:
            answer = [refusal]
        except OSError as error:
            answer = [translate(error, size_bytes)]
        finally:
            file.discard()
            large.partial.close()
        self._report([large], answer, [size_bytes])

    def _publish(
        self,
        arrived: dict[int, Arrived],
        answers: list[Outcome | ItemRefusal],
        *,
        is_durable: bool = False,
    ) -> None:
        """Bring files to the disk, publish them, bring that to the disk."""
        files = [one.file for one in arrived.values()]
        try:
            if not is_durable:
                sync_files(files)
            with Publisher(self._store_fd, self._cache, self._policy) as publisher:
                for place, one in arrived.items():
                    try:
                        answers[place] = publisher.publish(one)
                    except ItemRefusal as refusal:
                        answers[place] = refusal
                publisher.sync()
        except OSError as error:
            for place, one in arrived.items():
                answers[place] = translate(error, one.size_bytes)
        finally:
            self._discard(files, answers)

    def _discard(
        self, files: Sequence[QuarantinedFile], answers: Sequence[Outcome | ItemRefusal]
    ) -> None:
        if not all(one == Outcome.PUBLISHED for one in answers):
            for one in files:
                one.discard()

    def _land_rows(self, key: Key, rows: Rows) -> None:
        from hpctrack.store.replica import append_tail  # noqa: PLC0415 - brings numpy and h5py

        size_bytes = sum(len(one.data) for one in rows.tail.pieces)
        answer: Outcome | ItemRefusal = Outcome.APPENDED
        try:
            with (
                Publisher(self._store_fd, self._cache, self._policy) as publisher,
                publisher.folder((key.project, key.id), create=True) as folder_fd,
            ):
                publisher.check_owner(key, folder_fd, is_new=not _has_entries(folder_fd))
                append_tail(Path(path_of(folder_fd)), key.part, rows.tail)
        except ItemRefusal as refusal:
            answer = refusal
        except NotADirectoryError:
            answer = ItemRefusal("link")
        except OSError as error:
            answer = translate(error, size_bytes)
        self._tell([(make_result(rows.number, answer), key, size_bytes, rows.sha256.hex())])

    def _report(
        self,
        group: Sequence[Small | Large],
        answers: Sequence[Outcome | ItemRefusal],
        sizes: Sequence[int],
    ) -> None:
        self._tell(
            [
                (make_result(one.number, answer), one.key, size_bytes, one.sha256)
                for one, answer, size_bytes in zip(group, answers, sizes, strict=True)
            ]
        )


def make_result(number: int, answer: Outcome | ItemRefusal) -> Result:
    """Return what the sender is told of an item."""
    if isinstance(answer, ItemRefusal):
        return Result(number, Outcome.REFUSED, answer.code, answer.facts)
    return Result(number, answer)


def _has_entries(folder_fd: int) -> bool:
    from hpctrack.sync.files.place import list_names  # noqa: PLC0415

    return bool(list_names(folder_fd))
