"""Looking at many files, as many at once as is quickest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpctrack.store.skeleton.buffer import Buffer
from hpctrack.store.skeleton.limits import FAST_BYTES_MAX
from hpctrack.store.skeleton.summary import Skeleton
from hpctrack.store.skeleton.walk import Told, Walk

BATCH_BYTES = 16 * 1024 * 1024
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
