"""The order of runs by their values. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hpctrack_server.data.index.parts import (
    Parts,
    RowArray,
    is_encoded,
    join_items,
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
        found = order_texts(parts.texts)
        is_there = ~np.isnan(found.places)
        ranks[is_there] = found.places[is_there] + base
        base += len(found.plain)
    if parts.lists is not None:
        found = order_texts(join_items(parts.lists, ", "))
        is_there = ~np.isnan(found.places)
        ranks[is_there] = found.places[is_there] + base
    return ranks


def is_numeric(columns: Sequence[Parts]) -> bool:
    """Tell whether ranks of several tables can be compared: they are the numbers themselves."""
    return all(one.texts is None and one.lists is None and one.flags is None for one in columns)


def is_textual(columns: Sequence[Parts]) -> bool:
    """Tell whether a column has nothing but texts."""
    return all(one.numbers is None and one.lists is None and one.flags is None for one in columns)


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


@dataclass(frozen=True, slots=True)
class TextOrder:
    """The different texts of a column, in order: in any case, then by case.

    Parameters
    ----------
    folded, plain : pyarrow.Array of text
    places : ndarray of float64
        Of each run's text among them; NaN where there is none.
    """

    folded: Any
    plain: Any
    places: Ranks

    def find(self, folded: str, plain: str) -> tuple[int, bool]:
        """Return where a text would stand, and whether it is there."""
        low, high = 0, len(self.plain)
        while low < high:
            middle = (low + high) // 2
            if (self.folded[middle].as_py(), self.plain[middle].as_py()) < (folded, plain):
                low = middle + 1
            else:
                high = middle
        return low, low < len(self.plain) and self.plain[low].as_py() == plain


def order_texts(texts: Any) -> TextOrder:
    """Put the texts of a column in order.

    Notes
    -----
    2 s for 1,000,000 different ones.
    """
    plain = texts.dictionary if is_encoded(texts) else texts
    folded = pc.utf8_lower(plain)
    table = pa.table({"folded": folded, "plain": plain})
    keys = [("folded", "ascending"), ("plain", "ascending")]
    order = pc.sort_indices(table, sort_keys=keys)
    folded, plain = folded.take(order), plain.take(order)
    is_new = np.ones(len(plain), bool)
    is_new[1:] = np.asarray(pc.not_equal(plain[1:], plain[:-1]).fill_null(True))  # noqa: FBT003
    places = np.empty(len(plain) + 1)
    places[np.asarray(order)] = np.cumsum(is_new) - 1
    places[-1] = np.nan
    mask = pa.array(is_new & view_valid(plain))
    folded, plain = folded.filter(mask), plain.filter(mask)
    if is_encoded(texts):
        places = places[texts.indices.fill_null(len(places) - 1).to_numpy()]
    else:
        places = np.where(view_valid(texts), places[:-1], np.nan)
    return TextOrder(folded, plain, places)


def join_orders(large: TextOrder, others: Any) -> Ranks:
    """Return places of other texts among those of a large table: between two where they are new."""
    small = order_texts(others)
    texts = zip(small.folded.to_pylist(), small.plain.to_pylist(), strict=True)
    places = np.full(len(small.plain) + 1, np.nan)
    for number, (folded, plain) in enumerate(texts):
        place, is_there = large.find(folded, plain)
        # New ones in one gap stay in their order.
        share = (number + 1) / (len(small.plain) + 1)
        places[number] = place if is_there else place - 1 + share
    codes = np.where(np.isnan(small.places), len(small.plain), small.places)
    return places[codes.astype(np.int64)]
