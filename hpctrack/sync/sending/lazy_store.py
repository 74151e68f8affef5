"""A store that is opened when something is asked of it: numpy and h5py take 0.2 s to load.

A sync that finds nothing new, as most that a timer starts, looks at names and hashes only.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpctrack.core.clock import Clock

if TYPE_CHECKING:
    from hpctrack.store.store import Store
    from hpctrack.store.stored_run import StoredRun


class LazyStore:
    """What a push asks of a `Store`.

    Parameters
    ----------
    path : path
        The folder.
    clock : Clock
    stale_after_s : float

    Raises
    ------
    NotFoundError
        There is no such folder.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Clock, stale_after_s: float) -> None:
        self.path = Path(path).expanduser()
        self._options: dict[str, Any] = {"clock": clock, "stale_after_s": stale_after_s}
        if not self.path.is_dir():
            _ = self.opened  # says so

    @cached_property
    def opened(self) -> Store:
        """The store itself."""
        from hpctrack.store.store import Store  # noqa: PLC0415 - see above

        return Store(self.path, **self._options)

    def projects(self) -> list[str]:
        """As `Store.projects`."""
        return self.opened.projects()

    def run(self, run_id: str, *, project: str | None = None) -> StoredRun:
        """As `Store.run`."""
        return self.opened.run(run_id, project=project)

    def runs(self, filter: Any = None, *, project: str | None = None) -> list[StoredRun]:  # noqa: A002 - the store's word
        """As `Store.runs`."""
        return self.opened.runs(filter, project=project)
