"""The media of the runs that are looked at; for the thread of `Reader` "pages" alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hpctrack.errors import NotFoundError, StoreError, UsageError
from hpctrack.store.media_item import MediaItem
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.entries import reading
from hpctrack_server.data.frames import BrokenFrame
from hpctrack_server.data.provider import DataProvider

RUNS_MAX = 8
"""Runs whose media are remembered; a run of 100,000 pictures takes some 100 MB."""

FILES = frozenset({"file", "code"})
"""Types that are the user's files; the page of files shows them."""

BODY_MAX_BYTES = 512 * 1024 * 1024
"""What one answer holds in memory at most."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What the bytes with a digest are.

    Parameters
    ----------
    format : str
        As a file's extension.
    type : str
        Of the media; ``attachment`` of what belongs to others.
    name : str
        For whoever downloads it.
    """

    format: str
    type: str
    name: str


@dataclass(slots=True)
class Shelf:
    """The media of one run as it was at one moment."""

    version: int
    run: StoredRun
    items: list[MediaItem]
    payloads: dict[str, Payload] = field(default_factory=dict)

    def of(self, key: str) -> list[MediaItem]:
        """Return the items of a key, by step and rank.

        Raises
        ------
        NotFoundError
            Nothing was logged under it.
        """
        found = [one for one in self.items if one.key == key]
        if not found:
            raise NotFoundError(f"nothing was logged as {key[:80]!r}")
        return found

    def read(self, digest: str, form: str = "bin") -> tuple[bytes, Payload]:
        """Return bytes that the run has logged, checked, and what they are.

        Parameters
        ----------
        digest : str
        form : str, optional
            Of bytes that only a table's cell names: what the cell says that they are.

        Raises
        ------
        NotFoundError
            The run names no such bytes.
        StoreError
            They are missing or damaged, or too many.
        """
        source = next((one.payloads for one in self.items), None)
        payload = self.payloads.get(digest)
        if payload is None and source is not None and digest in source:
            payload = Payload(form, "cell", f"{digest[:12]}.{form}")
        if payload is None or source is None:
            raise NotFoundError(f"no media {digest[:12]!r} in this run")
        pieces, size = [], 0
        for piece in source.iter_pieces(digest):
            size += len(piece)
            if size > BODY_MAX_BYTES:
                raise StoreError(
                    "it is too large to be sent", hint="`hpctrack media --out` writes it to a file"
                )
            pieces.append(piece)
        return b"".join(pieces), payload


class Library:
    """Finds the media of runs and remembers those of the last few.

    Parameters
    ----------
    provider : DataProvider
    """

    def __init__(self, provider: DataProvider) -> None:
        self._provider = provider
        self._shelves: OrderedDict[tuple[str, str], Shelf] = OrderedDict()

    @contextmanager
    def shelf(self, project: str, run_id: str) -> Iterator[Shelf]:
        """Hold the media of a run, as they are now.

        Raises
        ------
        HpctrackError
            There is no such run, or it cannot be read.
        """
        frame = self._provider.run(project, run_id)
        if isinstance(frame, BrokenFrame):
            raise StoreError(frame.message, hint=frame.hint or None)
        key = (project, run_id)
        held = self._shelves.get(key)
        if held is None or held.version != frame.version:
            if held is not None:
                self._shelves.pop(key).run.close()
            held = self._shelves[key] = self._open(project, run_id, frame.version)
        self._shelves.move_to_end(key)
        while len(self._shelves) > RUNS_MAX:
            self._shelves.popitem(last=False)[1].run.close()
        with reading(f"{project}/{run_id}"):
            yield held

    def ask(self, work: Callable[[Shelf], Any], project: str, run_id: str) -> Any:
        """Return what a function says of a run's media."""
        with self.shelf(project, run_id) as shelf:
            return work(shelf)

    def close(self) -> None:
        """Close all files."""
        for shelf in self._shelves.values():
            shelf.run.close()
        self._shelves.clear()

    def _open(self, project: str, run_id: str, version: int) -> Shelf:
        run = self._provider.own_run(project, run_id)
        with reading(f"{project}/{run_id}"):
            items = [one for one in run.media() if one.type not in FILES]
        shelf = Shelf(version, run, items)
        for item in items:
            add_payloads(shelf.payloads, item)
        return shelf


def add_payloads(payloads: dict[str, Payload], item: MediaItem) -> None:
    """Note the bytes of an item and of what belongs to it."""
    last = item.key.rpartition("/")[2] or item.key
    name = f"{last}-{item.step}"
    payloads.setdefault(item.digest, Payload(item.format, item.type, f"{name}.{item.format}"))
    attached = item.meta.get("attachments")
    for label, told in attached.items() if isinstance(attached, dict) else ():
        if isinstance(told, dict) and isinstance(told.get("digest"), str):
            form = str(told.get("format", "bin"))
            end = str(label).rpartition("/")[2]
            payloads.setdefault(told["digest"], Payload(form, "attachment", f"{name}-{end}.{form}"))


def check_digest(text: str) -> str:
    """Return a digest.

    Raises
    ------
    UsageError
        It is none.
    """
    if len(text) != 64 or not all(one in "0123456789abcdef" for one in text):  # noqa: PLR2004 - SHA-256
        raise UsageError("that is no digest", hint="64 hexadecimal digits")
    return text
