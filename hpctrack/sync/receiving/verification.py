"""Is a file that has come what it was said to be? Read before it can be seen by anybody."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpctrack.store.accounting_file import parse_accounting
from hpctrack.store.sealed_file import SealedReader
from hpctrack.sync.wire.messages import ItemKind, Key
from hpctrack.sync.wire.plan import Extent
from hpctrack.sync.wire.refusal import ItemRefusal


def check_small(files: Sequence[tuple[Key, bytes]]) -> list[ItemRefusal | None]:
    """Return for each file why it is refused, or None.

    Parameters
    ----------
    files : sequence of (Key, bytes)
        What each was announced as, and all of it.
    """
    return [_check(key, data) for key, data in files]


def _check(key: Key, data: bytes) -> ItemRefusal | None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            check_file(Path(file.name), key)
        except ItemRefusal as refusal:
            return refusal
    return None


def check_file(path: Path, key: Key) -> None:
    """Refuse a file that is something else, or belongs to another run or project.

    Parameters
    ----------
    path : Path
        In quarantine; size and hash have been checked.
    key : Key
        What it was announced as.

    Raises
    ------
    ItemRefusal
    """
    if key.kind == ItemKind.SWEEP:
        _check_object(path, "not-a-sweep")
    elif key.kind == ItemKind.ANNOTATIONS:
        _check_object(path, "not-annotations")
    elif key.kind == ItemKind.BLOB:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != key.id:
                raise ItemRefusal("not-a-blob")
    elif key.kind == ItemKind.ACCOUNTING:
        _check_accounting(path, key)
    else:
        _check_run(path, key)


def _check_run(path: Path, key: Key) -> None:
    try:
        record = SealedReader(path).read_record()
    except Exception:  # noqa: BLE001 - a made-up file can raise anything in h5py
        raise ItemRefusal("not-a-run") from None
    if (record.project, record.id) != (key.project, key.id):
        raise ItemRefusal("other-run", project=str(record.project), run=str(record.id))


def read_extent(path: Path) -> Extent:
    """Return how much a sealed file holds; raises whatever is wrong with it."""
    reader = SealedReader(path)
    points = sum(reader.metric_sizes().values())
    nodes = frozenset(reader.node_ids())
    return Extent(points=points, attempts=int(reader.read_record().attempts), nodes=nodes)


def try_read_extent(path: Path) -> Extent | None:
    """Return how much a sealed file of ours holds, or None if it cannot be read."""
    try:
        return read_extent(path)
    except Exception:  # noqa: BLE001 - as above; the file that comes replaces it
        return None


def read_accounting_extent(data: bytes) -> Extent | None:
    """Return when an accounting was asked for, or None if it is none."""
    found = parse_accounting(data)
    return None if found is None else _find_extent(found)


def _find_extent(accounting: Mapping[str, Any]) -> Extent:
    return Extent(asked_wall_s=float(accounting["asked_wall_s"]))


def _check_accounting(path: Path, key: Key) -> None:
    found = parse_accounting(path.read_bytes())
    if found is None:
        raise ItemRefusal("not-accounting")
    project, run = str(found.get("project")), str(found.get("run"))
    if (project, run) != (key.project, key.id):
        raise ItemRefusal("other-run", project=project, run=run)


def _check_object(path: Path, code: str) -> None:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ItemRefusal(code) from None
    if not isinstance(found, dict):
        raise ItemRefusal(code)
