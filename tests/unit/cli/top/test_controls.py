"""Keys: what each does to the state of the screen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpctrack.cli.top.controls import INTERVALS_S, VIEWS, Choice, Controls, View, press

RUN = ("p", "r")
IN_RUN = Controls(run=RUN)


def keys(controls: Controls, names: str, choice: Choice | None = None) -> Controls:
    for name in names.split():
        character = name if len(name) == 1 else ""
        controls = press(controls, name, choice or Choice(), character)
    return controls


def test_rows_are_chosen_with_arrows_and_letters_and_stay_inside() -> None:
    choice = Choice(rows=30, page=10)
    assert keys(Controls(), "down j", choice).row == 2
    assert keys(Controls(), "up k", choice).row == 0
    assert keys(Controls(), "pagedown", choice).row == 10
    assert keys(Controls(), "end down", choice).row == 29
    assert keys(Controls(row=29), "pageup home", choice).row == 0
    assert keys(Controls(), "down", Choice(rows=0)).row == 0


def test_enter_opens_the_chosen_run_and_escape_goes_back() -> None:
    opened = keys(Controls(row=3, filter="x"), "enter", Choice(run=RUN, rows=9))
    assert (opened.run, opened.view, opened.row, opened.filter) == (RUN, View.OVERVIEW, 0, "")
    assert keys(Controls(), "enter").run is None
    assert keys(opened, "escape").run is None
    assert keys(replace(opened, view=View.GPUS), "escape").view is View.OVERVIEW
    assert keys(opened, "escape", Choice(is_only=True)).run == RUN
    assert keys(replace(opened, filter="x"), "escape") == opened


def test_tab_turns_through_the_views_both_ways() -> None:
    seen = [IN_RUN]
    for _view in VIEWS:
        seen.append(keys(seen[-1], "tab"))
    assert [one.view for one in seen] == [*VIEWS, View.OVERVIEW]
    assert keys(IN_RUN, "shift+tab").view is VIEWS[-1]


@pytest.mark.parametrize(
    ("key", "view"),
    [
        ("o", View.OVERVIEW),
        ("r", View.RANKS),
        ("g", View.GPUS),
        ("v", View.METRICS),
        ("w", View.SLOW),
        ("a", View.ALERTS),
        ("c", View.CONSOLE),
    ],
)
def test_each_view_has_a_letter_that_does_nothing_in_the_list(key: str, view: View) -> None:
    assert keys(IN_RUN, key).view is view
    assert keys(Controls(), key).view is View.OVERVIEW


def test_g_again_shows_the_next_thing_of_the_gpus() -> None:
    assert [keys(IN_RUN, "g " * count).gpu_shown for count in (1, 2, 3, 4)] == [
        "util",
        "memory",
        "power",
        "util",
    ]


def test_m_goes_through_the_metrics_and_enter_takes_the_chosen_one() -> None:
    choice = Choice(metrics=("acc", "loss"), metric="loss", rows=2)
    assert keys(IN_RUN, "m", choice).metric == "acc"
    assert keys(IN_RUN, "m m", choice).metric == "loss"
    assert keys(IN_RUN, "M", choice).metric == "acc"
    taken = keys(replace(IN_RUN, view=View.METRICS), "enter", choice)
    assert (taken.metric, taken.view) == ("loss", View.RANKS)
    assert keys(IN_RUN, "m").metric == ""


def test_the_console_is_that_of_the_chosen_rank() -> None:
    in_ranks = replace(IN_RUN, view=View.RANKS)
    found = keys(in_ranks, "c", Choice(rank=3))
    assert (found.view, found.rank) == (View.CONSOLE, 3)
    assert keys(in_ranks, "enter", Choice(rank=3)) == found
    assert keys(found, "right right left").rank == 4
    assert keys(replace(found, rank=0), "left").rank == 0
    assert keys(IN_RUN, "c", Choice(rank=None)).rank == 0


def test_s_orders_the_rows_of_its_place_only() -> None:
    sorted_by = keys(Controls(), "s")
    assert sorted_by.sort == "rate"
    in_ranks = replace(sorted_by, run=RUN, view=View.RANKS)
    assert in_ranks.sort == "rank"
    assert keys(in_ranks, "s").sort == "highest"
    assert replace(keys(in_ranks, "s"), run=None).sort == "rate"
    assert keys(IN_RUN, "s") == IN_RUN


def test_a_filter_is_typed_and_letters_are_no_commands_meanwhile() -> None:
    typing = keys(Controls(row=5), "/ q r backspace a")
    assert (typing.typed, typing.is_over) == ("qa", False)
    assert keys(typing, "escape").typed is None
    done = keys(typing, "enter")
    assert (done.filter, done.typed, done.row) == ("qa", None, 0)
    assert keys(done, "/").typed == "qa"


def test_plus_makes_the_time_between_two_looks_longer_and_minus_shorter() -> None:
    assert keys(Controls(), "+").interval_s == 5.0
    assert keys(Controls(), "-").interval_s == 1.0
    assert keys(Controls(), "minus " * 9).interval_s == INTERVALS_S[0]
    assert keys(Controls(), "plus " * 9).interval_s == INTERVALS_S[-1]
    assert keys(Controls(), "p").is_paused
    assert not keys(Controls(), "p p").is_paused


def test_help_is_left_by_any_key_and_q_quits() -> None:
    helped = keys(IN_RUN, "?")
    assert helped.shows_help
    assert keys(helped, "g") == IN_RUN
    assert keys(IN_RUN, "q").is_over
    assert keys(IN_RUN, "ctrl+c").is_over
    assert keys(IN_RUN, "x") == IN_RUN
