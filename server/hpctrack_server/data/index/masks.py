"""Which runs of a table fulfil a filter: one vector operation per condition. Pure.

Every condition is true or false of every run: a run without a value fulfils no comparison, and
``!=``, ``not in`` and ``!~`` are the opposites of ``==``, ``in`` and ``~``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpctrack_server.data.index.parts import (
    TEXT,
    BoolArray,
    Parts,
    decode,
    is_encoded,
    view_numbers,
    view_valid,
)
from hpctrack_server.data.index.query import ColumnKind
from hpctrack_server.data.index.segment import Segment
from hpctrack_server.language.errors import QueryError
from hpctrack_server.language.tree import (
    And,
    Column,
    Compare,
    Comparison,
    Condition,
    Contains,
    Exists,
    IsNan,
    IsTrue,
    Matches,
    Not,
    OneOf,
    Or,
    Value,
    ValueKind,
)
from hpctrack_server.language.values import parse_time

_COMPARE: Mapping[Comparison, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    Comparison.EQUAL: (operator.eq, pc.equal),
    Comparison.BELOW: (operator.lt, pc.less),
    Comparison.AT_MOST: (operator.le, pc.less_equal),
    Comparison.ABOVE: (operator.gt, pc.greater),
    Comparison.AT_LEAST: (operator.ge, pc.greater_equal),
}
"""Of numbers and of texts; what is unequal is the opposite of what is equal."""

Test = Compare | OneOf | Contains | Matches | Exists | IsNan | IsTrue
TextTest = Callable[[Any], Any]
"""Returns an Arrow array of bool for one of texts."""

SEARCHED = ("name", "id", "user", "tags")


class Filter:
    """A filter, ready for any table of a project.

    Parameters
    ----------
    condition : Condition
    kinds : mapping
        Of every column, by key.
    now_wall_s : float
        For times that are told from now on.

    Raises
    ------
    QueryError
        A value can never be in its column, or a pattern is none.
    """

    def __init__(
        self, condition: Condition, kinds: Mapping[str, ColumnKind], *, now_wall_s: float
    ) -> None:
        self._condition = condition
        self._kinds = kinds
        self._now_wall_s = now_wall_s
        self._check(condition)

    def find(self, segment: Segment) -> BoolArray:
        """Return which runs fulfil it."""
        return self._find(self._condition, segment)

    def _check(self, condition: Condition) -> None:
        if isinstance(condition, Not):
            self._check(condition.part)
        elif isinstance(condition, (And, Or)):
            for part in condition.parts:
                self._check(part)
        elif isinstance(condition, Matches):
            check_pattern(condition.pattern)
        elif isinstance(condition, Compare) and isinstance(condition.value, Value):
            self._check_value(condition.column, condition.comparison, condition.value)

    def _check_value(self, column: Column, comparison: Comparison, value: Value) -> None:
        kind = self._kinds.get(column.key)
        if kind == ColumnKind.TIME and value.kind == ValueKind.TEXT:
            if parse_time(str(value.value)) is None:
                raise QueryError(
                    f"{column.key} is a time, {str(value.value)[:40]!r} is none",
                    at=value.at, end=value.end, hint="write 2026-05-01, -7d, today",
                )  # fmt: skip
            return
        if comparison.is_ordered and kind == ColumnKind.TEXT and value.kind == ValueKind.NUMBER:
            raise QueryError(
                f"{column.key} holds text, which is not compared with a number",
                at=value.at, end=value.end, hint='put it in quotes: "..."',
            )  # fmt: skip
        if comparison.is_ordered and kind == ColumnKind.NUMBER and value.kind == ValueKind.TEXT:
            raise QueryError(
                f"{column.key} holds numbers, which are not compared with text",
                at=value.at, end=value.end, hint="leave the quotes out",
            )  # fmt: skip

    def _find(self, condition: Condition, segment: Segment) -> BoolArray:
        if isinstance(condition, Not):
            return ~self._find(condition.part, segment)
        if isinstance(condition, (And, Or)):
            join = operator.and_ if isinstance(condition, And) else operator.or_
            return reduce(join, (self._find(one, segment) for one in condition.parts))
        return self._test(condition, segment)

    def _test(self, condition: Test, segment: Segment) -> BoolArray:
        parts = segment.parts(condition.column.key)
        if isinstance(condition, Compare):
            return self._compare(condition, parts, segment)
        if isinstance(condition, OneOf):
            found = (self._equals(condition.column, parts, one, segment.length)
                     for one in condition.values)  # fmt: skip
            return reduce(operator.or_, found, np.zeros(segment.length, bool))
        if isinstance(condition, Contains):
            return self._contains(condition, parts, segment.length)
        return _find_plain(condition, parts, segment.length)

    def _compare(self, condition: Compare, parts: Parts, segment: Segment) -> BoolArray:
        comparison, length = condition.comparison, segment.length
        if comparison == Comparison.UNEQUAL:
            same = Compare(condition.column, Comparison.EQUAL, condition.value)
            return ~self._compare(same, parts, segment)
        if isinstance(condition.value, Column):
            other = segment.parts(condition.value.key)
            return compare_columns(parts, other, comparison, length)
        if comparison == Comparison.EQUAL:
            return self._equals(condition.column, parts, condition.value, length)
        value = self._adapt(condition.column, condition.value)
        if isinstance(value.value, str):
            _, test = _COMPARE[comparison]
            return find_texts(parts, lambda texts: test(texts, value.value), length)
        bound = float(value.value) if isinstance(value.value, bool) else value.value
        if comparison == Comparison.AT_MOST and value.span_s:
            return find_numbers(parts, lambda numbers: numbers < bound + value.span_s, length)
        compare, _ = _COMPARE[comparison]
        return find_numbers(parts, lambda numbers: compare(numbers, bound), length)

    def _equals(self, column: Column, parts: Parts, value: Value, length: int) -> BoolArray:
        value = self._adapt(column, value)
        wanted = value.value
        if isinstance(wanted, bool):
            if parts.flags is None:
                return np.zeros(length, bool)
            return _fill(pc.equal(parts.flags, wanted))
        if isinstance(wanted, str):
            found = find_texts(parts, lambda texts: pc.equal(texts, wanted), length)
            return found | find_items(parts, lambda texts: pc.equal(texts, wanted), length)
        if value.span_s:
            end = wanted + value.span_s
            return find_numbers(
                parts, lambda numbers: (numbers >= wanted) & (numbers < end), length
            )
        found = find_numbers(parts, lambda numbers: numbers == wanted, length)
        if not column.key.startswith("slurm."):
            return found
        # Slurm's ids are text, and nobody wants to know that.
        return found | find_texts(parts, lambda texts: pc.equal(texts, str(wanted)), length)

    def _contains(self, condition: Contains, parts: Parts, length: int) -> BoolArray:
        wanted = condition.value.value
        word = wanted if isinstance(wanted, str) else str(wanted)
        found = find_items(parts, lambda texts: pc.equal(texts, word), length)

        def is_inside(texts: Any) -> Any:
            return pc.match_substring(texts, pattern=word, ignore_case=True)

        return found | find_texts(parts, is_inside, length)

    def _adapt(self, column: Column, value: Value) -> Value:
        """Turn what stands before a time into one."""
        if self._kinds.get(column.key) != ColumnKind.TIME:
            return value
        if value.kind == ValueKind.DURATION:
            wall_s = self._now_wall_s + float(value.value)
            return Value(ValueKind.TIME, wall_s, value.at, value.end)
        if value.kind == ValueKind.TEXT:
            wall_s = parse_time(str(value.value)) or 0.0
            span_s = 86400.0 if len(str(value.value)) == len("2026-05-01") else 0.0
            return Value(ValueKind.TIME, wall_s, value.at, value.end, span_s)
        return value


def _find_plain(
    condition: Matches | Exists | IsNan | IsTrue, parts: Parts, length: int
) -> BoolArray:
    """Find what needs nothing but the column."""
    if isinstance(condition, Matches):
        pattern = str(condition.pattern.value)

        def test(texts: Any) -> Any:
            return pc.match_substring_regex(texts, pattern=pattern)

        return find_texts(parts, test, length) | find_items(parts, test, length)
    if isinstance(condition, Exists):
        return parts.exists(length)
    if isinstance(condition, IsNan):
        return find_numbers(parts, np.isnan, length)
    return np.zeros(length, bool) if parts.flags is None else _fill(parts.flags)


def find_search(segment: Segment, pattern: str, keys: Iterable[str] = SEARCHED) -> BoolArray:
    """Return which runs have a pattern in a text of some columns, in any case."""

    def test(texts: Any) -> Any:
        return pc.match_substring_regex(texts, pattern=pattern, ignore_case=True)

    found = np.zeros(segment.length, bool)
    for key in keys:
        parts = segment.parts(key)
        found |= find_texts(parts, test, segment.length)
        found |= find_items(parts, test, segment.length)
    return found


def check_pattern(pattern: Value) -> None:
    """Refuse a text that is no regular expression.

    Raises
    ------
    QueryError
        RE2 says what is wrong.
    """
    try:
        pc.match_substring_regex(pa.array([""], TEXT), pattern=str(pattern.value))
    except pa.ArrowInvalid as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        raise QueryError(
            f"this is no regular expression: {reason[:200]}", at=pattern.at, end=pattern.end,
            hint=r"a dot that is meant is \., a parenthesis \(",
        ) from None  # fmt: skip
    except UnicodeEncodeError:
        raise QueryError(
            "half a surrogate pair cannot be searched", at=pattern.at, end=pattern.end
        ) from None


def find_numbers(parts: Parts, test: Callable[[Any], Any], length: int) -> BoolArray:
    """Return which runs have a number that passes a test; flags are none."""
    if parts.numbers is None:
        return np.zeros(length, bool)
    with np.errstate(invalid="ignore"):
        found = np.asarray(test(view_numbers(parts.numbers)))
    return found & view_valid(parts.numbers) if parts.numbers.null_count else found


def find_texts(parts: Parts, test: TextTest, length: int) -> BoolArray:
    """Return which runs have a text that passes a test; each different text is tested once."""
    texts = parts.texts
    if texts is None:
        return np.zeros(length, bool)
    if not is_encoded(texts):
        return _fill(test(texts))
    hits = np.append(_fill(test(texts.dictionary)), False)
    codes = texts.indices
    if codes.null_count:
        codes = codes.fill_null(len(hits) - 1)
    return np.asarray(hits[codes.to_numpy()])


def find_items(parts: Parts, test: TextTest, length: int) -> BoolArray:
    """Return which runs have a list with an item that passes a test."""
    found = np.zeros(length, bool)
    if parts.lists is not None:
        hits = _fill(test(parts.lists.flatten()))
        found[np.asarray(pc.list_parent_indices(parts.lists))[hits]] = True
    return found


def compare_columns(one: Parts, other: Parts, comparison: Comparison, length: int) -> BoolArray:
    """Return which runs have values in two columns that compare so: numbers, or texts."""
    found = np.zeros(length, bool)
    if one.numbers is not None and other.numbers is not None:
        compare, _ = _COMPARE[comparison]
        with np.errstate(invalid="ignore"):
            hits = compare(view_numbers(one.numbers), view_numbers(other.numbers))
        found |= hits & view_valid(one.numbers) & view_valid(other.numbers)
    if one.texts is not None and other.texts is not None:
        found |= _fill(_COMPARE[comparison][1](decode(one.texts), decode(other.texts)))
    if comparison == Comparison.EQUAL and one.flags is not None and other.flags is not None:
        found |= _fill(pc.equal(one.flags, other.flags))
    return found


def _fill(found: Any) -> BoolArray:
    """Return an Arrow array of bool as NumPy's, false where it is null."""
    if found.null_count:
        found = found.fill_null(False)  # noqa: FBT003 - Arrow's signature
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)
