"""Finding the bytes of media by their digest, in whatever file of the run they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from hpctrack.errors import HpctrackError, StoreError, StoreFormatError
from hpctrack.store.events import NodeEvents
from hpctrack.store.vocabulary import EventKind, Place

PIECE_BYTES = 8 * 1024 * 1024
"""A large video is copied in pieces of this size."""

_DIGEST_CHARS = 64


class ByteSource(Protocol):
    """A file of a run, live or sealed."""

    def read_bytes(self, place: Place, offset: int, size: int) -> bytes:
        """Return bytes of one of its tables."""
        ...


class Payloads:
    """Where the bytes with a digest are; the same bytes may be in several files.

    Parameters
    ----------
    sources : sequence of (NodeEvents, ByteSource)
        What each file says, and who can read it.
    """

    def __init__(self, sources: Sequence[tuple[NodeEvents, ByteSource]]) -> None:
        self._places: dict[str, list[tuple[ByteSource, Place, int, int]]] = {}
        for events, reader in sources:
            for event in events.events:
                if event.kind == EventKind.PAYLOAD:
                    self._add(event.json(), reader)

    def read(self, digest: str) -> bytes:
        """Return the bytes with a digest, checked.

        Raises
        ------
        StoreFormatError
            They are not there, or not what was written.
        StoreError
            The run's files have been closed meanwhile.
        """
        return b"".join(self.iter_pieces(digest))

    def iter_pieces(self, digest: str) -> Iterator[bytes]:
        """Yield the bytes with a digest, a few MiB at a time; the last one only when all are right.

        Raises
        ------
        StoreFormatError, StoreError
            As `read`; a copy that is damaged is passed over if there is another.
        """
        places = self._places.get(digest, [])
        problem: HpctrackError = StoreFormatError(
            f"the bytes {digest[:12]} are not in the run's files",
            hint="the file that had them is missing, or was cut off",
        )
        for reader, place, offset, size in places:
            try:
                pieces: Iterable[bytes] = _iter_range(reader, place, offset, size)
                if size <= PIECE_BYTES:
                    pieces = list(pieces)
                if hash_of(pieces) == digest:
                    # What is large is read twice: nobody gets a part of what is damaged.
                    again = size > PIECE_BYTES
                    yield from _iter_range(reader, place, offset, size) if again else pieces
                    return
                problem = StoreFormatError(f"the bytes {digest[:12]} are damaged")
            except HpctrackError as error:
                problem = error
        raise problem

    def __contains__(self, digest: object) -> bool:
        """Tell whether the files name bytes with this digest."""
        return digest in self._places

    def _add(self, told: dict[str, object], reader: ByteSource) -> None:
        digest, place = told.get("digest"), told.get("place")
        offset, size = told.get("offset"), told.get("size")
        if not (isinstance(digest, str) and isinstance(offset, int) and isinstance(size, int)):
            return
        if len(digest) == _DIGEST_CHARS and place in set(Place) and offset >= 0 and size >= 0:
            found = (reader, Place(int(str(place))), offset, size)
            self._places.setdefault(digest, []).append(found)


def hash_of(pieces: Iterable[bytes]) -> str:
    """Return the SHA-256 of pieces, hexadecimal."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def _iter_range(reader: ByteSource, place: Place, offset: int, size: int) -> Iterator[bytes]:
    for start in range(0, size, PIECE_BYTES):
        try:
            yield reader.read_bytes(place, offset + start, min(PIECE_BYTES, size - start))
        except ValueError as error:  # h5py's word for a file that is closed
            if isinstance(error, HpctrackError):
                raise
            raise StoreError(
                "the run has been closed", hint="read its media before run.close()"
            ) from None
