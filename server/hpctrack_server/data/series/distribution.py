"""How the values of one metric of a run are spread: a histogram over all of its points."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hpctrack.errors import NotFoundError
from hpctrack_server.data.downsample import FloatArray
from hpctrack_server.data.entries import reading
from hpctrack_server.data.series.curves import CurveReader, spread
from hpctrack_server.data.series.open_runs import OpenRun

POINTS_MAX = 10_000_000
"""80 MB; of more, ranks that are spread evenly are taken, or every nth point of one."""

BINS_MAX = 60
QUARTERS = (25, 50, 75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Values by size.

    Parameters
    ----------
    edges, counts : tuple
        One edge more than counts; both empty if no value is finite.
    finite, left_out : int
        How many are counted, and how many are infinite or not a number.
    mean, std, low, high : float or None
        Of the finite ones; ``std`` of the sample, as the table of runs has it.
    quartiles : tuple of float
    """

    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    finite: int = 0
    left_out: int = 0
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    quartiles: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A histogram, and of what it is.

    Parameters
    ----------
    histogram : Histogram
    points, total : int
        Points that were looked at, and those that there are.
    ranks, all_ranks : int
        Ranks that were looked at, and those that were asked for.
    """

    histogram: Histogram
    points: int
    total: int
    ranks: int
    all_ranks: int

    def to_json(self) -> dict[str, Any]:
        """Return it as the API answers."""
        told = asdict(self)
        return {**told.pop("histogram"), **told}


def count_values(values: FloatArray) -> Histogram:
    """Return the histogram of values. Pure."""
    finite = values[np.isfinite(values)].astype(np.float64, copy=False)
    left_out = len(values) - len(finite)
    if not len(finite):
        return Histogram(left_out=left_out)
    low, high = float(finite.min()), float(finite.max())
    edges, counts = _cut(finite, low, high)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(finite.mean())
        std = float(finite.std(ddof=1)) if len(finite) > 1 else 0.0
        quartiles = tuple(np.percentile(finite, QUARTERS).tolist())
    return Histogram(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        finite=len(finite),
        left_out=left_out,
        mean=mean,
        std=std,
        low=low,
        high=high,
        quartiles=quartiles,
    )


def _cut(finite: FloatArray, low: float, high: float) -> tuple[FloatArray, Any]:
    whole = np.array([low, high]), np.array([len(finite)])
    if low == high or not math.isfinite(high - low):
        return whole
    bins = min(BINS_MAX, math.ceil(math.sqrt(len(finite))))
    try:
        counts, edges = np.histogram(finite, bins=bins, range=(low, high))
    except ValueError:  # so close to each other that there is no number between two edges
        return whole
    return edges, counts


def read_distribution(
    curves: CurveReader,
    opened: OpenRun,
    name: str,
    rank: int | None,
    *,
    most: int = POINTS_MAX,
) -> Generator[None, None, Distribution]:
    """Read the points of a metric and count them; between two steps other work may be done.

    Parameters
    ----------
    curves : CurveReader
    opened : OpenRun
    name : str
    rank : int or None
        Only this one's.
    most : int, optional
        Points that are looked at.

    Raises
    ------
    NotFoundError
        The run, or the rank, has not logged it.
    """
    if name not in opened.sizes:
        raise NotFoundError(f"{opened.label} has not logged {name[:200]!r}")
    numbers = curves.find_ranks(opened, name) if rank is None else [rank]
    yield
    total = opened.sizes[name] if rank is None else 0
    each = total / max(len(numbers), 1)
    chosen = spread(numbers, max(1, int(most // max(each, 1.0))))
    parts = yield from _read_parts(curves, opened, name, chosen, is_all=chosen == numbers)
    values = np.concatenate(parts) if parts else np.zeros(0)
    stride = math.ceil(len(values) / most) or 1
    yield
    looked_at = values[::stride]
    return Distribution(
        histogram=count_values(looked_at),
        points=len(looked_at),
        total=len(values) if len(chosen) == len(numbers) else total,
        ranks=len(chosen),
        all_ranks=len(numbers),
    )


def _read_parts(
    curves: CurveReader, opened: OpenRun, name: str, ranks: list[int], *, is_all: bool
) -> Generator[None, None, list[FloatArray]]:
    sealed = opened.sealed()
    parts: list[FloatArray] = []
    if sealed is None and is_all and len(ranks) > 1:
        return [curves.read_metric(opened, name).values]
    if sealed is not None and is_all and len(ranks) > 1:
        with reading(opened.label):
            matrix = sealed.matrix(name)
            if matrix is not None:
                return [one.value.ravel() for one in matrix.iter_blocks()]
    for rank in ranks:
        parts.append(curves.read_rank(opened, name, rank, with_times=False).value)
        yield
    return parts
