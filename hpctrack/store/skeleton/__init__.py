"""Telling in microseconds that nothing in a sealed file is more than a sealed file has.

The HDF5 library takes 0.2 ms to open a file and 2 ms to look at its hundred objects. Here many
files are looked at together, without the library, in some 50 us each. What is not understood,
however harmless, is left to `hpctrack.store.strict_check`: the answer is then None, never "fine".

Why what is accepted is harmless:

- The library reaches objects from the superblock on, and only through links. All of them are
  followed here in the same way, and every header that one leads to is parsed as a whole, with all
  its continuations: so every object that the library can reach has been looked at. (Links of large
  groups are found as the library finds them, by the B-tree of their names.)
- A header has only messages that `shapes` knows. There is none for external storage and virtual
  layouts; links are hard links; filters are ours, in our order; types are numbers, texts of a fixed
  length and rows of them, so that nothing leads into a heap; nothing is shared with another object.
- A superblock has no extension, the file no block of a user's own before it.
- Datasets together are not larger than deflate could have made the file; a chunk is not larger, and
  cannot unpack to more, than `CHUNK_BYTES_MAX`.
- Checksums are not compared: the library refuses what does not have the right one, so what is read
  here and not by the library does no harm. That everything can be read is not said either.

Time and memory are bounded by the size of a file, whatever is in it: objects of one level are
visited once, levels and pieces are counted, pieces of one round that overlap are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpctrack.store.skeleton.buffer import Buffer
from hpctrack.store.skeleton.limits import FAST_BYTES_MAX
from hpctrack.store.skeleton.summary import Skeleton
from hpctrack.store.skeleton.walk import Told, Walk

__all__ = ["FAST_BYTES_MAX", "Skeleton", "check_batch"]

BATCH_BYTES = 12 * 1024 * 1024
"""Looked at together: fewer make numpy's calls count, more do not fit into a processor's cache."""


def check_batch(files: Sequence[bytes | memoryview]) -> list[Skeleton | None]:
    """Look at everything in some files, whoever made them.

    Parameters
    ----------
    files : sequence of bytes-like

    Returns
    -------
    list of Skeleton or None
        None: there may be more in it than a sealed file has; `strict_check` knows.
    """
    found: list[Skeleton | None] = [None] * len(files)
    for numbers in _iter_batches(files):
        buffer = Buffer([files[one] for one in numbers])
        walk = Walk(buffer)
        walk.run()
        for number, told, is_known in zip(
            numbers, walk.told, buffer.is_known.tolist(), strict=True
        ):
            if is_known:
                found[number] = _read_told(told)
    return found


def _iter_batches(files: Sequence[bytes | memoryview]) -> Iterator[list[int]]:
    """Yield the numbers of files to be looked at together; large ones are left out."""
    batch: list[int] = []
    size_bytes = 0
    for number, data in enumerate(files):
        if len(data) > FAST_BYTES_MAX:
            continue
        if batch and size_bytes + len(data) > BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
        batch.append(number)
        size_bytes += len(data)
    if batch:
        yield batch


def _read_told(told: Told) -> Skeleton | None:
    kind, project, run = (_read_text(told, name) for name in (b"kind", b"project", b"run"))
    if kind is None or project is None or run is None:
        return None
    number = _read_one(told, b"format", is_text=False)
    if number is None:
        return None
    return Skeleton(kind, int.from_bytes(number, "little", signed=True), project, run)


def _read_text(told: Told, name: bytes) -> str | None:
    data = _read_one(told, name, is_text=True)
    try:
        return None if data is None else data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return None


def _read_one(told: Told, name: bytes, *, is_text: bool) -> bytes | None:
    """Return an attribute that is there once, and what it should be."""
    values = told.get(name, [])
    if len(values) != 1 or values[0][0] != is_text:
        return None
    return values[0][1]
