"""Runs that agree in some keys, and their numbers over each group. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hpctrack_server.data.index.parts import (
    Parts,
    RowArray,
    decode,
    join_items,
    view_numbers,
    view_valid,
)
from hpctrack_server.data.index.query import Group
from hpctrack_server.data.labels import order_by_difference

BUT_SEED = "@config-but-seed"
"""As a key: everything that was configured, but what only starts a random sequence."""

_SEED = re.compile(
    r"(^|[._/-])(seed|random_?seed|random_?state|rng|rng_?seed|torch_?seed|np_?seed|numpy_?seed"
    r"|data_?seed|manual_?seed|seed_?\d+)$",
    re.IGNORECASE,
)
Codes = NDArray[np.int64]

GROUPS_MAX = 20_000
"""More than anybody looks at, and each takes time."""


def is_seed(key: str) -> bool:
    """Tell whether a column only says where a random sequence starts.

    Examples
    --------
    >>> [is_seed(one) for one in ("config.seed", "config.data.random_state", "config.seeds_kept")]
    [True, True, False]
    """
    return bool(_SEED.search(key.removeprefix("config.")))


def choose_config(keys: Iterable[str]) -> list[str]:
    """Return the columns that `BUT_SEED` stands for."""
    return [one for one in keys if one.startswith("config.") and not is_seed(one)]


def code_values(parts: Parts, length: int) -> Codes:
    """Return a number per run that is the same for equal values; -1 where there is none."""
    codes = np.full(length, -1, np.int64)
    base = 0
    for array in parts.arrays():
        plain = array
        if pa.types.is_list(array.type):
            plain = join_items(array, "\0")
        encoded = plain if pa.types.is_dictionary(plain.type) else plain.dictionary_encode()
        valid = view_valid(encoded.indices)
        found = encoded.indices.fill_null(0).to_numpy().astype(np.int64)
        codes[valid] = found[valid] + base
        base += len(encoded.dictionary)
    return codes


def join_codes(codes: Iterable[Codes], length: int) -> Codes:
    """Return one number per run for several: equal where all of them are."""
    joined = np.zeros(length, np.int64)
    for one in codes:
        span = int(one.max(initial=-1)) + 2
        mixed = joined * span + (one + 1)
        # Small again, so that the next product does not overflow.
        joined = np.asarray(pa.array(mixed).dictionary_encode().indices).astype(np.int64)
    return joined


class Grouping:
    """Rows by what they agree in.

    Parameters
    ----------
    codes : ndarray of int64, shape (n,)
        The same for rows of one group.
    """

    def __init__(self, codes: Codes) -> None:
        self._order = np.argsort(codes, kind="stable")
        ordered = codes[self._order]
        is_first = np.diff(ordered, prepend=ordered[:1] - 1) != 0
        self._starts = np.flatnonzero(is_first)
        self.sizes = np.diff(np.append(self._starts, len(codes)))
        # The largest first; of equally large ones the one whose first row comes first.
        first = self._order[self._starts] if len(codes) else self._starts
        self._places = np.lexsort((first, -self.sizes))

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self._places)

    def order(self) -> RowArray:
        """Return all rows, those of the largest group first, in their order."""
        starts, sizes = self._starts[self._places], self.sizes_ordered()
        if not len(starts):
            return np.zeros(0, np.int64)
        ends = np.cumsum(sizes)
        steps = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
        return np.asarray(self._order[np.repeat(starts, sizes) + steps], np.int64)

    def sizes_ordered(self) -> RowArray:
        """Return the number of rows of each group."""
        return np.asarray(self.sizes[self._places], np.int64)

    def firsts(self) -> RowArray:
        """Return the first row of each group."""
        return np.asarray(self._order[self._starts][self._places], np.int64)

    def summarize(self, parts: Parts, rows: RowArray) -> list[dict[str, float] | None]:
        """Return mean, min, max, std and n of a column for each group; None without a number.

        ``std`` is that of a sample; of a single run it is 0. What is not finite is no number here.
        """
        if parts.numbers is None or not len(self._order):
            return [None] * len(self)
        values = view_numbers(parts.numbers)[rows].astype(np.float64)
        is_there = view_valid(parts.numbers)[rows] & np.isfinite(values)
        values = np.where(is_there, values, 0.0)[self._order]
        is_there = is_there[self._order]
        n = np.add.reduceat(is_there.astype(np.int64), self._starts)
        safe = np.maximum(n, 1)
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers near 1e300 there is none
            mean = np.add.reduceat(values, self._starts) / safe
            apart = np.where(is_there, values - np.repeat(mean, self.sizes), 0.0)
            spread = np.sqrt(np.add.reduceat(apart**2, self._starts) / np.maximum(n - 1, 1))
        low = np.minimum.reduceat(np.where(is_there, values, np.inf), self._starts)
        high = np.maximum.reduceat(np.where(is_there, values, -np.inf), self._starts)
        found = zip(n, mean, low, high, spread, strict=True)
        told = [
            {"mean": float(b), "min": float(c), "max": float(d), "std": float(e), "n": int(a)}
            if a else None
            for a, b, c, d, e in found
        ]  # fmt: skip
        return [told[place] for place in self._places]


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def describe_configs(columns: Sequence[tuple[str, list[Any]]], count: int) -> list[str]:
    """Return each group of `BUT_SEED` in words: what differs between groups, most of all first.

    Parameters
    ----------
    columns : sequence of (str, list)
        Keys of the configuration, and the value of each group.
    count : int
        Number of groups.
    """
    differing = [
        (key.removeprefix("config."), values)
        for key, values in columns
        if len({repr(one) for one in values}) > 1
    ]
    shown = [["" if one is None else _show(one) for one in values] for _key, values in differing]
    first = order_by_difference(shown)
    # Those that read alike, as 1 and 1.0 do, last.
    order = [*first, *(place for place in range(len(shown)) if place not in set(first))]
    return [
        ", ".join(
            f"{differing[place][0]}={shown[place][number]}"
            for place in order
            if differing[place][1][number] is not None
        )
        or "the same configuration"
        for number in range(count)
    ]


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    # A text that reads like a number is another value than the number.
    return f'"{value}"' if isinstance(value, str) and _NUMBER.fullmatch(value) else str(value)


def make_groups(
    grouping: Grouping,
    keys: Sequence[Sequence[Any]],
    ids: Any,
    numbers: Iterable[tuple[str, Parts]],
    rows: RowArray,
) -> list[Group]:
    """Put groups together.

    Parameters
    ----------
    grouping : Grouping
    keys : sequence
        Of each group.
    ids : pyarrow.Array
        Of the rows.
    numbers : iterable of (str, Parts)
        Columns whose numbers are told.
    rows : ndarray of int64
        Which rows of the columns these are.
    """
    values: list[dict[str, dict[str, float]]] = [{} for _ in range(len(grouping))]
    for key, parts in numbers:
        for place, found in enumerate(grouping.summarize(parts, rows)):
            if found is not None:
                values[place][key] = found
    ordered = decode(ids).take(pa.array(grouping.order(), pa.int64())).to_pylist()
    ends = np.cumsum(grouping.sizes_ordered()).tolist()
    return [
        Group(
            key=tuple(keys[place]),
            ids=tuple(ordered[(ends[place - 1] if place else 0) : ends[place]]),
            values=values[place],
        )
        for place in range(len(grouping))
    ]
