from __future__ import annotations
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hpctrack.store.skeleton.buffer import Buffer
from hpctrack.store.skeleton.limits import FAST_BYTES_MAX
from hpctrack.store.skeleton.walk import Walk

BATCH_BYTES = 12 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Skeleton:
    kind: str
    format: int
    project: str
    run: str


def check_batch(files: Sequence[bytes | memoryview]) -> list[Skeleton | None]:
    found: list[Skeleton | None] = [None] * len(files)
    for numbers in _iter_batches(files):
        buffer = Buffer([files[one] for one in numbers])
        walk = Walk(buffer)
        walk.run()
        for number, told, is_known in zip(
            numbers, walk.attributes, buffer.is_known.tolist(), strict=True
        ):
            if is_known:
                found[number] = _read_attributes(told)
    return found


def _iter_batches(files: Sequence[bytes | memoryview]) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for number, data in enumerate(files):
        if len(data) > FAST_BYTES_MAX:
            continue
        if batch and size + len(data) > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += len(data)
    if batch:
        yield batch


def _read_attributes(told: dict[bytes, list[tuple[bool, bytes]]]) -> Skeleton | None:
    texts = []
    for name in (b"kind", b"project", b"run"):
        match told.get(name):
            case [(True, data)]:
                try:
                    texts.append(data.rstrip(b"\0").decode())
                except UnicodeDecodeError:
                    return None
            case _:
                return None
    match told.get(b"format"):
        case [(False, number)]:
            kind, project, run = texts
            return Skeleton(kind, int.from_bytes(number, "little", signed=True), project, run)
    return None
