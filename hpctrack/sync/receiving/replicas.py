"""New rows of runs that go on, into the replicas that readers follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from hpctrack.core.layout import SEALED_NAME
from hpctrack.errors import HpctrackError, StoreFullError
from hpctrack.sync.files.place import list_names, stat_no_follow
from hpctrack.sync.receiving.publication import Publisher, path_of, translate
from hpctrack.sync.receiving.quarantine import SYNC_ALL_FROM, sync_file_system
from hpctrack.sync.wire.messages import Key, Outcome, Rows
from hpctrack.sync.wire.refusal import ItemRefusal

if TYPE_CHECKING:
    from hpctrack.store.replica import Replicas

Done = TypeVar("Done")

CheckRoom = Callable[[Key, int], None]
"""Raises an `ItemRefusal` where a project may not grow by so many bytes."""

Answer = ItemRefusal | Outcome
"""APPENDED: the rows are there, for good; PRESENT: they are in a sealed file that has come."""


class RowsLanding:
    """Appends the rows of a group; they are on the disk when `land` returns.

    Parameters
    ----------
    store_fd : int
        The store, open.
    publisher : Publisher
        Holding its lock.
    check_room : callable
    """

    def __init__(self, store_fd: int, publisher: Publisher, check_room: CheckRoom) -> None:
        self._store_fd = store_fd
        self._publisher = publisher
        self._check_room = check_room
        self._runs: dict[tuple[str, str], Replicas] = {}
        self._sealed: dict[tuple[str, str], frozenset[str]] = {}
        self._coming_bytes: Counter[str] = Counter()
        self._stack = ExitStack()

    def land(self, group: Sequence[tuple[Key, Rows]]) -> list[Answer]:
        """Append all rows that fit to what is there.

        Parameters
        ----------
        group : sequence of (Key, Rows)
            In the order in which they came; their hashes were checked.
        """
        answers: list[Answer] = []
        with self._stack:
            answers += (_do_or_refuse(partial(self._append, *one)) for one in group)
            refusals = self._commit()
        return [
            refusals.get((key.project, key.id), answer) if answer == Outcome.APPENDED else answer
            for answer, (key, _rows) in zip(answers, group, strict=True)
        ]

    def _append(self, key: Key, rows: Rows) -> Outcome:
        facts = rows.tail.facts
        if (facts.get("project"), facts.get("run")) != (key.project, key.id):
            found = {name: str(facts.get(name)) for name in ("project", "run")}
            raise ItemRefusal("other-run", **found)
        size_bytes = sum(len(one.data) for one in rows.tail.pieces)
        # What this group has brought is on the project's bill only when it is told.
        self._check_room(key, self._coming_bytes[key.project] + size_bytes)
        replicas = self._open(key)
        if rows.tail.state.uuid in self._sealed[key.project, key.id]:
            return Outcome.PRESENT  # it was sealed since the sender asked
        replicas.append(key.part, rows.tail)
        self._coming_bytes[key.project] += size_bytes
        return Outcome.APPENDED

    def _open(self, key: Key) -> Replicas:
        from hpctrack.store.replica import Replicas  # noqa: PLC0415 - brings numpy and h5py

        at = (key.project, key.id)
        if at not in self._runs:
            folder_fd = self._stack.enter_context(self._publisher.folder(at, create=True))
            self._publisher.check_owner(key, folder_fd, is_new=not list_names(folder_fd))
            self._sealed[at] = _list_sealed_nodes(folder_fd)
            self._runs[at] = self._stack.enter_context(Replicas(path_of(folder_fd), of=at))
        return self._runs[at]

    def _commit(self) -> dict[tuple[str, str], ItemRefusal]:
        """Bring what was appended to the disk, then note that it is there; by the run that failed.

        One look at the disk for many files: 200 of a MiB each took 3 s one by one, and 1.4 s so.
        """
        refused: dict[tuple[str, str], ItemRefusal] = {}

        def sync() -> bool:
            return len(self._runs) >= SYNC_ALL_FROM and sync_file_system(self._store_fd)

        refusal, is_synced = None, False
        try:
            is_synced = sync()
        except OSError as error:
            refusal = translate(error, 0)
        for at, replicas in self._runs.items():
            found = refusal or _do_or_refuse(partial(replicas.commit, is_synced=is_synced))
            if isinstance(found, ItemRefusal):
                refused[at] = found
        if is_synced and isinstance(last := _do_or_refuse(sync), ItemRefusal):
            refused |= dict.fromkeys(self._runs, last)
        return refused


def _do_or_refuse(work: Callable[[], Done]) -> Done | ItemRefusal:
    """Do something; return what it returns, or why it was refused."""
    try:
        with _refusing():
            return work()
    except ItemRefusal as refusal:
        return refusal


def _list_sealed_nodes(folder_fd: int) -> frozenset[str]:
    """Return the node files that went into the sealed file of a run, if there is one."""
    from hpctrack.sync.receiving.verification import try_read_extent  # noqa: PLC0415 - as above

    if stat_no_follow(folder_fd, SEALED_NAME) is None:
        return frozenset()
    extent = try_read_extent(path_of(folder_fd, SEALED_NAME))
    return extent.nodes if extent else frozenset()


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn what goes wrong with a replica into what the sender is told."""
    from hpctrack.store.replica import ReplicaGapError  # noqa: PLC0415 - brings numpy and h5py

    try:
        yield
    except StoreFullError:
        raise ItemRefusal("no-space", size_bytes=0) from None
    except ReplicaGapError:
        raise ItemRefusal("gap") from None
    except HpctrackError:
        raise ItemRefusal("rows") from None
    except NotADirectoryError:
        raise ItemRefusal("link") from None
    except OSError as error:
        raise translate(error, 0) from None
