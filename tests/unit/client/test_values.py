from __future__ import annotations

import decimal
import fractions
from typing import Any

import numpy as np
import pytest

from hpctrack.client.values import NotANumberError, iter_flat, to_number


class Tensor:
    """As torch's: converts by ``item()``."""

    def __init__(self, value: float) -> None:
        self._value = value

    def item(self) -> float:
        return self._value


class Broken:
    def __float__(self) -> float:
        raise RuntimeError("CUDA error")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (True, 1.0),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(2.0), 2.0),
        (np.array([2.0]), 2.0),
        (Tensor(4.0), 4.0),
        (decimal.Decimal("0.25"), 0.25),
        (fractions.Fraction(1, 4), 0.25),
    ],
)
def test_numbers_of_all_kinds_are_taken(value: Any, expected: float) -> None:
    assert to_number(value) == expected


@pytest.mark.parametrize(
    "value", [np.ma.masked, np.ma.array(2.0, mask=True), np.ma.array([2.0], mask=[True])]
)
def test_what_is_masked_is_no_zero(value: Any) -> None:
    assert np.isnan(to_number(value))
    assert to_number(np.ma.array(2.0)) == 2


@pytest.mark.parametrize(
    "value", ["0.5", b"1", None, [1.0], np.zeros(2), {"a": 1}, 1j, Broken(), object(), 10**400]
)
def test_what_is_no_single_number_is_refused_and_nothing_else_is_raised(value: Any) -> None:
    with pytest.raises(NotANumberError):
        to_number(value)


def test_nested_names_are_joined_with_slashes() -> None:
    data = {"loss": 1, "val": {"acc": 2, "per": {"class": 3}}, 4: 5}
    assert dict(iter_flat(data)) == {"loss": 1, "val/acc": 2, "val/per/class": 3, "4": 5}


def test_a_mapping_that_contains_itself_ends() -> None:
    data: dict[str, Any] = {}
    data["again"] = data
    assert len(list(iter_flat(data))) == 1
