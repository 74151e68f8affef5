"""What is compared: the numbers of a group of runs, and by what they can be paired. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, np.dtype[np.float64]]
"""float64, shape (n,), finite."""


def make_numbers(values: Iterable[float]) -> Numbers:
    """Return the finite ones of some values as an array of shape (n,)."""
    array = np.asarray(list(values), dtype=np.float64).reshape(-1)
    return array[np.isfinite(array)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """The numbers of one group.

    Parameters
    ----------
    label : str
        For people.
    values : ndarray of float64, shape (n,)
        Finite, one per run.
    pairs : tuple of str
        By what each run is paired with those of other groups, such as its seed; as long as
        ``values``, or empty.
    """

    label: str
    values: Numbers
    pairs: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.values)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paired:
    """Two groups, run by run.

    Parameters
    ----------
    first, second : ndarray of float64, shape (n,)
        Means over the runs of each pair that both have; a pair is most often one run of each.
    left_out : int
        How many runs of both have no partner.
    """

    first: Numbers
    second: Numbers
    left_out: int = 0

    @property
    def differences(self) -> Numbers:
        """First minus second."""
        return self.first - self.second


def pair_samples(first: Sample, second: Sample) -> Paired:
    """Return two groups run by run, in the order in which the first has its pairs.

    Runs without a partner are left out and counted; runs that share a key are averaged first,
    because they are not independent of each other.
    """
    ours, theirs = _by_pair(first), _by_pair(second)
    shared = [key for key in ours if key in theirs]
    left_out = sum(len(found[key]) for found in (ours, theirs) for key in found.keys() - shared)
    return Paired(
        first=_means(ours[key] for key in shared),
        second=_means(theirs[key] for key in shared),
        left_out=left_out,
    )


def _by_pair(sample: Sample) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for key, value in zip(sample.pairs, sample.values.tolist(), strict=False):
        found.setdefault(key, []).append(value)
    return found


def _means(groups: Iterable[Sequence[float]]) -> Numbers:
    return np.asarray([float(np.mean(one)) for one in groups], dtype=np.float64)
