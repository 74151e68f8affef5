"""Is a file that has come what it was said to be? Read before it can be seen by anybody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpctrack.store.accounting_file import parse_accounting
from hpctrack.store.sealed_file import SealedReader
from hpctrack.sync.wire.messages import Item, ItemKind
from hpctrack.sync.wire.plan import Extent
from hpctrack.sync.wire.refusal import ItemRefusal

SWEEP_EXTENT = Extent(points=0, attempts=0)
"""Descriptions of sweeps do not grow: the one that comes is as good as the one that is there."""


def check_file(path: Path, item: Item) -> Extent:
    """Return how much a file holds.

    Parameters
    ----------
    path : Path
        In quarantine; size and hash have been checked.
    item : Item
        What it was announced as.

    Raises
    ------
    ItemRefusal
        It is something else, or belongs to another run or project.
    """
    if item.key.kind == ItemKind.SWEEP:
        _check_sweep(path)
        return SWEEP_EXTENT
    if item.key.kind == ItemKind.ACCOUNTING:
        return _check_accounting(path, item)
    reader = SealedReader(path)
    try:
        record = reader.read_record()
        extent = read_extent(path)
    except Exception:  # noqa: BLE001 - a made-up file can raise anything in h5py
        raise ItemRefusal("not-a-run") from None
    if (record.project, record.id) != (item.key.project, item.key.id):
        raise ItemRefusal("other-run", project=str(record.project), run=str(record.id))
    return extent


def read_extent(path: Path) -> Extent:
    """Return how much a sealed file holds; raises whatever is wrong with it."""
    reader = SealedReader(path)
    points = sum(reader.metric_sizes().values())
    return Extent(points=points, attempts=int(reader.read_record().attempts))


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
    return Extent(points=0, attempts=0, asked_wall_s=float(accounting["asked_wall_s"]))


def _check_accounting(path: Path, item: Item) -> Extent:
    found = parse_accounting(path.read_bytes())
    if found is None:
        raise ItemRefusal("not-accounting")
    project, run = str(found.get("project")), str(found.get("run"))
    if (project, run) != (item.key.project, item.key.id):
        raise ItemRefusal("other-run", project=project, run=run)
    return _find_extent(found)


def _check_sweep(path: Path) -> None:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ItemRefusal("not-a-sweep") from None
    if not isinstance(found, dict):
        raise ItemRefusal("not-a-sweep")
