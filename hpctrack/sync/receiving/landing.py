"""From bytes that have come to files that everybody sees: in groups, on a thread of their own.

Small files are written and checked as they come and published by the hundred: one look at the disk
for all of them instead of one for each. While a group is brought to the disk the next one comes in.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from hpctrack.errors import HpctrackError, StoreFormatError
from hpctrack.store.annotation_file import fold_annotations
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.receiving.journal import Event, Journal
from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.receiving.publication import Arrived, Publisher, path_of, translate
from hpctrack.sync.receiving.quarantine import Partial, Quarantine, sync_files
from hpctrack.sync.receiving.replicas import RowsLanding
from hpctrack.sync.wire.messages import ItemKind, Key, Outcome, Result, Rows
from hpctrack.sync.wire.refusal import ItemRefusal

GROUP_FILES = 512
GROUP_BYTES = 8 * 1024 * 1024
"""What is held in memory of small files, or of rows, before they are written."""

RESULTS_BYTES = 1024 * 1024
"""Of facts in one frame of results; three times as many when all of them must be escaped."""

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
    journal : Journal
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
        *,
        journal: Journal,
        tell: Callable[[Sequence[Event]], None],
    ) -> None:
        self._store_fd = store_fd
        self._quarantine = quarantine
        self._cache = cache
        self._policy = policy
        self._journal = journal
        self._tell = tell
        self._group: list[Small] = []
        self._rows: list[tuple[Key, Rows]] = []
        self._group_bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="landing")
        self._free = threading.Semaphore(MAX_WAITING)
        self._futures: list[Future[None]] = []

    @property
    def has_group(self) -> bool:
        """Whether small files or rows have come that were not submitted yet."""
        return bool(self._group or self._rows)

    def wait(self, timeout_s: float) -> bool:
        """Wait until everything that was submitted is done; return whether it is."""
        return not self._futures or not wait(self._futures[-1:], timeout_s).not_done

    def add_small(self, small: Small) -> None:
        """Take a small file."""
        self._submit_rows()
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
        self._submit_small()
        self._rows.append((key, rows))
        self._group_bytes += _measure(rows)
        if len(self._rows) >= GROUP_FILES or self._group_bytes >= GROUP_BYTES:
            self.submit()

    def add_refused(self, key: Key, result: Result) -> None:
        """Take the news that something is not taken; it is told after what came before."""
        self.submit()
        self._run(lambda: self._tell([Event(result, key)]))

    def submit(self) -> None:
        """Publish the small files, or append the rows, that have come so far."""
        self._submit_small()
        self._submit_rows()

    def _submit_small(self) -> None:
        if self._group:
            group, self._group, self._group_bytes = self._group, [], 0
            self._run(lambda: self._land_group(group))

    def _submit_rows(self) -> None:
        if self._rows:
            group, self._rows, self._group_bytes = self._rows, [], 0
            self._run(lambda: self._land_rows(group))

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
        coming_bytes: Counter[str] = Counter()
        for place, (one, refusal) in enumerate(zip(group, refusals, strict=True)):
            if refusal is None and one.key.kind != ItemKind.ANNOTATIONS:
                try:
                    # What this group has brought is on the project's bill only when it is told.
                    needed_bytes = coming_bytes[one.key.project] + len(one.data)
                    self._journal.check_room(one.key, needed_bytes)
                    file = self._quarantine.add(one.data)
                    coming_bytes[one.key.project] = needed_bytes
                    arrived[place] = Arrived(one.number, one.key, one.sha256, len(one.data), file)
                except ItemRefusal as no_room:
                    answers[place] = no_room
                except OSError as error:
                    answers[place] = translate(error, len(one.data))
        if arrived:
            self._publish(arrived, answers)
        self._tell(
            [
                self._fold(one)
                if one.key.kind == ItemKind.ANNOTATIONS and refusals[place] is None
                else _make_event(one, answers[place], len(one.data), arrived.get(place))
                for place, one in enumerate(group)
            ]
        )

    def _land_large(self, large: Large) -> None:
        from hpctrack.sync.receiving.verification import check_file  # noqa: PLC0415 - brings numpy

        file, size_bytes = large.partial.file, large.partial.size_bytes
        answer: list[Outcome | ItemRefusal] = [Outcome.PRESENT]
        arrived: Arrived | None = None
        try:
            large.partial.make_durable()
            refusal = check_file(file.path, large.key)
            if refusal is None:
                # Asked when it began, too: what came before it was still on its way then.
                self._journal.check_room(large.key, size_bytes)
                arrived = Arrived(large.number, large.key, large.sha256, size_bytes, file)
                self._publish({0: arrived}, answer, is_durable=True)
            else:
                answer = [refusal]
        except ItemRefusal as no_room:
            answer = [no_room]
        except OSError as error:
            answer = [translate(error, size_bytes)]
        finally:
            file.discard()
            large.partial.close()
        self._tell([_make_event(large, answer[0], size_bytes, arrived)])

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
            if any(answers[place] not in _TAKEN for place in arrived):
                for file in files:
                    file.discard()

    def _land_rows(self, group: Sequence[tuple[Key, Rows]]) -> None:
        try:
            with Publisher(self._store_fd, self._cache, self._policy) as publisher:
                landing = RowsLanding(self._store_fd, publisher, self._journal.check_room)
                answers = landing.land(group)
        except OSError as error:
            answers = [translate(error, 0)] * len(group)
        self._tell(
            [
                _make_rows_event(key, rows, answer)
                for (key, rows), answer in zip(group, answers, strict=True)
            ]
        )

    def _fold(self, small: Small) -> Event:
        """Merge what people have said of a run; the sender is told what counts now."""
        key, size_bytes = small.key, len(small.data)
        try:
            self._journal.check_room(key, size_bytes)
            with Publisher(self._store_fd, self._cache, self._policy) as publisher:
                publisher.check_run_owner(key)
            merged = fold_annotations(path_of(self._store_fd), key.project, key.id, small.data)
        except ItemRefusal as refusal:
            return _make_event(small, refusal, size_bytes, None)
        except StoreFormatError:
            return _make_event(small, ItemRefusal("not-annotations"), size_bytes, None)
        except FileNotFoundError:
            return _make_event(small, ItemRefusal("no-run"), size_bytes, None)
        except (HpctrackError, OSError):
            return _make_event(small, ItemRefusal("unwritable"), size_bytes, None)
        facts = {"annotations": merged.decode()}
        return Event(Result(small.number, Outcome.MERGED, "", facts), key, size_bytes, small.sha256)


def split_results(results: Iterable[Result]) -> Iterator[tuple[Result, ...]]:
    """Yield results as many at a time as a frame has room for: merged notes may be long."""
    part: list[Result] = []
    size_bytes = 0
    for one in results:
        of_one_bytes = sum(len(str(fact).encode()) for fact in one.facts.values())
        if part and size_bytes + of_one_bytes > RESULTS_BYTES:
            yield tuple(part)
            part, size_bytes = [], 0
        part.append(one)
        size_bytes += of_one_bytes
    if part:
        yield tuple(part)


_TAKEN = {Outcome.PUBLISHED, Outcome.REPLACED}


def _make_event(
    one: Small | Large, answer: Outcome | ItemRefusal, size_bytes: int, arrived: Arrived | None
) -> Event:
    grown_bytes = 0
    if answer in _TAKEN and arrived is not None:
        grown_bytes = size_bytes - arrived.replaced_bytes
    return Event(make_result(one.number, answer), one.key, size_bytes, one.sha256, grown_bytes)


def _make_rows_event(key: Key, rows: Rows, answer: Outcome | ItemRefusal) -> Event:
    size_bytes = _measure(rows)
    grown_bytes = size_bytes if answer == Outcome.APPENDED else 0
    result = make_result(rows.number, answer)
    return Event(result, key, size_bytes, rows.sha256.hex(), grown_bytes)


def _measure(rows: Rows) -> int:
    return sum(len(one.data) for one in rows.tail.pieces)


def make_result(number: int, answer: Outcome | ItemRefusal) -> Result:
    """Return what the sender is told of an item."""
    if isinstance(answer, ItemRefusal):
        return Result(number, Outcome.REFUSED, answer.code, answer.facts)
    return Result(number, answer)
