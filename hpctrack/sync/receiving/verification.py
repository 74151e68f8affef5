"""Whether a file that has come is what it was said to be, and no more than that.

Looked at before anybody else can: `docs/reference/foreign-files.md` says what for, and why.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hpctrack.store.accounting_file import MAX_BYTES, parse_accounting
from hpctrack.store.schema import FORMAT_VERSION, SEALED_KIND
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.skeleton import FAST_BYTES_MAX, check_batch
from hpctrack.store.strict_check import StrictChecker, Verdict
from hpctrack.sync.wire.messages import ItemKind, Key
from hpctrack.sync.wire.plan import Extent
from hpctrack.sync.wire.refusal import ItemRefusal

SWEEP_EXTENT = Extent(points=0, attempts=0)
"""Descriptions of sweeps do not grow: the one that comes is as good as the one that is there."""


def check_small(files: Sequence[tuple[Key, bytes]]) -> list[ItemRefusal | None]:
    """Check files that are in memory, all together: 0.05 ms for a small run.

    Parameters
    ----------
    files : sequence of (Key, bytes)
        What each was announced as; hashes have been checked.

    Returns
    -------
    list of ItemRefusal or None
        None: it is taken.
    """
    answers = [_check_text(key, data) for key, data in files]
    runs = [number for number, (key, _data) in enumerate(files) if key.kind == ItemKind.RUN]
    found = check_batch([files[number][1] for number in runs])
    for number, skeleton in zip(runs, found, strict=True):
        key, data = files[number]
        verdict = Verdict(skeleton=skeleton) if skeleton else _checker().check_bytes(data)
        answers[number] = _judge(verdict, key)
    return answers


def check_file(path: Path, key: Key) -> ItemRefusal | None:
    """Check a file of any size, in little memory.

    Parameters
    ----------
    path : Path
        In quarantine; size and hash have been checked.
    key : Key
        What it was announced as.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(path, "rb", opener=lambda name, _flags: os.open(name, flags)) as file:
        if key.kind == ItemKind.BLOB:
            return _judge_blob(key, hashlib.file_digest(file, "sha256").hexdigest())
        if key.kind != ItemKind.RUN:
            # One byte more than is allowed tells that there are more.
            limit_bytes = _TEXT_KINDS.get(key.kind, (None, -1))[1]
            return _check_text(key, file.read(limit_bytes + 1))
        if os.fstat(file.fileno()).st_size <= FAST_BYTES_MAX:
            return check_small([(key, file.read())])[0]
        return _judge(_checker().check_descriptor(file.fileno()), key)


def read_extent(path: Path) -> Extent:
    """Return how much a sealed file holds; raises whatever is wrong with it."""
    reader = SealedReader(path)
    return Extent(
        points=sum(reader.metric_sizes().values()),
        attempts=int(reader.read_record().attempts),
        nodes=frozenset(reader.node_ids()),
    )


def try_read_extent(path: Path) -> Extent | None:
    """Return how much a sealed file of ours holds, or None if it cannot be read."""
    try:
        return read_extent(path)
    except Exception:  # noqa: BLE001 - a damaged file can raise anything in h5py
        return None


def read_accounting_extent(data: bytes) -> Extent | None:
    """Return when an accounting was asked for, or None if it is none."""
    found = parse_accounting(data)
    return None if found is None else _find_extent(found)


def find_extent(path: Path, key: Key) -> Extent:
    """Return how much a file holds that has been checked.

    Raises
    ------
    ItemRefusal
        It cannot be read.
    """
    if key.kind == ItemKind.SWEEP:
        return SWEEP_EXTENT
    if key.kind == ItemKind.ACCOUNTING:
        asked = read_accounting_extent(path.read_bytes())
        if asked is None:
            raise ItemRefusal("not-accounting")
        return asked
    extent = try_read_extent(path)
    if extent is None:
        raise ItemRefusal("not-a-run")
    return extent


@cache
def _checker() -> StrictChecker:
    """Return the one of this process: what it starts costs 0.3 s."""
    checker = StrictChecker()
    atexit.register(checker.close)
    return checker


def _judge(verdict: Verdict, key: Key) -> ItemRefusal | None:
    skeleton = verdict.skeleton
    if skeleton is None:
        facts = {} if verdict.code == "not-a-run" else {"where": verdict.where}
        return ItemRefusal(verdict.code, **facts)
    if skeleton.kind != SEALED_KIND or skeleton.format < 1:
        return ItemRefusal("not-a-run")
    if skeleton.format > FORMAT_VERSION:
        return ItemRefusal("too-new", format=skeleton.format, known=FORMAT_VERSION)
    return _check_owner(key, skeleton.project, skeleton.run)


def _judge_blob(key: Key, sha256: str) -> ItemRefusal | None:
    return None if sha256 == key.id else ItemRefusal("not-a-blob")


def _check_owner(key: Key, project: str, run: str) -> ItemRefusal | None:
    if (project, run) == (key.project, key.id):
        return None
    return ItemRefusal("other-run", project=project, run=run)


def _check_text(key: Key, data: bytes) -> ItemRefusal | None:
    """Check a file that is text, or a blob; of others, None."""
    if key.kind == ItemKind.BLOB:
        return _judge_blob(key, hashlib.sha256(data).hexdigest())
    check, limit_bytes = _TEXT_KINDS.get(key.kind, (None, 0))
    if check is None:
        return None
    if len(data) > limit_bytes:
        return ItemRefusal("too-large", size_bytes=len(data), limit_bytes=limit_bytes)
    return check(key, data)


def _check_accounting(key: Key, data: bytes) -> ItemRefusal | None:
    found = parse_accounting(data)
    if found is None:
        return ItemRefusal("not-accounting")
    return _check_owner(key, str(found.get("project")), str(found.get("run")))


def _check_sweep(_key: Key, data: bytes) -> ItemRefusal | None:
    return None if _is_object(data) else ItemRefusal("not-a-sweep")


def _check_annotations(_key: Key, data: bytes) -> ItemRefusal | None:
    return None if _is_object(data) else ItemRefusal("not-annotations")


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _find_extent(accounting: Mapping[str, Any]) -> Extent:
    return Extent(points=0, attempts=0, asked_wall_s=float(accounting["asked_wall_s"]))


_Check = Callable[[Key, bytes], ItemRefusal | None]

_TEXT_KINDS: Mapping[str, tuple[_Check, int]] = {
    "sweep": (_check_sweep, 16 * 1024 * 1024),
    "progress": (_check_sweep, 64 * 1024 * 1024),
    "accounting": (_check_accounting, MAX_BYTES),
    "annotations": (_check_annotations, 4 * 1024 * 1024),
}
"""By kind of item: how it is checked, and how long it may be."""
