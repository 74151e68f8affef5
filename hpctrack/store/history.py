"""A run's numbers as a small table: one row per rank and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hpctrack.errors import MissingPackageError, NotFoundError, UsageError
from hpctrack.store.alignment import join_last
from hpctrack.store.grid import FULL_ENOUGH, Grid, make_grid, number_values
from hpctrack.store.ledger import describe_losses
from hpctrack.store.metric import Metric
from hpctrack.store.schema import FloatArray, IntArray

STEP, RANK, TIMESTAMP = "_step", "_rank", "_timestamp"
"""Columns that every history has, named as W&B names them."""

ROWS_AT_ONCE = 4096
"""Rows that `History.rows` turns into Python's numbers at a time: few enough to begin at once."""


class History(Mapping[str, "np.ndarray[Any, Any]"]):
    """Columns of equal length.

    ``_step`` and ``_rank`` are int64, ``_timestamp`` (UTC seconds, when the row's last value was
    logged) and the metrics float64, NaN where a rank did not log the metric at that step.
    Rows are sorted by step, then rank; ``len()`` is their number.

    Examples
    --------
    >>> history = run.history(["loss"])          # doctest: +SKIP
    >>> history["loss"].mean()                   # doctest: +SKIP
    """

    def __init__(
        self,
        columns: Mapping[str, np.ndarray[Any, Any]],
        *,
        find_lost: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self._columns = dict(columns)
        self._find_lost = find_lost

    def __getitem__(self, key: str) -> np.ndarray[Any, Any]:
        """Return a column.

        Raises
        ------
        NotFoundError
            There is no such column; also a `KeyError`'s parent, `LookupError`.
        """
        try:
            return self._columns[key]
        except KeyError:
            raise NotFoundError(
                f"the history has no column {key!r}", hint=f"it has {', '.join(self._columns)}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the columns' names."""
        return iter(self._columns)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._columns[STEP])

    def __contains__(self, key: object) -> bool:
        """Tell whether there is such a column."""
        return key in self._columns

    def __repr__(self) -> str:
        """Describe the table, and what of its run is missing."""
        lost = describe_losses(self._find_lost)
        return f"<hpctrack.History {len(self)} rows: {', '.join(self._columns)}{lost}>"

    def rows(self) -> Iterator[dict[str, Any]]:
        """Iterate over the rows as dictionaries, without what has no number there."""
        for start in range(0, len(self), ROWS_AT_ONCE):
            cut = slice(start, start + ROWS_AT_ONCE)
            names = list(self._columns)
            for row in zip(*(one[cut].tolist() for one in self._columns.values()), strict=True):
                pairs = zip(names, row, strict=True)
                yield {name: value for name, value in pairs if value == value}  # noqa: PLR0124 - NaN

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        return load_package("pandas").DataFrame(self._columns)

    def to_polars(self) -> Any:
        """Return a polars DataFrame.

        Raises
        ------
        MissingPackageError
            polars is not installed.
        """
        return load_package("polars").DataFrame(self._columns)

    def to_arrow(self) -> Any:
        """Return a pyarrow Table.

        Raises
        ------
        MissingPackageError
            pyarrow is not installed.
        """
        return load_package("pyarrow").table(self._columns)


def make_history(
    metrics: Mapping[str, Metric],
    *,
    x: str = STEP,
    samples: int | None = None,
    rank: int | Sequence[int] | None = None,
    find_lost: Callable[[], tuple[str, ...]] = tuple,
) -> History:
    """Join metrics on (step, rank); the last of several values at one step counts.

    Parameters
    ----------
    metrics : mapping of str to Metric
        By column.
    x, samples, rank
        As for `StoredRun.history`.
    find_lost : callable, optional
        As for `Metric`.

    Raises
    ------
    NotFoundError
        ``x`` is none of the metrics.
    UsageError
        ``samples`` is below 1.

    Notes
    -----
    O(n) where the steps are mostly consecutive, else O(n log n).
    """
    parts = {name: _Part(metric, rank) for name, metric in metrics.items()}
    steps, ranks, found = _join([*parts.values()])
    wall_s = np.full(len(steps), -np.inf)
    columns: dict[str, np.ndarray[Any, Any]] = {STEP: steps, RANK: ranks, TIMESTAMP: wall_s}
    for name, (values, logged) in zip(parts, found, strict=True):
        columns.setdefault(name, values)  # a metric may be called as a column of ours
        np.maximum(wall_s, logged, out=wall_s)
    if x not in {STEP, TIMESTAMP, RANK}:
        if x not in metrics:
            raise NotFoundError(f"there is no metric {x!r} to order by")
        columns[x] = _fill(metrics[x], columns)
    return History(_order(columns, x, samples), find_lost=find_lost)


class _Part:
    """The points of one metric that are asked for."""

    def __init__(self, metric: Metric, rank: int | Sequence[int] | None) -> None:
        which: Any = slice(None) if rank is None else np.isin(metric.ranks, np.asarray(rank))
        self.ranks, self.steps = metric.ranks[which], metric.steps[which]
        self.wall_s, self.values = metric.wall_s[which], metric.values[which]


_Joined = tuple[IntArray, IntArray, list[tuple[FloatArray, FloatArray]]]
"""Step and rank of each row; of each metric its values, and when they were logged or -inf."""


def _join(parts: list[_Part]) -> _Joined:
    if not parts:
        empty = np.zeros(0, np.int64)
        return empty, empty, []
    grids = [make_grid(one.ranks, one.steps) for one in parts]
    ranks, _ = number_values(np.concatenate([one.ranks for one in grids]))
    steps, _ = number_values(np.concatenate([np.asarray(one.x, np.int64) for one in grids]))
    if len(ranks) * len(steps) <= FULL_ENOUGH * max(one.points for one in grids):
        return _join_tables(parts, grids, ranks, steps)
    return _join_rows(parts)


def _join_tables(
    parts: list[_Part], grids: list[Grid], ranks: IntArray, steps: IntArray
) -> _Joined:
    """Join what nearly fills a table: by turning it, which costs a tenth of moving each point."""
    tables = [
        (
            _spread(grid, ranks, steps, part.values, np.nan),
            _spread(grid, ranks, steps, part.wall_s, -np.inf),
        )
        for part, grid in zip(parts, grids, strict=True)
    ]
    is_there = np.zeros(len(ranks) * len(steps), bool)
    for _values, wall_s in tables:
        is_there |= wall_s != -np.inf
    which = slice(None) if is_there.all() else np.flatnonzero(is_there)
    return (
        np.repeat(steps, len(ranks))[which],
        np.tile(ranks, len(steps))[which],
        [(values[which], wall_s[which]) for values, wall_s in tables],
    )


def _spread(
    grid: Grid, ranks: IntArray, steps: IntArray, of_points: FloatArray, absent: float
) -> FloatArray:
    """Return one metric's table, by step and then rank, in one row."""
    table = grid.fill(of_points, absent)
    if grid.shape != (len(ranks), len(steps)):
        whole = np.full((len(ranks), len(steps)), absent)
        rows, columns = np.searchsorted(ranks, grid.ranks), np.searchsorted(steps, grid.x)
        whole[rows[:, np.newaxis], columns] = table
        table = whole
    return table.T.ravel()


def _join_rows(parts: list[_Part]) -> _Joined:
    """Join what would leave a table almost empty."""
    steps, step_number = number_values(np.concatenate([one.steps for one in parts]))
    ranks, rank_number = number_values(np.concatenate([one.ranks for one in parts]))
    cells, place = number_values(step_number * len(ranks) + rank_number)
    found, start = [], 0
    for part in parts:
        mine = place[start : start + len(part.values)]
        start += len(mine)
        values, wall_s = np.full(len(cells), np.nan), np.full(len(cells), -np.inf)
        # numpy assigns in order: of several values at one step the last one stays.
        values[mine], wall_s[mine] = part.values, part.wall_s
        found.append((values, wall_s))
    return steps[cells // len(ranks)], ranks[cells % len(ranks)], found


def _fill(metric: Metric, columns: Mapping[str, np.ndarray[Any, Any]]) -> FloatArray:
    return join_last(
        columns[RANK],
        columns[STEP],
        other_rank=metric.ranks,
        other_step=metric.steps,
        other_value=metric.values,
    )


def _order(
    columns: dict[str, np.ndarray[Any, Any]], x: str, samples: int | None
) -> dict[str, np.ndarray[Any, Any]]:
    """Order rows by x, then step and rank, and thin them out."""
    if samples is not None and samples < 1:
        raise UsageError(f"samples is {samples}, at least 1 is needed")
    if x != STEP:
        order = np.argsort(columns[x], kind="stable")
        order = order[~np.isnan(columns[x][order])]
        columns = {name: one[order] for name, one in columns.items()}
    if samples is None or not len(columns[x]):
        return columns
    is_new = np.ones(len(columns[x]), bool)
    is_new[1:] = columns[x][1:] != columns[x][:-1]
    number = np.cumsum(is_new) - 1
    if number[-1] < samples:
        return columns
    is_chosen = np.zeros(number[-1] + 1, bool)
    is_chosen[
        np.linspace(number[-1] if samples == 1 else 0, number[-1], samples).round().astype(int)
    ] = True
    which = is_chosen[number]
    return {name: one[which] for name, one in columns.items()}


def load_package(package: str) -> Any:
    """Import a package that only data frames need.

    Raises
    ------
    MissingPackageError
        It is not installed.
    """
    import importlib  # noqa: PLC0415 - only who asks for a data frame pays for it

    try:
        return importlib.import_module(package)
    except ImportError:
        error = MissingPackageError(package, extra="all")
        error.hint = f"pip install {package}"
        raise error from None
