"""The files that a run has kept: what was saved, its code, and what its folder holds."""

from __future__ import annotations

from dataclasses import dataclass

from hpctrack.errors import NotFoundError
from hpctrack.store.media_item import MediaItem
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.data.entries import make_plain_text, reading
from hpctrack_server.data.provider import DataProvider

KINDS = ("file", "code")
"""Types of media that are files of the user's."""

PREVIEW_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFile:
    """One file as it was saved last.

    Parameters
    ----------
    name : str
        Relative to the base it was saved from.
    kind : {"file", "code"}
    digest : str
        SHA-256, hexadecimal.
    size_bytes : int
    rank : int
    wall_s : float
    path : str
        Where it lay.
    policy : str
        When it was read: now, end or live.
    versions : int
        How often it was saved with another content.
    """

    name: str
    kind: str
    digest: str
    size_bytes: int
    rank: int
    wall_s: float
    path: str = ""
    policy: str = ""
    versions: int = 1


def list_saved(provider: DataProvider, project: str, run_id: str) -> tuple[SavedFile, ...]:
    """Return the files of a run by kind and name, of each the latest.

    Raises
    ------
    HpctrackError
        There is no such run, or it cannot be read.
    """
    with provider.open_run(project, run_id) as (run, _frame):
        items = [one for one in run.media() if one.type in KINDS]
    latest: dict[tuple[str, str, int], MediaItem] = {}
    digests: dict[tuple[str, str, int], set[str]] = {}
    for one in items:
        key = (one.type, one.key, one.rank)
        digests.setdefault(key, set()).add(one.digest)
        if key not in latest or one.wall_s >= latest[key].wall_s:
            latest[key] = one
    found = [_describe(one, len(digests[key])) for key, one in latest.items()]
    return tuple(sorted(found, key=lambda one: (KINDS.index(one.kind), one.name, one.rank)))


def _describe(item: MediaItem, versions: int) -> SavedFile:
    return SavedFile(
        name=make_plain_text(item.key),
        kind=item.type,
        digest=item.digest,
        size_bytes=item.size,
        rank=item.rank,
        wall_s=item.wall_s,
        path=make_plain_text(str(item.meta.get("path", ""))),
        policy=str(item.meta.get("policy", "")),
        versions=versions,
    )


class SavedBody:
    """The bytes of a file, a few MiB at a time; for one thread, and to be closed.

    Parameters
    ----------
    run : StoredRun
        A view of the run's files of its own.
    item : MediaItem
    """

    def __init__(self, run: StoredRun, item: MediaItem) -> None:
        self._run = run
        self._pieces = item.payloads.iter_pieces(item.digest)
        self.name: str = make_plain_text(item.key)
        self.size_bytes = item.size

    def take(self) -> bytes:
        """Return the next piece; empty at the end.

        Raises
        ------
        HpctrackError
            They are damaged, which is found before the first piece.
        """
        return next(self._pieces, b"")

    def close(self) -> None:
        """Close the files."""
        self._run.close()


def open_saved(provider: DataProvider, project: str, run_id: str, digest: str) -> SavedBody:
    """Return a file of a run, ready to be read.

    Raises
    ------
    NotFoundError
        No file of the run has this digest.
    HpctrackError
        The run cannot be read.
    """
    run = provider.own_run(project, run_id)
    try:
        with reading(f"{project}/{run_id}"):
            items = run.media()
        for one in items:
            if one.type in KINDS and one.digest == digest:
                return SavedBody(run, one)
    except BaseException:
        run.close()
        raise
    run.close()
    raise NotFoundError("the run has no such file")


def read_beginning(provider: DataProvider, project: str, run_id: str, digest: str) -> bytes:
    """Return the first bytes of a file, for looking at it.

    Raises
    ------
    HpctrackError
        As `open_saved`, or they are damaged.
    """
    body = open_saved(provider, project, run_id, digest)
    try:
        return body.take()[: PREVIEW_MAX_BYTES + 1]
    finally:
        body.close()


def preview_text(body: bytes) -> str | None:
    """Return the beginning of a text, or None if it is none. Pure."""
    part = body[:PREVIEW_MAX_BYTES]
    if b"\0" in part:
        return None
    try:
        return part.decode()
    except UnicodeDecodeError as error:
        # A letter may be cut at the end of the part.
        return part[: error.start].decode() if error.start > len(part) - 4 else None
