"""Tables leave as CSV that a spreadsheet only shows."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack_server.language.csv_text import guard_cell, write_csv


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "-"],
)
def test_a_text_that_would_be_calculated_gets_an_apostrophe(text: str) -> None:
    assert guard_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", [-0.5, -3, True, None, "-0.25", "+1e-3", ".5", "a=1", "", "'x"])
def test_numbers_and_plain_texts_stay_as_they_are(value: object) -> None:
    assert guard_cell(value) is value


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2)))
def test_every_text_comes_back_from_the_file(rows: list[list[str]]) -> None:
    found = list(csv.reader(io.StringIO(write_csv(rows), newline="")))
    assert found == [[guard_cell(cell) for cell in row] for row in rows]


def test_nothing_is_an_empty_cell_and_numbers_keep_all_digits() -> None:
    assert write_csv([["a", "=b"], [None, 0.1 + 0.2]]) == "a,'=b\r\n,0.30000000000000004\r\n"
