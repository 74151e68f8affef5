"""Parts of pages: text, the table, the strip, the figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from bokeh.core.validation import check_integrity

from hpctrack_server.components import text
from hpctrack_server.components.figures.catalogue import FIGURES
from hpctrack_server.components.figures.line import BAND_COLUMNS, DOT_COLUMNS, LINE_COLUMNS
from hpctrack_server.components.rank_strip import CELLS_MAX, PROBLEMS_MAX, make_rank_strip
from hpctrack_server.data.cache import ByteCache

MODELS_MAX = 100
"""A page has a dozen figures and more; each model costs 0.4 ms and 4.5 KB when it is mounted."""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, "1"),
        (1234567, "1,234,567"),
        (0.1, "0.1"),
        (2.0, "2"),
        (1234.5678, "1,234.6"),
        (3.2e-5, "3.2e-5"),
        (1.5e9 + 0.5, "1.5e9"),
        (float("nan"), "NaN"),
        (float("-inf"), "-\u221e"),
        (True, "true"),
        (None, "\u2013"),
        ([1, "a"], '[1, "a"]'),
        (10**400, "exact"),
    ],
)
def test_values_are_short(value: Any, shown: str) -> None:
    if shown == "exact":
        assert len(text.format_value(value)) < 400
    else:
        assert text.format_value(value) == shown


def test_text_is_escaped_for_any_place() -> None:
    assert (
        text.escape_text("<a href=\"x\" 'y'>&") == "&lt;a href=&quot;x&quot; &#x27;y&#x27;&gt;&amp;"
    )
    assert text.escape_text("half \ud83d pair").encode()


@pytest.mark.parametrize(
    ("duration_s", "shown"),
    [(0.04, "0.0s"), (59.4, "59s"), (61, "1m 01s"), (3661, "1h 01m"), (90_000, "1d 01h")],
)
def test_durations_have_two_units(duration_s: float, shown: str) -> None:
    assert text.format_duration(duration_s) == shown


def test_impossible_times_are_a_dash() -> None:
    assert text.format_when(0) == "\u2013"
    assert text.format_when(1e300) == "\u2013"


@dataclass
class OneRank:
    rank: int
    state: str = "finished"
    host: str = "n1"
    exit_code: int | None = 0


def test_strip_names_ranks_that_did_not_end_well() -> None:
    ranks = [OneRank(0), OneRank(1, "failed", "n2", 1), OneRank(2, "lost", "n3", None)]
    strip = make_rank_strip(ranks, 4)
    assert strip.sentence == "1 failed, 1 lost, 1 finished, 1 not heard of"
    assert [(one.rank, why) for one, why in strip.problems] == [
        (1, "exit code 1"),
        (2, "gone without a word"),
    ]


def test_strip_of_ten_thousand_ranks_stays_small_and_shows_the_worst() -> None:
    ranks = [
        OneRank(number, "failed" if number == 7777 else "finished") for number in range(10_000)
    ]
    strip = make_rank_strip(ranks, 10_000)
    assert len(strip.cells) <= CELLS_MAX
    assert [one.state for one in strip.cells].count("failed") == 1
    many = make_rank_strip([OneRank(number, "lost") for number in range(1000)], 1000)
    assert len(many.problems) == PROBLEMS_MAX
    assert many.hidden_problems == 1000 - PROBLEMS_MAX


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_sound_and_small(name: str) -> None:
    figure = FIGURES[name]()
    found = check_integrity(figure.references())
    assert not found.error
    assert len(figure.references()) <= MODELS_MAX


def test_the_columns_that_scripts_fill_are_those_of_the_figure() -> None:
    figure = FIGURES["line"]()
    for name, columns in (("lines", LINE_COLUMNS), ("bands", BAND_COLUMNS), ("dots", DOT_COLUMNS)):
        (source,) = figure.select({"name": name})
        assert set(source.column_names) == set(columns)


def test_cache_gives_up_what_was_not_used() -> None:
    cache: ByteCache[str] = ByteCache(100)
    cache.put("a", "A", 40)
    cache.put("b", "B", 40)
    assert cache.get("a") == "A"
    cache.put("c", "C", 40)
    assert cache.get("b") is None
    assert cache.get("a") == "A"
    assert cache.size_bytes == 80
    cache.put("huge", "H", 101)
    assert cache.get("huge") is None
    assert len(cache) == 2
