from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from hpctrack.core import Record


class Point(Record):
    x: int
    y: int = 0


class Other(Record):
    x: int
    y: int = 0


def test_a_record_is_made_by_position_by_name_and_with_defaults() -> None:
    assert Point(1, 2) == Point(x=1, y=2) == Point(1, y=2)
    assert (Point(3).x, Point(3).y) == (3, 0)
    assert repr(Point(3)) == "Point(x=3, y=0)"
    assert Point.field_names == ("x", "y")


def test_records_are_equal_by_class_and_values() -> None:
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)
    assert {Point(1), Point(1, 0), Point(2)} == {Point(1), Point(2)}


def test_a_record_cannot_be_changed() -> None:
    point: Any = Point(1)
    with pytest.raises(AttributeError, match="Point cannot be changed"):
        point.x = 2
    assert point.x == 1


def test_a_record_can_be_copied_and_pickled() -> None:
    assert copy.deepcopy(Point(1, 2)) == pickle.loads(pickle.dumps(Point(1, 2))) == Point(1, 2)  # noqa: S301


@pytest.mark.parametrize(
    ("values", "named", "text"),
    [
        ((), {}, "lacks x"),
        ((1, 2, 3), {}, "cannot take"),
        ((1,), {"x": 2}, r"cannot take \['x'\]"),
        ((1,), {"z": 2}, r"cannot take \['z'\]"),
    ],
)
def test_a_record_takes_its_fields_and_nothing_else(
    values: tuple[int, ...], named: dict[str, int], text: str
) -> None:
    kind: Any = Point
    with pytest.raises(TypeError, match=text):
        kind(*values, **named)
