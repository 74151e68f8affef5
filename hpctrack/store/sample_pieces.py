"""A node file's samples as something that is sealed: groups and sorted pieces, as of points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import StoreFormatError
from hpctrack.store.placement import sort_groups
from hpctrack.store.schema import POINT, IntArray, PointArray
from hpctrack.store.scratch import take_rows
from hpctrack.store.streams import (
    SENSOR_MARK,
    FileSensors,
    Stream,
    pair_up,
    split_pairs,
    to_steps,
)

Blocks = Iterable[NDArray[np.void]]


@dataclass(frozen=True, slots=True)
class SampleGroups:
    """What a node file has of each sensor and stream.

    Parameters
    ----------
    names : list of str
        Sensors, marked.
    streams : list of Stream
    name, stream, count : ndarray of int64, shape (n,)
        Of each group: its sensor and stream, as numbers of the lists, and how many samples.
    keys, places : ndarray of uint64 and int64
        How `iter_pieces` finds the group of a sample; ``pairs`` the streams.
    """

    names: list[str] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    name: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    stream: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    count: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    pairs: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))


def count_samples(blocks: Blocks, sensors: FileSensors, path: Path) -> SampleGroups:
    """Count the samples of each sensor and stream.

    Raises
    ------
    StoreFormatError
        Some have no time, or their sensor no name: sealing would lose them.
    """
    found: dict[tuple[int, int], int] = {}
    broken = 0
    for rows in blocks:
        broken += int(np.count_nonzero(~(rows["wall_s"] > 0)))
        pairs = pair_up(rows)
        for number in np.unique(rows["metric"]).tolist():
            mine = pairs[rows["metric"] == number]
            for pair, count in zip(*np.unique(mine, return_counts=True), strict=True):
                key = (number, int(pair))
                found[key] = found.get(key, 0) + int(count)
    nameless = {number for number, _pair in found} - sensors.names.keys()
    if broken or nameless:
        what = f"{broken} samples without a time" if broken else "samples of an unknown sensor"
        raise StoreFormatError(f"{path} has {what}", hint="`hpctrack repair` salvages the others")
    if not found:
        return SampleGroups()
    ordered = sorted(found)
    numbers = sorted({number for number, _pair in found})
    pairs = np.array(sorted({pair for _number, pair in found}), np.uint64)
    stream = np.searchsorted(pairs, np.array([pair for _number, pair in ordered], np.uint64))
    name = np.searchsorted(numbers, [number for number, _pair in ordered])
    keys = (np.array([one for one, _pair in ordered], np.uint64) << np.uint64(32)) | stream.astype(
        np.uint64
    )
    return SampleGroups(
        [SENSOR_MARK + sensors.names[number] for number in numbers],
        [sensors.make_stream(*one) for one in split_pairs(pairs)],
        name.astype(np.int64),
        stream.astype(np.int64),
        np.array([found[one] for one in ordered], np.int64),
        keys,
        pairs,
    )


def iter_sample_pieces(
    blocks: Blocks, groups: SampleGroups, wanted: NDArray[np.bool_]
) -> Iterator[tuple[PointArray, IntArray, IntArray]]:
    """Yield samples as points, sorted by group: rows, groups and how many of each."""
    if not wanted.any():
        return
    for samples in blocks:
        stream = np.searchsorted(groups.pairs, pair_up(samples)).astype(np.uint64)
        key = (samples["metric"].astype(np.uint64) << np.uint64(32)) | stream
        group = np.searchsorted(groups.keys, key)
        which = np.flatnonzero(wanted[group])
        if not len(which):
            continue
        group, found = group[which], samples[which]
        rows = np.zeros(len(found), POINT)
        rows["wall_s"], rows["value"] = found["wall_s"], found["value"]
        rows["step"] = to_steps(rows["wall_s"])
        order, numbers, counts = sort_groups(group)
        yield rows if order is None else take_rows(rows, order), numbers, counts
