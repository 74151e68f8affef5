"""Where each point goes when a run is sealed: a counting sort that never holds all points.

A *group* is what one source file has of one metric, rank and attempt. Groups are counted first;
then their places are known, sorted by metric, rank, attempt and source, and points can be put there
piece by piece, in the order in which they were logged. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.store.schema import IntArray, PointArray
from hpctrack.store.streams import SENSOR_MARK, Stream

RADIX = 1 << 16
"""numpy sorts 16-bit numbers in linear time, wider ones not."""

_MIX = tuple(
    np.uint64(one)
    for one in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
)


@dataclass(frozen=True, slots=True)
class SourceGroups:
    """The groups of one source.

    Parameters
    ----------
    names : list of str
        The source's metrics.
    metric, rank, attempt, count : ndarray of int64, shape (n,)
        ``metric`` counts ``names``.
    keys : ndarray of uint64, shape (n,)
        As the source has them; empty if it has none.
    samples : SampleGroups or None
        Of samples likewise. Their groups are the last ones; their names are marked, and their
        ``rank`` is the number of a stream.
    streams : list of Stream
    """

    names: list[str]
    metric: IntArray
    rank: IntArray
    attempt: IntArray
    count: IntArray
    keys: NDArray[np.uint64]
    samples: Any = None
    streams: Sequence[Stream] = ()

    def number_ranks(self, numbers: Mapping[Stream, int]) -> IntArray:
        """Return the ranks, with streams by the numbers that all sources have in common."""
        if not self.streams:
            return self.rank
        is_sensor = np.array([one.startswith(SENSOR_MARK) for one in self.names], bool)[self.metric]
        here = np.array([numbers[one] for one in self.streams], np.int64)
        ranks = self.rank.copy()
        ranks[is_sensor] = here[self.rank[is_sensor]]
        return ranks


@dataclass(frozen=True, slots=True)
class Plan:
    """The places of all groups.

    Parameters
    ----------
    names : list of str
        All metrics, sorted.
    metric, rank, attempt, count, start : ndarray of int64, shape (n,)
        Of each group, in the order of their places; ``start`` is where its points begin.
    of_source : list of ndarray of int64
        For each source: the number here of each of its groups, -1 for those left out.
    streams : list of Stream
        All streams of samples, sorted: ``rank`` of a sensor's group counts them.
    """

    names: list[str]
    metric: IntArray
    rank: IntArray
    attempt: IntArray
    count: IntArray
    start: IntArray
    of_source: list[IntArray]
    streams: Sequence[Stream] = ()

    @property
    def points(self) -> int:
        """Number of points."""
        return int(self.count.sum())

    def sizes(self) -> IntArray:
        """Return the number of points of each metric."""
        sizes = np.zeros(len(self.names), np.int64)
        np.add.at(sizes, self.metric, self.count)
        return sizes

    def groups_of(self, metric: int) -> slice:
        """Return the groups of one metric."""
        first, last = np.searchsorted(self.metric, [metric, metric + 1]).tolist()
        return slice(first, last)

    def keep(self, metrics: Collection[int]) -> Plan:
        """Return a plan for some of the metrics; their numbers stay."""
        kept = np.isin(self.metric, np.array(sorted(metrics), np.int64))
        number = np.where(kept, np.cumsum(kept) - 1, -1)
        count = self.count[kept]
        return Plan(
            self.names,
            self.metric[kept],
            self.rank[kept],
            self.attempt[kept],
            count,
            np.cumsum(count) - count,
            [number[one] for one in self.of_source],
            self.streams,
        )

    def identities(self) -> NDArray[np.uint64]:
        """Return a number for each group that tells metric, rank and attempt apart."""
        names = np.array([identify(name) for name in self.names], np.uint64)
        return mix_identity(names[self.metric], self.rank, self.attempt)


def make_plan(sources: Sequence[SourceGroups]) -> Plan:
    """Find the places of all groups of all sources, given in the order of their age."""
    names = sorted({name for source in sources for name in source.names})
    numbers = {name: number for number, name in enumerate(names)}
    metric = _join(
        [np.array([numbers[one] for one in part.names], np.int64)[part.metric] for part in sources]
    )
    streams = sorted({one for source in sources for one in source.streams})
    of_stream = {one: number for number, one in enumerate(streams)}
    rank = _join([part.number_ranks(of_stream) for part in sources])
    attempt, count = (
        _join([getattr(part, key) for part in sources]) for key in ("attempt", "count")
    )
    # Stable: groups of one metric, rank and attempt stay in the order of the sources.
    order = np.lexsort((attempt, rank, metric))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    cuts = np.cumsum([len(part.metric) for part in sources])[:-1]
    count = count[order]
    return Plan(
        names,
        metric[order],
        rank[order],
        attempt[order],
        count,
        np.cumsum(count) - count,
        np.split(place, cuts) if sources else [],
        streams,
    )


def _join(parts: Sequence[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)


def count_keys(points: PointArray) -> tuple[NDArray[np.uint64], IntArray]:
    """Return which metrics and ranks are there, as keys, and how many points each has."""
    metric, rank = points["metric"].astype(np.int64), points["rank"].astype(np.int64)
    low, span = int(rank.min()), int(rank.max() - rank.min()) + 1
    if (int(metric.max()) + 1) * span <= RADIX + 4 * len(points):
        counts = np.bincount(metric * span + (rank - low))
        found = np.flatnonzero(counts)
        keys = make_keys(found // span, found % span + low)
        return keys, counts[found].astype(np.int64)
    keys, counts = np.unique(make_keys(metric, rank), return_counts=True)
    return keys, counts.astype(np.int64)


def make_keys(metric: NDArray[Any], rank: NDArray[Any]) -> NDArray[np.uint64]:
    """Join metric and rank, both 32 bits."""
    return (metric.astype(np.uint64) << np.uint64(32)) | rank.astype(np.uint64)


class KeyIndex:
    """Finds the number of a key.

    Parameters
    ----------
    keys : ndarray of uint64, shape (n,)
        All keys there are, increasing.
    """

    def __init__(self, keys: NDArray[np.uint64]) -> None:
        self._keys = keys
        rank = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        metric = (keys >> np.uint64(32)).astype(np.int64)
        self._low = int(rank.min()) if len(rank) else 0
        self._span = int(rank.max(initial=self._low)) - self._low + 1
        width = (int(metric.max(initial=0)) + 1) * self._span
        self._table: IntArray | None = None
        if width <= RADIX + 16 * len(keys):
            self._table = np.zeros(width, np.int64)
            self._table[metric * self._span + (rank - self._low)] = np.arange(len(keys))

    def find(self, points: PointArray) -> IntArray:
        """Return the number of each point's key."""
        if self._table is not None:
            rank = points["rank"].astype(np.int64) - self._low
            return np.asarray(self._table[points["metric"].astype(np.int64) * self._span + rank])
        keys = make_keys(points["metric"], points["rank"])
        return np.asarray(np.searchsorted(self._keys, keys))


def sort_groups(group: IntArray) -> tuple[IntArray | None, IntArray, IntArray]:
    """Sort points by group, those of one group in their order.

    Returns
    -------
    order : ndarray of int64 or None
        None if they are sorted already.
    groups, counts : ndarray of int64
        The groups that occur, increasing, and how often.
    """
    if (group[1:] >= group[:-1]).all():
        starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]])[: len(group)])
        return None, group[starts], np.diff(starts, append=len(group))
    counts = np.bincount(group)
    found = np.flatnonzero(counts)
    order = np.argsort((group % RADIX).astype(np.uint16), kind="stable")
    if len(counts) > RADIX:
        order = order[np.argsort((group[order] // RADIX).astype(np.uint16), kind="stable")]
    return order, found, counts[found]


def identify(name: str) -> int:
    """Return a number for a metric's name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def mix_identity(
    name: NDArray[np.uint64] | np.uint64, rank: IntArray, attempt: IntArray
) -> NDArray[np.uint64]:
    """Join name, rank and attempt into one number."""
    mixed = name ^ (rank.astype(np.uint64) * _MIX[0]) ^ (attempt.astype(np.uint64) * _MIX[3])
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) * _MIX[1])


def sum_points(
    identity: NDArray[np.uint64],
    step: NDArray[Any],
    wall_s: NDArray[Any],
    value: NDArray[Any],
) -> int:
    """Return a number that changes when any point is lost, changed, doubled or misplaced.

    It is a sum over points, so it does not depend on their order: what goes into a sealed file and
    what comes out can be compared without holding either.
    """
    mixed = step.view(np.uint64) * _MIX[0]
    mixed ^= wall_s.view(np.uint64) * _MIX[1]
    mixed ^= mixed >> np.uint64(32)
    mixed += value.view(np.uint64) * _MIX[2]
    mixed ^= identity
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MIX[3]
    mixed ^= mixed >> np.uint64(32)
    return int(mixed.sum(dtype=np.uint64))
