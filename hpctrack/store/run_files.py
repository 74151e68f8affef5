"""The node files of a run, open for reading."""

from __future__ import annotations

from pathlib import Path

from hpctrack.core.layout import iter_node_files
from hpctrack.errors import HpctrackError, NotFoundError, StoreFormatError
from hpctrack.store.node_reader import NodeReader
from hpctrack.store.replica_states import ReplicaStates


class NodeReaders:
    """All node files of a run, each opened once. Not safe for several threads.

    Parameters
    ----------
    folder : Path
        The run's.

    Attributes
    ----------
    unreadable : dict
        Files that cannot be read, and why.
    """

    def __init__(self, folder: Path) -> None:
        self.unreadable: dict[Path, HpctrackError] = {}
        self._folder = folder
        self._readers: dict[Path, NodeReader] = {}
        self._replicas: ReplicaStates | None = None

    def open_all(self) -> list[NodeReader]:
        """Open files that are new, and return all by age; one that is broken hides no other."""
        readers = []
        is_asked = False
        for path in iter_node_files(self._folder):
            if path not in self._readers and path not in self.unreadable:
                replicas = self._look_up(is_asked=is_asked)
                is_asked = True
                try:
                    self._readers[path] = NodeReader(path, replicas=replicas)
                except (NotFoundError, StoreFormatError) as error:
                    self.unreadable[path] = error
            if path in self._readers:
                readers.append(self._readers[path])
        # A node has several files if its agent died; only the files know which came first.
        readers.sort(key=lambda one: one.age_key)
        return readers

    def forget_vanished(self) -> None:
        """Forget that files were not there any more: they have gone into the sealed one."""
        for path, error in list(self.unreadable.items()):
            if isinstance(error, NotFoundError):
                del self.unreadable[path]

    def refresh(self) -> None:
        """See what has been written; files that are gone or were replaced are closed."""
        self.unreadable.clear()
        if self._replicas is not None:
            self._replicas.refresh()
        for path, reader in list(self._readers.items()):
            if reader.is_in_place():
                reader.refresh()
            else:
                reader.close()
                del self._readers[path]

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _look_up(self, *, is_asked: bool) -> ReplicaStates:
        """Return what is known of replicas, as of this listing of the folder or later."""
        if self._replicas is None:
            self._replicas = ReplicaStates(self._folder)
        elif not is_asked:
            self._replicas.refresh()
        return self._replicas
