"""A run's numbers as a small table: one row per rank and step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hpctrack.errors import MissingPackageError, NotFoundError
from hpctrack.store.metric import Metric

STEP, RANK, TIMESTAMP = "_step", "_rank", "_timestamp"
"""Columns that every history has, named as W&B names them."""


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

    def __init__(self, columns: Mapping[str, np.ndarray[Any, Any]]) -> None:
        self._columns = dict(columns)

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
        """Describe the table."""
        return f"<hpctrack.History {len(self)} rows: {', '.join(self._columns)}>"

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        return _load("pandas").DataFrame(self._columns)

    def to_polars(self) -> Any:
        """Return a polars DataFrame.

        Raises
        ------
        MissingPackageError
            polars is not installed.
        """
        return _load("polars").DataFrame(self._columns)

    def to_arrow(self) -> Any:
        """Return a pyarrow Table.

        Raises
        ------
        MissingPackageError
            pyarrow is not installed.
        """
        return _load("pyarrow").table(self._columns)


def make_history(metrics: Mapping[str, Metric]) -> History:
    """Join metrics on (step, rank); the last of several values at one step counts."""
    keys, inverses = _join_keys([_keys(one) for one in metrics.values()])
    wall_s = np.zeros(len(keys))
    columns: dict[str, np.ndarray[Any, Any]] = {
        STEP: keys[:, 0].copy(),
        RANK: keys[:, 1].copy(),
        TIMESTAMP: wall_s,
    }
    for (name, metric), rows in zip(metrics.items(), inverses, strict=True):
        values = np.full(len(keys), np.nan)
        values[rows] = metric.values
        columns[name] = values
        np.maximum.at(wall_s, rows, metric.wall_s)
    return History(columns)


def _keys(metric: Metric) -> np.ndarray[Any, Any]:
    return np.stack([metric.steps, metric.ranks], axis=1)


def _join_keys(
    parts: list[np.ndarray[Any, Any]],
) -> tuple[np.ndarray[Any, Any], list[np.ndarray[Any, Any]]]:
    """Return the sorted distinct rows of all parts and, for each part, where its rows went."""
    if not parts:
        return np.zeros((0, 2), np.int64), []
    every = np.concatenate(parts)
    order = np.lexsort((every[:, 1], every[:, 0]))
    ordered = every[order]
    is_new = np.ones(len(ordered), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    where = np.empty(len(every), np.int64)
    where[order] = np.cumsum(is_new) - 1
    cuts = np.cumsum([len(one) for one in parts])[:-1]
    return ordered[is_new], np.split(where, cuts)


def _load(package: str) -> Any:
    import importlib  # noqa: PLC0415 - only who asks for a data frame pays for it

    try:
        return importlib.import_module(package)
    except ImportError:
        error = MissingPackageError(package, extra="all")
        error.hint = f"pip install {package}"
        raise error from None
