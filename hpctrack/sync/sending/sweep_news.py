"""What a push has to do with sweeps: their owner says how they stand, and hears what was asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from hpctrack.core.layout import PROGRESS_NAME, SWEEPS_FOLDER
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.sending.candidates import Candidate, Chunk
from hpctrack.sync.wire.messages import REQUEST_MAX_CHARS, ItemKind, Key


class SweepOwner(Protocol):
    """Who knows what is in a sweep's folder; a push knows only that a small file goes along."""

    def tell(self, store: Path, project: str, sweep_id: str) -> bool:
        """Bring a sweep's ``progress.json`` up to date, if it can be; whether it has changed."""

    def take(self, store: Path, project: str, sweep_id: str, request: str) -> bool:
        """Do what was asked on the other side; whether ``progress.json`` has changed."""


class SweepNews:
    """What was asked of sweeps on the other side, done when everything else has gone.

    Parameters
    ----------
    store : Path
        This side's.
    owner : SweepOwner or None
        None: nothing is done.
    cache : HashCache
        Of the store.
    """

    def __init__(self, store: Path, owner: SweepOwner | None, cache: HashCache) -> None:
        self._store = store
        self._owner = owner
        self._cache = cache
        self._asked: dict[Key, str] = {}

    def note(self, key: Key, request: str) -> None:
        """Remember what was asked: doing it may take Slurm a while."""
        if key.kind == ItemKind.PROGRESS and len(request) <= REQUEST_MAX_CHARS:
            self._asked[key] = request

    def act(self) -> Chunk:
        """Do what was asked; return what the other side does not know yet of that."""
        chunk = Chunk()
        asked, self._asked = self._asked, {}
        for key, request in asked.items():
            if self._owner and self._owner.take(self._store, key.project, key.id, request):
                name = name_progress(key)
                chunk.candidates.append(
                    Candidate.find(key, os.fspath(self._store), name, self._cache)
                )
        return chunk


def name_progress(key: Key) -> str:
    """Return where the file of a sweep's progress lies in a store."""
    return f"{key.project}/{SWEEPS_FOLDER}/{key.id}/{PROGRESS_NAME}"
