"""Looking at many files, as many at once as is quickest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpctrack.store.skeleton.buffer import Buffer
from hpctrack.store.skeleton.limits import FAST_BYTES_MAX
from hpctrack.store.skeleton.summary import Skeleton
from hpctrack.store.skeleton.walk import Walk

BATCH_BYTES = 16 * 1024 * 1024
"""Looked at together: fewer make numpy's calls count, more do not fit into a processor's cache."""

_NAMES = (b"kind", b"format", b"project", b"run")


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
        for number, is_known, *told in zip(
            numbers, buffer.is_known.tolist(), *(walk.told[name] for name in _NAMES), strict=True
        ):
            if is_known:
                found[number] = _read_told(*told)
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


def _read_told(
    kind: bytes | int | None,
    version: bytes | int | None,
    project: bytes | int | None,
    run: bytes | int | None,
) -> Skeleton | None:
    if not (isinstance(kind, bytes) and isinstance(project, bytes) and isinstance(run, bytes)):
        return None
    if not isinstance(version, int):
        return None
    try:
        return Skeleton(kind.decode(), version, project.decode(), run.decode())
    except UnicodeDecodeError:
        return None
