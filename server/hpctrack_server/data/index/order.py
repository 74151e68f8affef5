"""The order of runs by their values. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hpctrack_server.data.index.parts import (
    BoolArray,
    Parts,
    RowArray,
    is_encoded,
    join_parts,
    view_numbers,
    view_valid,
)

Ranks = NDArray[np.float64]

PARTITION_SHARE = 8
"""A page that is less than this part of the matches is found without ordering all of them."""


def rank_values(parts: Parts, length: int) -> Ranks:
    """Return a number per run that orders as its value does; NaN where there is none.

    Numbers come before flags, flags before texts, those before lists; NaN is no value here.
    """
    ranks = np.full(length, np.nan)
    base = 0.0
    kinds = len(parts.arrays())
    if parts.numbers is not None:
        valid = view_valid(parts.numbers)
        numbers = view_numbers(parts.numbers).astype(np.float64)
        if kinds == 1:
            return np.where(valid, numbers, np.nan)
        is_there = valid & ~np.isnan(numbers)
        different, places = np.unique(numbers[is_there], return_inverse=True)
        ranks[is_there] = places
        base += len(different)
    if parts.flags is not None:
        valid = view_valid(parts.flags)
        flags = np.asarray(parts.flags.fill_null(False).to_numpy(zero_copy_only=False))  # noqa: FBT003
        ranks[valid] = flags[valid] + base
        base += 2
    if parts.texts is not None:
        codes, count = _rank_texts(parts.texts)
        is_there = ~np.isnan(codes)
        ranks[is_there] = codes[is_there] + base
        base += count
    if parts.lists is not None:
        joined = pc.binary_join(parts.lists, ", ")
        codes, _count = _rank_texts(joined.cast(pa.large_string()))
        is_there = ~np.isnan(codes)
        ranks[is_there] = codes[is_there] + base
    return ranks


def join_columns(columns: Sequence[tuple[Parts, int]]) -> Parts:
    """Return a column of several tables as one, if ranks of each cannot be compared."""
    return join_parts(columns)


def is_comparable(columns: Sequence[Parts]) -> bool:
    """Tell whether ranks of several tables can be compared: they are the numbers themselves."""
    return all(one.texts is None and one.lists is None and one.flags is None for one in columns)


def choose_first(keys: Sequence[tuple[Ranks, bool]], rows: RowArray, count: int) -> RowArray:
    """Return the first of some rows by several keys, in order.

    Parameters
    ----------
    keys : sequence of (ranks, is_descending)
        Of all rows of the table; rows without a value come last either way.
    rows : ndarray of int64
        Those to be ordered; equal ones stay as they are here.
    count : int
        How many are wanted.
    """
    if not keys:
        return rows[:count]
    first = _turn(*keys[0], rows)
    if count * PARTITION_SHARE < len(rows):
        bound = np.partition(first, count - 1)[count - 1] if count else -np.inf
        kept = first <= bound
        rows, first = rows[kept], first[kept]
    # The last key of lexsort is the first one that counts.
    columns = [first, *(_turn(*one, rows) for one in keys[1:])]
    return rows[np.lexsort(columns[::-1])][:count]


def _turn(ranks: Ranks, is_descending: bool, rows: RowArray) -> Ranks:  # noqa: FBT001
    values = ranks[rows]
    values = -values if is_descending else values.copy()
    # Behind everything, infinity included.
    is_absent = np.isnan(values)
    values[np.isposinf(values)] = np.finfo(np.float64).max
    values[is_absent] = np.inf
    return values


def _rank_texts(texts: Any) -> tuple[Ranks, int]:
    """Return the place of each text among the different ones, in any case, and their number."""
    if not is_encoded(texts):
        texts = texts.dictionary_encode()
    different = texts.dictionary
    folded = pc.utf8_lower(different)
    table = pa.table({"folded": folded, "plain": different})
    order = np.asarray(
        pc.sort_indices(table, sort_keys=[("folded", "ascending"), ("plain", "ascending")])
    )
    place = np.empty(len(order) + 1)
    place[order] = np.arange(len(order))
    place[-1] = np.nan
    codes = texts.indices
    if codes.null_count:
        codes = codes.fill_null(len(order))
    return place[codes.to_numpy()], len(order)


def find_rows(mask: BoolArray) -> RowArray:
    """Return the numbers of the rows that are wanted."""
    return np.flatnonzero(mask)
