"""One column of a table of runs, whatever its values are: Arrow arrays by kind. Pure.

A configuration may hold ``0.1`` in one run and ``"auto"`` in the next. A column is therefore up to
four arrays of the same length, of which at most one has a value for a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
RowArray = NDArray[np.int64]

TEXT = pa.large_string()
LIST = pa.list_(TEXT)

ENCODE_SHARE = 0.5
"""Texts are kept once each where at most this share of them differ."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The values of a column; a kind that no run has is None.

    Parameters
    ----------
    numbers : pyarrow.Array of int64 or float64, or None
        NaN is a value, null is none.
    texts : pyarrow.Array of text, plain or in a dictionary, or None
    flags : pyarrow.Array of bool, or None
    lists : pyarrow.Array of lists of text, or None
        Never empty ones.
    """

    numbers: Any = None
    texts: Any = None
    flags: Any = None
    lists: Any = None

    def arrays(self) -> list[Any]:
        """Return those that there are."""
        found = (self.numbers, self.texts, self.flags, self.lists)
        return [one for one in found if one is not None]

    def count(self) -> int:
        """Return how many runs have a value."""
        return sum(len(one) - one.null_count for one in self.arrays())

    def exists(self, length: int) -> BoolArray:
        """Return which of ``length`` runs have a value."""
        found = np.zeros(length, bool)
        for one in self.arrays():
            found |= view_valid(one)
        return found

    def take(self, rows: RowArray) -> list[Any]:
        """Return the values of some runs as Python has them; None where there is none."""
        values: list[Any] = [None] * len(rows)
        wanted = pa.array(rows, pa.int64())
        for array in self.arrays():
            for place, value in enumerate(array.take(wanted).to_pylist()):
                if value is not None:
                    values[place] = value
        return values

    def filter(self, kept: BoolArray) -> Parts:
        """Return the column of some runs only."""
        mask = pa.array(kept)
        given = (getattr(self, one.name) for one in fields(self))
        return Parts(*(None if one is None else one.filter(mask) for one in given))


NOTHING = Parts()


def make_parts(values: Sequence[Any]) -> Parts:
    """Return a column of values as JSON or Python has them.

    Parameters
    ----------
    values : sequence
        One per run, None where there is none. Lists of texts are lists; what is nested otherwise
        becomes its JSON text.
    """
    types = set(map(type, values))
    types.discard(type(None))
    if not types:
        return NOTHING
    if types <= {int, float}:
        return Parts(numbers=_make_numbers(values, is_whole=types == {int}))
    if types == {str}:
        return Parts(texts=_make_texts(values))
    return _split(values)


def join_parts(parts: Sequence[tuple[Parts, int]]) -> Parts:
    """Return one column behind the other; each with its number of runs."""
    names = [one.name for one in fields(Parts)]
    return Parts(*(_join([(getattr(one, name), n) for one, n in parts]) for name in names))


def view_numbers(array: Any) -> NDArray[Any]:
    """Return an array's numbers without copying; where it is null, any."""
    dtype = np.int64 if pa.types.is_int64(array.type) else np.float64
    whole = np.frombuffer(array.buffers()[1], dtype) if len(array) else np.zeros(0, dtype)
    return whole[array.offset : array.offset + len(array)]


def view_valid(array: Any) -> BoolArray:
    """Return where an array is not null."""
    if not array.null_count:
        return np.ones(len(array), bool)
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False))


def is_encoded(texts: Any) -> bool:
    """Tell whether texts are kept once each."""
    return bool(pa.types.is_dictionary(texts.type))


def decode(texts: Any) -> Any:
    """Return plain texts."""
    return texts.dictionary_decode() if is_encoded(texts) else texts


def join_items(lists: Any, separator: str) -> Any:
    """Return one text per list."""
    return pc.binary_join(lists, pa.scalar(separator, TEXT)).cast(TEXT)


def _make_numbers(values: Iterable[Any], *, is_whole: bool) -> Any:
    if is_whole:
        try:
            return pa.array(values, pa.int64())
        except OverflowError:
            pass
    return pa.array([None if one is None else _to_float(one) for one in values], pa.float64())


def _to_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _make_texts(values: Iterable[Any]) -> Any:
    return encode_texts(pa.array(values, TEXT))


def encode_texts(plain: Any) -> Any:
    """Keep texts once each if that is shorter."""
    encoded = plain.dictionary_encode()
    count = len(plain) - plain.null_count
    return encoded if len(encoded.dictionary) <= count * ENCODE_SHARE else plain


def _split(values: Sequence[Any]) -> Parts:
    """Sort values of several kinds into their arrays."""
    length = len(values)
    found: dict[str, list[Any]] = {}
    for place, value in enumerate(values):
        if value is None:
            continue
        kind, plain = _classify(value)
        if kind:
            found.setdefault(kind, [None] * length)[place] = plain
    numbers = found.get("numbers")
    is_whole = numbers is not None and all(isinstance(one, (int, type(None))) for one in numbers)
    return Parts(
        numbers=None if numbers is None else _make_numbers(numbers, is_whole=is_whole),
        texts=_make_texts(found["texts"]) if "texts" in found else None,
        flags=pa.array(found["flags"], pa.bool_()) if "flags" in found else None,
        lists=pa.array(found["lists"], LIST) if "lists" in found else None,
    )


def _classify(value: Any) -> tuple[str, Any]:
    if isinstance(value, bool):
        return "flags", value
    if isinstance(value, (int, float)):
        return "numbers", value
    if isinstance(value, str):
        return "texts", str(value)
    if isinstance(value, (list, tuple)):
        if not value:
            return "", None
        if all(isinstance(one, str) for one in value):
            return "lists", list(value)
    return "texts", json.dumps(value, default=str, ensure_ascii=False)


def _join(arrays: Sequence[tuple[Any, int]]) -> Any:
    there = [one for one, _length in arrays if one is not None]
    if not there:
        return None
    if len(arrays) == 1:
        return there[0]
    first = there[0].type
    if pa.types.is_dictionary(first) or first == TEXT:
        whole = [pa.nulls(n, TEXT) if one is None else decode(one) for one, n in arrays]
        return encode_texts(pa.concat_arrays(whole))
    if any(pa.types.is_float64(one.type) for one in there):
        first = pa.float64()
    whole = [
        pa.nulls(n, first) if one is None else one.cast(first, safe=False) for one, n in arrays
    ]
    return pa.concat_arrays(whole)
